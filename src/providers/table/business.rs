//! Where people work: tasks, files, forms, contracts and customers.

use std::{borrow::Cow, time::Duration};

use super::*;
use crate::signature::{
    Algorithm, Method, Source, Unit,
    jwt::{Audience, JwtAlgorithm},
};
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![
        asana(),
        trello(),
        monday(),
        clickup(),
        notion(),
        box_(),
        dropbox(),
        typeform(),
        calendly(),
        docusign(),
        zendesk(),
        hubspot(),
        glia(),
    ]
}

/// The secret comes with the handshake, and is text though it looks like hex: a route that has none yet says
/// `{ handshake = true }`. Heartbeats have no events.
fn asana() -> Preset {
    Preset {
        event_type: &[Json("/events/*/action")],
        handshakes: handshakes::ASANA,
        ..signed(
            "asana",
            "Asana",
            "developers.asana.com, Webhooks",
            [hmac("x-hook-signature", "")],
        )
    }
}

/// SHA-1 over the body and the address: `public_url` must be the one that the webhook was made with.
fn trello() -> Preset {
    Preset {
        event_id: &[One(Json("/action/id")), BodySha256],
        event_type: &[Json("/action/type")],
        handshakes: handshakes::TRELLO,
        ..signed(
            "trello",
            "Trello",
            "developer.atlassian.com, Trello webhooks",
            [hmac("x-trello-webhook", "")
                .sha1()
                .base64()
                .signing([BODY, URL])],
        )
    }
}

/// A token without `Bearer`, for the endpoint's address; it does not cover the body. Webhooks of boards have the signing
/// secret, those of the app's life the client secret.
fn monday() -> Preset {
    Preset {
        event_id: &[One(Json("/event/triggerUuid")), BodySha256],
        event_type: &[Json("/event/type"), Json("/type")],
        handshakes: handshakes::MONDAY,
        ..by_token(
            "monday",
            "monday.com",
            "developer.monday.com, Integration authorization",
            JwtRule {
                header: Cow::Borrowed("authorization"),
                prefix: Cow::Borrowed(""),
                algorithms: Cow::Borrowed(&[JwtAlgorithm::Hs256]),
                issuers: Cow::Borrowed(&[]),
                audience: Audience::PublicUrl,
                expires: true,
                max_age: None,
                leeway: Duration::ZERO,
                body_sha256: None,
                claims: Cow::Borrowed(&[]),
            },
            JwtKeys::Secrets,
        )
    }
}

/// Several changes of one task may come together.
fn clickup() -> Preset {
    Preset {
        doubts: Some("the ids, from memory"),
        event_id: &[One(Json("/history_items/*/id")), BodySha256],
        event_type: &[Json("/event")],
        ..signed(
            "clickup",
            "ClickUp",
            "developer.clickup.com, Webhook signature",
            [hmac("x-signature", "")],
        )
    }
}

/// The secret comes with the handshake, unsigned, and must be pasted into Notion by hand: a route that has none yet says
/// `{ handshake = true }`.
fn notion() -> Preset {
    Preset {
        doubts: Some("the handshake: from third-party documents"),
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/type")],
        handshakes: handshakes::NOTION,
        ..signed(
            "notion",
            "Notion",
            "makenotion/notion-sdk-js, webhooks",
            [hmac("x-notion-signature", "sha256=")],
        )
    }
}

/// Two secrets, primary and secondary in this order, each with a header of its own. The delivery id is not signed, the
/// event's own in the body is.
fn box_() -> Preset {
    Preset {
        event_id: &[One(Json("/id")), One(Header("box-delivery-id"))],
        event_type: &[Json("/trigger")],
        keep_headers: &["box-delivery-id", "box-delivery-timestamp"],
        ..signed(
            "box",
            "Box",
            "developer.box.com, Verify signatures; box-node-sdk, webhooks.ts",
            [hmac("", "")
                .base64()
                .standing(Source::Paired(Cow::Borrowed(&[
                    Cow::Borrowed("box-signature-primary"),
                    Cow::Borrowed("box-signature-secondary"),
                ])))
                .when(header("box-signature-version"), is("1"))
                .when(header("box-signature-algorithm"), is("HmacSHA256"))
                .signing([BODY, header("box-delivery-timestamp")])
                .within(
                    header("box-delivery-timestamp"),
                    Unit::Rfc3339,
                    MINUTE.saturating_mul(10),
                )],
        )
    }
}

