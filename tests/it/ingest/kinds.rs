//! What is taken beside plain JSON: forms, XML, anything, queries, and ids over all elements of a list.

use hookgate::store::StoredEvent;
use http::Method;
use serde_json::json;

use crate::support::gateway::Gateway;

use super::{
    requests::{Sent, form, xml},
    table::assert_problem,
};

const KINDS: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[targets.billing]
url = "http://billing.example.com/in"
paused = true

[routes.kinds]
path = "/hooks/kinds"
verify = "none"
methods = ["POST", "GET"]
content = ["json", "form", "xml", "any"]
event_id = [{ json = "/id" }, { json = "/order/@id" }, { body = "sha256" }]
event_type = [{ json = "/type" }, { json = "/order/type" }]
deliver = ["audit", { to = "billing", events = ["paid"] }]

[routes.strict]
path = "/hooks/strict"
verify = "none"
content = ["form", "any"]
event_id = { json = "/id" }
deliver = [{ to = "audit", order_by = "/customer" }]

[routes.strict.require]
"/n" = "string"

[routes.strict.schema]
"*" = "form.json"

[routes.listed]
path = "/hooks/listed"
verify = "none"
event_id = [{ json = ["/tenant", "/items/*/id"] }, { json = "/items/*/id" }, { header = "X-Id" }]
event_type = [{ json = "/items/*/type" }, { json = "/type" }]
deliver = ["audit", { to = "billing", events = ["paid", "inv*"] }]
"#;

const FORM_SCHEMA: &str = r#"{"properties":{"n":{"pattern":"^[0-9]+$"}}}"#;

async fn gateway() -> Gateway {
    Gateway::start_with(KINDS, &[("form.json", FORM_SCHEMA)]).await
}

/// What became of a request that is accepted.
async fn accepted(gateway: &Gateway, sent: &Sent) -> StoredEvent {
    let reply = sent.send(&gateway.client).await;
    assert_eq!(reply.outcome(), "accepted", "{sent:?}: {}", reply.text());
    let stored = gateway.stored(reply.uid()).await.unwrap();
    assert_eq!(reply.json()["id"], *stored.event.id);
    let again = sent.send(&gateway.client).await;
    assert_eq!(again.outcome(), "duplicate", "{sent:?}");
    stored
}

