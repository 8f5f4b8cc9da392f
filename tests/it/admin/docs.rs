//! The requests that docs/api.md shows, made.

use http::{Method, StatusCode};

use super::{TOKEN, configuration, post};
use crate::support::{
    gateway::Gateway,
    receiver::{Receiver, Reply},
    wait_for,
};

const DOCS: &str = include_str!("../../../docs/api.md");

/// Method, path with its query, body.
fn shown(line: &str) -> Option<(Method, String, String)> {
    let line = line.strip_prefix("$ curl -s ")?;
    let method = match line.strip_prefix("-X ") {
        Some(rest) => rest.split(' ').next()?.parse().unwrap(),
        None => Method::GET,
    };
    let (_, rest) = line.split_once("'localhost:9090")?;
    let (path, rest) = rest.split_once('\'')?;
    let body = rest
        .split_once("-d '")
        .and_then(|(_, body)| body.strip_suffix('\''));
    Some((method, path.to_owned(), body.unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_is_shown_is_answered() {
    let receiver = Receiver::start().await;
    receiver.script((0..3).map(|_| Reply::status(410)));
    let token = format!("[admin]\ntoken = {{ value = \"{TOKEN}\" }}\n");
    let gateway = Gateway::start_now(&(token + &configuration(&receiver.url()))).await;
    let bearer = format!("Bearer {TOKEN}");
    let ask = async |method: Method, path: &str, body: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        gateway.admin.send(method, path, &headers, body).await
    };
    for n in 0..3 {
        assert_eq!(post(&gateway, &format!("evt_{n}")).await, "accepted");
    }
    let dead = wait_for("dead letters", async || {
        let found = ask(Method::GET, "/api/v1/events?state=dead", "")
            .await
            .json();
        (found["events"].as_array()?.len() == 3).then_some(found)
    })
    .await;
    let uid = dead["events"][0]["uid"].as_str().unwrap();
    let page = ask(Method::GET, "/api/v1/events?limit=2", "").await.json();
    let next = page["next"].as_str().unwrap();
    let mut made = 0;
    for (method, path, body) in DOCS.lines().filter_map(shown) {
        let path = path.replace("UID", uid).replace("NEXT", next);
        let reply = ask(method, &path, &body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
        made += 1;
    }
    assert_eq!(made, DOCS.matches("$ curl").count());
    assert!(made > 8);

    // The refusal that is shown, too.
    let refused = ask(Method::GET, "/api/v1/events?limit=0", "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(DOCS.contains(&refused.text()), "{}", refused.text());
    gateway.stop().await;
}