/// Dropbox names its events nowhere, and the same body comes for every change of an account: ids are remembered for a
/// second, so that only requests on each other's heels are one.
fn dropbox() -> Preset {
    Preset {
        dedupe_window: Some(SECOND),
        handshakes: handshakes::DROPBOX,
        ..signed(
            "dropbox",
            "Dropbox",
            "dropbox.com/developers, Webhooks; mdwebhook sample",
            [hmac("x-dropbox-signature", "")],
        )
    }
}

/// Base64 after `sha256=`, where most have hex.
fn typeform() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Json("/event_id"))],
        event_type: &[Json("/event_type")],
        ..signed(
            "typeform",
            "Typeform",
            "typeform.com/developers, Secure your webhooks",
            [hmac("typeform-signature", "sha256=").base64()],
        )
    }
}

/// Events have no id.
fn calendly() -> Preset {
    const TOLERANCE: Duration = Duration::from_secs(180);
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_type: &[Json("/event")],
        ..signed(
            "calendly",
            "Calendly",
            "developer.calendly.com, Webhook signatures",
            [hmac("calendly-webhook-signature", "")
                .pairs(',', "v1")
                .signing([pair("t"), text("."), BODY])
                .within(pair("t"), Unit::Seconds, TOLERANCE)],
        )
    }
}

/// One header for each active key, numbered. Line ends are signed as they are.
fn docusign() -> Preset {
    Preset {
        doubts: Some("that envelope, event and time tell events apart; XML, from memory"),
        event_id: &[
            Joined(&[
                Json("/data/envelopeId"),
                Json("/event"),
                Json("/generatedDateTime"),
            ]),
            BodySha256,
        ],
        event_type: &[Json("/event")],
        content: JSON_OR_XML,
        ..signed(
            "docusign",
            "DocuSign Connect",
            "developers.docusign.com, Validate Connect HMAC security",
            [hmac("", "")
                .base64()
                .standing(Source::Numbered(Cow::Borrowed("x-docusign-signature")))],
        )
    }
}

/// The secret looks like base64 and is text. Webhooks of triggers have bodies of the operator's own making.
fn zendesk() -> Preset {
    const TIMESTAMP: &str = "x-zendesk-webhook-signature-timestamp";
    Preset {
        event_id: &[
            One(Header("x-zendesk-webhook-invocation-id")),
            One(Json("/id")),
            BodySha256,
        ],
        event_type: &[Json("/type")],
        keep_headers: &[
            "x-zendesk-account-id",
            "x-zendesk-webhook-id",
            "x-zendesk-webhook-invocation-id",
        ],
        content: &[Content::Json, Content::Form, Content::Xml],
        ..signed(
            "zendesk",
            "Zendesk",
            "developer.zendesk.com, Verifying webhook authenticity",
            [hmac("x-zendesk-webhook-signature", "")
                .base64()
                .signing([header(TIMESTAMP), BODY])
                .of_any_age(header(TIMESTAMP), Unit::Rfc3339)],
        )
    }
}

/// All three versions are sent side by side: the newest judges. Version 1 and 2 are plain digests, 2 and 3 cover the
/// address. Up to 100 events a request, whose `eventId` alone may come again.
fn hubspot() -> Preset {
    let digest = |version| {
        hmac("x-hubspot-signature", "")
            .named(version)
            .method(Method::Digest(Algorithm::Sha256))
            .when(header("x-hubspot-signature-version"), is(version))
    };
    Preset {
        event_id: &[
            Joined(&[
                Json("/*/eventId"),
                Json("/*/subscriptionId"),
                Json("/*/occurredAt"),
            ]),
            BodySha256,
        ],
        event_type: &[Json("/*/subscriptionType")],
        ..signed(
            "hubspot",
            "HubSpot",
            "developers.hubspot.com, Validating requests; hubspot-api-nodejs and hubspot-api-python",
            [
                hmac("x-hubspot-signature-v3", "")
                    .named("v3")
                    .base64()
                    .signing([METHOD, URL, BODY, header("x-hubspot-request-timestamp")])
                    .within(
                        header("x-hubspot-request-timestamp"),
                        Unit::Millis,
                        FIVE_MINUTES,
                    ),
                digest("v2").signing([SECRET, METHOD, URL, BODY]),
                digest("v1").signing([SECRET, BODY]),
            ],
        )
    }
}

/// Glia documents no way of signing that could be found.
fn glia() -> Preset {
    Preset {
        doubts: Some("all of it: no public documentation of signing was found"),
        event_type: &[Json("/event")],
        ..agreed("glia", "Glia", "none")
    }
}
