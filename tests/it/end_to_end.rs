//! The whole program, its parts together: what one of them promises must still hold when all the others are at work.

mod breaker;
mod fairness;
mod order;
mod pauses;
mod replays;
mod signing;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::support::process::Process;

/// What the API answers to a question.
async fn ask(gateway: &Process, path: &str) -> Value {
    let reply = gateway.admin.get(&format!("/api/v1/{path}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

/// What the API answers to a change.
async fn change(gateway: &Process, method: Method, path: &str, body: &str) -> Value {
    let headers = [("Content-Type", "application/json")];
    let path = format!("/api/v1/{path}");
    let reply = gateway.admin.send(method, &path, &headers, body).await;
    assert!(reply.status.is_success(), "{path}: {}", reply.text());
    reply.json()
}

/// The configuration with a part of it replaced.
fn with(toml: &str, part: &str, by: &str) -> String {
    assert!(toml.contains(part), "no {part} in {toml}");
    toml.replace(part, by)
}
