//! What is accepted: once, with the bytes that were sent, and nothing else said than what is true.

use std::time::Duration;

use hookgate::clock::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{client::Client, gateway::Gateway};

use super::{
    gateway,
    requests::{self as make, Sent, github, good, with_id},
    table::{assert_problem, totals},
};

const ROUTES: [&str; 14] = [
    "github", "stripe", "slack", "shopify", "tickets", "key", "bearer", "basic", "custom", "both",
    "open", "headed", "strict", "guarded",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_accepts_once_and_then_says_duplicate() {
    let gateway = gateway().await;
    for route in ROUTES {
        let id = format!("{route}-1");
        let request = good(route, &id, gateway.began);
        let first = request.send(&gateway.client).await;
        assert_eq!(first.status, 200, "{route}: {}", first.text());
        assert_eq!(first.outcome(), "accepted", "{route}");
        assert_eq!(first.json()["id"], id, "{route}");
        assert!(first.header("x-request-id").is_some(), "{route}");
        let again = request.send(&gateway.client).await;
        assert_eq!(again.status, 200, "{route}");
        assert_eq!(again.outcome(), "duplicate", "{route}");
        assert_eq!(again.uid(), first.uid(), "{route}");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        let stored = gateway.stored(first.uid()).await.unwrap();
        assert_eq!(&*stored.event.route, route);
        assert_eq!(&*stored.event.id, id);
        let metrics = gateway.metrics().await;
        for outcome in ["accepted", "duplicate"] {
            let labels = [("route", route), ("outcome", outcome)];
            let count = metrics.value("hookgate_requests_total", &labels);
            assert_eq!(count, Some(1.0), "{labels:?}");
        }
    }
    assert_eq!(totals(&gateway.depth().await), [(ROUTES.len() as u64, 0)]);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_on_two_routes_is_two_events() {
    let gateway = gateway().await;
    for route in ["open", "key", "headed"] {
        let reply = good(route, "shared", gateway.began)
            .send(&gateway.client)
            .await;
        assert_eq!(reply.outcome(), "accepted", "{route}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_just_within_the_tolerance_is_accepted() {
    let gateway = gateway().await;
    for offset in [-300, 300] {
        let at = (gateway.began.as_secs() + offset).to_string();
        let id = format!("edge{offset}");
        for request in [
            make::slack(&id, &at),
            make::tickets(&id, &at),
            make::custom(&id, &at),
        ] {
            let reply = request.send(&gateway.client).await;
            assert_eq!(reply.outcome(), "accepted", "{} {offset}", request.path);
        }
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_fresh_is_stale_once_time_has_passed() {
    let gateway = gateway().await;
    let request = make::slack("kept", &gateway.began.as_secs().to_string());
    let hand = gateway.hand.as_ref().unwrap();
    hand.set(gateway.began.saturating_add(Duration::from_secs(301)));
    assert_eq!(request.send(&gateway.client).await.status, 401);
    hand.set(gateway.began);
    let reply = request.send(&gateway.client).await;
    assert_eq!(reply.outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_own_answer_is_given_to_both() {
    let gateway = gateway().await;
    let request = Sent::json("/hooks/answering", with_id("a"));
    for outcome in ["accepted", "duplicate"] {
        let reply = request.send(&gateway.client).await;
        assert_eq!(reply.status, 202, "{outcome}");
        assert_eq!(reply.header("content-type"), Some("text/plain"));
        assert_eq!(reply.text(), "thanks");
        let labels = [("route", "answering"), ("outcome", outcome)];
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.value("hookgate_requests_total", &labels), Some(1.0));
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_are_stored_as_they_came() {
    let bodies = [
        "{ \"a\" :\t1 ,\r\n\"b\":[ ] }\n\n",
        r#"{"a":"\u00e9\/\ud83d\ude00\n"}"#,
        r#"{"a":1.0,"b":1e2,"c":100000000000000000000000000000,"d":-0}"#,
        r#"{"z":1,"a":2,"m":{"z":1,"a":2}}"#,
        "{\"a\":\"é😀\u{2028}\"}",
        " [1 , 2] ",
        "null",
    ];
    let gateway = gateway().await;
    for (index, body) in bodies.into_iter().enumerate() {
        let id = format!("bytes-{index}");
        let reply = github(&id, body).send(&gateway.client).await;
        assert_eq!(reply.outcome(), "accepted", "{body}");
        let stored = gateway.stored(reply.uid()).await.unwrap();
        assert_eq!(stored.event.body, body.as_bytes());
        assert_eq!(stored.event.event_type.as_deref(), Some("push"));
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_every_lawful_form_are_accepted() {
    let gateway = gateway().await;
    let longest = "x".repeat(256);
    let ids = [
        (format!(r#"{{"id":"{longest}"}}"#), longest.as_str()),
        (r#"{"id":42}"#.to_owned(), "42"),
        (r#"{"id":"ä ö|\\"}"#.to_owned(), r"ä ö|\"),
        (r#"{"id":"\u0061"}"#.to_owned(), "a"),
    ];
    for (body, id) in ids {
        let reply = Sent::json("/hooks/open", &body).send(&gateway.client).await;
        assert_eq!(reply.outcome(), "accepted", "{body}");
        assert_eq!(reply.json()["id"], id);
    }
    let reply = Sent::json("/hooks/open", r#"{"id":"a"}"#)
        .send(&gateway.client)
        .await;
    assert_eq!(reply.outcome(), "duplicate", "an escape is no other id");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_another_body_is_a_duplicate_that_is_counted() {
    let gateway = gateway().await;
    let first = github("one", r#"{"a":1}"#).send(&gateway.client).await;
    let second = github("one", r#"{"a":2}"#).send(&gateway.client).await;
    assert_eq!(second.outcome(), "duplicate");
    let stored = gateway.stored(first.uid()).await.unwrap();
    assert_eq!(stored.event.body, r#"{"a":1}"#);
    let metrics = gateway.metrics().await;
    let labels = [("route", "github")];
    let conflicts = metrics.value("hookgate_conflicting_duplicates_total", &labels);
    assert_eq!(conflicts, Some(1.0));
    gateway.finish().await;
}

const CONNECTIONS: usize = 50;
const POSTS_EACH: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_posts_of_one_id_are_one_event() {
    let gateway = gateway().await;
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        // Each with a pool, and thus a connection, of its own.
        let mut client =
            Client::https(gateway.app().public_addr(), gateway.app().certificate_pem());
        client.ledger = gateway.client.ledger.clone();
        senders.spawn(post_many(client, gateway.began));
    }
    let outcomes = senders.join_all().await.concat();
    assert_eq!(outcomes.len(), CONNECTIONS * POSTS_EACH);
    let accepted = outcomes.iter().filter(|outcome| *outcome == "accepted");
    assert_eq!(accepted.count(), 1);
    let duplicates = outcomes.iter().filter(|outcome| *outcome == "duplicate");
    assert_eq!(duplicates.count(), outcomes.len() - 1);
    assert_eq!(totals(&gateway.depth().await), [(1, 0)]);
    gateway.finish().await;
}

async fn post_many(client: Client, now: Timestamp) -> Vec<String> {
    let mut outcomes = Vec::new();
    let request = good("tickets", "contended", now);
    for _ in 0..POSTS_EACH {
        let reply = request.send(&client).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        outcomes.push(reply.outcome());
    }
    outcomes
}

/// An id made of two fields.
const JOINED: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.open]
path = "/hooks/open"
verify = "none"
event_id = { json = ["/a", "/b"] }
deliver = ["audit"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn joined_fields_never_meet_in_one_id_and_name_no_event_when_all_are_empty() {
    let gateway = Gateway::start(JOINED).await;
    for (a, b) in [
        ("x|y", "z"),
        ("x", "y|z"),
        (r"x\", "y|z"),
        ("x", r"\y|z"),
        ("x", ""),
        ("", "x"),
    ] {
        let request = Sent::json("/hooks/open", json!({ "a": a, "b": b }).to_string());
        for expected in ["accepted", "duplicate"] {
            let reply = request.send(&gateway.client).await;
            assert_eq!(reply.outcome(), expected, "{a} and {b}");
        }
    }
    let nothing = Sent::json("/hooks/open", json!({ "a": "", "b": "" }).to_string());
    let reply = nothing.send(&gateway.client).await;
    assert_problem(&reply, "invalid_event_id", "two empty fields");
    gateway.finish().await;
}

/// A route that lists headers to keep, in another spelling than they are sent in.
const KEEPING: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ env = "GITHUB_SECRET" }]
deliver = ["audit"]

[routes.keeping]
path = "/hooks/keeping"
verify = "none"
event_id = { json = "/id" }
keep_headers = ["X-Tenant", "x-region", "X-Absent"]
deliver = ["audit"]
"#;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn the_listed_headers_and_the_trace_are_stored_and_no_others() {
    let gateway = Gateway::start(KEEPING).await;
    let keeping = Sent::json("/hooks/keeping", with_id("kept-1")).with("X-Region", "eu west, 1");
    for (request, kept) in [
        (
            github("kept-1", "{}").with("X-GitHub-Hook-ID", "4711"),
            &[
                ("traceparent", TRACE),
                ("x-github-delivery", "kept-1"),
                ("x-github-event", "push"),
                ("x-github-hook-id", "4711"),
            ][..],
        ),
        (
            keeping,
            &[
                ("traceparent", TRACE),
                ("x-region", "eu west, 1"),
                ("x-tenant", "acme"),
            ],
        ),
    ] {
        let request = request
            .with("X-Tenant", "acme")
            .with("traceparent", TRACE)
            .with("tracestate", "vendor=1")
            .with("Cookie", "session=canary")
            .with("Authorization", "Bearer canary")
            .with("Proxy-Authorization", "Basic canary")
            .with("X-Api-Key", "canary")
            .with("X-Forwarded-For", "203.0.113.7")
            .with("User-Agent", "provider/1");
        let reply = request.send(&gateway.client).await;
        assert_eq!(reply.outcome(), "accepted", "{}", request.path);
        let stored = gateway.stored(reply.uid()).await.unwrap();
        let headers = stored.event.headers.iter();
        let mut headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        headers.sort_unstable();
        assert_eq!(headers, kept, "{}", request.path);
    }
    gateway.finish().await;
}
