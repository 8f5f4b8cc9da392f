//! `/api/v1/targets`: how each target stands.

use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::AdminRig;
use crate::{
    delivery::rig::{event, target},
    support::receiver::{Receiver, Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_target_tells_how_it_stands() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| match request.header("hookgate-event-id") {
        Some("evt_dead") => Reply::status(410),
        _ => Reply::held(),
    });
    let admin = AdminRig::start([
        target("crm", &format!("{}/secret-path", receiver.url())),
        target("other", &receiver.url()),
    ]);
    admin.rig.send(event("evt_dead", &["crm"])).await;
    admin.rig.model.wait_for_settled(1).await;
    admin.rig.send(event("evt_1", &["crm"])).await;
    receiver.wait_for(2).await;
    let shown = admin.get("targets").await;
    let expected = |name: &str, in_flight: u64, dead: u64| {
        json!({
            "name": name,
            "host": "127.0.0.1",
            "paused": false,
            "paused_by_file": false,
            "circuit": { "state": "closed" },
            "in_flight": in_flight,
            "pending": in_flight,
            "dead": dead,
            "oldest_due_seconds": 0.0,
        })
    };
    let both = json!({ "targets": [expected("crm", 1, 1), expected("other", 0, 0)], "next": null });
    assert_eq!(shown, both);

    let state = async || {
        let shown = admin.get("targets").await;
        let crm = &shown["targets"][0];
        (
            crm["circuit"]["state"].as_str().unwrap().to_owned(),
            crm["paused"] == true,
        )
    };
    let gate = admin.rig.gate("crm");
    gate.open_circuit(Instant::now() + Duration::from_secs(3600));
    assert_eq!(state().await, ("open".to_owned(), false));
    assert!(admin.get("targets").await["targets"][0]["circuit"]["until"].is_string());
    gate.open_circuit(Instant::now());
    admin.rig.delivery.pause("crm").await.unwrap();
    assert_eq!(state().await, ("half_open".to_owned(), true));
    admin.rig.delivery.resume("crm").await.unwrap();
    gate.close_circuit();
    assert_eq!(state().await, ("closed".to_owned(), false));
    receiver.release(10);
    admin.stop().await;
}
