//! Who may ask the API: not a web page, not by another's name, and with a token only who has it.

use http::{Method, StatusCode};

use super::{
    TOKEN, configuration,
    rig::{AdminRig, refusal},
};
use crate::{
    delivery::rig::target,
    support::{gateway::Gateway, receiver::Receiver},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_changes_nothing() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    let json = ("Content-Type", "application/json");
    let body = r#"{"state": "dead"}"#;
    for (headers, status) in [
        (&[json, ("Origin", "https://evil.example")][..], 403),
        (&[json, ("Origin", "null")], 403),
        (&[("Content-Type", "text/plain")], 415),
        (
            &[("Content-Type", "application/x-www-form-urlencoded")],
            415,
        ),
        (&[json, ("Host", "evil.example:9090")], 403),
        (&[("Content-Type", "application/json; charset=utf-8")], 201),
    ] {
        let path = "/api/v1/replays";
        let reply = admin.client.send(Method::POST, path, headers, body).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{headers:?}: {}",
            reply.text()
        );
    }
    let kept = admin.rig.model.kept_replays();
    assert_eq!(kept.len(), 1);
    let path = format!("/api/v1/replays/{}/cancel", kept[0].id);
    let origin = [("Origin", "https://evil.example")];
    let reply = admin.client.send(Method::POST, &path, &origin, "").await;
    assert!(refusal(&reply, 403).contains("Origin"));
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reads_nothing() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:9090", 403),
        ("localhost:9090", 200),
        ("127.0.0.1", 200),
        ("[::1]:9090", 200),
    ] {
        let headers = [("Host", host)];
        let reply = admin
            .client
            .send(Method::GET, "/api/v1/targets", &headers, "")
            .await;
        assert_eq!(reply.status.as_u16(), status, "{host}");
    }
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_asks_for_the_token() {
    let receiver = Receiver::start().await;
    let token = format!("[admin]\ntoken = {{ value = \"{TOKEN}\" }}\n");
    let gateway = Gateway::start(&(token + &configuration(&receiver.url()))).await;
    let right = format!("Bearer {TOKEN}");
    for (method, path) in [
        (Method::GET, "targets"),
        (Method::GET, "events"),
        (Method::GET, "replays"),
        (Method::POST, "replays"),
        (
            Method::POST,
            "replays/00000000-0000-0000-0000-000000000000/cancel",
        ),
        (
            Method::POST,
            "events/00000000-0000-0000-0000-000000000000/replay",
        ),
    ] {
        let path = format!("/api/v1/{path}");
        for headers in [&[][..], &[("Authorization", "Bearer wrong")]] {
            let reply = gateway.admin.send(method.clone(), &path, headers, "").await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(reply.header("www-authenticate").is_some());
        }
        // By whatever name: who has the token is no web page.
        let headers = [
            ("Authorization", right.as_str()),
            ("Host", "hooks.internal"),
        ];
        let reply = gateway
            .admin
            .send(method.clone(), &path, &headers, "")
            .await;
        assert_ne!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_ne!(reply.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    gateway.stop().await;
}
