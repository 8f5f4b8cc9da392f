//! Requests as providers send them, to be bent out of shape.

use hookgate::clock::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    gateway::env,
    sign,
    tokens::Signer,
};

use super::{KEY, PASSWORD};

/// One request. Headers may repeat.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Sent {
    /// A POST of JSON without a proof.
    pub(super) fn json(path: &str, body: impl AsRef<[u8]>) -> Self {
        Self {
            method: http::Method::POST,
            path: path.to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.as_ref().to_vec(),
        }
    }

    /// Adds a header, beside any of the same name.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        let before = self.headers.len();
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        assert_ne!(
            self.headers.len(),
            before,
            "there is no {name} to leave out"
        );
        self
    }

    /// Puts a value in the place of a header's own.
    pub(super) fn instead(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).with(name, value)
    }

    pub(super) fn method(mut self, method: http::Method) -> Self {
        self.method = method;
        self
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(super) async fn send(&self, client: &Client) -> Reply {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        client
            .send(self.method.clone(), &self.path, &headers, &self.body)
            .await
    }
}

/// `{"id":"…"}`
pub(super) fn with_id(id: &str) -> String {
    serde_json::json!({ "id": id }).to_string()
}

pub(super) fn github(id: &str, body: &str) -> Sent {
    let signature = sign::github(&secret("GITHUB_SECRET"), body.as_bytes());
    Sent::json("/hooks/github", body)
        .with("X-Hub-Signature-256", signature)
        .with("X-GitHub-Event", "push")
        .with("X-GitHub-Delivery", id)
}

pub(super) fn stripe(id: &str, at: Timestamp) -> Sent {
    let body = with_id(id);
    let at = at.as_secs().to_string();
    let signature = sign::stripe(&secret("STRIPE_SECRET"), &at, body.as_bytes());
    Sent::json("/hooks/stripe", body).with("Stripe-Signature", signature)
}

/// `at` is what the header says: any text.
pub(super) fn slack(id: &str, at: &str) -> Sent {
    let body = serde_json::json!({ "event_id": id, "type": "event_callback" }).to_string();
    let signature = sign::slack(&secret("SLACK_SECRET"), at, body.as_bytes());
    Sent::json("/hooks/slack", body)
        .with("X-Slack-Request-Timestamp", at)
        .with("X-Slack-Signature", signature)
}

pub(super) fn shopify(id: &str) -> Sent {
    let body = r#"{"total_price":"10.00"}"#;
    let signature = sign::shopify(&secret("SHOPIFY_SECRET"), body.as_bytes());
    Sent::json("/hooks/shopify", body)
        .with("X-Shopify-Hmac-Sha256", signature)
        .with("X-Shopify-Topic", "orders/create")
        .with("X-Shopify-Event-Id", id)
}

pub(super) fn tickets(id: &str, at: &str) -> Sent {
    let body = r#"{"type":"ticket.opened"}"#;
    let signature = sign::standard_webhooks(&secret("TICKETS_SECRET"), id, at, body.as_bytes());
    Sent::json("/hooks/tickets", body)
        .with("webhook-id", id)
        .with("webhook-timestamp", at)
        .with("webhook-signature", signature)
}

pub(super) fn key(id: &str) -> Sent {
    Sent::json("/hooks/key", with_id(id)).with("X-Api-Key", KEY)
}

pub(super) fn bearer(id: &str) -> Sent {
    Sent::json("/hooks/bearer", with_id(id)).with("Authorization", format!("Bearer {KEY}"))
}

pub(super) fn basic(id: &str) -> Sent {
    let value = sign::basic("hook", PASSWORD);
    Sent::json("/hooks/basic", with_id(id)).with("Authorization", value)
}

pub(super) fn custom(id: &str, at: &str) -> Sent {
    let body = with_id(id);
    let parts = [at.as_bytes(), b".", body.as_bytes()];
    let mac = sign::hmac_sha256(secret("CUSTOM_SECRET").as_bytes(), &parts);
    Sent::json("/hooks/custom", &body)
        .with("X-Timestamp", at)
        .with("X-Signature", format!("sha256={}", hex::encode(mac)))
}

pub(super) fn both(id: &str) -> Sent {
    let body = with_id(id);
    let mac = sign::hmac_sha256(secret("CUSTOM_SECRET").as_bytes(), &[body.as_bytes()]);
    Sent::json("/hooks/both", &body)
        .with("X-Api-Key", KEY)
        .with("X-Signature", hex::encode(mac))
}

pub(super) fn form(path: &str, body: impl AsRef<[u8]>) -> Sent {
    Sent::json(path, body).instead("Content-Type", "application/x-www-form-urlencoded")
}

pub(super) fn xml(path: &str, body: impl AsRef<[u8]>) -> Sent {
    Sent::json(path, body).instead("Content-Type", "text/xml; charset=utf-8")
}

/// A GET.
pub(super) fn query(query: &str) -> Sent {
    Sent::json(&format!("/hooks/query?{query}"), "")
        .without("Content-Type")
        .method(http::Method::GET)
}

/// An element of a batch.
pub(super) fn event(id: &str) -> Value {
    json!({ "id": id, "type": "paid", "n": 1 })
}

/// Of elements.
pub(super) fn batch(events: &[Value]) -> Sent {
    Sent::json("/hooks/batch", json!({ "events": events }).to_string())
}

/// As a form has it.
pub(super) fn plus(text: &str) -> String {
    text.replace(' ', "+")
}

/// With a token that is good for a minute.
pub(super) fn token(id: &str, now: Timestamp) -> Sent {
    let secret = secret("CUSTOM_SECRET");
    let token = Signer::Hs256(secret.as_bytes()).token(&claims(now));
    Sent::json("/hooks/token", with_id(id)).with("Authorization", format!("Bearer {token}"))
}

pub(super) fn claims(now: Timestamp) -> Value {
    let now = now.as_secs();
    serde_json::json!({ "iss": "canary-issuer", "aud": "hooks", "iat": now, "exp": now + 60 })
}

pub(super) fn strict(id: &str) -> Sent {
    let body = serde_json::json!({
        "id": id, "type": "order", "at": "2026-05-20T15:30:00Z", "customer": { "id": 7 }, "total": 10.5
    });
    Sent::json("/hooks/strict", body.to_string())
}

/// A request to the route that is accepted, with this id.
pub(super) fn good(route: &str, id: &str, now: Timestamp) -> Sent {
    let at = now.as_secs().to_string();
    match route {
        "github" => github(id, "{}"),
        "stripe" => stripe(id, now),
        "slack" => slack(id, &at),
        "shopify" => shopify(id),
        "tickets" => tickets(id, &at),
        "key" => key(id),
        "bearer" => bearer(id),
        "basic" => basic(id),
        "token" => token(id, now),
        "custom" => custom(id, &at),
        "both" => both(id),
        "strict" => strict(id),
        "form" => form("/hooks/form", format!("id={}", plus(id))),
        "xml" => xml("/hooks/xml", format!("<event id='{id}'/>")),
        "query" => query(&format!("id={}", plus(id))),
        "batch" => batch(&[event(id)]),
        "headed" => Sent::json("/hooks/headed", "{}").with("X-Event-Id", id),
        "guarded" => {
            Sent::json("/hooks/guarded", with_id(id)).with("X-Forwarded-For", "203.0.113.7")
        }
        other => Sent::json(&format!("/hooks/{other}"), with_id(id)),
    }
}

pub(super) fn secret(name: &str) -> String {
    env(name).expect("a secret of the tests' environment")
}
