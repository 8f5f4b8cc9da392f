//! Where software is planned, built, shipped and watched.

use std::{borrow::Cow, time::Duration};

use super::*;
use crate::signature::{
    SecretForm, Unit,
    jwt::{Audience, JwtAlgorithm},
};
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![
        github(),
        gitlab(),
        bitbucket(),
        jira(),
        linear(),
        circleci(),
        vercel(),
        netlify(),
        sentry(),
        pagerduty(),
        contentful(),
        webflow(),
    ]
}

/// The SHA-1 of `X-Hub-Signature`, which GitHub still sends, is deliberately not looked at. The delivery id stays the
/// same when a delivery is sent again; it is not signed. A form holds the JSON in its field `payload`.
fn github() -> Preset {
    Preset {
        event_id: &[One(Header("x-github-delivery"))],
        event_type: &[Header("x-github-event")],
        keep_headers: &[
            "x-github-delivery",
            "x-github-event",
            "x-github-hook-id",
            "x-github-hook-installation-target-id",
            "x-github-hook-installation-target-type",
        ],
        content: JSON_OR_FORM,
        ..signed(
            "github",
            "GitHub",
            "docs.github.com, Validating webhook deliveries; Webhook events and payloads",
            [hmac("x-hub-signature-256", "sha256=")],
        )
    }
}

/// A signing token is `whsec_…`, and what it signs needs no other: any other secret is the secret token, which is sent
/// as it stands. `X-Gitlab-Webhook-UUID` is new with each request; the signed `webhook-id` is the `Idempotency-Key`.
fn gitlab() -> Preset {
    Preset {
        event_id: &[One(Header("webhook-id")), One(Header("idempotency-key"))],
        event_type: &[Header("x-gitlab-event"), Json("/object_kind")],
        keep_headers: &[
            "x-gitlab-event",
            "x-gitlab-event-uuid",
            "x-gitlab-instance",
            "x-gitlab-webhook-uuid",
        ],
        ..signed(
            "gitlab",
            "GitLab",
            "gitlab-org/gitlab, WebHookService; merge requests 230944 and 231325 (signing tokens)",
            [
                standard(["webhook-id", "webhook-timestamp", "webhook-signature"])
                    .named("signing")
                    .secret(SecretForm::Base64 {
                        prefix: Cow::Borrowed("whsec_"),
                        required: true,
                    }),
                token("x-gitlab-token").named("token"),
            ],
        )
    }
}

/// SHA-256, though GitHub's header of this name is SHA-1. A webhook without a secret is not signed.
fn bitbucket() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents and from memory"),
        event_id: &[One(Header("x-request-uuid"))],
        event_type: &[Header("x-event-key")],
        keep_headers: &[
            "x-attempt-number",
            "x-event-key",
            "x-hook-uuid",
            "x-request-uuid",
        ],
        ..signed(
            "bitbucket",
            "Bitbucket Cloud",
            "support.atlassian.com, Manage webhooks",
            [hmac("x-hub-signature", "sha256=")],
        )
    }
}

/// Signed only when the webhook has a secret; sources disagree on which kinds of registration can have one.
fn jira() -> Preset {
    Preset {
        doubts: Some("the event id, from memory; which kinds of webhooks are signed"),
        event_id: &[One(Header("x-atlassian-webhook-identifier")), BodySha256],
        event_type: &[Json("/webhookEvent")],
        keep_headers: &[
            "x-atlassian-webhook-identifier",
            "x-atlassian-webhook-retry",
        ],
        ..signed(
            "jira",
            "Jira",
            "developer.atlassian.com, Webhooks (WebSub signature)",
            [hmac("x-hub-signature", "sha256=")],
        )
    }
}

/// The time is in the signed body; the header `Linear-Timestamp` is not signed and not looked at.
fn linear() -> Preset {
    Preset {
        event_id: &[One(Header("linear-delivery"))],
        event_type: &[Header("linear-event"), Json("/type")],
        keep_headers: &["linear-delivery", "linear-event"],
        ..signed(
            "linear",
            "Linear",
            "linear/linear, packages/sdk, webhooks",
            [
                hmac("linear-signature", "").within(
                    json("/webhookTimestamp"),
                    Unit::Millis,
                    MINUTE,
                ),
            ],
        )
    }
}

