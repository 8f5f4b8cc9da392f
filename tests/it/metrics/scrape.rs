//! What a scrape of the running program holds.

use hookgate::metrics::{Labels, Metrics, RouteLabels};
use http::StatusCode;
use nix::sys::signal::Signal;

use super::{configuration, promtool::promtool};
use crate::{
    admin::families,
    support::{
        gateway::{Gateway, env},
        process::Process,
        receiver::Receiver,
        sign, wait_for,
    },
};

/// What others may rely on: names and labels. More labels are allowed, fewer are not.
const CONTRACT: [(&str, &[&str]); 28] = [
    ("requests_total", &["route", "outcome"]),
    ("rejections_total", &["route", "reason"]),
    ("request_duration_seconds", &["route"]),
    ("credential_uses_total", &["route", "credential"]),
    ("duplicate_age_seconds", &["route"]),
    ("conflicting_duplicates_total", &["route"]),
    ("store_operation_duration_seconds", &["operation"]),
    ("store_errors_total", &["operation"]),
    ("store_up", &[]),
    ("commit_batch_events", &[]),
    ("delivery_attempts_total", &["route", "target", "outcome"]),
    ("delivery_attempt_duration_seconds", &["target"]),
    ("delivery_latency_seconds", &["route", "target"]),
    ("dead_letters_total", &["route", "target", "reason"]),
    ("pending_deliveries", &["target"]),
    ("oldest_due_seconds", &["target"]),
    ("target_in_flight", &["target"]),
    ("target_circuit_open", &["target"]),
    ("target_paused", &["target"]),
    ("config_reloads_total", &["result"]),
    ("config_last_reload_success", &[]),
    ("config_last_reload_timestamp_seconds", &[]),
    ("tls_certificate_not_after_timestamp_seconds", &[]),
    ("connections", &[]),
    ("build_info", &["version", "commit"]),
    (
        "credential_not_after_timestamp_seconds",
        &["route", "credential"],
    ),
    ("spool_events", &[]),
    ("key_fetches_total", &["route", "result"]),
];

const PROCESS: [&str; 6] = [
    "cpu_seconds_total",
    "max_fds",
    "open_fds",
    "resident_memory_bytes",
    "start_time_seconds",
    "virtual_memory_bytes",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_and_promtool_has_nothing_to_say() {
    let receiver = Receiver::start().await;
    let gateway = Process::spawn(&configuration(&receiver.url())).await;
    for (id, body, expected) in [
        ("1", "{}", StatusCode::OK),
        ("1", "{}", StatusCode::OK),
        ("1", "{\"other\":1}", StatusCode::OK),
        ("2", "not JSON", StatusCode::BAD_REQUEST),
    ] {
        let signature = sign::github(&env("GITHUB_SECRET").unwrap(), body.as_bytes());
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Hub-Signature-256", signature.as_str()),
            ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", id),
        ];
        let reply = gateway.client.post("/hooks/github", &headers, body).await;
        assert_eq!(reply.status, expected, "{}", reply.text());
    }
    wait_for("a delivery", async || {
        let metrics = gateway.metrics().await;
        let delivered = metrics.sum("hookgate_delivery_attempts_total", "delivered");
        (delivered == 1.0).then_some(())
    })
    .await;
    let text = gateway.admin.get("/metrics").await.text();
    let (content, said) = promtool(&["check", "metrics"], &text);
    assert!(content && said.is_empty(), "{said}");

    let families = families(&text);
    for (name, labels) in CONTRACT {
        let start = format!("hookgate_{name} ");
        let family = families.iter().find(|family| family.starts_with(&start));
        let family = family.unwrap_or_else(|| panic!("no {name}"));
        let (_, found) = family.split_once('{').unwrap();
        let found: Vec<_> = found.trim_end_matches('}').split(',').collect();
        for label in labels {
            assert!(found.contains(label), "no {label}: {family}");
        }
    }
    for name in PROCESS {
        let start = format!("process_{name} ");
        let found = families.iter().any(|family| family.starts_with(&start));
        assert!(found, "no process_{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_credential_that_ends_has_an_end() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&configuration(&receiver.url())).await;
    let metrics = gateway.metrics().await;
    let end = |credential| {
        let labels = [("credential", credential), ("route", "github")];
        metrics.value("hookgate_credential_not_after_timestamp_seconds", &labels)
    };
    // 2100-01-01T00:00:00Z
    assert_eq!(end("GITHUB_SECRET_OLD"), Some(4_102_444_800.0));
    assert_eq!(end("GITHUB_SECRET"), None);
    gateway.finish().await;
}

/// A target that got another name in the file while deliveries waited for it: `HookgateDeadLetters` must see it.
#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letters_of_a_removed_target_are_counted() {
    const COUNTED: &str = "hookgate_dead_letters_total";
    let labels = [
        ("reason", "target_removed"),
        ("route", "-"),
        ("target", "-"),
    ];
    let config = |target: &str| {
        format!(
            r#"
            [targets.{target}]
            url = "http://127.0.0.1:1"
            allow_private = true
            paused = true

            [routes.open]
            path = "/open"
            verify = "none"
            event_id = {{ body = "sha256" }}
            deliver = ["{target}"]
            "#
        )
    };
    let mut gateway = Process::spawn(&config("crm")).await;
    assert_eq!(gateway.metrics().await.value(COUNTED, &labels), Some(0.0));
    for body in ["[1]", "[2]", "[3]"] {
        let headers = [("Content-Type", "application/json")];
        let reply = gateway.client.post("/open", &headers, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let path = gateway.directory.path().join("routes.toml");
    let config = gateway.whole(&config("crm_2"));
    std::fs::write(path, config).unwrap();
    gateway.signal(Signal::SIGHUP);
    wait_for("the dead letters", async || {
        let counted = gateway.metrics().await.value(COUNTED, &labels);
        (counted == Some(3.0)).then_some(())
    })
    .await;
    assert!(gateway.terminate().await.success());
}

#[test]
fn after_a_reload_the_ends_are_those_of_the_new_configuration() {
    let with = |ends: &[(&str, f64)]| {
        let ends = ends.iter().map(|(name, end)| ((*name).to_owned(), *end));
        [RouteLabels {
            name: "shop".into(),
            credentials: vec!["a".to_owned(), "b".to_owned()],
            credentials_end: ends.collect(),
            handshakes: Vec::new(),
            targets: Vec::new(),
        }]
    };
    let labels = |routes| Labels {
        routes,
        targets: &[],
        reasons: &[],
    };
    let (before, after) = (with(&[("a", 100.0), ("b", 200.0)]), with(&[("b", 300.0)]));
    let metrics = Metrics::new(&labels(&before)).unwrap();
    metrics.add(&labels(&after));
    metrics.retain(&labels(&after));
    let text = metrics.render().unwrap();
    let ends = text
        .lines()
        .filter(|line| line.starts_with("hookgate_credential_not_after"));
    let expected =
        r#"hookgate_credential_not_after_timestamp_seconds{credential="b",route="shop"} 300"#;
    assert_eq!(ends.collect::<Vec<_>>(), [expected]);
}
