//! The admin listener: health for everybody, metrics for who has the token, and every series from the start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod changes;
mod configuration;
mod docs;
mod document;
mod events;
mod replays;
mod rig;
mod targets;
mod whole;

use std::collections::BTreeSet;

use hookgate::clock::Clock;
use http::{Method, StatusCode};

use crate::support::{
    gateway::{Gateway, env},
    metrics::Metrics,
    receiver::Receiver,
    sign, wait_for,
};

const TOKEN: &str = "canary-admin-token";

/// Every family of Hookgate's own, with its type and its labels in the order of the alphabet.
const FAMILIES: [(&str, &str, &str); 36] = [
    ("build_info", "gauge", "commit,version"),
    ("commit_batch_events", "histogram", ""),
    ("config_last_reload_success", "gauge", ""),
    ("config_last_reload_timestamp_seconds", "gauge", ""),
    ("config_reloads_total", "counter", "result"),
    ("config_restart_required", "gauge", ""),
    ("conflicting_duplicates_total", "counter", "route"),
    ("connections", "gauge", ""),
    (
        "credential_not_after_timestamp_seconds",
        "gauge",
        "credential,route",
    ),
    ("credential_uses_total", "counter", "credential,route"),
    ("dead_letters_total", "counter", "reason,route,target"),
    ("delivery_attempt_duration_seconds", "histogram", "target"),
    ("delivery_attempts_total", "counter", "outcome,route,target"),
    ("delivery_latency_seconds", "histogram", "route,target"),
    ("duplicate_age_seconds", "histogram", "route"),
    ("filtered_deliveries_total", "counter", "route,target"),
    ("handshakes_total", "counter", "handshake,route"),
    ("key_fetches_total", "counter", "result,route"),
    ("oldest_due_seconds", "gauge", "target"),
    ("pending_deliveries", "gauge", "target"),
    ("records_dropped_total", "counter", ""),
    ("rejections_total", "counter", "reason,route"),
    ("request_duration_seconds", "histogram", "route"),
    ("requests_total", "counter", "outcome,route"),
    ("spans_dropped_total", "counter", "reason"),
    ("spool_accepted_total", "counter", ""),
    ("spool_events", "gauge", ""),
    ("spool_moved_total", "counter", "result"),
    ("store_errors_total", "counter", "operation"),
    ("store_operation_duration_seconds", "histogram", "operation"),
    ("store_up", "gauge", ""),
    ("target_circuit_open", "gauge", "target"),
    ("target_in_flight", "gauge", "target"),
    ("target_paused", "gauge", "target"),
    ("tls_certificate_not_after_timestamp_seconds", "gauge", ""),
    ("unordered_deliveries_total", "counter", "route"),
];

/// One signed route that delivers to one target.
fn configuration(target_url: &str) -> String {
    format!(
        r#"
        [targets.crm]
        url = "{target_url}"
        allow_private = true

        [routes.github]
        path = "/hooks/github"
        provider = "github"
        secrets = [{{ env = "GITHUB_SECRET" }}]
        deliver = ["crm"]
        "#
    )
}

