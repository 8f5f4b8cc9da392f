//! `split`: each element of a list is an event of its own, and all of them are accepted or none.

use bytes::Bytes;
use hookgate::{clock::Clock, store::StoredEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{client::Reply, gateway::Gateway};

use super::{
    requests::Sent,
    table::{assert_problem, pointers, totals},
};

const BATCHES: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[targets.billing]
url = "http://billing.example.com/in"
paused = true

[routes.batch]
path = "/hooks/batch"
verify = "none"
split = "/events"
event_id = { json = "/id" }
event_type = { json = "/type" }
keep_headers = ["X-Tenant"]
deliver = ["audit", { to = "billing", events = ["paid"] }]

[routes.batch.require]
"/n" = "integer"

[routes.whole]
path = "/hooks/whole"
verify = "none"
split = ""
event_id = { body = "sha256" }
deliver = ["audit"]

[routes.answering]
path = "/hooks/answering"
verify = "none"
split = ""
event_id = { json = "/id" }
respond = { status = 202, content_type = "text/plain", body = "thanks" }
deliver = ["audit"]
"#;

fn batch(events: &[&str]) -> Sent {
    Sent::json(
        "/hooks/batch",
        format!(r#"{{"events": [{}]}}"#, events.join(" ,\n ")),
    )
}

fn element(id: &str, event_type: &str) -> String {
    format!(r#"{{ "id":"{id}",  "type":"{event_type}", "n": 1 }}"#)
}

/// Status and id of each event, in order.
#[track_caller]
fn told(reply: &Reply) -> Vec<(String, String)> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = reply.json()["events"].as_array().unwrap().clone();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    events
        .iter()
        .map(|event| (text(event, "status"), text(event, "id")))
        .collect()
}

async fn stored(gateway: &Gateway, reply: &Reply, index: usize) -> StoredEvent {
    let uid = reply.json()["events"][index]["event"]
        .as_str()
        .unwrap()
        .to_owned();
    gateway.stored(uid.parse::<Uuid>().unwrap()).await.unwrap()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(one, other)| ((*one).to_owned(), (*other).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_element_is_an_event_with_its_own_bytes_id_type_and_targets() {
    let gateway = Gateway::start(BATCHES).await;
    let elements = [
        element("a", "paid"),
        element("b", "sent"),
        r#"{"n":2,"id":7}"#.to_owned(),
    ];
    let texts = elements.each_ref().map(String::as_str);
    let reply = batch(&texts)
        .with("X-Tenant", "t1")
        .send(&gateway.client)
        .await;
    assert_eq!(reply.outcome(), "accepted");
    assert_eq!(
        told(&reply),
        pairs(&[("accepted", "a"), ("accepted", "b"), ("accepted", "7")])
    );
    let expected: [(Option<&str>, &[&str]); 3] = [
        (Some("paid"), &["audit", "billing"]),
        (Some("sent"), &["audit"]),
        (None, &["audit"]),
    ];
    for (index, (event_type, targets)) in expected.iter().enumerate() {
        let StoredEvent { event, deliveries } = stored(&gateway, &reply, index).await;
        assert_eq!(event.body, Bytes::copy_from_slice(texts[index].as_bytes()));
        assert_eq!(event.event_type.as_deref(), *event_type);
        assert_eq!(event.content_type.as_deref(), Some("application/json"));
        assert_eq!(event.headers, [("x-tenant".into(), "t1".into())]);
        let to: Vec<_> = deliveries.iter().map(|one| &*one.target).collect();
        assert_eq!(to, *targets);
    }
    assert_eq!(totals(&gateway.depth().await), [(3, 0), (1, 0)]);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_a_duplicate_beside_what_is_new() {
    let gateway = Gateway::start(BATCHES).await;
    let [a, b, c] = ["a", "b", "c"].map(|id| element(id, "sent"));
    let first = batch(&[&a, &b, &a]).send(&gateway.client).await;
    assert_eq!(first.outcome(), "accepted");
    assert_eq!(
        told(&first),
        pairs(&[("accepted", "a"), ("accepted", "b"), ("duplicate", "a")])
    );
    let uid = |reply: &Reply, index: usize| reply.json()["events"][index]["event"].clone();
    assert_eq!(uid(&first, 0), uid(&first, 2));
    let again = batch(&[&b, &a]).send(&gateway.client).await;
    assert_eq!(again.outcome(), "duplicate");
    assert_eq!(
        told(&again),
        pairs(&[("duplicate", "b"), ("duplicate", "a")])
    );
    assert_eq!(uid(&again, 0), uid(&first, 1));
    let more = batch(&[&a, &c]).send(&gateway.client).await;
    assert_eq!(more.outcome(), "accepted");
    assert_eq!(told(&more), pairs(&[("duplicate", "a"), ("accepted", "c")]));
    let metrics = gateway.metrics().await;
    for (outcome, count) in [("accepted", 3.0), ("duplicate", 4.0), ("rejected", 0.0)] {
        let labels = [("route", "batch"), ("outcome", outcome)];
        assert_eq!(
            metrics.value("hookgate_requests_total", &labels),
            Some(count),
            "{outcome}"
        );
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_element_refuses_all_and_is_named() {
    let gateway = Gateway::start(BATCHES).await;
    let good = element("good", "paid");
    let rows: [(&[&str], &str, &[&str]); 6] = [
        (
            &[&good, r#"{"id":"x"}"#, &good, r#"{"id":"y","n":"1"}"#],
            "schema_violation",
            &["/events/1/n", "/events/3/n"],
        ),
        (
            &[&good, r#"{"id":"x","n":1,"type":{}}"#],
            "schema_violation",
            &["/events/1/type"],
        ),
        (&["3"], "schema_violation", &["/events/0/n"]),
        (&[&good, r#"{"n":1}"#], "missing_event_id", &["/events/1"]),
        (
            &[&good, &good, r#"{"n":1,"id":""}"#],
            "invalid_event_id",
            &["/events/2"],
        ),
        (
            &[&good, r#"{"n":1,"id":[]}"#, "{}"],
            "schema_violation",
            &["/events/2/n"],
        ),
    ];
    for (elements, reason, violated) in rows {
        let reply = batch(elements).send(&gateway.client).await;
        assert_problem(&reply, reason, &elements.join(","));
        assert_eq!(pointers(&reply.json()), violated);
    }
    let twice = batch(&[&good, r#"{"n":1, "id":"x","id":"y"}"#])
        .send(&gateway.client)
        .await;
    assert_problem(&twice, "duplicate_key", "two ids");
    let problem = twice.json();
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&json!(2), &json!(22)),
        "{problem}"
    );
    assert_eq!(problem["message"], "/events/1/id stands twice");
    assert_eq!(totals(&gateway.depth().await), [(0, 0), (0, 0)]);
    let reply = batch(&[&good]).send(&gateway.client).await;
    assert_eq!(told(&reply), pairs(&[("accepted", "good")]), "remembered");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_brings_none_to_a_thousand_events() {
    let gateway = Gateway::start(BATCHES).await;
    let none = batch(&[]).send(&gateway.client).await;
    assert_eq!(none.json(), json!({ "status": "accepted", "events": [] }));
    let elements: Vec<_> = (0..1001).map(|n| element(&n.to_string(), "sent")).collect();
    let texts: Vec<_> = elements.iter().map(String::as_str).collect();
    let reply = batch(&texts).send(&gateway.client).await;
    assert_problem(&reply, "schema_violation", "1001 elements");
    assert_eq!(pointers(&reply.json()), ["/events"]);
    let reply = batch(&texts[..1000]).send(&gateway.client).await;
    assert_eq!(told(&reply).len(), 1000);
    assert_eq!(totals(&gateway.depth().await), [(1000, 0), (0, 0)]);
    gateway.finish().await;
}

/// Of many targets it brings fewer: one step is short, whatever others have configured.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_brings_no_more_deliveries_than_a_step_may_have() {
    let names: Vec<_> = (0..40).map(|n| format!("t{n}")).collect();
    let targets = names.iter().map(|name| {
        format!("[targets.{name}]\nurl = \"http://{name}.example.com/\"\npaused = true\n")
    });
    let route = format!(
        "[routes.batch]\npath = \"/hooks/batch\"\nverify = \"none\"\nsplit = \"/events\"\n\
         event_id = {{ json = \"/id\" }}\ndeliver = {names:?}\n"
    );
    let gateway = Gateway::start(&(targets.collect::<String>() + &route)).await;
    let elements: Vec<_> = (0..801).map(|n| element(&n.to_string(), "sent")).collect();
    let texts: Vec<_> = elements.iter().map(String::as_str).collect();
    let reply = batch(&texts).send(&gateway.client).await;
    assert_problem(&reply, "schema_violation", "32,040 deliveries");
    assert_eq!(pointers(&reply.json()), ["/events"]);
    let reply = batch(&texts[..800]).send(&gateway.client).await;
    assert_eq!(told(&reply).len(), 800);
    assert!(told(&reply).iter().all(|(status, _)| status == "accepted"));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_document_may_be_the_list() {
    let gateway = Gateway::start(BATCHES).await;
    let whole = Sent::json("/hooks/whole", "[ {\"a\": 1}, [2], \"three\", null, [2] ]").instead(
        "Content-Type",
        "application/cloudevents-batch+json; charset=utf-8",
    );
    let reply = whole.send(&gateway.client).await;
    let statuses: Vec<_> = told(&reply).into_iter().map(|(status, _)| status).collect();
    assert_eq!(
        statuses,
        ["accepted", "accepted", "accepted", "accepted", "duplicate"]
    );
    for (index, text) in [r#"{"a": 1}"#, "[2]", r#""three""#, "null"]
        .iter()
        .enumerate()
    {
        let event = stored(&gateway, &reply, index).await.event;
        assert_eq!(event.body, *text);
        let one = "application/cloudevents+json; charset=utf-8";
        assert_eq!(event.content_type.as_deref(), Some(one));
    }
    let own = Sent::json("/hooks/answering", r#"[{"id":1}]"#)
        .send(&gateway.client)
        .await;
    assert_eq!((own.status.as_u16(), &*own.text()), (202, "thanks"));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_stored_is_answered_503_and_counted_as_that() {
    let gateway = Gateway::start(BATCHES).await;
    let elements = [element("a", "sent"), element("b", "sent")];
    let request = batch(&elements.each_ref().map(String::as_str));
    gateway.store().close().await;
    let reply = request.send(&gateway.client).await;
    assert_problem(&reply, "store_unavailable", "a closed store");
    let metrics = gateway.metrics().await;
    for (outcome, count) in [("accepted", 0.0), ("duplicate", 0.0), ("rejected", 1.0)] {
        let labels = [("route", "batch"), ("outcome", outcome)];
        let value = metrics.value("hookgate_requests_total", &labels);
        assert_eq!(value, Some(count), "{outcome}");
    }
    // The next process on its directory knows nothing of them, and then remembers them.
    let directory = gateway.stop().await;
    for outcome in ["accepted", "duplicate"] {
        let next = Gateway::start_in(directory.clone(), BATCHES, Clock::system()).await;
        let reply = request.send(&next.client).await;
        assert_eq!(told(&reply), pairs(&[(outcome, "a"), (outcome, "b")]));
        next.stop().await;
    }
}
