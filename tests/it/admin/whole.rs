//! The API of the whole program, on the embedded store.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{configuration, post};
use crate::support::{
    gateway::Gateway,
    receiver::{Receiver, Reply},
    wait_for,
};

async fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.admin.get(&format!("/api/v1/{path}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

/// Waits until the events of a state are so many.
async fn wait_for_events(gateway: &Gateway, state: &str, count: usize) -> Value {
    wait_for(&format!("{count} events {state}"), async || {
        let found = get(gateway, &format!("events?state={state}")).await;
        (found["events"].as_array()?.len() == count).then_some(found)
    })
    .await
}

async fn change(gateway: &Gateway, method: Method, path: &str, body: &str) -> Value {
    let headers = [("Content-Type", "application/json")];
    let path = format!("/api/v1/{path}");
    let reply = gateway.admin.send(method, &path, &headers, body).await;
    assert!(reply.status.is_success(), "{path}: {}", reply.text());
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_and_replayed_one_and_then_all() {
    let receiver = Receiver::start().await;
    receiver.script((0..5).map(|_| Reply::status(410).body("gone")));
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    for n in 0..5 {
        assert_eq!(post(&gateway, &format!("evt_{n}")).await, "accepted");
    }
    let dead = wait_for_events(&gateway, "dead", 5).await;
    let first = dead["events"][4]["uid"].as_str().unwrap();
    let shown = get(&gateway, &format!("events/{first}")).await;
    assert_eq!(shown["id"], "evt_0");
    assert_eq!(shown["body"], "{}");
    let attempt = &shown["deliveries"][0]["history"][0];
    assert_eq!(
        (&attempt["status"], &attempt["response_head"]),
        (&410.into(), &"gone".into())
    );

    let path = format!("events/{first}/replay?target=crm");
    let answer = change(&gateway, Method::POST, &path, "").await;
    assert_eq!(answer["deliveries"][0]["result"], "due");
    wait_for_events(&gateway, "delivered", 1).await;
    let shown = get(&gateway, &format!("events/{first}")).await;
    assert!(shown["deliveries"][0]["replayed_at"].is_string());

    let begun = change(&gateway, Method::POST, "replays", r#"{"state": "dead"}"#).await;
    let replay = format!("replays/{}", begun["id"].as_str().unwrap());
    let done = wait_for("the end of the replay", async || {
        let replay = get(&gateway, &replay).await;
        (replay["state"] == "done").then_some(replay)
    })
    .await;
    assert_eq!((&done["events"], &done["replayed"]), (&4.into(), &4.into()));
    wait_for_events(&gateway, "delivered", 5).await;
    let requests = receiver.requests();
    let replayed = requests
        .iter()
        .filter(|r| r.header("hookgate-replay") == Some("true"));
    assert_eq!((requests.len(), replayed.count()), (10, 5));
    assert_eq!(post(&gateway, "evt_0").await, "duplicate");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_the_gateway_that_began_it() {
    let receiver = Receiver::start().await;
    receiver.script((0..6).map(|_| Reply::status(410)));
    let toml = configuration(&receiver.url());
    let gateway = Gateway::start_now(&toml).await;
    for n in 0..6 {
        post(&gateway, &format!("evt_{n}")).await;
    }
    wait_for_events(&gateway, "dead", 6).await;
    let slow = r#"{"state": "dead", "rate": 4}"#;
    let begun = change(&gateway, Method::POST, "replays", slow).await;
    let replay = format!("replays/{}", begun["id"].as_str().unwrap());
    receiver.wait_for(7).await;
    let directory = gateway.stop().await;

    let gateway = Gateway::start_in(directory, &toml, hookgate::clock::Clock::system()).await;
    let done = wait_for("the end of the replay", async || {
        let replay = get(&gateway, &replay).await;
        (replay["state"] == "done").then_some(replay)
    })
    .await;
    assert_eq!((&done["events"], &done["replayed"]), (&6.into(), &6.into()));
    wait_for_events(&gateway, "delivered", 6).await;
    assert_eq!(receiver.requests().len(), 12);
    gateway.stop().await;
}
