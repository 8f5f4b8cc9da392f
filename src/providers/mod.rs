//! The presets: what `provider = "…"` stands for. Data, one table.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use crate::{
    payload::Content,
    signature::{
        Algorithm, Encoding, Form, KeySource, Method, Part, Scheme, SecretForm, Source,
        TimestampRule, Unit, jwt::JwtRule,
    },
};

mod handshake;
pub mod handshakes;

pub use handshake::{
    Answer, AnswerBody, AnswerHeader, Condition, Effect, Handshake, HandshakeProof, Value,
};

/// What is known of a provider.
#[derive(Debug)]
pub struct Preset {
    /// What `provider = "…"` names.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The document that says so, in words.
    pub source: &'static str,
    /// What could not be verified with the provider, in words.
    pub doubts: Option<&'static str>,
    pub proof: Proof,
    /// The first that exists gives the event id.
    pub event_id: &'static [IdPlace],
    /// The first that exists gives the event type.
    pub event_type: &'static [Place],
    /// In lower case. Never a signature, a token or a cookie.
    pub keep_headers: &'static [&'static str],
    /// What the route takes when it does not say otherwise.
    pub content: &'static [Content],
    pub handshakes: &'static [Handshake],
    /// Content type and body of the answer to an event, where the provider wants one of its own.
    pub respond: Option<(&'static str, &'static str)>,
    /// Names and meanings of what a route must say in `params` for the schemes.
    pub params: &'static [(&'static str, &'static str)],
}

impl Preset {
    /// The schemes of a provider that signs; empty for others.
    pub fn schemes(&self) -> &[Scheme] {
        match &self.proof {
            Proof::Signature(schemes) => schemes,
            Proof::Jwt(..) | Proof::Agreed => &[],
        }
    }
}

/// How the provider proves itself.
#[derive(Debug)]
pub enum Proof {
    /// In order of preference; see [`Scheme`].
    Signature(Vec<Scheme>),
    Jwt(JwtRule, JwtKeys),
    /// As the operator and the provider agree: `verify` stands beside `provider`.
    Agreed,
}

/// Where a provider's tokens get their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// The route's secrets (HS256).
    Secrets,
    /// A JWKS at this address.
    Jwks(&'static str),
    /// Plaid's: one key by its id, asked for with the client's id and secret.
    Plaid,
}

