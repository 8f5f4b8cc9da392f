//! What must never be seen of a target's secrets, however much is logged.

use crate::support::{
    gateway::env,
    process::Process,
    receiver::{Receiver, Reply},
};

const BODY: &str = "canary-body-9f8e7d6c";

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_metric_shows_what_a_target_is_sent() {
    let receiver = Receiver::start().await;
    // It says back all that it was sent, first with a failure.
    receiver.script([echo(500)]);
    let toml = format!(
        r#"
        [targets.crm]
        url = "{}"
        allow_private = true
        headers = {{ Authorization = {{ env = "CUSTOM_SECRET" }} }}
        sign = {{ secrets = [{{ env = "TICKETS_SECRET" }}] }}
        retry = {{ first = "1ms", max = "1ms" }}

        [routes.open]
        path = "/hooks/open"
        verify = "none"
        event_id = {{ json = "/id" }}
        deliver = ["crm"]
        "#,
        receiver.named_url()
    );
    let gateway = Process::spawn_with(&toml, &[("RUST_LOG", "trace")]).await;
    let body = format!(r#"{{"id":"1","text":"{BODY}"}}"#);
    let headers = [("Content-Type", "application/json")];
    let reply = gateway.client.post("/hooks/open", &headers, body).await;
    assert_eq!(reply.outcome(), "accepted");
    let secret = env("CUSTOM_SECRET").unwrap();
    for request in receiver.wait_for(2).await {
        assert_eq!(request.header("authorization"), Some(&*secret));
        assert!(request.header("webhook-signature").is_some());
    }

    let mut seen = gateway.admin.get("/metrics").await.text();
    seen.push_str(&gateway.stderr());
    assert!(seen.contains("hookgate_requests_total") && seen.contains("listening"));
    let key = env("TICKETS_SECRET").unwrap();
    for canary in [&*secret, &*key, key.trim_start_matches("whsec_"), BODY] {
        assert!(!seen.contains(canary), "{canary} shows");
    }
}

fn echo(status: u16) -> Reply {
    Reply::status(status).body(env("CUSTOM_SECRET").unwrap())
}
