//! The handshakes of the providers: one constant each, named by the presets.
//!
//! What a row's `when` does not find is no handshake: it goes on as an event, or is refused as one.

use super::handshake::{
    Answer, AnswerBody, AnswerHeader, Condition, Effect, Handshake, HandshakeProof, Value,
};

use AnswerBody::{Empty, Literal, Object, Text};
use Condition::{EmptyBody, Has, Is, Lacks, Method, OnlyMember};
use Value::{Header, HmacOf, Json, Query};

/// docs.slack.dev, url_verification.
pub const SLACK: &[Handshake] = &[Handshake {
    name: "url_verification",
    proof: HandshakeProof::AsEvents,
    when: &[Is(Json("/type"), "url_verification")],
    answer: plain(Text(Json("/challenge"))),
    effect: Effect::Nothing,
}];

/// developers.zoom.us, Validate your webhook endpoint. Comes again every 72 hours.
pub const ZOOM: &[Handshake] = &[Handshake {
    name: "url_validation",
    proof: HandshakeProof::AsEvents,
    when: &[Is(Json("/event"), "endpoint.url_validation")],
    answer: json(Object(&[
        ("plainToken", Json("/payload/plainToken")),
        ("encryptedToken", HmacOf("/payload/plainToken")),
    ])),
    effect: Effect::Nothing,
}];

/// dev.twitch.tv, Responding to a challenge request.
pub const TWITCH: &[Handshake] = &[Handshake {
    name: "callback_verification",
    proof: HandshakeProof::AsEvents,
    when: &[Is(
        Header("twitch-eventsub-message-type"),
        "webhook_callback_verification",
    )],
    answer: plain(Text(Json("/challenge"))),
    effect: Effect::Nothing,
}];

/// developers.facebook.com, Verification requests. The verify token is a second secret, chosen by the operator.
pub const META: &[Handshake] = &[Handshake {
    name: "verification",
    proof: HandshakeProof::VerifyToken(Query("hub.verify_token")),
    when: &[Method("GET"), Is(Query("hub.mode"), "subscribe")],
    answer: plain(Text(Query("hub.challenge"))),
    effect: Effect::Nothing,
}];

/// dropbox.com/developers, The verification request.
pub const DROPBOX: &[Handshake] = &[Handshake {
    name: "challenge",
    proof: HandshakeProof::Nothing,
    when: &[Method("GET"), Has(Query("challenge"))],
    answer: plain(Text(Query("challenge"))),
    effect: Effect::Nothing,
}];

/// learn.microsoft.com, Receive change notifications: the token comes URL-encoded and goes back decoded.
pub const MICROSOFT_GRAPH: &[Handshake] = &[Handshake {
    name: "validation_token",
    proof: HandshakeProof::Nothing,
    when: &[Method("POST"), Has(Query("validationToken"))],
    answer: plain(Text(Query("validationToken"))),
    effect: Effect::Nothing,
}];

/// github.com/cloudevents/spec, HTTP 1.1 Web Hooks for Event Delivery, 4: to be asked for permission proves nobody.
/// `WebHook-Request-Callback` is not called: whoever sends it would choose the address.
pub const CLOUDEVENTS: &[Handshake] = &[ABUSE_PROTECTION];

const ABUSE_PROTECTION: Handshake = Handshake {
    name: "abuse_protection",
    proof: HandshakeProof::Nothing,
    when: &[Method("OPTIONS"), Has(Header("webhook-request-origin"))],
    answer: Answer {
        headers: &[
            ("Allow", AnswerHeader::Literal("POST")),
            (
                "WebHook-Allowed-Origin",
                AnswerHeader::Echo(Header("webhook-request-origin")),
            ),
            (
                "WebHook-Allowed-Rate",
                AnswerHeader::Echo(Header("webhook-request-rate")),
            ),
        ],
        ..ok()
    },
    effect: Effect::Nothing,
};

/// learn.microsoft.com, Webhook event delivery: by its own schema a validation code, by that of CloudEvents theirs.
pub const AZURE_EVENT_GRID: &[Handshake] = &[
    Handshake {
        name: "subscription_validation",
        proof: HandshakeProof::AsEvents,
        when: &[
            Is(Header("aeg-event-type"), "SubscriptionValidation"),
            Has(Json("/0/data/validationCode")),
        ],
        answer: json(Object(&[(
            "validationResponse",
            Json("/0/data/validationCode"),
        )])),
        effect: Effect::Nothing,
    },
    ABUSE_PROTECTION,
];

