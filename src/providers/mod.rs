//! The presets: what `provider = "…"` stands for. Data, one table.

use std::{borrow::Cow, time::Duration};

use crate::signature::{Algorithm, Encoding, Form, Part, Scheme, SecretForm, TimestampRule, Unit};

/// What is known of a provider.
#[derive(Debug)]
pub struct Preset {
    /// What `provider = "…"` names.
    pub name: &'static str,
    /// The document that says so, in words.
    pub source: &'static str,
    pub scheme: Scheme,
    /// The first that exists gives the event id.
    pub event_id: &'static [Place],
    /// The first that exists gives the event type.
    pub event_type: &'static [Place],
    /// In lower case. Never a signature, a token or a cookie.
    pub keep_headers: &'static [&'static str],
}

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer.
    Json(&'static str),
    /// A header's name in lower case.
    Header(&'static str),
}

/// The preset that `provider = "name"` stands for.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Every preset, by name.
pub static PRESETS: &[Preset] = &[
    // The SHA-1 of `X-Hub-Signature`, which GitHub still sends, is deliberately not looked at.
    // The delivery id stays the same when a delivery is sent again.
    Preset {
        name: "github",
        source: "docs.github.com, Validating webhook deliveries; Webhook events and payloads",
        scheme: Scheme {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            header: Cow::Borrowed("x-hub-signature-256"),
            form: bare("sha256="),
            signed: Cow::Borrowed(&[Part::Body]),
            timestamp: None,
            secret_form: SecretForm::Text,
        },
        event_id: &[Place::Header("x-github-delivery")],
        event_type: &[Place::Header("x-github-event")],
        keep_headers: &[
            "x-github-delivery",
            "x-github-event",
            "x-github-hook-id",
            "x-github-hook-installation-target-id",
            "x-github-hook-installation-target-type",
        ],
    },
    // After a rotation Shopify may sign with the old secret for up to an hour. The event id is one
    // for all subscriptions of an event; older API versions send only the webhook id.
    Preset {
        name: "shopify",
        source: "shopify.dev, Deliver webhooks through HTTPS; Ignore duplicate webhooks",
        scheme: Scheme {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Base64,
            header: Cow::Borrowed("x-shopify-hmac-sha256"),
            form: bare(""),
            signed: Cow::Borrowed(&[Part::Body]),
            timestamp: None,
            secret_form: SecretForm::Text,
        },
        event_id: &[
            Place::Header("x-shopify-event-id"),
            Place::Header("x-shopify-webhook-id"),
        ],
        event_type: &[Place::Header("x-shopify-topic")],
        keep_headers: &[
            "x-shopify-api-version",
            "x-shopify-event-id",
            "x-shopify-shop-domain",
            "x-shopify-topic",
            "x-shopify-triggered-at",
            "x-shopify-webhook-id",
        ],
    },
    Preset {
        name: "slack",
        source: "docs.slack.dev, Verifying requests from Slack; Using the Events API",
        scheme: Scheme {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            header: Cow::Borrowed("x-slack-signature"),
            form: bare("v0="),
            signed: Cow::Borrowed(&[
                literal("v0:"),
                header("x-slack-request-timestamp"),
                literal(":"),
                Part::Body,
            ]),
            timestamp: Some(TimestampRule {
                source: header("x-slack-request-timestamp"),
                unit: Unit::Seconds,
                past: FIVE_MINUTES,
                future: Some(FIVE_MINUTES),
            }),
            secret_form: SecretForm::Text,
        },
        event_id: &[Place::Json("/event_id")],
        event_type: &[Place::Json("/event/type"), Place::Json("/type")],
        keep_headers: &["x-slack-retry-num", "x-slack-retry-reason"],
    },
    // Only the symmetric `v1`; `v1a` (ed25519) entries are skipped. No header is kept: the id goes
    // out as `Hookgate-Event-Id`, and a target that is signed for gets its own `webhook-id`.
    Preset {
        name: "standard-webhooks",
        source: "standardwebhooks.com, Standard Webhooks specification 1.0.0",
        scheme: Scheme {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Base64,
            header: Cow::Borrowed("webhook-signature"),
            form: Form::Versions {
                version: Cow::Borrowed("v1"),
            },
            signed: Cow::Borrowed(&[
                header("webhook-id"),
                literal("."),
                header("webhook-timestamp"),
                literal("."),
                Part::Body,
            ]),
            timestamp: Some(TimestampRule {
                source: header("webhook-timestamp"),
                unit: Unit::Seconds,
                past: FIVE_MINUTES,
                future: Some(FIVE_MINUTES),
            }),
            secret_form: SecretForm::Base64 {
                prefix: Cow::Borrowed("whsec_"),
            },
        },
        event_id: &[Place::Header("webhook-id")],
        event_type: &[Place::Json("/type")],
        keep_headers: &[],
    },
    // Stripe's `whsec_…` is text as a whole, unlike that of Standard Webhooks. Its own libraries
    // do not check whether a timestamp is in the future.
    Preset {
        name: "stripe",
        source: "docs.stripe.com, Receive Stripe events in your webhook endpoint; stripe-python, webhook.py",
        scheme: Scheme {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            header: Cow::Borrowed("stripe-signature"),
            form: Form::Pairs {
                signature_key: Cow::Borrowed("v1"),
            },
            signed: Cow::Borrowed(&[Part::Pair(Cow::Borrowed("t")), literal("."), Part::Body]),
            timestamp: Some(TimestampRule {
                source: Part::Pair(Cow::Borrowed("t")),
                unit: Unit::Seconds,
                past: FIVE_MINUTES,
                future: None,
            }),
            secret_form: SecretForm::Text,
        },
        event_id: &[Place::Json("/id")],
        event_type: &[Place::Json("/type")],
        keep_headers: &[],
    },
];

const FIVE_MINUTES: Duration = Duration::from_secs(300);

const fn bare(prefix: &'static str) -> Form {
    Form::Bare {
        prefix: Cow::Borrowed(prefix),
    }
}

const fn literal(text: &'static str) -> Part {
    Part::Literal(Cow::Borrowed(text))
}

const fn header(name: &'static str) -> Part {
    Part::Header(Cow::Borrowed(name))
}
