//! Tokens through a whole gateway over HTTPS, with their keys from a server of their own.

use std::{sync::Arc, time::Duration};

use hookgate::clock::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use super::addresses::server;
use crate::support::{
    client,
    gateway::Gateway,
    receiver::{Receiver, Reply},
    tokens::{ED25519, P256, RSA, Signer, p256, rsa},
    wait_for,
};

const NOW: i64 = 1_700_000_000;

fn configuration(server: &Receiver) -> String {
    format!(
        r#"
        [routes.oauth]
        path = "/oauth"
        verify = {{ jwt = {{ jwks_url = "{}", allow_private = true, issuer = "https://issuer.example", audience = ["hooks", "crm"], algorithms = ["RS256", "ES256"], claims = {{ azp = "caller" }} }} }}
        event_id = {{ json = "/id" }}
        deliver = []

        [routes.both]
        path = "/both"
        verify = [
            {{ jwt = {{ jwks_url = "{}", allow_private = true, issuer = "https://issuer.example", audience = "hooks", algorithms = ["RS256"], header = "X-Token" }} }},
            {{ jwt = {{ issuer = false, audience = false }}, secrets = [{{ env = "CUSTOM_SECRET" }}] }},
        ]
        event_id = {{ json = "/id" }}
        deliver = []
        "#,
        server.named_url(),
        server.named_url().replace("/in", "/other"),
    )
}

async fn start() -> (Receiver, Gateway) {
    let (server, fetcher) = server().await;
    serve(&server, &[Signer::Rs256(&RSA).jwk("k1")]);
    let keys = Arc::new(fetcher);
    let at = Timestamp::from_secs(NOW);
    let gateway = Gateway::start_with_keys(&configuration(&server), at, keys).await;
    (server, gateway)
}

fn serve(server: &Receiver, keys: &[Value]) {
    server.always(Reply::status(200).body(json!({ "keys": keys }).to_string()));
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "hooks", "azp": "caller",
        "iat": NOW, "exp": NOW + 3600,
    })
}

async fn send(gateway: &Gateway, id: &str, token: &str) -> client::Reply {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", authorization.as_str()),
    ];
    let body = json!({ "id": id }).to_string();
    gateway.client.post("/oauth", &headers, body).await
}

