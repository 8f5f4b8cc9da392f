//! `/api/v1/replays`: begun, watched, cancelled.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rig::{AdminRig, refusal};
use crate::{
    delivery::rig::{event, is_dead, is_delivered, target},
    support::{
        receiver::{Receiver, Reply},
        wait_for,
    },
};

async fn with_dead_letters(receiver: &Receiver, count: usize) -> AdminRig {
    receiver.script((0..count).map(|_| Reply::status(410)));
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    for n in 0..count {
        admin.rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    admin.rig.model.wait_for(count, is_dead).await;
    // What is received in the very millisecond of the replay is not its own.
    let last = admin.get("events?limit=1").await;
    let last: jiff::Timestamp = last["events"][0]["received_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    wait_for("the next millisecond", async || {
        let now = hookgate::clock::Clock::system().now().as_millis();
        (now > last.as_millisecond()).then_some(())
    })
    .await;
    admin
}

async fn ended(admin: &AdminRig, id: &str) -> Value {
    wait_for("the end of the replay", async || {
        let replay = admin.get(&format!("replays/{id}")).await;
        (replay["state"] != "running").then_some(replay)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_begun_and_says_how_far_it_is() {
    let receiver = Receiver::start().await;
    let admin = with_dead_letters(&receiver, 60).await;
    let reply = admin
        .post(
            "replays",
            r#"{"state": "dead", "target": "crm", "rate": 10000.0}"#,
        )
        .await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let begun = reply.json();
    assert_eq!(begun["state"], "running");
    assert_eq!(
        (&begun["filter"]["state"], &begun["filter"]["target"]),
        (&"dead".into(), &"crm".into())
    );
    let id = begun["id"].as_str().unwrap();
    assert_eq!(
        reply.header("location"),
        Some(&*format!("/api/v1/replays/{id}"))
    );

    admin.rig.model.wait_for(60, is_delivered).await;
    let ended = ended(&admin, id).await;
    assert_eq!(ended["state"], "done");
    assert_eq!(
        (&ended["events"], &ended["replayed"]),
        (&60.into(), &60.into())
    );
    assert!(ended["ended_at"].is_string());
    let all = admin.get("replays").await;
    assert_eq!(all["replays"], json!([ended]));
    let reply = admin.post(&format!("replays/{id}/cancel"), "").await;
    assert_eq!(reply.json()["state"], "done", "it cannot be undone");
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_cancelled() {
    let receiver = Receiver::start().await;
    let admin = with_dead_letters(&receiver, 10).await;
    let reply = admin
        .post("replays", r#"{"state": "dead", "rate": 1}"#)
        .await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    admin.rig.model.wait_for(1, is_delivered).await;
    let reply = admin.post(&format!("replays/{id}/cancel"), "").await;
    assert_eq!(reply.json()["state"], "cancelled", "{}", reply.text());
    let kept = admin.get(&format!("replays/{id}")).await;
    assert_eq!(kept["state"], "cancelled");
    assert!(kept["ended_at"].is_string());
    assert!(receiver.requests().len() < 20);
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replay_cannot_be_is_told() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    for (body, told) in [
        ("{", "The body is not valid JSON: "),
        ("[]", "The body is not a JSON object."),
        (
            "{}",
            "Name at least one of route, target, state, type, id, since, until: ",
        ),
        (r#"{"rate": 5}"#, "Name at least one of "),
        (
            r#"{"colour": "red"}"#,
            "`colour` is not known here; known are route, target, state, type, id, since, until, rate.",
        ),
        (
            r#"{"state": "pending"}"#,
            "`state`: expected dead, delivered or filtered: ",
        ),
        (r#"{"state": ["dead"]}"#, "`state`: expected a string."),
        (
            r#"{"state": "dead", "rate": 0}"#,
            "`rate`: expected a number from 1 to 10000.",
        ),
        (
            r#"{"state": "dead", "rate": 10001}"#,
            "`rate`: expected a number from 1 to 10000.",
        ),
        (r#"{"since": "monday"}"#, "`since`: expected a moment "),
        (
            r#"{"target": "crm", "target": "erp"}"#,
            "`target`: expected each parameter once.",
        ),
        (
            r#"{"state": "dead", "rate": "5"}"#,
            "`rate`: expected a whole number.",
        ),
        (
            r#"{"state": "dead", "rate": 5.5}"#,
            "`rate`: expected a number from 1 to 10000.",
        ),
        (r#"{"id": 5}"#, "`id`: expected a string."),
        ("7", "The body is not a JSON object."),
    ] {
        let reply = admin.post("replays", body).await;
        let detail = refusal(&reply, 400);
        assert!(detail.starts_with(told), "{body}: {detail}");
    }
    let reply = admin.post("replays", r#"{"target": "crn"}"#).await;
    assert_eq!(
        refusal(&reply, 409),
        "No target of this name is configured. Did you mean `crm`?"
    );
    admin.refused("replays/7", 400).await;
    admin
        .refused(&format!("replays/{}", Uuid::nil()), 404)
        .await;
    let large = format!(r#"{{"id": "{}"}}"#, "x".repeat(70_000));
    refusal(&admin.post("replays", &large).await, 413);
    assert!(admin.rig.model.kept_replays().is_empty());
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_replays_run_at_once() {
    let receiver = Receiver::start().await;
    let admin = with_dead_letters(&receiver, 40).await;
    // Each takes 40 seconds, so that they run until they are cancelled.
    for _ in 0..16 {
        let reply = admin
            .post("replays", r#"{"state": "dead", "rate": 1}"#)
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    }
    let reply = admin
        .post("replays", r#"{"state": "dead", "rate": 1}"#)
        .await;
    assert!(refusal(&reply, 409).starts_with("16 replays are running"));
    admin.stop().await;
}
