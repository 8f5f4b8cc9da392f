//! Payments, shops and banks.

use std::{borrow::Cow, time::Duration};

use super::*;
use crate::signature::{
    Algorithm, Method, SecretForm, Source, Unit,
    jwt::{Audience, JwtAlgorithm},
};
use IdPlace::{BodySha256, Joined, One};
use Place::{Header, Json};

pub(super) fn presets() -> Vec<Preset> {
    vec![
        stripe(),
        shopify(),
        square(),
        paddle(),
        adyen(),
        razorpay(),
        woocommerce(),
        gocardless(),
        paypal(),
        plaid(),
        hook0("coinbase-cdp", "Coinbase Developer Platform"),
        hook0("hook0", "Hook0"),
    ]
}

/// A secret `whsec_…` is text as a whole, unlike that of Standard Webhooks. Several `v1` while it is rotated, `v0` is for
/// tests. Stripe's libraries do not check whether a time is in the future.
fn stripe() -> Preset {
    Preset {
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/type")],
        ..signed(
            "stripe",
            "Stripe",
            "docs.stripe.com, Receive Stripe events in your webhook endpoint; stripe-python, webhook.py",
            [hmac("stripe-signature", "")
                .pairs(',', "v1")
                .signing([pair("t"), text("."), BODY])
                .timed(pair("t"), Unit::Seconds, Some(FIVE_MINUTES), None)],
        )
    }
}

/// After a rotation the old secret may sign for up to an hour. The event id is one for all subscriptions of an event;
/// older API versions send only the webhook id. Neither is signed, nor is `X-Shopify-Triggered-At`.
fn shopify() -> Preset {
    Preset {
        event_id: &[
            One(Header("x-shopify-event-id")),
            One(Header("x-shopify-webhook-id")),
        ],
        event_type: &[Header("x-shopify-topic")],
        keep_headers: &[
            "x-shopify-api-version",
            "x-shopify-event-id",
            "x-shopify-shop-domain",
            "x-shopify-topic",
            "x-shopify-triggered-at",
            "x-shopify-webhook-id",
        ],
        content: JSON_OR_XML,
        ..signed(
            "shopify",
            "Shopify",
            "shopify.dev, Deliver webhooks through HTTPS; Ignore duplicate webhooks",
            [hmac("x-shopify-hmac-sha256", "")
                .base64()
                .or_header("shopify-hmac-sha256")],
        )
    }
}

/// The address is signed: `public_url` must be the one that Square calls.
fn square() -> Preset {
    Preset {
        event_id: &[One(Json("/event_id"))],
        event_type: &[Json("/type")],
        keep_headers: &["square-retry-number", "square-retry-reason"],
        ..signed(
            "square",
            "Square",
            "developer.squareup.com, Verify and validate an event notification; square-nodejs-sdk",
            [hmac("x-square-hmacsha256-signature", "")
                .base64()
                .signing([URL, BODY])],
        )
    }
}

/// Five seconds, as Paddle's libraries have it: a gateway whose clock is not kept needs a `tolerance`. Several `h1` while
/// the secret is rotated, of which any may match.
fn paddle() -> Preset {
    Preset {
        event_id: &[One(Json("/event_id"))],
        event_type: &[Json("/event_type")],
        ..signed(
            "paddle",
            "Paddle Billing",
            "developer.paddle.com, Verify webhook signatures; paddle-node-sdk and paddle-python-sdk",
            [hmac("paddle-signature", "")
                .pairs(';', "h1")
                .signing([pair("ts"), text(":"), BODY])
                .within(pair("ts"), Unit::Seconds, SECOND.saturating_mul(5))],
        )
    }
}

/// Two kinds of webhooks. Those of the platform sign the body; those of payments sign fields of each item within the item,
/// every one of which is checked. The secret is hex. `success` is part of the id, as an authorisation may fail at first.
fn adyen() -> Preset {
    const ITEMS: &str = "/notificationItems/*/NotificationRequestItem";
    Preset {
        doubts: Some("that `[accepted]` is still asked for; ids, from memory"),
        event_id: &[
            Joined(&[
                Json("/notificationItems/*/NotificationRequestItem/pspReference"),
                Json("/notificationItems/*/NotificationRequestItem/eventCode"),
                Json("/notificationItems/*/NotificationRequestItem/success"),
            ]),
            BodySha256,
        ],
        event_type: &[
            Json("/notificationItems/*/NotificationRequestItem/eventCode"),
            Json("/type"),
        ],
        respond: Some(("text/plain", "[accepted]")),
        ..signed(
            "adyen",
            "Adyen",
            "docs.adyen.com, Verify HMAC signatures; adyen-python-api-library",
            [
                hmac("hmacsignature", "")
                    .named("platform")
                    .base64()
                    .when(header("protocol"), is("HmacSHA256"))
                    .secret(SecretForm::Hex),
                hmac("", "")
                    .named("payments")
                    .base64()
                    .standing(Source::Json(Cow::Borrowed("/additionalData/hmacSignature")))
                    .each(ITEMS)
                    .signing([
                        json("/pspReference"),
                        text(":"),
                        json("/originalReference"),
                        text(":"),
                        json("/merchantAccountCode"),
                        text(":"),
                        json("/merchantReference"),
                        text(":"),
                        json("/amount/value"),
                        text(":"),
                        json("/amount/currency"),
                        text(":"),
                        json("/eventCode"),
                        text(":"),
                        json("/success"),
                    ])
                    .secret(SecretForm::Hex),
            ],
        )
    }
}