/// Only `v1` counts among the versions of the header.
fn circleci() -> Preset {
    Preset {
        event_id: &[One(Json("/id")), BodySha256],
        event_type: &[Header("circleci-event-type"), Json("/type")],
        keep_headers: &["circleci-event-type"],
        ..signed(
            "circleci",
            "CircleCI",
            "circleci.com/docs, Outbound webhooks",
            [hmac("circleci-signature", "").pairs(',', "v1")],
        )
    }
}

/// SHA-1.
fn vercel() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/type")],
        ..signed(
            "vercel",
            "Vercel",
            "vercel.com/docs, Setting up webhooks",
            [hmac("x-vercel-signature", "").sha1()],
        )
    }
}

/// A token that holds the body's digest, without a time: one that is caught can be sent again when its id is forgotten.
/// A deploy's id comes again with each of its states.
fn netlify() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[
            Joined(&[Json("/id"), Json("/state")]),
            One(Json("/id")),
            BodySha256,
        ],
        event_type: &[Header("x-netlify-event")],
        keep_headers: &["x-netlify-event"],
        ..by_token(
            "netlify",
            "Netlify",
            "docs.netlify.com, HTTP POST request notifications",
            JwtRule {
                header: Cow::Borrowed("x-webhook-signature"),
                prefix: Cow::Borrowed(""),
                algorithms: Cow::Borrowed(&[JwtAlgorithm::Hs256]),
                issuers: Cow::Borrowed(&[Cow::Borrowed("netlify")]),
                audience: Audience::Anyone,
                expires: false,
                max_age: None,
                leeway: Duration::ZERO,
                body_sha256: Some(Cow::Borrowed("sha256")),
                claims: Cow::Borrowed(&[]),
            },
            JwtKeys::Secrets,
        )
    }
}

/// `Sentry-Hook-Timestamp` is not signed, and so not looked at. An empty body, which
/// some of its events are said to have, is no JSON and refused.
fn sentry() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Header("request-id")), BodySha256],
        event_type: &[Header("sentry-hook-resource")],
        keep_headers: &[
            "request-id",
            "sentry-hook-resource",
            "sentry-hook-timestamp",
        ],
        ..signed(
            "sentry",
            "Sentry",
            "docs.sentry.io, Integration platform webhooks",
            [hmac("sentry-hook-signature", "").or_header("sentry-app-signature")],
        )
    }
}

/// The secret looks like base64 and is text. Several signatures while it is rotated.
fn pagerduty() -> Preset {
    Preset {
        event_id: &[One(Json("/event/id"))],
        event_type: &[Json("/event/event_type")],
        keep_headers: &["x-webhook-id", "x-webhook-subscription"],
        ..signed(
            "pagerduty",
            "PagerDuty",
            "developer.pagerduty.com, Verifying webhook signatures (v3); go-pagerduty",
            [hmac("x-pagerduty-signature", "").pairs(',', "v1")],
        )
    }
}

/// The request lists the headers that it signs; its own name and the time must be among them. Custom payloads can be of any
/// content type.
fn contentful() -> Preset {
    Preset {
        doubts: Some("that the idempotency key is the same for all retries"),
        event_id: &[One(Header("x-contentful-idempotency-key")), BodySha256],
        event_type: &[Header("x-contentful-topic")],
        keep_headers: &[
            "x-contentful-idempotency-key",
            "x-contentful-topic",
            "x-contentful-webhook-name",
            "x-contentful-webhook-request-attempt",
        ],
        ..signed(
            "contentful",
            "Contentful",
            "contentful/node-apps-toolkit, requests/verify-request",
            [hmac("x-contentful-signature", "")
                .signing([
                    METHOD,
                    text("\n"),
                    PATH,
                    text("\n"),
                    listed(
                        header("x-contentful-signed-headers"),
                        ',',
                        true,
                        &[
                            Cow::Borrowed("x-contentful-signed-headers"),
                            Cow::Borrowed("x-contentful-timestamp"),
                        ],
                    ),
                    text("\n"),
                    BODY,
                ])
                .within(
                    header("x-contentful-timestamp"),
                    Unit::Millis,
                    SECOND.saturating_mul(30),
                )],
        )
    }
}

/// The time is in milliseconds.
fn webflow() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_type: &[Json("/triggerType")],
        ..signed(
            "webflow",
            "Webflow",
            "developers.webflow.com, Working with webhooks",
            [hmac("x-webflow-signature", "")
                .signing([header("x-webflow-timestamp"), text(":"), BODY])
                .within(header("x-webflow-timestamp"), Unit::Millis, FIVE_MINUTES)],
        )
    }
}