async fn post(gateway: &Gateway, id: &str) -> String {
    let signature = sign::github(&env("GITHUB_SECRET").unwrap(), b"{}");
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", id),
    ];
    let reply = gateway.client.post("/hooks/github", &headers, "{}").await;
    reply.outcome()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_health_and_metrics_are_for_everybody() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&configuration(&receiver.url())).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(
            gateway.admin.get(path).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_who_has_the_token_and_health_for_everybody() {
    let receiver = Receiver::start().await;
    let token = format!("[admin]\ntoken = {{ value = \"{TOKEN}\" }}\n");
    let gateway = Gateway::start(&(token + &configuration(&receiver.url()))).await;
    let status = async |path: &str, authorization: Option<&str>| {
        let headers = authorization.map(|value| ("Authorization", value));
        let headers = headers.as_slice();
        let reply = gateway.admin.send(Method::GET, path, headers, "").await;
        let says_how = reply.header("www-authenticate").is_some();
        assert_eq!(says_how, reply.status == StatusCode::UNAUTHORIZED);
        assert!(!reply.text().contains(TOKEN));
        reply.status.as_u16()
    };
    let (right, longer) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}x"));
    let small = format!("bearer {TOKEN}");
    for (authorization, expected) in [
        (None, 401),
        (Some("Bearer wrong"), 401),
        (Some(&small), 200),
        (Some("Bearer "), 401),
        (Some(&longer[..]), 401),
        (Some(TOKEN), 401),
        (Some(&sign::basic("admin", TOKEN)), 401),
        (Some(&right), 200),
    ] {
        let found = status("/metrics", authorization).await;
        assert_eq!(found, expected, "{authorization:?}");
    }
    for path in ["/healthz", "/readyz"] {
        for authorization in [None, Some("Bearer wrong")] {
            let found = status(path, authorization).await;
            assert_eq!(found, 200, "{path} {authorization:?}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_listener_knows_nothing_of_it() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&configuration(&receiver.url())).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        let reply = gateway.client.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.json()["code"], "unknown_path", "{path}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_there_before_the_first_request() {
    let receiver = Receiver::start().await;
    // A provider with a handshake, too, and a secret that ends.
    let slack = r#"
        [routes.slack]
        path = "/hooks/slack"
        provider = "slack"
        secrets = [{ env = "SLACK_SECRET", not_after = 2100-01-01T00:00:00Z }]
        deliver = []
    "#;
    let gateway = Gateway::start(&(configuration(&receiver.url()) + slack)).await;
    let text = gateway.admin.get("/metrics").await.text();
    let families = families(&text);
    let ours: BTreeSet<_> = families
        .iter()
        .filter_map(|line| line.strip_prefix("hookgate_"))
        .collect();
    let expected = FAMILIES.map(|(name, kind, labels)| format!("{name} {kind} {{{labels}}}"));
    let expected: BTreeSet<_> = expected.iter().map(String::as_str).collect();
    assert_eq!(ours, expected);
    for process in ["resident_memory_bytes", "open_fds"] {
        let line = format!("process_{process} gauge {{}}");
        assert!(families.contains(&line), "no {line} in {families:?}");
    }
    let others = families.iter();
    let mut others = others.filter(|line| !line.starts_with("hookgate_"));
    assert!(
        others.all(|line| line.starts_with("process_")),
        "{families:?}"
    );
    gateway.finish().await;
}

/// Name, type and the names of the labels of every family that has a sample. Each sample must follow its family's
/// type, as the format demands.
pub(crate) fn families(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            (family, kind) = head.split_once(' ').expect("a name and a type");
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').expect("a sample");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let part = name.strip_prefix(family).expect("a sample of the family");
            let parts = match kind {
                "histogram" => &["_bucket", "_sum", "_count"][..],
                _ => &[""],
            };
            assert!(parts.contains(&part), "{line} in a {kind}");
            let names = label_names(labels.strip_suffix('}').expect("an end of the labels"));
            found.insert(format!("{family} {kind} {{{names}}}"));
        }
    }
    found
}

/// In the order of the alphabet, without a bucket's bound; no value here has a quotation mark.
fn label_names(labels: &str) -> String {
    let names = labels
        .split("\",")
        .filter_map(|label| label.split_once('='));
    let names: BTreeSet<_> = names.map(|(name, _)| name).collect();
    let names: Vec<_> = names.into_iter().filter(|name| *name != "le").collect();
    names.join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_its_duplicate_and_its_delivery_move_their_series_and_no_others() {
    const MOVE: [(&str, f64); 8] = [
        (r#"requests_total{outcome="accepted",route="github"}"#, 1.0),
        (r#"requests_total{outcome="duplicate",route="github"}"#, 1.0),
        (
            r#"credential_uses_total{credential="GITHUB_SECRET",route="github"}"#,
            2.0,
        ),
        (r#"request_duration_seconds_count{route="github"}"#, 2.0),
        (r#"duplicate_age_seconds_count{route="github"}"#, 1.0),
        (
            r#"delivery_attempts_total{outcome="delivered",route="github",target="crm"}"#,
            1.0,
        ),
        (
            r#"delivery_attempt_duration_seconds_count{target="crm"}"#,
            1.0,
        ),
        (
            r#"delivery_latency_seconds_count{route="github",target="crm"}"#,
            1.0,
        ),
    ];
    let receiver = Receiver::start().await;
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    let before = gateway.metrics().await;
    assert_eq!(post(&gateway, "once").await, "accepted");
    assert_eq!(post(&gateway, "once").await, "duplicate");
    for (series, change) in MOVE {
        let series = format!("hookgate_{series}");
        wait_for(&format!("{series} to grow by {change}"), async || {
            let changes = gateway.metrics().await.since(&before);
            (changes.get(&series) == Some(&change)).then_some(())
        })
        .await;
    }
    let changes = gateway.metrics().await.since(&before);
    let counts = changes.iter().filter_map(|(series, change)| {
        let series = series.strip_prefix("hookgate_")?;
        let name = series.split('{').next()?;
        let counts = name.ends_with("_total") || name.ends_with("_count");
        let of_the_store = name.starts_with("store_") || name.starts_with("commit_");
        (counts && !of_the_store).then_some((series, *change))
    });
    let counts: BTreeSet<_> = counts.map(|(s, change)| (s, change as u64)).collect();
    let expected: BTreeSet<_> = MOVE.map(|(s, change)| (s, change as u64)).into();
    assert_eq!(counts, expected);
    let batches = changes.get("hookgate_commit_batch_events_count");
    assert!(batches.is_some_and(|batches| *batches > 0.0), "{batches:?}");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_and_the_configuration_tell_their_times() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&configuration(&receiver.url())).await;
    let metrics = gateway.metrics().await;
    let value = |name: &str| plain(&metrics, name);
    let now = Clock::system().now().as_secs() as f64;
    let not_after = value("tls_certificate_not_after_timestamp_seconds");
    assert!(not_after > now, "{not_after}");
    let loaded = value("config_last_reload_timestamp_seconds");
    assert_eq!(loaded, gateway.began.as_secs() as f64);
    assert_eq!(value("config_last_reload_success"), 1.0);
    assert_eq!(value("store_up"), 1.0);
    let version = [
        ("commit", hookgate::COMMIT),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(metrics.value("hookgate_build_info", &version), Some(1.0));
    gateway.finish().await;
}

/// The value of a series without labels.
#[track_caller]
fn plain(metrics: &Metrics, name: &str) -> f64 {
    let value = metrics.value(&format!("hookgate_{name}"), &[]);
    value.unwrap_or_else(|| panic!("no {name}"))
}
