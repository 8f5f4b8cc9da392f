//! Handshakes, over real HTTPS: each provider's answered exactly, and nothing else let through by them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod confirm;
mod exact;
mod kept;
mod rules;

use http::Method;

use crate::support::{
    client::{Client, Reply},
    gateway::Gateway,
    metrics::Metrics,
    sign,
};

const SECRET: &str = "canary-handshakes-3f1b9d";

/// A route of this provider at `/hooks/NAME`; `more` are further lines of it.
fn route(provider: &str, more: &str) -> String {
    format!(
        r#"
        [routes.{provider}]
        path = "/hooks/{provider}"
        provider = "{provider}"
        deliver = []
        {more}
        "#
    )
}

/// The same, with a secret of the configuration, and an address where the provider signs it.
fn keyed(provider: &str, more: &str) -> String {
    let address = "public_url = \"https://hooks.example.com/hooks/trello\"";
    let more = match provider {
        "trello" => format!("{address}\n{more}"),
        _ => more.to_owned(),
    };
    let secrets = format!("secrets = [{{ value = \"{SECRET}\" }}]\n{more}");
    route(provider, &secrets)
}

async fn get(gateway: &Gateway, path: &str) -> Reply {
    gateway.client.get(path).await
}

/// A POST of JSON.
async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let json = [("Content-Type", "application/json")];
    let headers = [&json, headers].concat();
    client.send(Method::POST, path, &headers, body).await
}

/// A POST signed as Slack and Zoom do, at the gateway's time.
async fn post_v0(gateway: &Gateway, provider: &str, body: &str, secret: &str) -> Reply {
    let at = gateway.began.as_secs().to_string();
    let signature = sign::slack(secret, &at, body.as_bytes());
    let headers = match provider {
        "slack" => ["X-Slack-Request-Timestamp", "X-Slack-Signature"],
        "zoom" => ["x-zm-request-timestamp", "x-zm-signature"],
        _ => panic!("{provider} does not sign so"),
    };
    let headers = [(headers[0], at.as_str()), (headers[1], &signature)];
    post(
        &gateway.client,
        &format!("/hooks/{provider}"),
        &headers,
        body,
    )
    .await
}

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    if status == 401 {
        return;
    }
    assert_eq!(reply.json()["code"], code, "{}", reply.text());
}

/// How many handshakes of the route were answered; panics when the series does not exist.
#[track_caller]
fn answered(metrics: &Metrics, route: &str, handshake: &str) -> f64 {
    let labels = [("route", route), ("handshake", handshake)];
    let answered = metrics.value("hookgate_handshakes_total", &labels);
    answered.unwrap_or_else(|| panic!("no series for {labels:?}"))
}

/// Nothing is stored, and nothing was accepted.
async fn assert_no_event(gateway: &Gateway) {
    let events = gateway.admin.get("/api/v1/events").await.json();
    assert_eq!(events["events"], serde_json::json!([]));
    let metrics = gateway.metrics().await;
    let accepted = metrics.sum("hookgate_requests_total", r#"outcome="accepted""#);
    assert_eq!(accepted, 0.0);
}