fn targets(stored: &StoredEvent) -> Vec<&str> {
    stored.deliveries.iter().map(|one| &*one.target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_xml_and_queries_are_read_and_kept_as_they_came() {
    let gateway = gateway().await;
    let path = "/hooks/kinds";
    let get = |query: &str| {
        Sent::json(&format!("{path}?{query}"), "")
            .without("Content-Type")
            .method(Method::GET)
    };
    let url_encoded = "application/x-www-form-urlencoded";
    let payload = "x=1&payload=%7B%22id%22%3A+%22p%7C1%22%2C%22type%22%3A%22paid%22%7D";
    let rows = [
        (
            form(path, "id=f+1&type=paid&n=%C3%A4"),
            "f 1",
            Some("paid"),
            url_encoded,
        ),
        (form(path, payload), "p|1", Some("paid"), url_encoded),
        (form(path, "id=f2"), "f2", None, url_encoded),
        (
            xml(
                path,
                "<?xml version='1.0'?>\n<s:order xmlns:s='u' id='x&amp;1'><type>paid</type></s:order>",
            ),
            "x&1",
            Some("paid"),
            "text/xml; charset=utf-8",
        ),
        (get("id=q+1&type=sent"), "q 1", Some("sent"), url_encoded),
        (get("type=paid&id=%71%32"), "q2", Some("paid"), url_encoded),
        // A content type says nothing where there is no content.
        (
            get("id=q3").with("Content-Type", "application/json"),
            "q3",
            None,
            url_encoded,
        ),
        (
            Sent::json(path, r#"{"id":"j1","type":"paid"}"#),
            "j1",
            Some("paid"),
            "application/json",
        ),
    ];
    for (sent, id, event_type, content_type) in rows {
        let stored = accepted(&gateway, &sent).await;
        let event = &stored.event;
        assert_eq!(&*event.id, id);
        assert_eq!(event.event_type.as_deref(), event_type, "{id}");
        assert_eq!(event.content_type.as_deref(), Some(content_type), "{id}");
        let payload = match sent.path.split_once('?') {
            Some((_, query)) => query.as_bytes(),
            None => &sent.body,
        };
        assert_eq!(event.body, payload, "{id}");
        let to: &[&str] = match event_type {
            Some("paid") => &["audit", "billing"],
            _ => &["audit"],
        };
        assert_eq!(targets(&stored), to, "{id}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_is_taken_and_nothing_read_from_it() {
    let gateway = gateway().await;
    let path = "/hooks/kinds";
    let plain = Sent::json(path, r#"{"id":"unread"}"#);
    let rows = [
        plain.clone().instead("Content-Type", "text/plain"),
        plain.clone().body("\u{0}\u{1}").without("Content-Type"),
        plain
            .clone()
            .body(b"\xff\xfe")
            .instead("Content-Type", "image/png"),
        plain
            .clone()
            .body("")
            .instead("Content-Type", "multipart/form-data; boundary=x"),
    ];
    for sent in rows {
        let stored = accepted(&gateway, &sent).await;
        assert!(
            stored.event.id.starts_with("sha256:"),
            "{}",
            stored.event.id
        );
        assert_eq!(stored.event.event_type, None);
        assert_eq!(stored.event.body, sent.body);
    }
    // What names a kind that is read is read.
    let broken = Sent::json(path, "{").send(&gateway.client).await;
    assert_problem(
        &broken,
        "invalid_json",
        "JSON on a route that takes anything",
    );
    let anything = Sent::json("/hooks/strict", "id=a&n=1").instead("Content-Type", "text/plain");
    let reply = anything.send(&gateway.client).await;
    assert_problem(&reply, "schema_violation", "nothing is found in anything");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_of_a_form_meets_requirements_schemas_and_orders() {
    let gateway = gateway().await;
    let of = |body: &str| form("/hooks/strict", body);
    let stored = accepted(&gateway, &of("id=a&n=12&customer=7")).await;
    assert!(stored.event.together, "an ordered delivery");
    for (body, pointer) in [("id=b", "/n"), ("id=b&n=1&n=2", "/n"), ("id=b&n=x", "/n")] {
        let reply = of(body).send(&gateway.client).await;
        assert_problem(&reply, "schema_violation", body);
        assert_eq!(reply.json()["violations"][0]["pointer"], pointer, "{body}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_form_or_xml_is_told_with_its_line_and_column() {
    let gateway = gateway().await;
    let path = "/hooks/kinds";
    let rows = [
        (form(path, "id=1\n&canary=%zz"), "invalid_form", 2, 9),
        (xml(path, "<a>\n <canary></b></a>"), "invalid_xml", 2, 10),
        (xml(path, "\n<!DOCTYPE canary>"), "invalid_xml", 2, 1),
        (
            form(path, "payload={\"id\":1,%0A\"id\":2}"),
            "duplicate_key",
            2,
            4,
        ),
    ];
    for (sent, reason, line, column) in rows {
        let reply = sent.send(&gateway.client).await;
        assert_problem(&reply, reason, reason);
        let problem = reply.json();
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&json!(line), &json!(column)),
            "{problem}"
        );
        assert!(
            !reply.text().contains("canary"),
            "the body told back: {problem}"
        );
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_415_says_what_is_taken() {
    let gateway = gateway().await;
    let rows = [
        (
            Sent::json("/hooks/listed", "{}").instead("Content-Type", "text/plain"),
            "application/json.",
        ),
        (
            form("/hooks/strict", "id=a").with("Content-Type", "text/plain"),
            "application/x-www-form-urlencoded or anything.",
        ),
    ];
    for (sent, told) in rows {
        let reply = sent.send(&gateway.client).await;
        assert_problem(&reply, "unsupported_content_type", told);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(
            detail,
            format!("This endpoint takes one Content-Type: {told}")
        );
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_types_are_those_of_all_elements() {
    let gateway = gateway().await;
    let listed = |items: serde_json::Value| json!({ "items": items });
    let item = |id: &str, event_type: &str| json!({ "id": id, "type": event_type });
    let long = "x".repeat(255);
    let digest = |text: &str| format!("sha256:{}", crate::support::sign::sha256_hex(text));
    let audit = ["audit"].as_slice();
    let both = ["audit", "billing"].as_slice();
    let rows = [
        (
            listed(json!([item("a", "sent")])),
            "a".to_owned(),
            Some("sent"),
            audit,
        ),
        (
            listed(json!([
                item("a", "sent"),
                item("b", "paid"),
                item("c", "sent")
            ])),
            "a|b|c".to_owned(),
            Some("sent,paid"),
            both,
        ),
        (
            listed(json!([item("b", "invoiced"), item("a", "invoiced")])),
            "b|a".to_owned(),
            Some("invoiced"),
            both,
        ),
        // Neither of these two is the other, nor the three above.
        (
            listed(json!([item("a|b", "sent"), item("c", "sent")])),
            r"a\|b|c".to_owned(),
            Some("sent"),
            audit,
        ),
        (
            listed(json!([item("a|b|c", "sent")])),
            r"a\|b\|c".to_owned(),
            Some("sent"),
            audit,
        ),
        (
            listed(json!([item(&long, "sent")])),
            long.clone(),
            Some("sent"),
            audit,
        ),
        (
            listed(json!([item(&long, "sent"), item("y", "sent")])),
            digest(&format!("{long}|y")),
            Some("sent"),
            audit,
        ),
        (
            json!({ "tenant": 7, "items": [{ "id": 1 }, { "id": 2 }], "type": "paid" }),
            r"7|1\|2".to_owned(),
            Some("paid"),
            both,
        ),
        (
            listed(json!([{ "id": "n", "type": null }, { "id": "m" }])),
            "n|m".to_owned(),
            None,
            audit,
        ),
    ];
    for (body, id, event_type, to) in rows {
        let stored = accepted(&gateway, &Sent::json("/hooks/listed", body.to_string())).await;
        assert_eq!(*stored.event.id, *id);
        assert_eq!(stored.event.event_type.as_deref(), event_type, "{id}");
        assert_eq!(targets(&stored), to, "{id}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_not_of_all_elements_is_none() {
    let gateway = gateway().await;
    let of = |body: serde_json::Value| Sent::json("/hooks/listed", body.to_string());
    // The next source has the word.
    for (body, id) in [
        (json!({ "items": [{ "id": "a" }, {}] }), "h1"),
        (json!({ "items": [{ "id": "a" }, { "id": null }] }), "h2"),
        (json!({ "items": [] }), "h3"),
    ] {
        let stored = accepted(&gateway, &of(body).with("X-Id", id)).await;
        assert_eq!(&*stored.event.id, id);
    }
    for (body, reason) in [
        (json!({ "items": [{ "id": "a" }, {}] }), "missing_event_id"),
        (
            json!({ "items": [{ "id": "a" }, { "id": {} }] }),
            "invalid_event_id",
        ),
        (
            json!({ "items": [{ "id": "a" }, { "id": "b\n" }] }),
            "invalid_event_id",
        ),
        (
            json!({ "items": [{ "id": "" }, { "id": "" }] }),
            "invalid_event_id",
        ),
        (
            json!({ "items": [{ "id": "a", "type": {} }] }),
            "schema_violation",
        ),
        (
            json!({ "items": [{ "id": "a", "type": "" }] }),
            "schema_violation",
        ),
    ] {
        let reply = of(body.clone()).send(&gateway.client).await;
        assert_problem(&reply, reason, &body.to_string());
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_types_are_told_as_far_as_they_fit_and_all_of_them_pick_targets() {
    let gateway = gateway().await;
    let items = |count: usize| {
        let items = (0..count).map(|n| json!({ "id": n, "type": format!("type-{n:03}") }));
        items.collect::<Vec<_>>()
    };
    let mut many = items(200);
    many.push(json!({ "id": "last", "type": "paid" }));
    let sent = Sent::json("/hooks/listed", json!({ "items": many }).to_string());
    let stored = accepted(&gateway, &sent).await;
    let told = stored.event.event_type.clone().unwrap();
    assert!(
        told.starts_with("type-000,type-001,") && told.ends_with(",..."),
        "{told}"
    );
    assert!((240..=256).contains(&told.len()), "{told}");
    assert_eq!(targets(&stored), ["audit", "billing"]);
    let reply = Sent::json("/hooks/listed", json!({ "items": items(257) }).to_string());
    let reply = reply.send(&gateway.client).await;
    assert_problem(&reply, "schema_violation", "257 types");
    gateway.finish().await;
}
