//! What is refused for its shape: where it goes, what it bears, what it says.

use hookgate::clock::Timestamp;
use serde_json::json;

use crate::support::sign;

use super::{
    every_route, gateway, gateway_with,
    requests::{Sent, batch, event, form, github, good, query, secret, strict, with_id, xml},
    table::{Row, assert_covers, assert_problem, pointers, refuse_all},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_other_refusal_says_why_and_leaves_nothing() {
    let gateway = gateway().await;
    let rows = [
        heads(gateway.began),
        bodies(),
        ids(gateway.began),
        forms(),
        xmls(),
        batches(),
    ]
    .concat_all();
    assert_covers(&rows, &[400, 403, 404, 405, 413, 415, 422]);
    refuse_all(&gateway, &rows).await;
    gateway.finish().await;
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Row>;
}

impl<const N: usize> ConcatAll for [Vec<Row>; N] {
    /// `[Vec<T>]::concat` wants clones.
    fn concat_all(self) -> Vec<Row> {
        self.into_iter().flatten().collect()
    }
}

fn row(route: &'static str, reason: &'static str, what: &'static str, request: Sent) -> Row {
    Row {
        what,
        route,
        reason,
        request,
        id: format!("{route} {what}"),
    }
}

/// The good request of a row on a route without a proof.
fn open(what: &str) -> Sent {
    Sent::json("/hooks/open", with_id(&format!("open {what}")))
}

/// As Slack signs what it sends.
fn challenge(now: Timestamp, body: &str) -> Sent {
    let at = now.as_secs().to_string();
    let signature = sign::slack(&secret("SLACK_SECRET"), &at, body.as_bytes());
    Sent::json("/hooks/slack", body)
        .with("X-Slack-Request-Timestamp", at)
        .with("X-Slack-Signature", signature)
}

fn heads(now: Timestamp) -> Vec<Row> {
    let json = "application/json";
    let anywhere = |from: &str| Sent::json("/hooks/guarded", "{}").with("X-Forwarded-For", from);
    let from = |reason, what, request| row("guarded", reason, what, request);
    let forbidden = "source_not_allowed";
    let typed = "unsupported_content_type";
    let coded = "unsupported_encoding";
    vec![
        row(
            "-",
            "unknown_path",
            "a path of nobody's",
            Sent::json("/hooks/nobody", "{}"),
        ),
        row("-", "unknown_path", "the root", Sent::json("/", "{}")),
        row(
            "-",
            "unknown_path",
            "a path in capitals",
            Sent::json("/hooks/OPEN", "{}"),
        ),
        row(
            "-",
            "unknown_path",
            "a slash too many",
            Sent::json("/hooks/open/", "{}"),
        ),
        row(
            "-",
            "unknown_path",
            "two slashes",
            Sent::json("/hooks//open", "{}"),
        ),
        row(
            "open",
            "method_not_allowed",
            "PUT",
            open("PUT").method(http::Method::PUT),
        ),
        row(
            "open",
            "method_not_allowed",
            "GET",
            open("GET").method(http::Method::GET),
        ),
        row(
            "slack",
            "handshake_refused",
            "a challenge without a challenge",
            challenge(now, r#"{"type":"url_verification"}"#),
        ),
        row(
            "closed",
            "route_disabled",
            "a route that is off",
            Sent::json("/hooks/closed", "{}"),
        ),
        from(forbidden, "from outside", anywhere("198.51.100.1")),
        from(
            forbidden,
            "from the proxy itself",
            Sent::json("/hooks/guarded", "{}"),
        ),
        from(
            forbidden,
            "a forged hop before the real one",
            anywhere("203.0.113.7, 198.51.100.1"),
        ),
        from(forbidden, "no address", anywhere("nonsense")),
        row(
            "open",
            "malformed_request",
            "an upgrade to a web socket",
            open("an upgrade to a web socket")
                .with("Connection", "Upgrade")
                .with("Upgrade", "websocket"),
        ),
        row(
            "open",
            typed,
            "text",
            open("text").instead("Content-Type", "text/plain"),
        ),
        row(
            "open",
            typed,
            "JSON and text",
            open("JSON and text").with("Content-Type", "text/plain"),
        ),
        row(
            "open",
            typed,
            "a form",
            open("a form").instead("Content-Type", "application/x-www-form-urlencoded"),
        ),
        row(
            "open",
            typed,
            "no type",
            open("no type").without("Content-Type"),
        ),
        row(
            "open",
            typed,
            "nearly JSON",
            open("nearly JSON").instead("Content-Type", format!("{json}p")),
        ),
        row(
            "open",
            coded,
            "gzip",
            open("gzip").with("Content-Encoding", "gzip"),
        ),
        row(
            "open",
            coded,
            "an unknown coding",
            open("an unknown coding").with("Content-Encoding", "x-own"),
        ),
        row(
            "open",
            coded,
            "identity, then gzip",
            open("identity, then gzip").with("Content-Encoding", "identity, gzip"),
        ),
        row(
            "small",
            "body_too_large",
            "one byte too many",
            Sent::json("/hooks/small", sized(1025)),
        ),
    ]
}

/// A JSON object of exactly this many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    let around = r#"{"pad":""}"#.len();
    format!(r#"{{"pad":"{}"}}"#, "x".repeat(bytes - around)).into_bytes()
}

fn bodies() -> Vec<Row> {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let invalid: [(&str, &[u8]); 15] = [
        ("an empty body", b""),
        ("only spaces", b"  \n "),
        ("words", b"hello"),
        ("cut short", br#"{"id":"a","#),
        ("two documents", br#"{"id":"a"} {"id":"b"}"#),
        ("a comma too many", br#"{"id":"a",}"#),
        ("single quotes", b"{'id':'a'}"),
        ("a number with a plus", br#"{"id":"a","n":+1}"#),
        ("not a number", br#"{"id":"a","n":NaN}"#),
        ("not UTF-8", b"{\"id\":\"\xff\"}"),
        ("half a surrogate", br#"{"id":"\ud800"}"#),
        ("a raw line break in a string", b"{\"id\":\"a\nb\"}"),
        ("a NUL behind the end", b"{\"id\":\"a\"}\0"),
        ("a byte order mark", b"\xef\xbb\xbf{\"id\":\"a\"}"),
        ("gzip that does not say so", b"\x1f\x8b\x08\x00"),
    ];
    let invalid = invalid
        .into_iter()
        .map(|(what, body)| row("open", "invalid_json", what, open(what).body(body)));
    let others = [
        ("too_deep", "a deep array", deep),
        (
            "too_deep",
            "a deep object",
            format!("{}1", r#"{"a":"#.repeat(10_000)),
        ),
        (
            "duplicate_key",
            "two ids",
            r#"{"id":"a","id":"b"}"#.to_owned(),
        ),
        (
            "duplicate_key",
            "two ids, one escaped",
            r#"{"id":"a","\u0069d":"b"}"#.to_owned(),
        ),
        (
            "duplicate_key",
            "two ids, both the same",
            r#"{"id":"a","id":"a"}"#.to_owned(),
        ),
    ];
    let others = others
        .into_iter()
        .map(|(reason, what, body)| row("open", reason, what, open(what).body(body)));
    invalid.chain(others).collect()
}

fn forms() -> Vec<Row> {
    let of = |reason, what, body: &[u8]| row("form", reason, what, form("/hooks/form", body));
    let many = "n=1&".repeat(100_000);
    let deep = format!("payload={}", "[".repeat(65) + &"]".repeat(65));
    let asked = |reason, what, request| row("query", reason, what, request);
    let invalid = "invalid_form";
    vec![
        of(invalid, "a broken escape", b"id=%zz"),
        of(invalid, "an escape cut short", b"id=a&n=%4"),
        of(invalid, "no UTF-8", b"id=\xff"),
        of(invalid, "no UTF-8 once decoded", b"id=%c3%28"),
        of(invalid, "100000 fields", many.as_bytes()),
        of("too_deep", "a payload too deep", deep.as_bytes()),
        of(
            "duplicate_key",
            "a payload with two ids",
            br#"payload={"id":1,"id":2}"#,
        ),
        of("missing_event_id", "an empty form", b""),
        of("invalid_event_id", "an id twice", b"id=a&id=b"),
        row(
            "form",
            "unsupported_content_type",
            "JSON where a form belongs",
            Sent::json("/hooks/form", "{}"),
        ),
        asked(invalid, "a broken escape in a query", query("id=%zz")),
        asked("missing_event_id", "no query", query("")),
        asked(
            "body_too_large",
            "a long query",
            query(&format!("id={}", "x".repeat(1022))),
        ),
        asked(
            "malformed_request",
            "a GET with a body",
            query("id=a").body("id=a"),
        ),
        asked(
            "missing_event_id",
            "the query of a POST",
            Sent::json("/hooks/query?id=a", "{}"),
        ),
        asked(
            "unsupported_content_type",
            "a form in a POST",
            form("/hooks/query", "id=a"),
        ),
    ]
}

fn xmls() -> Vec<Row> {
    let of = |reason, what, body: &str| row("xml", reason, what, xml("/hooks/xml", body));
    let bomb = "<!DOCTYPE event [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>\
        <event id='&b;'/>";
    let external =
        "<!DOCTYPE event [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><event id='1'>&a;</event>";
    // Each element is the second of its name: a list around each in the document.
    let lists = format!(
        "<event>{}{}</event>",
        "<a/><a>".repeat(40),
        "</a>".repeat(40)
    );
    let invalid = "invalid_xml";
    vec![
        of(invalid, "an entity bomb", bomb),
        of(invalid, "an external entity", external),
        of(invalid, "two roots", "<event id='a'/><event id='b'/>"),
        of(invalid, "two ids in XML", "<event id='a' id='b'/>"),
        of(invalid, "an element not closed", "<event id='a'>"),
        of(invalid, "JSON in XML", r#"{"event":{"@id":"a"}}"#),
        of(invalid, "an empty XML", ""),
        of(invalid, "a deep XML", &"<event>".repeat(100_000)),
        of("too_deep", "an XML of many lists", &lists),
        of("missing_event_id", "another root", "<other id='a'/>"),
        of(
            "invalid_event_id",
            "an id by two prefixes",
            "<event a:id='a' b:id='b'/>",
        ),
        row(
            "xml",
            "unsupported_content_type",
            "a form where XML belongs",
            form("/hooks/xml", "id=a"),
        ),
    ]
}

fn batches() -> Vec<Row> {
    let of = |reason, what, request| row("batch", reason, what, request);
    let raw = |body: &str| Sent::json("/hooks/batch", body);
    let violated = "schema_violation";
    let good = || event("a good one");
    let many: Vec<_> = (0..1001).map(|n| event(&n.to_string())).collect();
    vec![
        of(violated, "no list", raw("{}")),
        of(violated, "null for a list", raw(r#"{"events":null}"#)),
        of(violated, "an object for a list", raw(r#"{"events":{}}"#)),
        of(violated, "1001 elements", batch(&many)),
        of(
            violated,
            "an element that is not as required",
            batch(&[good(), json!({ "id": "b" })]),
        ),
        of(
            violated,
            "an element that is null",
            batch(&[good(), json!(null)]),
        ),
        of(
            "missing_event_id",
            "an element without an id",
            batch(&[good(), json!({ "n": 1 })]),
        ),
        of(
            "invalid_event_id",
            "an element with an empty id",
            batch(&[good(), event("")]),
        ),
        of(
            "duplicate_key",
            "two lists",
            raw(r#"{"events":[],"events":[]}"#),
        ),
        of(
            "duplicate_key",
            "an element with two ids",
            raw(r#"{"events":[{"n":1,"id":"a"},{"n":1,"id":"b","id":"c"}]}"#),
        ),
        of(
            "invalid_json",
            "an element cut short",
            raw(r#"{"events":[{"n":1,"id":"a"}"#),
        ),
        of(
            "invalid_json",
            "half a surrogate in an element",
            raw(r#"{"events":[{"n":1,"id":"a","x":"\ud800"}]}"#),
        ),
    ]
}

fn ids(now: Timestamp) -> Vec<Row> {
    let (missing, invalid) = ("missing_event_id", "invalid_event_id");
    let long = "x".repeat(257);
    let wide = "ä".repeat(129);
    let by_json = [
        (missing, "no id", json!({})),
        (missing, "an id of null", json!({ "id": null })),
        (missing, "an id further down", json!({ "a": { "id": "x" } })),
        (missing, "a list", json!(["id"])),
        (invalid, "an empty id", json!({ "id": "" })),
        (invalid, "an id of 257 bytes", json!({ "id": long })),
        (
            invalid,
            "an id of 258 bytes in 129 characters",
            json!({ "id": wide }),
        ),
        (invalid, "an id with a line break", json!({ "id": "a\nb" })),
        (invalid, "an id with a NUL", json!({ "id": "a\0" })),
        (
            invalid,
            "an id with a C1 control",
            json!({ "id": "a\u{85}" }),
        ),
        (
            invalid,
            "an id that is an object",
            json!({ "id": { "a": 1 } }),
        ),
        (invalid, "an id that is true", json!({ "id": true })),
        (invalid, "an id that is a fraction", json!({ "id": 1.5 })),
    ];
    let by_json = by_json
        .into_iter()
        .map(|(reason, what, body)| row("open", reason, what, open(what).body(body.to_string())));
    let headed = |id: &str| good("headed", id, now);
    let by_header = [
        row(
            "headed",
            missing,
            "no header",
            headed("a").without("X-Event-Id"),
        ),
        row("headed", invalid, "an empty header", headed("")),
        row("headed", invalid, "257 bytes in a header", headed(&long)),
        row(
            "headed",
            invalid,
            "two headers",
            headed("b").with("X-Event-Id", "c"),
        ),
        row(
            "github",
            missing,
            "no delivery id",
            github("d", "{}").without("X-GitHub-Delivery"),
        ),
        row(
            "github",
            "schema_violation",
            "two event types",
            github("g", r#"{}"#).with("X-GitHub-Event", "ping"),
        ),
        row(
            "strict",
            "schema_violation",
            "nothing required",
            strict("e").body("{}"),
        ),
    ];
    by_json.chain(by_header).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_405_says_what_is_allowed() {
    let gateway = gateway().await;
    let reply = open("x")
        .method(http::Method::DELETE)
        .send(&gateway.client)
        .await;
    assert_problem(&reply, "method_not_allowed", "DELETE");
    assert_eq!(reply.header("allow"), Some("POST"));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_json_is_told_with_its_line_and_column() {
    let gateway = gateway().await;
    let bodies = [
        ("{\"id\":\n  \"a\",\n  oops}", 3),
        ("oops", 1),
        ("{\"id\":\"a\"}\n\n\nmore", 4),
        ("{\"id\":\"ä\",\r\n\r\n\"b\" 1}", 3),
    ];
    for (body, line) in bodies {
        let reply = open("x").body(body).send(&gateway.client).await;
        assert_problem(&reply, "invalid_json", body);
        let problem = reply.json();
        assert_eq!(problem["line"], line, "{body}: {problem}");
        assert!(
            problem["column"].as_u64().is_some_and(|column| column > 0),
            "{problem}"
        );
        assert!(
            !reply.text().contains("oops"),
            "the body told back: {problem}"
        );
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_told_with_its_pointer() {
    let gateway = gateway().await;
    let body = json!({
        "id": "a", "type": "order", "at": "yesterday", "customer": { "id": "seven" }, "total": -1, "currency": "canary-value"
    });
    let reply = strict("a")
        .body(body.to_string())
        .send(&gateway.client)
        .await;
    assert_problem(&reply, "schema_violation", "all wrong");
    assert_eq!(
        pointers(&reply.json()),
        ["/at", "/currency", "/customer/id", "/total"]
    );
    assert!(!reply.text().contains("canary-value"), "{}", reply.text());
    let reply = strict("a")
        .body(r#"{"id":"a"}"#)
        .send(&gateway.client)
        .await;
    assert_problem(&reply, "schema_violation", "all missing");
    // The schema tells a missing `total` at the object that lacks it.
    assert_eq!(pointers(&reply.json()), ["", "/at", "/customer/id"]);
    assert_eq!(
        strict("a").send(&gateway.client).await.outcome(),
        "accepted"
    );
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_is_believed() {
    let trusting = every_route();
    let distrusting = trusting.replace(r#"["127.0.0.0/8"]"#, r#"["10.0.0.0/8"]"#);
    assert_ne!(trusting, distrusting);
    let gateway = gateway_with(&distrusting).await;
    let forged = Sent::json("/hooks/guarded", with_id("a")).with("X-Forwarded-For", "203.0.113.7");
    let reply = forged.send(&gateway.client).await;
    assert_problem(&reply, "source_not_allowed", "a forged header");
    gateway.finish().await;
    let gateway = gateway_with(&trusting).await;
    assert_eq!(forged.send(&gateway.client).await.outcome(), "accepted");
    gateway.finish().await;
}
