//! Secrets that come with a handshake: taken once, kept, shown, forgotten.

use std::sync::Arc;

use hookgate::clock::Clock;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{answered, assert_no_event, assert_refused, post, route};
use crate::support::{
    client::{Client, Reply},
    gateway::Gateway,
    process::Process,
    redis::RedisServer,
    sign, wait_for,
};

const AWAITED: &str = "secrets = [{ handshake = true }]";
const FIRST: &str = "canary-first-secret-of-asana";
const SECOND: &str = "canary-second-secret-of-asana";

fn asana() -> String {
    route("asana", AWAITED)
}

/// As Asana does when the webhook is made.
async fn offer(client: &Client, secret: &str) -> Reply {
    let headers = [("X-Hook-Secret", secret)];
    client.post("/hooks/asana", &headers, "{}").await
}

/// An event, signed.
async fn event(client: &Client, secret: &str, body: &str) -> Reply {
    let mac = sign::hmac_sha256(secret.as_bytes(), &[body.as_bytes()]);
    let headers = [("X-Hook-Signature", hex::encode(mac))];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    post(client, "/hooks/asana", &headers, body).await
}

fn body(n: u32) -> String {
    json!({ "events": [{ "n": n }] }).to_string()
}

async fn secrets(gateway: &Gateway) -> Value {
    let reply = gateway.admin.get("/api/v1/secrets").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["secrets"].clone()
}

/// The secret itself.
async fn secret(gateway: &Gateway) -> Value {
    let reply = gateway.admin.get("/api/v1/secrets/asana").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()["secret"].clone()
}

