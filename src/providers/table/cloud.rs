//! Clouds, identity providers, and the specification that some of them share.

use std::{borrow::Cow, time::Duration};

use super::*;
use crate::signature::{
    Algorithm, Method, Part, Source, Unit,
    jwt::{Audience, JwtAlgorithm},
};
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![
        aws_sns(),
        google_pubsub(),
        azure_event_grid(),
        microsoft_graph(),
        cloudevents(),
        okta(),
        workos(),
        cidaas(),
    ]
}

/// JSON as `text/plain`; raw delivery is not signed, and so refused. Anybody can have SNS send signed messages of a topic
/// of their own, so the topic must be named. Amazon's hosts are many, and some are anybody's: a certificate comes from
/// one of SNS alone.
fn aws_sns() -> Preset {
    const CERTIFICATE_HOSTS: &[Cow<'static, str>] = &[
        Cow::Borrowed("sns.{region}.amazonaws.com"),
        Cow::Borrowed("sns.{region}.amazonaws.com.cn"),
    ];
    let by_version = |name, version, algorithm| {
        hmac("", "")
            .named(name)
            .method(Method::Rsa(algorithm))
            .base64()
            .standing(Source::Json(Cow::Borrowed("/Signature")))
            .when(json("/SignatureVersion"), is(version))
            .signing([Part::JsonLines(Cow::Borrowed(&[
                Cow::Borrowed("Message"),
                Cow::Borrowed("MessageId"),
                Cow::Borrowed("Subject"),
                Cow::Borrowed("SubscribeURL"),
                Cow::Borrowed("Timestamp"),
                Cow::Borrowed("Token"),
                Cow::Borrowed("TopicArn"),
                Cow::Borrowed("Type"),
            ]))])
            .of_any_age(json("/Timestamp"), Unit::Rfc3339)
            .certificate(json("/SigningCertURL"), CERTIFICATE_HOSTS, ".pem")
    };
    Preset {
        event_id: &[One(Json("/MessageId"))],
        event_type: &[Json("/Type")],
        keep_headers: &["x-amz-sns-message-type", "x-amz-sns-topic-arn"],
        json_types: &["text/plain"],
        handshakes: handshakes::AWS_SNS,
        params: &[Param {
            name: "topic_arn",
            meaning: "the topic, such as arn:aws:sns:eu-west-1:123456789012:orders; messages of others are refused",
            required: true,
            purpose: ParamUse::Place(Json("/TopicArn")),
        }],
        ..signed(
            "aws-sns",
            "Amazon SNS",
            "docs.aws.amazon.com, Verifying the signatures of Amazon SNS messages; aws-js-sns-message-validator",
            [
                by_version("sha256", "2", Algorithm::Sha256),
                by_version("sha1", "1", Algorithm::Sha1),
            ],
        )
    }
}

/// A token of Google's for the endpoint's address; it does not cover the body. Google signs as much for anybody, so that
/// only the service account tells whose subscription it is.
fn google_pubsub() -> Preset {
    Preset {
        event_id: &[One(Json("/message/messageId"))],
        event_type: &[Json("/message/attributes/eventType")],
        params: &[
            Param {
                name: "service_account",
                meaning: "the e-mail address of the subscription's service account",
                required: true,
                purpose: ParamUse::Claim("email"),
            },
            Param {
                name: "audience",
                meaning: "the subscription's audience, where it is not the endpoint's address",
                required: false,
                purpose: ParamUse::Audience,
            },
            Param {
                name: "jwks",
                meaning: "the address of the keys, where they are not Google's",
                required: false,
                purpose: ParamUse::KeyUrl,
            },
        ],
        ..by_token(
            "google-pubsub",
            "Google Pub/Sub push",
            "cloud.google.com, Authentication for push subscriptions",
            JwtRule {
                header: Cow::Borrowed("authorization"),
                prefix: Cow::Borrowed("Bearer "),
                algorithms: Cow::Borrowed(&[JwtAlgorithm::Rs256]),
                issuers: Cow::Borrowed(&[
                    Cow::Borrowed("https://accounts.google.com"),
                    Cow::Borrowed("accounts.google.com"),
                ]),
                audience: Audience::PublicUrl,
                expires: true,
                max_age: None,
                leeway: SECOND,
                body_sha256: None,
                claims: Cow::Borrowed(&[(Cow::Borrowed("email_verified"), Cow::Borrowed("true"))]),
            },
            JwtKeys::Jwks("https://www.googleapis.com/oauth2/v3/certs"),
        )
    }
}