/// developers.asana.com, The webhook handshake: the value signs all that follows.
pub const ASANA: &[Handshake] = &[Handshake {
    name: "hook_secret",
    proof: HandshakeProof::Nothing,
    when: &[
        Method("POST"),
        Has(Header("x-hook-secret")),
        Lacks(Header("x-hook-signature")),
        EmptyBody,
    ],
    answer: Answer {
        headers: &[("X-Hook-Secret", AnswerHeader::Echo(Header("x-hook-secret")))],
        ..ok()
    },
    effect: Effect::KeepSecret(Header("x-hook-secret")),
}];

/// developers.notion.com, Webhooks: the token signs all that follows, once a human has pasted it into Notion.
pub const NOTION: &[Handshake] = &[Handshake {
    name: "verification_token",
    proof: HandshakeProof::Nothing,
    when: &[
        Method("POST"),
        Lacks(Header("x-notion-signature")),
        OnlyMember("verification_token"),
    ],
    answer: ok(),
    effect: Effect::KeepSecret(Json("/verification_token")),
}];

/// discord.com/developers: PING is type 1 of interactions and type 0 of webhook events, whose type 1 is an event.
pub const DISCORD: &[Handshake] = &[
    Handshake {
        name: "interaction_ping",
        proof: HandshakeProof::AsEvents,
        when: &[Is(Json("/type"), "1"), Lacks(Json("/event"))],
        answer: json(Literal(r#"{"type":1}"#)),
        effect: Effect::Nothing,
    },
    Handshake {
        name: "event_ping",
        proof: HandshakeProof::AsEvents,
        when: &[Is(Json("/type"), "0")],
        answer: Answer {
            status: 204,
            ..ok()
        },
        effect: Effect::Nothing,
    },
];

/// developer.atlassian.com, Trello webhooks: a HEAD must be answered 200 when the webhook is made.
pub const TRELLO: &[Handshake] = &[Handshake {
    name: "head",
    proof: HandshakeProof::Nothing,
    when: &[Method("HEAD")],
    answer: ok(),
    effect: Effect::Nothing,
}];

/// docs.aws.amazon.com, Amazon SNS message formats. What the signature covers is the body's `Type`.
pub const AWS_SNS: &[Handshake] = &[Handshake {
    name: "subscription_confirmation",
    proof: HandshakeProof::AsEvents,
    when: &[
        Is(Header("x-amz-sns-message-type"), "SubscriptionConfirmation"),
        Is(Json("/Type"), "SubscriptionConfirmation"),
    ],
    answer: ok(),
    effect: Effect::Confirm(
        Json("/SubscribeURL"),
        &[
            "sns.{region}.amazonaws.com",
            "sns.{region}.amazonaws.com.cn",
        ],
    ),
}];

/// developer.okta.com, Event hooks: the one-time verification request.
pub const OKTA: &[Handshake] = &[Handshake {
    name: "verification",
    proof: HandshakeProof::Nothing,
    when: &[Method("GET"), Has(Header("x-okta-verification-challenge"))],
    answer: json(Object(&[(
        "verification",
        Header("x-okta-verification-challenge"),
    )])),
    effect: Effect::Nothing,
}];

/// developer.monday.com, Webhooks: the challenge comes without an event, and unsigned.
pub const MONDAY: &[Handshake] = &[Handshake {
    name: "challenge",
    proof: HandshakeProof::Nothing,
    when: &[Method("POST"), OnlyMember("challenge")],
    answer: json(Object(&[("challenge", Json("/challenge"))])),
    effect: Effect::Nothing,
}];

/// class-wc-webhook.php: saving a webhook sends a form with only its number, unsigned, and must be answered 200.
pub const WOOCOMMERCE: &[Handshake] = &[Handshake {
    name: "ping",
    proof: HandshakeProof::Nothing,
    when: &[
        Method("POST"),
        Lacks(Header("x-wc-webhook-signature")),
        OnlyMember("webhook_id"),
    ],
    answer: ok(),
    effect: Effect::Nothing,
}];

/// 200 without a body.
const fn ok() -> Answer {
    Answer {
        status: 200,
        content_type: None,
        body: Empty,
        headers: &[],
    }
}

const fn plain(body: AnswerBody) -> Answer {
    Answer {
        content_type: Some("text/plain"),
        body,
        ..ok()
    }
}

const fn json(body: AnswerBody) -> Answer {
    Answer {
        content_type: Some("application/json"),
        body,
        ..ok()
    }
}