async fn forget(gateway: &Gateway, route: &str) -> Reply {
    let path = format!("/api/v1/secrets/{route}");
    gateway.admin.send(Method::DELETE, &path, &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_once_and_then_proves_events() {
    let gateway = Gateway::start(&asana()).await;
    let client = &gateway.client;
    let waiting = json!([{ "route": "asana", "state": "waiting", "received_at": null }]);
    assert_eq!(secrets(&gateway).await, waiting);
    for secret in [FIRST, SECOND, ""] {
        assert_refused(&event(client, secret, &body(0)).await, 401, "");
    }
    assert_no_event(&gateway).await;

    let taken = offer(client, FIRST).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text());
    assert_eq!(taken.header("x-hook-secret"), Some(FIRST));
    assert_eq!(event(client, FIRST, &body(1)).await.outcome(), "accepted");
    let shown = secrets(&gateway).await;
    let (shown, at) = (&shown[0], gateway.began.to_string());
    assert!(shown.get("secret").is_none());
    assert_eq!(secret(&gateway).await, FIRST);
    assert_eq!(
        (&shown["state"], &shown["received_at"]),
        (&"kept".into(), &at.into())
    );

    // Another changes nothing; the same again is answered, since its answer may have been lost.
    let another = offer(client, SECOND).await;
    assert_refused(&another, 403, "handshake_refused");
    assert_eq!(another.header("x-hook-secret"), None);
    assert_refused(&event(client, SECOND, &body(2)).await, 401, "");
    assert_eq!(offer(client, FIRST).await.status, StatusCode::OK);
    assert_eq!(event(client, FIRST, &body(2)).await.outcome(), "accepted");

    let metrics = gateway.metrics().await;
    assert_eq!(answered(&metrics, "asana", "hook_secret"), 2.0);
    let labels = [("route", "asana"), ("credential", "handshake")];
    let uses = metrics.value("hookgate_credential_uses_total", &labels);
    assert_eq!(uses, Some(2.0));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_secret_ends_at_once_and_another_may_come() {
    let gateway = Gateway::start(&asana()).await;
    let client = &gateway.client;
    assert_eq!(
        forget(&gateway, "asana").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(offer(client, FIRST).await.status, StatusCode::OK);
    assert_eq!(
        forget(&gateway, "asana").await.status,
        StatusCode::NO_CONTENT
    );
    assert_refused(&event(client, FIRST, &body(1)).await, 401, "");
    assert_eq!(secrets(&gateway).await[0]["state"], "waiting");
    assert_eq!(offer(client, SECOND).await.status, StatusCode::OK);
    assert_refused(&event(client, FIRST, &body(1)).await, 401, "");
    assert_eq!(event(client, SECOND, &body(1)).await.outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_secret_outlives_its_gateway_even_as_one_of_a_route_that_is_gone() {
    let gateway = Gateway::start_now(&asana()).await;
    assert_eq!(offer(&gateway.client, FIRST).await.status, StatusCode::OK);
    let directory = gateway.stop().await;

    let gateway = Gateway::start_in(directory, &asana(), Clock::system()).await;
    let accepted = event(&gateway.client, FIRST, &body(1)).await;
    assert_eq!(accepted.outcome(), "accepted");
    assert_refused(
        &offer(&gateway.client, SECOND).await,
        403,
        "handshake_refused",
    );
    let directory = gateway.stop().await;

    let other = super::keyed("trello", "");
    let gateway = Gateway::start_in(directory, &other, Clock::system()).await;
    let shown = secrets(&gateway).await;
    assert_eq!(
        (&shown[0]["route"], &shown[0]["state"]),
        (&"asana".into(), &"unused".into())
    );
    assert_eq!(
        forget(&gateway, "asana").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(secrets(&gateway).await, json!([]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_does_not_wait_takes_no_secret() {
    let gateway = Gateway::start(&super::keyed("asana", "")).await;
    let reply = offer(&gateway.client, FIRST).await;
    assert_refused(&reply, 403, "handshake_refused");
    assert_refused(&event(&gateway.client, FIRST, &body(1)).await, 401, "");
    let own = event(&gateway.client, super::SECRET, &body(1)).await;
    assert_eq!(own.outcome(), "accepted");
    assert_eq!(secrets(&gateway).await, json!([]));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_secret_is_not_kept() {
    let gateway = Gateway::start(&(asana() + &route("notion", AWAITED))).await;
    let client = &gateway.client;
    for secret in ["short", &"x".repeat(2049)] {
        assert_refused(&offer(client, secret).await, 403, "handshake_refused");
    }
    let twice = [("X-Hook-Secret", FIRST), ("X-Hook-Secret", FIRST)];
    let twice = client.post("/hooks/asana", &twice, "").await;
    assert_refused(&twice, 403, "handshake_refused");
    // A shape that is not quite theirs is an event without a signature.
    let signed = [("X-Hook-Secret", FIRST), ("X-Hook-Signature", "00")];
    assert_refused(&post(client, "/hooks/asana", &signed, "{}").await, 401, "");
    let with_body = [("X-Hook-Secret", FIRST)];
    assert_refused(
        &post(client, "/hooks/asana", &with_body, r#"{"a":1}"#).await,
        401,
        "",
    );
    let more = format!(r#"{{"verification_token":"{FIRST}","type":"page.created"}}"#);
    for body in [
        &more,
        r#"{"verification_token":12345678}"#,
        r#"["verification_token"]"#,
    ] {
        assert_refused(&post(client, "/hooks/notion", &[], body).await, 401, "");
    }
    for secret in ["canary\u{1b}[2Jcanary", "canary canary", "canaryécanary"] {
        let body = json!({ "verification_token": secret }).to_string();
        let reply = post(client, "/hooks/notion", &[], &body).await;
        assert_refused(&reply, 403, "handshake_refused");
    }
    for shown in secrets(&gateway).await.as_array().unwrap() {
        assert_eq!(shown["state"], "waiting");
    }
    assert_no_event(&gateway).await;
    gateway.finish().await;
}

/// Else whoever knows the address could leave a secret of his own, whatever the route asks of its callers.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_from_those_whom_all_other_verifiers_prove() {
    let digest = sign::sha256_hex("canary-key-of-asana");
    let beside = format!(
        "{AWAITED}\nverify = {{ query_key = {{ name = \"key\" }}, keys = [{{ name = \"asana\", sha256 = \"{digest}\" }}] }}"
    );
    let gateway = Gateway::start(&route("asana", &beside)).await;
    let client = &gateway.client;
    let offer = |path: &'static str| async move {
        let headers = [("X-Hook-Secret", FIRST)];
        client.post(path, &headers, "{}").await
    };
    for path in ["/hooks/asana", "/hooks/asana?key=wrong"] {
        assert_refused(&offer(path).await, 401, "");
    }
    assert_eq!(secrets(&gateway).await[0]["state"], "waiting");
    let taken = offer("/hooks/asana?key=canary-key-of-asana").await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text());
    assert_eq!(secret(&gateway).await, FIRST);
    gateway.finish().await;
}

/// Of those that come at once, one is taken and the others are told so.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_handshakes_at_once_one_gives_the_secret() {
    let gateway = Gateway::start(&asana()).await;
    let offers = (0..20).map(|n| {
        let (client, secret) = (gateway.client.clone(), format!("{FIRST}-{n}"));
        async move {
            let reply = offer(&client, &secret).await;
            (reply.status == StatusCode::OK).then_some(secret)
        }
    });
    let taken = futures_util::future::join_all(offers).await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(secret(&gateway).await, taken[0]);
    let accepted = event(&gateway.client, &taken[0], &body(1)).await;
    assert_eq!(accepted.outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_on_one_redis_share_a_secret_and_its_end() {
    let redis = RedisServer::start();
    let toml = format!("[store]\nurl = \"{}\"\n{}", redis.url(0), asana());
    let one = Gateway::start_now(&toml).await;
    let two = Gateway::start_now(&toml).await;
    assert_refused(&event(&two.client, FIRST, &body(1)).await, 401, "");
    assert_eq!(offer(&one.client, FIRST).await.status, StatusCode::OK);
    assert_refused(&offer(&two.client, SECOND).await, 403, "handshake_refused");
    // It learned so from its own refusal, or asks once a second.
    wait_for("the other gateway to know the secret", async || {
        let reply = event(&two.client, FIRST, &body(1)).await;
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(forget(&one, "asana").await.status, StatusCode::NO_CONTENT);
    wait_for("the other gateway to forget it", async || {
        let reply = event(&two.client, FIRST, &body(2)).await;
        (reply.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert_eq!(offer(&two.client, SECOND).await.status, StatusCode::OK);
    wait_for("the first gateway to know the second secret", async || {
        let reply = event(&one.client, SECOND, &body(3)).await;
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
    let directory: Arc<_> = one.stop().await;
    drop(directory);
    two.stop().await;
}

/// What is not kept is not answered, and nobody is told 401 for what nobody could look up.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_a_handshake_is_to_be_sent_again() {
    let redis = RedisServer::start();
    let toml = format!("[store]\nurl = \"{}\"\n{}", redis.url(0), asana());
    let gateway = Gateway::start_now(&toml).await;
    drop(redis);
    let reply = offer(&gateway.client, FIRST).await;
    assert_refused(&reply, 503, "store_unavailable");
    assert_eq!(reply.header("x-hook-secret"), None);
    assert!(reply.header("retry-after").is_some());
    let reply = wait_for("an answer to an event", async || {
        let reply = event(&gateway.client, FIRST, &body(1)).await;
        (reply.status != StatusCode::UNAUTHORIZED).then_some(reply)
    })
    .await;
    assert_refused(&reply, 503, "store_unavailable");
    let metrics = gateway.metrics().await;
    assert_eq!(answered(&metrics, "asana", "hook_secret"), 0.0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_metric_shows_what_a_handshake_bears() {
    const TOKEN: &str = "canary-verify-token";
    const CHALLENGE: &str = "canary-challenge";
    let meta = format!("verify_token = {{ value = \"{TOKEN}\" }}");
    let toml = asana() + &route("notion", AWAITED) + &super::keyed("meta", &meta);
    let gateway = Process::spawn_with(&toml, &[("RUST_LOG", "trace")]).await;
    let client = &gateway.client;
    let token = json!({ "verification_token": SECOND }).to_string();
    assert_eq!(
        post(client, "/hooks/notion", &[], &token).await.status,
        StatusCode::OK
    );
    assert_eq!(offer(client, FIRST).await.status, StatusCode::OK);
    assert_refused(&offer(client, SECOND).await, 403, "handshake_refused");
    assert_eq!(event(client, FIRST, &body(1)).await.outcome(), "accepted");
    assert_refused(&event(client, SECOND, &body(2)).await, 401, "");
    let asked =
        format!("/hooks/meta?hub.mode=subscribe&hub.challenge={CHALLENGE}&hub.verify_token=");
    assert_eq!(
        client.get(&format!("{asked}{TOKEN}")).await.text(),
        CHALLENGE
    );
    let wrong = client.get(&format!("{asked}{TOKEN}2")).await;
    assert_refused(&wrong, 403, "handshake_refused");
    let forget = gateway
        .admin
        .send(Method::DELETE, "/api/v1/secrets/asana", &[], "");
    assert_eq!(forget.await.status, StatusCode::NO_CONTENT);
    let seen = gateway.stderr() + &gateway.admin.get("/metrics").await.text();
    for line in [
        "handshake answered",
        "handshake_refused",
        "another verify_token",
    ] {
        assert!(seen.contains(line), "no {line}");
    }
    for canary in [FIRST, SECOND, TOKEN, CHALLENGE, super::SECRET] {
        assert!(!seen.contains(canary), "{canary} shows");
    }
}
