//! The metrics as those who watch a gateway meet them: the contract, what bounds them, alerts, runbook and dashboard.

mod alerts;
mod dashboard;
mod labels;
mod promtool;
mod scrape;

use std::collections::BTreeSet;

use crate::support::{gateway::Gateway, receiver::Receiver};

/// A signed route with a secret that ends, and its target; and one whose provider has a handshake.
fn configuration(target_url: &str) -> String {
    format!(
        r#"
        [server]
        plain_listen = "127.0.0.1:0"

        [targets.crm]
        url = "{target_url}"
        allow_private = true

        [routes.github]
        path = "/hooks/github"
        provider = "github"
        secrets = [{{ env = "GITHUB_SECRET" }}, {{ env = "GITHUB_SECRET_OLD", not_after = 2100-01-01T00:00:00Z }}]
        deliver = ["crm"]

        [routes.slack]
        path = "/hooks/slack"
        provider = "slack"
        secrets = [{{ env = "SLACK_SECRET" }}]
        deliver = []
        "#
    )
}

/// The name of every sample that a gateway shows.
async fn known_names() -> BTreeSet<String> {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&configuration(&receiver.url())).await;
    let metrics = gateway.metrics().await;
    let names = metrics.series().into_iter().filter_map(|series| {
        let name = series.split('{').next()?;
        Some(name.to_owned())
    });
    let names = names.collect();
    gateway.finish().await;
    names
}

/// Every word of `text` that begins as a metric of the gateway does.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("hookgate_") || word.starts_with("process_"))
        .collect()
}

/// The file of this project at `path`.
fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
