//! Meta's products and Twitch.

use super::*;
use crate::signature::Unit;
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![meta(), whatsapp(), instagram(), twitch()]
}

/// The verify token is a second secret, which the operator chooses. Text that is not ASCII is escaped before it is signed.
/// The SHA-1 of `X-Hub-Signature` is not looked at.
fn meta() -> Preset {
    Preset {
        event_type: &[Json("/entry/*/changes/*/field"), Json("/object")],
        handshakes: handshakes::META,
        ..signed(
            "meta",
            "Meta",
            "developers.facebook.com, Webhooks, Getting Started",
            [hmac("x-hub-signature-256", "sha256=")],
        )
    }
}

/// As `meta`, with the ids of messages. One message has several statuses.
fn whatsapp() -> Preset {
    Preset {
        name: "whatsapp",
        title: "WhatsApp Business",
        doubts: Some("the ids of statuses, from memory"),
        event_id: &[
            One(Json("/entry/*/changes/*/value/messages/*/id")),
            Joined(&[
                Json("/entry/*/changes/*/value/statuses/*/id"),
                Json("/entry/*/changes/*/value/statuses/*/status"),
            ]),
            BodySha256,
        ],
        ..meta()
    }
}

/// As `meta`.
fn instagram() -> Preset {
    Preset {
        name: "instagram",
        title: "Instagram",
        ..meta()
    }
}

/// Id and time are signed. A revoked subscription is told as an event: see the kept header of the message's type.
fn twitch() -> Preset {
    Preset {
        event_id: &[One(Header("twitch-eventsub-message-id"))],
        event_type: &[Header("twitch-eventsub-subscription-type")],
        keep_headers: &[
            "twitch-eventsub-message-id",
            "twitch-eventsub-message-retry",
            "twitch-eventsub-message-type",
            "twitch-eventsub-subscription-type",
            "twitch-eventsub-subscription-version",
        ],
        handshakes: handshakes::TWITCH,
        ..signed(
            "twitch",
            "Twitch EventSub",
            "dev.twitch.tv, Handling Webhook Events",
            [hmac("twitch-eventsub-message-signature", "sha256=")
                .signing([
                    header("twitch-eventsub-message-id"),
                    header("twitch-eventsub-message-timestamp"),
                    BODY,
                ])
                .within(
                    header("twitch-eventsub-message-timestamp"),
                    Unit::Rfc3339,
                    MINUTE.saturating_mul(10),
                )],
        )
    }
}
