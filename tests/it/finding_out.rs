//! What became of a request: by the id in its answer, for the real program over HTTPS; and what is never told.

mod bounds;
mod outcomes;
mod secrets;

use std::process::Output;

use http::StatusCode;
use serde_json::Value;

use crate::support::{client::Reply, gateway::ENVIRONMENT, process::Process};

const SECRET: &str = "canary-github-7f3a91c2d4e5";

/// The id of a request.
fn id(reply: &Reply) -> String {
    reply.header("x-request-id").expect("an id").to_owned()
}

/// What the API knows of it.
async fn known(gateway: &Process, id: &str) -> Value {
    let reply = gateway.admin.get(&format!("/api/v1/requests/{id}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
    assert_eq!(reply.json()["request_id"], id);
    reply.json()
}

async fn rejections(gateway: &Process, query: &str) -> Value {
    let path = format!("/api/v1/rejections?{query}");
    let reply = gateway.admin.get(&path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

/// `hookgate explain ID`, by another process.
async fn explain(gateway: &Process, arguments: &[&str]) -> (Output, String) {
    let admin = format!("http://{}", gateway.admin_address);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .arg("explain")
        .args(arguments)
        .args(["--admin", &admin])
        .env_remove("HOOKGATE_ADMIN_TOKEN")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(crate::support::PATIENCE, output).await;
    let output = output.expect("an end").expect("a program that runs");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8(text).expect("UTF-8"))
}

/// No secret of the configuration, and nothing that callers have marked as one or as theirs.
#[track_caller]
fn tells_no_secret(text: &str) {
    for (name, value) in ENVIRONMENT {
        assert!(!text.contains(value), "{name} in {text}");
    }
    assert!(!text.contains("canary"), "{text}");
}
