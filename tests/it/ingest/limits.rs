//! Limits that only hand-made bytes can meet: framing, size, slowness, the budget, the stop.

use http::StatusCode;

use crate::support::{gateway::Gateway, raw::Raw, wait_for};

use super::{
    rejections,
    requests::{Sent, with_id},
    table::{assert_problem, totals},
};

/// A body of at most 1,000 bytes, a second for all of it, and room for two of them at a time.
const TIGHT: &str = r#"
[server]
max_body = 1000
max_body_in_flight = 2000
body_timeout = "1s"

[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.open]
path = "/hooks/open"
verify = "none"
max_body = 1000
event_id = { json = "/id" }
deliver = ["audit"]
"#;

/// The same with all the time in the world, for what must be held open.
fn patient() -> String {
    TIGHT.replace(
        r#"body_timeout = "1s""#,
        "body_timeout = '10m'\nhead_timeout = '10m'\nshutdown_grace = '10m'",
    )
}

fn head(lines: &[&str]) -> String {
    let head = "POST /hooks/open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}{}\r\n\r\n", lines.join("\r\n"))
}

/// Checks that nothing was stored, and that the id `a` is accepted from a whole request.
async fn nothing_left(gateway: Gateway) {
    assert_eq!(totals(&gateway.depth().await), [(0, 0)]);
    let reply = Sent::json("/hooks/open", with_id("a"))
        .send(&gateway.client)
        .await;
    assert_eq!(reply.outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_a_408() {
    let gateway = Gateway::start(TIGHT).await;
    let mut raw = gateway.raw().await;
    raw.write(head(&["Content-Length: 10"])).await;
    raw.write("{").await;
    let reply = raw.reply().await.expect("an answer");
    assert_problem(&reply, "slow_request", "half a body");
    raw.closed().await;
    nothing_left(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_over_the_limit_is_refused_before_the_body() {
    let gateway = Gateway::start(&patient()).await;
    let mut raw = gateway.raw().await;
    raw.write(head(&["Content-Length: 1001"])).await;
    let reply = raw.reply().await.expect("an answer before the body");
    assert_problem(&reply, "body_too_large", "1001 bytes to come");
    nothing_left(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_over_the_limit_is_refused_before_its_end() {
    let gateway = Gateway::start(&patient()).await;
    let mut raw = gateway.raw().await;
    raw.write(head(&["Transfer-Encoding: chunked"])).await;
    raw.write(format!("3e8\r\n{}\r\n", " ".repeat(1000))).await;
    raw.write("1\r\n \r\n").await;
    let reply = raw.reply().await.expect("an answer before the last chunk");
    assert_problem(&reply, "body_too_large", "1001 bytes in chunks");
    nothing_left(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_within_the_limit_is_accepted_whole() {
    let gateway = Gateway::start(TIGHT).await;
    let mut raw = gateway.raw().await;
    raw.write(head(&["Transfer-Encoding: chunked"])).await;
    raw.write("2\r\n{\"\r\n5;x=y\r\nid\":\"\r\n3\r\na\"}\r\n0\r\n\r\n")
        .await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.outcome(), "accepted");
    let stored = gateway.stored(reply.uid()).await.expect("an event");
    assert_eq!(stored.event.body, r#"{"id":"a"}"#);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_short_is_never_taken_for_a_whole_one() {
    let cuts = [
        ("a length", head(&["Content-Length: 11"]) + r#"{"id":"a"}"#),
        (
            "chunks without an end",
            head(&["Transfer-Encoding: chunked"]) + "a\r\n{\"id\":\"a\"}\r\n",
        ),
        (
            "half a chunk",
            head(&["Transfer-Encoding: chunked"]) + "b\r\n{\"id\":\"a\"}",
        ),
    ];
    for (what, bytes) in cuts {
        let gateway = Gateway::start(&patient()).await;
        let mut raw = gateway.raw().await;
        raw.write(bytes).await;
        raw.half_close().await;
        if let Some(reply) = raw.reply().await {
            assert_problem(&reply, "malformed_request", what);
        }
        raw.closed().await;
        nothing_left(gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_that_two_could_read_differently_is_refused_and_closed() {
    let both = head(&["Content-Length: 4", "Transfer-Encoding: chunked"]);
    let id = "a\r\n{\"id\":\"a\"}\r\n0\r\n\r\n";
    let chunked = head(&["Transfer-Encoding: chunked"]);
    let body = r#"{"id":"a"}"#;
    let requests = [
        ("both framings", both + id),
        (
            "two lengths",
            head(&["Content-Length: 10", "Content-Length: 4"]) + body,
        ),
        (
            "a length with a sign",
            head(&["Content-Length: +10"]) + body,
        ),
        ("a negative length", head(&["Content-Length: -1"]) + body),
        ("a length list", head(&["Content-Length: 10, 10"]) + body),
        (
            "chunked twice",
            head(&["Transfer-Encoding: chunked, chunked"]) + id,
        ),
        (
            "an unknown coding last",
            head(&["Transfer-Encoding: chunked, identity"]) + id,
        ),
        (
            "a chunk size that is no number",
            chunked.clone() + "zz\r\n{\"id\":\"a\"}\r\n0\r\n\r\n",
        ),
        (
            "a chunk size that overflows",
            chunked.clone() + "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ),
        (
            "a chunk longer than it says",
            chunked + "2\r\n{\"id\":\"a\"}\r\n0\r\n\r\n",
        ),
        (
            "a space before the colon",
            head(&["Content-Length : 10"]) + body,
        ),
        (
            "a folded header",
            head(&["X-A: b\r\n c: d", "Content-Length: 10"]) + body,
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in requests {
        let gateway = Gateway::start(&patient()).await;
        let mut raw = gateway.raw().await;
        raw.write(bytes).await;
        let reply = raw
            .reply()
            .await
            .unwrap_or_else(|| panic!("{what}: no answer"));
        assert_problem(&reply, "malformed_request", what);
        let rest = raw.closed().await;
        assert!(rest.is_empty(), "{what}: a second answer {rest:?}");
        nothing_left(gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_budget_of_bodies_a_request_is_a_503_and_not_remembered() {
    let gateway = Gateway::start(&patient()).await;
    let mut held = [gateway.raw().await, gateway.raw().await];
    for raw in &mut held {
        raw.write(head(&["Content-Length: 1000"])).await;
        raw.write(" ".repeat(900)).await;
    }
    let mut count = 0;
    let refused = wait_for("a 503", async || {
        count += 1;
        let request = Sent::json(
            "/hooks/open",
            format!(r#"{{"id":"{count}"}}{}"#, " ".repeat(900)),
        );
        let reply = request.send(&gateway.client).await;
        if reply.status == 200 {
            return None;
        }
        assert_problem(&reply, "overloaded", "two bodies held");
        Some(request)
    })
    .await;
    drop(held);
    let later = wait_for("room again", async || {
        let reply = refused.send(&gateway.client).await;
        (reply.status != 503).then_some(reply)
    });
    assert_eq!(later.await.outcome(), "accepted");
    gateway.finish().await;
}

/// A head costs its sender nothing: only bytes that arrived may take from the budget.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_only_announced_take_nothing_from_the_budget() {
    let gateway = Gateway::start(&patient()).await;
    let mut announced = Vec::new();
    for _ in 0..4 {
        let mut raw = gateway.raw().await;
        raw.write(head(&["Expect: 100-continue", "Content-Length: 1000"]))
            .await;
        let reply = raw.reply().await.expect("an answer");
        assert_eq!(reply.status, StatusCode::CONTINUE);
        announced.push(raw);
    }
    let whole = Sent::json("/hooks/open", with_id("whole"));
    assert_eq!(whole.send(&gateway.client).await.outcome(), "accepted");
    for (count, mut raw) in announced.into_iter().enumerate() {
        raw.write(format!("{:<1000}", with_id(&count.to_string())))
            .await;
        let reply = raw.reply().await.expect("an answer");
        assert_eq!(reply.outcome(), "accepted", "{count}");
    }
    gateway.finish().await;
}

/// The HTTP layer answers what it cannot parse by itself, in one piece with our answer to the request before.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_behind_a_good_one_is_told_so_as_any_other() {
    let gateway = Gateway::start(TIGHT).await;
    let mut raw = gateway.raw().await;
    let good = head(&["Content-Length: 10"]) + r#"{"id":"a"}"#;
    raw.write(good + "POST /hooks/open HTTP/7.7\r\n\r\n").await;
    let first = raw.reply().await.expect("the answer to the good one");
    assert_eq!(first.outcome(), "accepted");
    let second = raw.reply().await.expect("the answer to the malformed one");
    assert_problem(&second, "malformed_request", "pipelined");
    assert!(raw.closed().await.is_empty());
    gateway.finish().await;
}

/// While a stop waits for what is in flight, the others are told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_answers_503_and_finishes_what_it_began() {
    let gateway = Gateway::start(&patient()).await;
    let mut begun = gateway.raw().await;
    begun
        .write(head(&["Expect: 100-continue", "Content-Length: 10"]))
        .await;
    assert_eq!(
        begun.reply().await.expect("an answer").status,
        StatusCode::CONTINUE
    );
    // Its head has begun, so it is no idle connection, which a stop simply closes.
    let mut late = gateway.raw().await;
    let request = head(&["Content-Length: 10"]) + r#"{"id":"b"}"#;
    late.write(&request[..20]).await;
    let store = gateway.store();
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value("hookgate_connections", &[]), Some(2.0));
    let admin = gateway.admin.clone();
    let stopping = tokio::spawn(gateway.stop());
    wait_for("the stop to be seen", async || {
        let reply = admin.try_send(http::Method::GET, "/readyz", &[], "").await;
        reply
            .map_or(true, |reply| !reply.status.is_success())
            .then_some(())
    })
    .await;
    late.write(&request[20..]).await;
    let reply = late.reply().await.expect("an answer");
    assert_problem(&reply, "draining", "too late");
    late.closed().await;
    begun.write(r#"{"id":"a"}"#).await;
    assert_eq!(
        begun.reply().await.expect("an answer").outcome(),
        "accepted"
    );
    stopping.await.expect("a stop");
    drop((store, Raw::closed(&mut begun).await));
}

/// Room for one request, and for the next after three seconds.
const LIMITED: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.limited]
path = "/hooks/limited"
verify = "none"
event_id = { json = "/id" }
rate = { limit = "20/m", burst = 1 }
deliver = ["audit"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn over_the_rate_a_request_is_put_off_and_not_remembered() {
    let gateway = Gateway::start(LIMITED).await;
    let mut count = 0;
    let (refused, depth) = wait_for("a 429", async || {
        count += 1;
        let request = Sent::json("/hooks/limited", with_id(&count.to_string()));
        let depth = totals(&gateway.depth().await);
        let reply = request.send(&gateway.client).await;
        if reply.status == 200 {
            return None;
        }
        assert_problem(&reply, "rate_limited", "too many");
        Some((request, depth))
    })
    .await;
    assert_eq!(totals(&gateway.depth().await), depth);
    let metrics = gateway.metrics().await;
    assert_eq!(rejections(&metrics, "limited", "rate_limited"), 1.0);
    let later = wait_for("room again", async || {
        let reply = refused.send(&gateway.client).await;
        (reply.status != 429).then_some(reply)
    });
    assert_eq!(later.await.outcome(), "accepted");
    gateway.finish().await;
}
