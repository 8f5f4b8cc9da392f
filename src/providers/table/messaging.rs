//! Chat, telephone and mail.

use std::borrow::Cow;

use super::*;
use crate::signature::{Method, Part, SecretForm, Source, Test, Unit};
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![
        slack(),
        zoom(),
        twilio(),
        sendgrid(),
        mailgun(),
        discord(),
        line(),
        telegram(),
        intercom(),
    ]
}

/// Events are JSON; commands and interactions are forms, the latter with their JSON in the field `payload`.
fn slack() -> Preset {
    Preset {
        event_id: &[One(Json("/event_id")), One(Json("/trigger_id")), BodySha256],
        event_type: &[Json("/event/type"), Json("/type"), Json("/command")],
        keep_headers: &["x-slack-retry-num", "x-slack-retry-reason"],
        content: JSON_OR_FORM,
        handshakes: handshakes::SLACK,
        ..signed(
            "slack",
            "Slack",
            "docs.slack.dev, Verifying requests from Slack; Using the Events API",
            [hmac("x-slack-signature", "v0=")
                .signing([
                    text("v0:"),
                    header("x-slack-request-timestamp"),
                    text(":"),
                    BODY,
                ])
                .within(
                    header("x-slack-request-timestamp"),
                    Unit::Seconds,
                    FIVE_MINUTES,
                )],
        )
    }
}

/// The endpoint is validated again every 72 hours. Events have no id; their bodies have the time in milliseconds.
fn zoom() -> Preset {
    Preset {
        doubts: Some("the tolerance: Zoom names none"),
        event_type: &[Json("/event")],
        keep_headers: &["x-zm-trackingid"],
        handshakes: handshakes::ZOOM,
        ..signed(
            "zoom",
            "Zoom",
            "developers.zoom.us, Using webhooks",
            [hmac("x-zm-signature", "v0=")
                .signing([
                    text("v0:"),
                    header("x-zm-request-timestamp"),
                    text(":"),
                    BODY,
                ])
                .within(
                    header("x-zm-request-timestamp"),
                    Unit::Seconds,
                    FIVE_MINUTES,
                )],
        )
    }
}

/// The address is signed, with the form's fields sorted, or with the digest of a JSON body in its query string. A call's id
/// comes again with every step of the call, so the unsigned idempotency token goes first.
fn twilio() -> Preset {
    const DIGEST: &str = "bodySHA256";
    let signature = |name| hmac("x-twilio-signature", "").base64().named(name);
    let by_json = |scheme: Scheme| {
        scheme
            .signing([URL])
            .when(query(DIGEST), Test::Present)
            .body_digest_at(query(DIGEST))
    };
    let by_form = |scheme: Scheme| scheme.signing([URL, Part::SortedForm]);
    let shared = |scheme: Scheme| {
        let algorithm = Test::Contains(Cow::Borrowed("algorithm=HMAC_SHA256"));
        scheme.when(header("x-twilio-webhooks-signature-settings"), algorithm)
    };
    Preset {
        doubts: Some("the idempotency token, from memory; SHA-256 by shared keys is a beta"),
        event_id: &[
            One(Header("i-twilio-idempotency-token")),
            Joined(&[Json("/MessageSid"), Json("/MessageStatus")]),
            Joined(&[Json("/CallSid"), Json("/CallStatus")]),
            One(Json("/MessageSid")),
            One(Json("/CallSid")),
            BodySha256,
        ],
        event_type: &[
            Json("/MessageStatus"),
            Json("/CallStatus"),
            Json("/SmsStatus"),
            Json("/type"),
        ],
        keep_headers: &["i-twilio-idempotency-token"],
        content: JSON_OR_FORM,
        respond: Some(("text/xml", "<Response/>")),
        ..signed(
            "twilio",
            "Twilio",
            "twilio.com/docs, Webhooks security; twilio-node, webhooks.ts",
            [
                shared(by_json(signature("sha256-json"))),
                shared(by_form(signature("sha256-form"))),
                by_json(signature("json").sha1()),
                by_form(signature("form").sha1()),
            ],
        )
    }
}

/// The key is a public one. Line ends after the JSON are signed too. The libraries check no age.
fn sendgrid() -> Preset {
    Preset {
        event_id: &[One(Json("/*/sg_event_id")), BodySha256],
        event_type: &[Json("/*/event")],
        ..signed(
            "sendgrid",
            "SendGrid Event Webhook",
            "sendgrid-python, eventwebhook",
            [hmac("x-twilio-email-event-webhook-signature", "")
                .named("ecdsa")
                .method(Method::EcdsaP256)
                .base64()
                .signing([header("x-twilio-email-event-webhook-timestamp"), BODY])
                .of_any_age(
                    header("x-twilio-email-event-webhook-timestamp"),
                    Unit::Seconds,
                )
                .secret(SecretForm::Spki)],
        )
    }
}

/// The signature stands in the body and covers a time and a token there, not the event. Retries keep the time, so that a
/// tight `tolerance` would refuse them.
fn mailgun() -> Preset {
    let signature = |name, place, time, token| {
        hmac("", "")
            .named(name)
            .standing(Source::Json(Cow::Borrowed(place)))
            .signing([json(time), json(token)])
            .of_any_age(json(time), Unit::Seconds)
    };
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Json("/event-data/id")), One(Json("/token")), BodySha256],
        event_type: &[Json("/event-data/event"), Json("/event")],
        content: JSON_OR_FORM,
        ..signed(
            "mailgun",
            "Mailgun",
            "documentation.mailgun.com, Securing Webhooks",
            [
                signature(
                    "json",
                    "/signature/signature",
                    "/signature/timestamp",
                    "/signature/token",
                ),
                signature("form", "/signature", "/timestamp", "/token"),
            ],
        )
    }
}

/// A bad signature must be answered 401, which Discord tests. Interactions and webhook events both have a `type`, which
/// means something else in each.
fn discord() -> Preset {
    Preset {
        doubts: Some("the answer to the ping of webhook events, from memory"),
        event_id: &[One(Json("/id")), BodySha256],
        event_type: &[Json("/event/type"), Json("/type")],
        handshakes: handshakes::DISCORD,
        ..signed(
            "discord",
            "Discord",
            "discord/discord-interactions-js",
            [hmac("x-signature-ed25519", "")
                .named("ed25519")
                .method(Method::Ed25519)
                .signing([header("x-signature-timestamp"), BODY])
                .of_any_age(header("x-signature-timestamp"), Unit::Seconds)
                .secret(SecretForm::Hex)],
        )
    }
}

/// Several events a request. One that only tests the address has none.
fn line() -> Preset {
    Preset {
        event_id: &[One(Json("/events/*/webhookEventId")), BodySha256],
        event_type: &[Json("/events/*/type")],
        ..signed(
            "line",
            "LINE",
            "developers.line.biz, Receive messages (webhook); line-bot-sdk-nodejs",
            [hmac("x-line-signature", "").base64()],
        )
    }
}

/// The header holds the secret itself.
fn telegram() -> Preset {
    Preset {
        doubts: Some("all of it: from memory"),
        event_id: &[One(Json("/update_id"))],
        ..signed(
            "telegram",
            "Telegram",
            "core.telegram.org, Bot API, setWebhook",
            [token("x-telegram-bot-api-secret-token")],
        )
    }
}

/// SHA-1, though others sign by SHA-256 under this name.
fn intercom() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/topic")],
        ..signed(
            "intercom",
            "Intercom",
            "developers.intercom.com, Setting up webhooks",
            [hmac("x-hub-signature", "sha1=").sha1()],
        )
    }
}