/// Proven by a key in the query string or by a token of Entra ID, as the operator sets it up.
fn azure_event_grid() -> Preset {
    Preset {
        event_id: &[
            One(Json("/*/id")),
            Joined(&[Json("/source"), Json("/id")]),
            BodySha256,
        ],
        event_type: &[Json("/*/eventType"), Json("/type")],
        keep_headers: &[
            "aeg-data-version",
            "aeg-delivery-count",
            "aeg-event-type",
            "aeg-metadata-version",
            "aeg-subscription-name",
        ],
        handshakes: handshakes::AZURE_EVENT_GRID,
        ..agreed(
            "azure-event-grid",
            "Azure Event Grid",
            "learn.microsoft.com, Receive events to an HTTP endpoint; Webhook event delivery",
        )
    }
}

/// `clientState` is in each notification, and covers nothing. The validation is answered as it came, as plain text.
fn microsoft_graph() -> Preset {
    Preset {
        event_id: &[One(Json("/value/*/id")), BodySha256],
        event_type: &[Json("/value/*/changeType")],
        handshakes: handshakes::MICROSOFT_GRAPH,
        ..signed(
            "microsoft-graph",
            "Microsoft Graph",
            "learn.microsoft.com, Receive change notifications through webhooks",
            [token("")
                .standing(Source::Json(Cow::Borrowed("/clientState")))
                .each("/value/*")],
        )
    }
}

/// Proven as the operator and the sender agree: a bearer token, or `?access_token=…`. Only source and id together are one
/// event's. In binary mode they are headers, and the body may be anything.
fn cloudevents() -> Preset {
    Preset {
        event_id: &[
            Joined(&[Header("ce-source"), Header("ce-id")]),
            Joined(&[Json("/source"), Json("/id")]),
            Joined(&[Json("/*/source"), Json("/*/id")]),
        ],
        event_type: &[Header("ce-type"), Json("/type"), Json("/*/type")],
        keep_headers: &[
            "ce-dataschema",
            "ce-id",
            "ce-source",
            "ce-specversion",
            "ce-subject",
            "ce-time",
            "ce-type",
        ],
        content: &[Content::Json, Content::Any],
        handshakes: handshakes::CLOUDEVENTS,
        ..agreed(
            "cloudevents",
            "CloudEvents",
            "cloudevents/spec, HTTP Protocol Binding 1.0.2; HTTP 1.1 Web Hooks for Event Delivery",
        )
    }
}

/// The header holds the secret itself, in `Authorization` as Okta suggests. Several events a request.
fn okta() -> Preset {
    Preset {
        event_id: &[One(Json("/eventId")), One(Json("/data/events/*/uuid"))],
        event_type: &[Json("/data/events/*/eventType"), Json("/eventType")],
        handshakes: handshakes::OKTA,
        ..signed(
            "okta",
            "Okta event hooks",
            "developer.okta.com, Event hooks",
            [token("authorization")],
        )
    }
}

/// The time is in milliseconds.
fn workos() -> Preset {
    const TOLERANCE: Duration = Duration::from_secs(180);
    Preset {
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/event")],
        ..signed(
            "workos",
            "WorkOS",
            "workos-node, webhooks.ts",
            [hmac("workos-signature", "")
                .pairs(',', "v1")
                .signing([pair("t"), text("."), BODY])
                .within(pair("t"), Unit::Millis, TOLERANCE)],
        )
    }
}

/// Proven as the operator sets it up: a key in a header or a parameter of the operator's naming, or an OAuth 2 token.
fn cidaas() -> Preset {
    Preset {
        doubts: Some("the names of the event's type; cidaas documents no event id"),
        event_type: &[Json("/event_type"), Json("/eventtype")],
        ..agreed(
            "cidaas",
            "cidaas",
            "docs.cidaas.com, Webhooks; terraform-provider-cidaas",
        )
    }
}