async fn count(gateway: &Gateway, name: &str, labels: &str) -> f64 {
    gateway.metrics().await.sum(name, labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_proves_its_bearer_and_says_so_in_the_event() {
    let (server, gateway) = start().await;
    let token = Signer::Rs256(&RSA).token(&claims());
    for id in ["a", "b", "c"] {
        let reply = send(&gateway, id, &token).await;
        assert_eq!(reply.outcome(), "accepted");
        let stored = gateway.stored(reply.uid()).await.unwrap();
        assert_eq!(stored.event.credential.as_deref(), Some("jwt"));
    }
    assert_eq!(server.requests().len(), 1);
    let uses = count(
        &gateway,
        "hookgate_credential_uses_total",
        r#"credential="jwt""#,
    )
    .await;
    let fetches = count(&gateway, "hookgate_key_fetches_total", r#"result="ok""#).await;
    assert_eq!((uses, fetches), (3.0, 1.0));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_for_what_is_refused_anyway() {
    let (server, gateway) = start().await;
    let own = rsa();
    let forger = Signer::Rs256(&own);
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        forger.token(&claims)
    };
    let own_point = p256();
    let rows = [
        (String::new(), "missing_credentials"),
        ("nonsense".to_owned(), "invalid_token"),
        (Signer::Hs256(b"x").token(&claims()), "invalid_token"),
        (Signer::EdDsa(&ED25519).token(&claims()), "invalid_token"),
        (
            forger.token_with(&json!({"alg": "none"}), &claims()),
            "invalid_token",
        ),
        (
            changed("iss", json!("https://forger.example")),
            "invalid_token",
        ),
        (changed("aud", json!("others")), "invalid_token"),
        (changed("azp", json!("other")), "invalid_token"),
        (changed("exp", json!(NOW - 3600)), "stale_timestamp"),
        (changed("nbf", json!(NOW + 3600)), "stale_timestamp"),
        ("x".repeat(20_000), "invalid_token"),
    ];
    let mut bodies = Vec::new();
    for (token, reason) in &rows {
        let told = format!(r#"reason="{reason}""#);
        let before = count(&gateway, "hookgate_rejections_total", &told).await;
        let reply = send(&gateway, "a", token).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{reason}");
        let after = count(&gateway, "hookgate_rejections_total", &told).await;
        assert_eq!(after, before + 1.0, "{reason}: {token:.40}");
        bodies.push(reply.text());
    }
    assert_eq!(server.connections(), 0);
    // These could be the issuer's, as far as can be told without a key: one fetch for all of them.
    for token in [
        forger.token(&claims()),
        forger.token_with(&json!({"alg": "RS256", "kid": "theirs"}), &claims()),
        Signer::Es256(&own_point).token(&claims()),
    ] {
        let reply = send(&gateway, "a", &token).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        bodies.push(reply.text());
    }
    assert_eq!(server.requests().len(), 1);
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:?}"
    );
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_change_are_found_and_old_ones_serve_on_when_their_address_fails() {
    let (server, gateway) = start().await;
    let hand = gateway.hand.as_ref().unwrap();
    let old = Signer::Rs256(&RSA).token(&claims());
    let new = Signer::Es256(&P256).token_with(&json!({"alg": "ES256", "kid": "k2"}), &claims());
    assert_eq!(send(&gateway, "a", &old).await.outcome(), "accepted");
    serve(&server, &[Signer::Es256(&P256).jwk("k2")]);
    hand.set(Timestamp::from_secs(NOW + 61));
    assert_eq!(send(&gateway, "b", &new).await.outcome(), "accepted");
    assert_eq!(
        send(&gateway, "c", &old).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(server.requests().len(), 2);

    server.always(Reply::status(500));
    hand.set(Timestamp::from_secs(NOW + 61 + 900));
    assert_eq!(send(&gateway, "d", &new).await.outcome(), "accepted");
    server.refuse().await;
    hand.set(Timestamp::from_secs(NOW + 61 + 1_000));
    assert_eq!(send(&gateway, "e", &new).await.outcome(), "accepted");
    wait_for("two fetches to fail", async || {
        let failed = count(&gateway, "hookgate_key_fetches_total", r#"result="failed""#).await;
        (failed == 2.0).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_had_is_not_the_callers_fault() {
    let (server, gateway) = start().await;
    let hand = gateway.hand.as_ref().unwrap();
    let token = Signer::Rs256(&RSA).token(&claims());
    let larger = vec![b' '; hookgate::keys::DOCUMENT_BYTES_MAX + 1];
    let broken = [
        Reply::status(500),
        Reply::status(404),
        Reply::status(302).header("Location", server.named_url()),
        Reply::status(200).body("<html>"),
        Reply::status(200).body(r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}"#),
        Reply::status(200).body(larger),
        Reply::garbage(),
        Reply::hang(),
    ];
    for (step, reply) in broken.into_iter().enumerate() {
        server.script([reply]);
        hand.set(Timestamp::from_secs(NOW + 10 * step as i64));
        let reply = send(&gateway, "a", &token).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
        assert_eq!(reply.json()["code"], "key_unavailable", "{step}");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=10).contains(&wait), "{step}: {wait}");
        // Another is told so at once, and nothing is asked for.
        let again = send(&gateway, "a", &token).await;
        assert_eq!(again.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
        assert_eq!(server.requests().len(), step + 1);
    }
    hand.set(Timestamp::from_secs(NOW + 100));
    assert_eq!(send(&gateway, "a", &token).await.outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tokens_must_all_pass() {
    let (server, gateway) = start().await;
    let secret = crate::support::gateway::env("CUSTOM_SECRET").unwrap();
    let mut own = claims();
    own["exp"] = json!(NOW + 60);
    let theirs = Signer::Rs256(&RSA).token(&own);
    let ours = Signer::Hs256(secret.as_bytes()).token(&own);
    let bearer = |token: &str| format!("Bearer {token}");
    let post = async |id: &str, x_token: Option<&str>, authorization: Option<String>| {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(x_token.map(|token| ("X-Token", token)));
        headers.extend(
            authorization
                .as_deref()
                .map(|value| ("Authorization", value)),
        );
        let body = json!({ "id": id }).to_string();
        gateway.client.post("/both", &headers, body).await
    };
    // The other token is wrong, or missing: nothing is fetched.
    for authorization in [None, Some(bearer(&theirs)), Some(bearer("x"))] {
        let reply = post("a", Some(&theirs), authorization).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.connections(), 0);
    let reply = post("a", Some(&theirs), Some(bearer(&ours))).await;
    assert_eq!(reply.outcome(), "accepted");
    let stored = gateway.stored(reply.uid()).await.unwrap();
    assert_eq!(
        stored.event.credential.as_deref(),
        Some("jwt+CUSTOM_SECRET")
    );
    let reply = post("b", None, Some(bearer(&ours))).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_fetch() {
    let (server, gateway) = start().await;
    server.always(Reply::hang());
    let token = Signer::Rs256(&RSA).token(&claims());
    let client = gateway.client.clone();
    let waiting = tokio::spawn(async move {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
        ];
        client.post("/oauth", &headers, r#"{"id":"a"}"#).await
    });
    server.wait_for(1).await;
    // It is in flight, and answered when the fetch is given up.
    let stopped = tokio::time::timeout(Duration::from_secs(30), gateway.stop());
    stopped.await.expect("a stop that ends");
    assert_eq!(
        waiting.await.unwrap().status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}
