//! `/api/v1/events`: lists, single events, replays of one.

use bytes::Bytes;
use hookgate::{event::BodyDigest, store::Settlement};
use uuid::Uuid;

use super::rig::{AdminRig, refusal};
use crate::{
    delivery::rig::{event, is_dead, is_delivered, target},
    support::receiver::{Receiver, Reply},
};

/// `evt_0` to `evt_9`, of which the first `dead` are dead letters.
async fn ten_events(receiver: &Receiver, dead: usize) -> AdminRig {
    receiver.script((0..dead).map(|_| Reply::status(422).body("no \u{1F980}").header("x", "y")));
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    for n in 0..10 {
        admin.rig.send(event(&format!("evt_{n}"), &["crm"])).await;
        admin.rig.model.wait_for_settled(n + 1).await;
    }
    admin
}

fn ids(page: &serde_json::Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_and_paged() {
    let receiver = Receiver::start().await;
    let admin = ten_events(&receiver, 3).await;
    let all = admin.get("events").await;
    let expected: Vec<_> = (0..10).rev().map(|n| format!("evt_{n}")).collect();
    assert_eq!(ids(&all), expected, "the newest first");
    assert!(all["next"].is_null());

    let mut paged = Vec::new();
    let mut path = "events?limit=4".to_owned();
    loop {
        let page = admin.get(&path).await;
        assert!(ids(&page).len() <= 4);
        paged.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("events?limit=4&cursor={next}");
    }
    assert_eq!(paged, expected);

    let dead = admin
        .get("events?state=dead&target=crm&route=orders&type=order.paid")
        .await;
    assert_eq!(ids(&dead), ["evt_2", "evt_1", "evt_0"]);
    assert_eq!(ids(&admin.get("events?id=evt_7").await), ["evt_7"]);
    for nothing in [
        "state=pending",
        "target=nobody",
        "route=x",
        "type=x",
        "until=2020-01-01T00:00:00Z",
        "since=2999-01-01T00:00:00Z",
    ] {
        assert!(
            ids(&admin.get(&format!("events?{nothing}")).await).is_empty(),
            "{nothing}"
        );
    }
    assert_eq!(
        ids(&admin.get("events?since=2020-01-01T00:00:00%2B02:00").await).len(),
        10
    );
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_known_and_well_formed() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    for (query, told) in [
        (
            "colour=red",
            "`colour` is not known here; known are route, target, state, type, id, since, until, order, cursor, limit.",
        ),
        (
            "state=lost",
            "`state`: expected one of pending, delivered, dead, filtered.",
        ),
        (
            "since=yesterday",
            "`since`: expected a moment of RFC 3339 such as 2026-05-20T15:30:00Z.",
        ),
        (
            "until=1700000000",
            "`until`: expected a moment of RFC 3339 such as 2026-05-20T15:30:00Z.",
        ),
        ("order=up", "`order`: expected newest or oldest."),
        (
            "since=2026-05-20%2015:30Z",
            "`since`: expected a moment of RFC 3339 such as 2026-05-20T15:30:00Z.",
        ),
        ("limit=%2B5", "`limit`: expected a number from 1 to 500."),
        ("limit=0", "`limit`: expected a number from 1 to 500."),
        ("limit=501", "`limit`: expected a number from 1 to 500."),
        ("limit=many", "`limit`: expected a number from 1 to 500."),
        ("route=", "`route`: expected 1 to 512 characters."),
        ("route=a&route=b", "`route`: expected each parameter once."),
        (
            "cursor=x",
            "`cursor`: the cursor is not one that a page of this list ended with.",
        ),
    ] {
        assert_eq!(
            admin.refused(&format!("events?{query}"), 400).await,
            told,
            "{query}"
        );
    }
    let uid_shape = "`uid`: expected a UUID such as 0197ab3e-5c1d-7000-8000-0123456789ab.";
    assert_eq!(admin.refused("events/7", 400).await, uid_shape);
    let braced = format!("events/%7B{}%7D", Uuid::nil());
    assert_eq!(admin.refused(&braced, 400).await, uid_shape);
    let unknown = admin.refused(&format!("events/{}", Uuid::nil()), 404).await;
    assert_eq!(unknown, "The event is not, or no longer, known.");
    admin.refused("nothing", 404).await;
    let strange = format!("events?{}=1", "%0a".repeat(200));
    assert!(admin.refused(&strange, 400).await.len() < 400);
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_body_and_all_attempts() {
    let receiver = Receiver::start().await;
    receiver.script([
        Reply::status(503).body("busy"),
        Reply::status(422).body("no"),
    ]);
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    let mut sent = event("evt_1", &["crm"]);
    sent.headers = vec![("x-kept".into(), "yes".into())];
    let uid = sent.uid;
    admin.rig.send(sent).await;
    admin.rig.model.wait_for(1, is_dead).await;

    let shown = admin.get(&format!("events/{uid}")).await;
    assert_eq!(shown["uid"], uid.to_string());
    assert_eq!(
        (&shown["route"], &shown["id"]),
        (&"orders".into(), &"evt_1".into())
    );
    assert_eq!(
        shown["headers"],
        serde_json::json!([{ "name": "x-kept", "value": "yes" }])
    );
    assert_eq!(shown["content_type"], "application/json");
    assert_eq!(
        (&shown["body_encoding"], &shown["body"]),
        (&"utf-8".into(), &r#"{"id": "evt_1"}"#.into())
    );
    assert_eq!(shown["body_bytes"], 15);
    let delivery = &shown["deliveries"][0];
    assert_eq!(delivery["target"], "crm");
    assert_eq!(
        (&delivery["state"], &delivery["reason"]),
        (&"dead".into(), &"refused".into())
    );
    assert_eq!(delivery["attempts"], 2);
    let history = delivery["history"].as_array().unwrap();
    let of = |key: &str| -> Vec<_> { history.iter().map(|attempt| attempt[key].clone()).collect() };
    assert_eq!(of("status"), [503, 422]);
    assert_eq!(of("response_head"), ["busy", "no"]);
    assert!(of("error").iter().all(serde_json::Value::is_null));
    assert!(of("duration_ms").iter().all(serde_json::Value::is_f64));
    let summary = admin.get("events").await;
    let last = &summary["events"][0]["deliveries"][0]["last_attempt"];
    assert_eq!(last["status"], 422);
    assert!(summary["events"][0].get("body").is_none());
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_text_is_shown_in_base64() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    let mut sent = event("evt_1", &["crm"]);
    sent.body = Bytes::from_static(b"\xff\x00");
    sent.digest = BodyDigest::of(&sent.body);
    let uid = sent.uid;
    admin.rig.send(sent).await;
    let shown = admin.get(&format!("events/{uid}")).await;
    assert_eq!(
        (&shown["body_encoding"], &shown["body"]),
        (&"base64".into(), &"/wA=".into())
    );
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_replayed() {
    let receiver = Receiver::start().await;
    let admin = ten_events(&receiver, 1).await;
    let uid = admin.rig.model.settled()[0].uid;
    let reply = admin
        .post(&format!("events/{uid}/replay?target=crm"), "")
        .await;
    let due = serde_json::json!({ "deliveries": [{ "target": "crm", "result": "due" }] });
    assert_eq!(reply.json(), due);
    let again = |one: &Settlement| one.uid == uid && is_delivered(one);
    admin.rig.model.wait_for(1, again).await;
    let shown = admin.get(&format!("events/{uid}")).await;
    let delivery = &shown["deliveries"][0];
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&"delivered".into(), &1.into())
    );
    assert!(delivery["replayed_at"].is_string());
    assert_eq!(
        delivery["history"].as_array().unwrap().len(),
        2,
        "those before too"
    );

    // Of all targets, also when it was delivered.
    let reply = admin.post(&format!("events/{uid}/replay"), "").await;
    assert_eq!(reply.json(), due);
    admin.rig.model.wait_for(2, again).await;
    let reply = admin
        .post(&format!("events/{uid}/replay?target=nobody"), "")
        .await;
    assert_eq!(
        refusal(&reply, 404),
        "`target`: the event does not go to a target of this name."
    );
    let reply = admin
        .post(&format!("events/{}/replay", Uuid::nil()), "")
        .await;
    refusal(&reply, 404);
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_a_removed_target_is_not_replayed() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    let sent = event("evt_1", &["gone"]);
    let uid = sent.uid;
    admin.rig.send(sent).await;
    let reply = admin.post(&format!("events/{uid}/replay"), "").await;
    assert!(refusal(&reply, 409).starts_with("The target is no longer"));
    admin.stop().await;
}