/// Retries of events from before a rotation keep the old secret: both are needed for a day.
fn razorpay() -> Preset {
    Preset {
        event_id: &[One(Header("x-razorpay-event-id"))],
        event_type: &[Json("/event")],
        keep_headers: &["x-razorpay-event-id"],
        ..signed(
            "razorpay",
            "Razorpay",
            "razorpay.com/docs, Validate and test webhooks; razorpay-node",
            [hmac("x-razorpay-signature", "")],
        )
    }
}

/// Saving a webhook sends a form with only `webhook_id`, unsigned.
fn woocommerce() -> Preset {
    Preset {
        doubts: Some("the ping on saving, from memory"),
        event_id: &[One(Header("x-wc-webhook-delivery-id"))],
        event_type: &[Header("x-wc-webhook-topic")],
        keep_headers: &[
            "x-wc-webhook-delivery-id",
            "x-wc-webhook-event",
            "x-wc-webhook-id",
            "x-wc-webhook-resource",
            "x-wc-webhook-source",
            "x-wc-webhook-topic",
        ],
        content: JSON_OR_FORM,
        handshakes: handshakes::WOOCOMMERCE,
        ..signed(
            "woocommerce",
            "WooCommerce",
            "woocommerce/woocommerce, class-wc-webhook.php",
            [hmac("x-wc-webhook-signature", "").base64()],
        )
    }
}

/// The header's name is that of Standard Webhooks, the scheme is not.
fn gocardless() -> Preset {
    Preset {
        event_id: &[One(Json("/events/*/id")), BodySha256],
        event_type: &[Json("/events/*/action")],
        ..signed(
            "gocardless",
            "GoCardless",
            "gocardless-pro-python, webhooks.py",
            [hmac("webhook-signature", "")],
        )
    }
}

/// Signed is a CRC-32 of the body, which a changed body can keep: who has caught one request can send others in its name.
fn paypal() -> Preset {
    Preset {
        doubts: Some("all of it: from third-party documents"),
        event_id: &[One(Json("/id"))],
        event_type: &[Json("/event_type")],
        keep_headers: &["paypal-transmission-id", "paypal-transmission-time"],
        params: &[Param {
            name: "webhook_id",
            meaning: "the webhook's id, as the PayPal dashboard shows it",
            required: true,
            use_: ParamUse::Signed,
        }],
        ..signed(
            "paypal",
            "PayPal",
            "developer.paypal.com, Integrate webhooks (self-verification)",
            [hmac("paypal-transmission-sig", "")
                .named("certificate")
                .method(Method::Rsa(Algorithm::Sha256))
                .base64()
                .when(header("paypal-auth-algo"), is("SHA256withRSA"))
                .signing([
                    header("paypal-transmission-id"),
                    text("|"),
                    header("paypal-transmission-time"),
                    text("|"),
                    param("webhook_id"),
                    text("|"),
                    CRC32,
                ])
                .of_any_age(header("paypal-transmission-time"), Unit::Rfc3339)
                .certificate(
                    header("paypal-cert-url"),
                    &[Cow::Borrowed("*.paypal.com")],
                    "",
                )],
        )
    }
}

/// The key is asked for by its id, with the client's id and secret. Plaid names its events nowhere, and the same body comes
/// for different ones: ids are remembered for a second, so that only requests on each other's heels are one.
fn plaid() -> Preset {
    Preset {
        doubts: Some("that retries send the same body"),
        event_type: &[Json("/webhook_code")],
        dedupe_window: Some(SECOND),
        params: &[
            Param {
                name: "client_id",
                meaning: "the client's id, as the Plaid dashboard shows it; its secret is the one of `secrets`",
                required: true,
                use_: ParamUse::Client,
            },
            Param {
                name: "url",
                meaning: "Plaid's address, where it is not https://production.plaid.com",
                required: false,
                use_: ParamUse::KeyUrl,
            },
        ],
        ..by_token(
            "plaid",
            "Plaid",
            "plaid.com/docs, Webhook verification",
            JwtRule {
                header: Cow::Borrowed("plaid-verification"),
                prefix: Cow::Borrowed(""),
                algorithms: Cow::Borrowed(&[JwtAlgorithm::Es256]),
                issuers: Cow::Borrowed(&[]),
                audience: Audience::Anyone,
                expires: false,
                max_age: Some(FIVE_MINUTES),
                leeway: Duration::ZERO,
                body_sha256: Some(Cow::Borrowed("request_body_sha256")),
                claims: Cow::Borrowed(&[]),
            },
            JwtKeys::Plaid("https://production.plaid.com"),
        )
    }
}

/// The request lists the headers that it signs.
fn hook0(name: &'static str, title: &'static str) -> Preset {
    Preset {
        doubts: Some("which headers are listed; the event id and type, from memory"),
        event_id: &[One(Header("x-event-id")), BodySha256],
        event_type: &[Header("x-event-type")],
        keep_headers: &["x-event-id", "x-event-type"],
        ..signed(
            name,
            title,
            "documentation.hook0.com, Implementing Webhook Authentication (v1)",
            [hmac("x-hook0-signature", "")
                .pairs(',', "v1")
                .signing([
                    pair("t"),
                    text("."),
                    pair("h"),
                    text("."),
                    listed(pair("h"), ' ', false, &[]),
                    text("."),
                    BODY,
                ])
                .within(pair("t"), Unit::Seconds, FIVE_MINUTES)],
        )
    }
}