/// Where an event id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdPlace {
    One(Place),
    /// All must exist; joined.
    Joined(&'static [Place]),
    /// The provider names its events nowhere: the same body is the same event.
    BodySha256,
}

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer into the document; `*` stands for every element of a list.
    Json(&'static str),
    /// A header's name in lower case.
    Header(&'static str),
}

/// The preset that `provider = "name"` stands for.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Every preset, by name.
pub static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(presets);

fn presets() -> Vec<Preset> {
    vec![
        // The SHA-1 of `X-Hub-Signature`, which GitHub still sends, is deliberately not looked at.
        // The delivery id stays the same when a delivery is sent again.
        Preset {
            name: "github",
            title: "GitHub",
            source: "docs.github.com, Validating webhook deliveries; Webhook events and payloads",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                encoding: Encoding::Hex,
                signature: headers(&[Cow::Borrowed("x-hub-signature-256")]),
                form: bare("sha256="),
                signed: vec![Part::Body].into(),
                timestamp: None,
                secret_form: SecretForm::Text,
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::One(Place::Header("x-github-delivery"))],
            event_type: &[Place::Header("x-github-event")],
            keep_headers: &[
                "x-github-delivery",
                "x-github-event",
                "x-github-hook-id",
                "x-github-hook-installation-target-id",
                "x-github-hook-installation-target-type",
            ],
            content: &[Content::Json],
            handshakes: &[],
            respond: None,
            params: &[],
        },
        // After a rotation Shopify may sign with the old secret for up to an hour. The event id is one
        // for all subscriptions of an event; older API versions send only the webhook id.
        Preset {
            name: "shopify",
            title: "Shopify",
            source: "shopify.dev, Deliver webhooks through HTTPS; Ignore duplicate webhooks",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                encoding: Encoding::Base64,
                signature: headers(&[Cow::Borrowed("x-shopify-hmac-sha256")]),
                form: bare(""),
                signed: vec![Part::Body].into(),
                timestamp: None,
                secret_form: SecretForm::Text,
                ..hmac_sha256()
            }]),
            event_id: &[
                IdPlace::One(Place::Header("x-shopify-event-id")),
                IdPlace::One(Place::Header("x-shopify-webhook-id")),
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
            content: &[Content::Json],
            handshakes: &[],
            respond: None,
            params: &[],
        },
        Preset {
            name: "slack",
            title: "Slack",
            source: "docs.slack.dev, Verifying requests from Slack; Using the Events API",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                encoding: Encoding::Hex,
                signature: headers(&[Cow::Borrowed("x-slack-signature")]),
                form: bare("v0="),
                signed: vec![
                    literal("v0:"),
                    header("x-slack-request-timestamp"),
                    literal(":"),
                    Part::Body,
                ]
                .into(),
                timestamp: Some(TimestampRule {
                    source: header("x-slack-request-timestamp"),
                    unit: Unit::Seconds,
                    past: Some(FIVE_MINUTES),
                    future: Some(FIVE_MINUTES),
                }),
                secret_form: SecretForm::Text,
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::One(Place::Json("/event_id"))],
            event_type: &[Place::Json("/event/type"), Place::Json("/type")],
            keep_headers: &["x-slack-retry-num", "x-slack-retry-reason"],
            content: &[Content::Json],
            handshakes: handshakes::SLACK,
            respond: None,
            params: &[],
        },
        // Only the symmetric `v1`; `v1a` (ed25519) entries are skipped. No header is kept: the id goes
        // out as `Hookgate-Event-Id`, and a target that is signed for gets its own `webhook-id`.
        Preset {
            name: "standard-webhooks",
            title: "Standard Webhooks",
            source: "standardwebhooks.com, Standard Webhooks specification 1.0.0",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                encoding: Encoding::Base64,
                signature: headers(&[Cow::Borrowed("webhook-signature")]),
                form: Form::Versions {
                    version: Cow::Borrowed("v1"),
                },
                signed: vec![
                    header("webhook-id"),
                    literal("."),
                    header("webhook-timestamp"),
                    literal("."),
                    Part::Body,
                ]
                .into(),
                timestamp: Some(TimestampRule {
                    source: header("webhook-timestamp"),
                    unit: Unit::Seconds,
                    past: Some(FIVE_MINUTES),
                    future: Some(FIVE_MINUTES),
                }),
                secret_form: SecretForm::Base64 {
                    prefix: Cow::Borrowed("whsec_"),
                    required: false,
                },
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::One(Place::Header("webhook-id"))],
            event_type: &[Place::Json("/type")],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: &[],
            respond: None,
            params: &[],
        },
        // Stripe's `whsec_…` is text as a whole, unlike that of Standard Webhooks. Its own libraries
        // do not check whether a timestamp is in the future.
        Preset {
            name: "stripe",
            title: "Stripe",
            source: "docs.stripe.com, Receive Stripe events in your webhook endpoint; stripe-python, webhook.py",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                encoding: Encoding::Hex,
                signature: headers(&[Cow::Borrowed("stripe-signature")]),
                form: Form::Pairs {
                    separator: ',',
                    signature_key: Cow::Borrowed("v1"),
                },
                signed: vec![Part::Pair(Cow::Borrowed("t")), literal("."), Part::Body].into(),
                timestamp: Some(TimestampRule {
                    source: Part::Pair(Cow::Borrowed("t")),
                    unit: Unit::Seconds,
                    past: Some(FIVE_MINUTES),
                    future: None,
                }),
                secret_form: SecretForm::Text,
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::One(Place::Json("/id"))],
            event_type: &[Place::Json("/type")],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: &[],
            respond: None,
            params: &[],
        },
        Preset {
            name: "asana",
            title: "Asana",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-hook-signature")]),
                form: bare(""),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::ASANA,
            respond: None,
            params: &[],
        },
        Preset {
            name: "notion",
            title: "Notion",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-notion-signature")]),
                form: bare("sha256="),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::NOTION,
            respond: None,
            params: &[],
        },
        Preset {
            name: "meta",
            title: "Meta",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-hub-signature-256")]),
                form: bare("sha256="),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::META,
            respond: None,
            params: &[],
        },
        Preset {
            name: "dropbox",
            title: "Dropbox",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-dropbox-signature")]),
                form: bare(""),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::DROPBOX,
            respond: None,
            params: &[],
        },
        Preset {
            name: "trello",
            title: "Trello",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-trello-webhook")]),
                form: bare(""),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::TRELLO,
            respond: None,
            params: &[],
        },
        Preset {
            name: "microsoft-graph",
            title: "Microsoft Graph",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-none")]),
                form: bare(""),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::MICROSOFT_GRAPH,
            respond: None,
            params: &[],
        },
        Preset {
            name: "okta",
            title: "Okta",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-none")]),
                form: bare(""),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::OKTA,
            respond: None,
            params: &[],
        },
        Preset {
            name: "zoom",
            title: "Zoom",
            source: "",
            doubts: None,
            proof: Proof::Signature(vec![Scheme {
                signature: headers(&[Cow::Borrowed("x-zm-signature")]),
                form: bare("v0="),
                signed: vec![
                    literal("v0:"),
                    header("x-zm-request-timestamp"),
                    literal(":"),
                    Part::Body,
                ]
                .into(),
                timestamp: Some(TimestampRule {
                    source: header("x-zm-request-timestamp"),
                    unit: Unit::Seconds,
                    past: Some(FIVE_MINUTES),
                    future: Some(FIVE_MINUTES),
                }),
                ..hmac_sha256()
            }]),
            event_id: &[IdPlace::BodySha256],
            event_type: &[],
            keep_headers: &[],
            content: &[Content::Json],
            handshakes: handshakes::ZOOM,
            respond: None,
            params: &[],
        },
    ]
}

/// What most providers do, to be varied: HMAC-SHA256 of the body, in hex.
fn hmac_sha256() -> Scheme {
    Scheme {
        name: Cow::Borrowed("hmac"),
        method: Method::Hmac(Algorithm::Sha256),
        encoding: Encoding::Hex,
        signature: Source::Headers(Cow::Borrowed(&[])),
        form: bare(""),
        signed: Cow::Borrowed(&[Part::Body]),
        timestamp: None,
        secret_form: SecretForm::Text,
        guards: Cow::Borrowed(&[]),
        body_sha256: None,
        each: None,
        key: KeySource::Secrets,
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

const fn bare(prefix: &'static str) -> Form {
    Form::Bare {
        prefix: Cow::Borrowed(prefix),
    }
}

const fn headers(names: &'static [Cow<'static, str>]) -> Source {
    Source::Headers(Cow::Borrowed(names))
}

const fn literal(text: &'static str) -> Part {
    Part::Literal(Cow::Borrowed(text))
}

const fn header(name: &'static str) -> Part {
    Part::Header(Cow::Borrowed(name))
}
