//! What must never be seen: secrets, keys and bodies, however much is logged.

use crate::support::{
    gateway::ENVIRONMENT,
    process::Process,
    sign::{basic, github},
};

use super::{
    KEY, KEY_EXPIRED, PASSWORD, every_route,
    requests::{Sent, good, secret, with_id},
};
use hookgate::clock::Clock;

const BODY: &str = "canary-body-3c4d5e6f";

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_metric_shows_a_secret_or_a_body() {
    // The schema is a file beside routes.toml, which a process of its own does not have.
    let toml = every_route().replace("[routes.strict.schema]\n\"*\" = \"order.json\"\n", "");
    let gateway = Process::spawn_with(&toml, &[("RUST_LOG", "trace")]).await;
    let mut seen = send_all(&gateway).await;
    seen.push_str(&gateway.admin.get("/metrics").await.text());
    // Nor do the records of those that were refused.
    let records = gateway.admin.get("/api/v1/rejections?limit=500").await;
    assert!(records.text().contains("signature_mismatch"));
    seen.push_str(&records.text());
    seen.push_str(&gateway.stderr());
    assert!(seen.contains("hookgate_requests_total"));
    assert!(seen.contains("listening"), "no log: {seen}");
    assert!(seen.contains("signature_mismatch"), "no line for a refusal");
    let mut canaries: Vec<_> = ENVIRONMENT.iter().map(|(_, value)| *value).collect();
    canaries.extend([KEY, KEY_EXPIRED, PASSWORD, BODY]);
    // Seven bytes of it in base64, as Basic sends it.
    let encoded = basic("hook", PASSWORD);
    canaries.push(encoded.strip_prefix("Basic ").unwrap());
    for canary in canaries {
        let at = seen.find(canary);
        let around = at.map(|at| {
            let text = seen.as_bytes();
            String::from_utf8_lossy(&text[at.saturating_sub(200)..at + canary.len()]).into_owned()
        });
        assert_eq!(around, None, "{canary} shows");
    }
}

/// Good requests and bad ones of every kind; returns what the refused were told.
async fn send_all(gateway: &Process) -> String {
    let now = Clock::system().now();
    // The log names the event: an id is no secret.
    let id = |route: &str| format!("id-of-{route}");
    for route in [
        "stripe", "slack", "tickets", "key", "bearer", "basic", "custom", "both", "open", "form",
        "xml", "query", "batch",
    ] {
        let reply = good(route, &id(route), now).send(&gateway.client).await;
        assert_eq!(reply.outcome(), "accepted", "{route}");
    }
    let secret_body = format!(r#"{{"text":"{BODY}"}}"#);
    let signature = github(&secret("GITHUB_SECRET"), secret_body.as_bytes());
    let signed = Sent::json("/hooks/github", &secret_body)
        .with("X-GitHub-Delivery", "1")
        .with("X-Hub-Signature-256", signature);
    let bad = [
        signed.clone().body(format!("{secret_body} ")),
        signed
            .clone()
            .instead("X-Hub-Signature-256", secret("GITHUB_SECRET")),
        Sent::json("/hooks/key", with_id(BODY)).with("X-Api-Key", KEY_EXPIRED),
        Sent::json("/hooks/bearer", with_id(BODY))
            .with("Authorization", format!("Bearer {KEY_EXPIRED}")),
        Sent::json("/hooks/basic", with_id(BODY)).with("Authorization", basic(PASSWORD, KEY)),
        Sent::json("/hooks/open", format!("{{\"{BODY}\": {BODY}")),
        Sent::json("/hooks/open", format!("{{\"id\":\"{BODY}\\n\"}}")),
        Sent::json("/hooks/open", format!("[\"{BODY}\"]")).with("Cookie", KEY),
        Sent::json(
            "/hooks/strict",
            format!("{{\"id\":\"1\",\"at\":\"{BODY}\"}}"),
        ),
        Sent::json("/hooks/nobody", with_id(BODY)).with("X-Api-Key", KEY),
    ];
    let mut told = String::new();
    for request in bad {
        let reply = request.send(&gateway.client).await;
        assert!(reply.status.is_client_error(), "{}", reply.status);
        told.push_str(&reply.text());
    }
    assert_eq!(signed.send(&gateway.client).await.outcome(), "accepted");
    told
}
