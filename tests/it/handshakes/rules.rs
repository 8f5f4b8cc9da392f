//! What is refused, what falls through to the ordinary flow, and the bounds.

use http::Method;

use super::{SECRET, answered, assert_no_event, assert_refused, get, keyed, post, post_v0};
use crate::support::gateway::Gateway;

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_handshake_without_its_signature_is_an_ordinary_401() {
    let gateway = Gateway::start(&(keyed("slack", "") + &keyed("zoom", ""))).await;
    let slack = r#"{"type":"url_verification","challenge":"abc"}"#;
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#;
    for (provider, body) in [("slack", slack), ("zoom", zoom)] {
        let unsigned = post(&gateway.client, &format!("/hooks/{provider}"), &[], body).await;
        assert_refused(&unsigned, 401, "");
        let forged = post_v0(&gateway, provider, body, "another-secret").await;
        assert_refused(&forged, 401, "");
        assert!(!forged.text().contains("abc"));
        let signed = post_v0(&gateway, provider, body, SECRET).await;
        assert_eq!(signed.status, 200, "{provider}: {}", signed.text());
    }
    assert_no_event(&gateway).await;
    gateway.finish().await;
}

/// Zoom may sign with either while a secret is changed, and expects its answer under the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_with_the_secret_that_proved_it() {
    const OLD: &str = "canary-old-zoom-secret";
    let more = format!("secrets = [{{ value = \"{SECRET}\" }}, {{ value = \"{OLD}\" }}]");
    let gateway = Gateway::start(&super::route("zoom", &more)).await;
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"token"}}"#;
    for secret in [SECRET, OLD] {
        let reply = post_v0(&gateway, "zoom", body, secret).await;
        let mac = crate::support::sign::hmac_sha256(secret.as_bytes(), &[b"token"]);
        let expected = serde_json::json!({
            "plainToken": "token",
            "encryptedToken": hex::encode(mac),
        });
        assert_eq!(reply.json(), expected);
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_goes_the_ordinary_way() {
    let routes = ["slack", "dropbox", "meta", "trello", "microsoft-graph"].map(|p| keyed(p, ""));
    let gateway = Gateway::start(&routes.concat()).await;
    for path in [
        "/hooks/dropbox",
        "/hooks/dropbox?other=1",
        "/hooks/meta",
        "/hooks/meta?hub.challenge=1",
        "/hooks/trello",
        "/hooks/slack?challenge=1",
        "/hooks/microsoft-graph?validationToken=1",
    ] {
        let reply = get(&gateway, path).await;
        assert_refused(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some("POST"), "{path}");
    }
    let unsigned = post(&gateway.client, "/hooks/dropbox?challenge=1", &[], "{}").await;
    assert_refused(&unsigned, 401, "");
    let text = [("Content-Type", "text/plain")];
    let graph = gateway.client.post("/hooks/microsoft-graph", &text, "x");
    assert_refused(&graph.await, 415, "unsupported_content_type");
    // An event that only speaks of a handshake is an event.
    let body = r#"{"type":"event_callback","event_id":"Ev1","text":"url_verification"}"#;
    let event = post_v0(&gateway, "slack", body, SECRET).await;
    assert_eq!(event.outcome(), "accepted");
    gateway.finish().await;
}

/// A form with nothing but the webhook's number, unsigned.
#[tokio::test(flavor = "multi_thread")]
async fn the_ping_of_woocommerce_is_a_form() {
    let gateway = Gateway::start(&keyed("woocommerce", "")).await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let send = |body| gateway.client.post("/hooks/woocommerce", &form, body);
    let ping = send("webhook_id=12").await;
    assert_eq!((ping.status.as_u16(), ping.text()), (200, String::new()));
    for other in [
        "webhook_id=12&a=1",
        "webhook_id=1&webhook_id=2",
        "id=12",
        "",
    ] {
        assert_refused(&send(other).await, 401, "");
    }
    assert_eq!(
        answered(&gateway.metrics().await, "woocommerce", "ping"),
        1.0
    );
    assert_no_event(&gateway).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_token_must_be_the_routes_own() {
    let with = keyed("meta", "verify_token = { value = \"canary-verify-token\" }");
    let gateway = Gateway::start(&with).await;
    let asked = "/hooks/meta?hub.mode=subscribe&hub.challenge=42&hub.verify_token=";
    for token in [
        "",
        "canary-verify-toke",
        "canary-verify-token2",
        "x",
        "canary-verify-token&hub.verify_token=canary-verify-token",
    ] {
        let reply = get(&gateway, &format!("{asked}{token}")).await;
        assert_refused(&reply, 403, "handshake_refused");
        assert!(!reply.text().contains("42"), "{token}");
    }
    let reply = get(&gateway, &format!("{asked}canary-verify-token")).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "42"));
    gateway.finish().await;

    let gateway = Gateway::start(&keyed("meta", "")).await;
    for token in ["", "undefined", "canary-verify-token"] {
        let reply = get(&gateway, &format!("{asked}{token}")).await;
        assert_refused(&reply, 403, "handshake_refused");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_back_that_a_browser_could_take_for_a_page() {
    let gateway = Gateway::start(&keyed("dropbox", "")).await;
    let at_most = "x".repeat(2048);
    for (challenge, status) in [
        ("%3Cscript%3E", 403),
        ("a%3Cb", 403),
        ("a%3Eb", 403),
        ("a%0D%0AX-Injected:%201", 403),
        ("a%00b", 403),
        ("a%22b%26c%C3%A9", 200),
        (at_most.as_str(), 200),
        (&format!("{at_most}x"), 403),
        ("one&challenge=two", 403),
    ] {
        let reply = get(&gateway, &format!("/hooks/dropbox?challenge={challenge}")).await;
        assert_eq!(reply.status.as_u16(), status, "{challenge}");
        if status == 200 {
            assert_eq!(reply.header("content-type"), Some("text/plain"));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        } else {
            assert_refused(&reply, 403, "handshake_refused");
            assert_eq!(reply.header("x-injected"), None);
        }
    }
    let reply = get(&gateway, "/hooks/dropbox?challenge=a%22b%26c%C3%A9").await;
    assert_eq!(reply.text(), "a\"b&cé");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_handshakes_are_bounded_in_rate_a_route() {
    let gateway = Gateway::start(&(keyed("dropbox", "") + &keyed("trello", ""))).await;
    let mut refused = None;
    // The limit is 60 a minute; a slow machine may see a few more.
    for _ in 0..600 {
        let reply = get(&gateway, "/hooks/dropbox?challenge=1").await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_refused(&refused, 429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let metrics = gateway.metrics().await;
    assert!(answered(&metrics, "dropbox", "challenge") >= 60.0);
    let other = gateway.client.send(Method::HEAD, "/hooks/trello", &[], "");
    assert_eq!(other.await.status, 200);
    gateway.finish().await;
}

/// A body that a HEAD's answer must not have, even a refusal's.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_head_has_no_body() {
    let gateway = Gateway::start(&(keyed("dropbox", "") + &keyed("trello", ""))).await;
    for (path, status) in [("/hooks/trello", 200), ("/hooks/dropbox?challenge=1", 405)] {
        let reply = gateway.client.send(Method::HEAD, path, &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (status, 0));
    }
    let mut raw = gateway.raw().await;
    raw.write(b"HEAD /hooks/trello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let answer = String::from_utf8(raw.closed().await.to_vec()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    gateway.finish().await;
}
