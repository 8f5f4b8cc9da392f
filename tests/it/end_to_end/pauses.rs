//! An operator's pause holds of all gateways of a store, and over their restarts.

use http::Method;

use super::{ask, change};
use crate::support::{process::Process, receiver::Receiver, redis::RedisServer, wait_for};

/// That each gateway takes.
const EVENTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_over_restarts_on_the_embedded_store() {
    hold("file:data", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_of_two_gateways_and_over_their_restarts_on_redis() {
    let redis = RedisServer::start();
    hold(&redis.url(0), 2).await;
}

async fn hold(store_url: &str, gateways: usize) {
    let [crm, other] = [Receiver::start().await, Receiver::start().await];
    let toml = configuration(store_url, &crm.url(), &other.url());
    let mut running = Vec::new();
    for _ in 0..gateways {
        running.push(Process::spawn(&toml).await);
    }
    let paused = change(&running[0], Method::POST, "targets/crm/pause", "").await;
    assert_eq!(paused["result"], "paused");
    for gateway in &running {
        wait_for("a pause", async || is_paused(gateway).await.then_some(())).await;
    }
    post(&running, "before").await;
    for (number, gateway) in running.iter_mut().enumerate() {
        if number == 0 {
            assert_eq!(gateway.terminate().await.code(), Some(0));
        }
        gateway.restart().await;
        assert!(is_paused(gateway).await, "from its start on");
    }
    post(&running, "after").await;
    let all = 2 * EVENTS * gateways;
    wait_for("what is for the other target", async || {
        (other.requests().len() == all).then_some(())
    })
    .await;
    assert_eq!(crm.connections(), 0);
    assert_eq!(target(&running[0], "crm").await["pending"], all);

    let last = running.last().expect("a gateway");
    let resumed = change(last, Method::POST, "targets/crm/resume", "").await;
    assert_eq!(resumed["result"], "resumed");
    wait_for("what has waited", async || {
        (crm.requests().len() == all).then_some(())
    })
    .await;
    for gateway in &running {
        wait_for("the end of the pause", async || {
            (!is_paused(gateway).await).then_some(())
        })
        .await;
        let again = change(gateway, Method::POST, "targets/crm/resume", "").await;
        assert_eq!(again["result"], "not_paused");
    }
    assert_eq!((crm.requests().len(), other.requests().len()), (all, all));
}

fn configuration(store_url: &str, crm: &str, other: &str) -> String {
    format!(
        r#"
[store]
url = "{store_url}"

[targets.crm]
url = "{crm}"
allow_private = true

[targets.other]
url = "{other}"
allow_private = true

[routes.open]
path = "/in"
verify = "none"
event_id = {{ json = "/id" }}
deliver = ["crm", "other"]
"#
    )
}

async fn post(gateways: &[Process], when: &str) {
    for (gateway, number) in gateways.iter().zip(0..) {
        for event in 0..EVENTS {
            let body = format!(r#"{{"id":"{when}-{number}-{event}"}}"#);
            let json = [("Content-Type", "application/json")];
            let reply = gateway.client.post("/in", &json, body).await;
            assert_eq!(reply.outcome(), "accepted");
        }
    }
}

async fn target(gateway: &Process, name: &str) -> serde_json::Value {
    let targets = ask(gateway, "targets").await;
    let mut targets = targets["targets"].as_array().expect("a list").iter();
    let found = targets.find(|target| target["name"] == name);
    found.expect("the target").clone()
}

async fn is_paused(gateway: &Process) -> bool {
    target(gateway, "crm").await["paused"] == true
}
