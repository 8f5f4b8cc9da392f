//! What becomes of the deliveries of removed targets, and of no others.

use super::rig::{Rig, SECRET, literal, route, target};
use crate::support::{
    receiver::{Receiver, Reply},
    redis::RedisServer,
    wait_for,
};

/// How the delivery of the event that was sent stands.
async fn state(rig: &Rig, uid: &str) -> String {
    let reply = rig
        .process
        .admin
        .get(&format!("/api/v1/events/{uid}"))
        .await;
    let state = &reply.json()["deliveries"][0]["state"];
    state
        .as_str()
        .unwrap_or_else(|| panic!("{}", reply.text()))
        .to_owned()
}

/// Sends an event to the route.
async fn sent(rig: &Rig, route: &str) -> String {
    let reply = super::rig::post(&rig.process.client, route, "evt", SECRET).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    reply.uid().to_string()
}

/// Of gateways that share a store, the one that is behind removes a target: what waits for one that only the other has is none of its business.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_target_that_only_another_gateway_knows_stays() {
    let redis = RedisServer::start();
    let of = |targets: &[&str]| {
        let store = format!("[store]\nurl = \"{}\"\n", redis.url(0));
        let named = targets.iter().map(|name| {
            let deliver = format!("deliver = [\"{name}\"]");
            [
                target(name, "http://127.0.0.1:9/", "paused = true"),
                route(name, &literal(SECRET), &deliver),
            ]
            .concat()
        });
        [store].into_iter().chain(named).collect::<String>()
    };
    let behind = Rig::start(&of(&["crm", "old"])).await;
    let ahead = Rig::start(&of(&["crm", "new"])).await;
    let (new, old) = (sent(&ahead, "new").await, sent(&behind, "old").await);
    behind.reload(&of(&["crm"])).await;
    wait_for("the removed target's delivery", async || {
        (state(&ahead, &old).await == "dead").then_some(())
    })
    .await;
    assert_eq!(state(&ahead, &new).await, "pending");
}

/// Two are removed at once, and only one of them has an attempt under way.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_a_removed_target_ends_as_it_would_whatever_else_is_removed() {
    let crm = Receiver::start().await;
    crm.always(Reply::held());
    let of = |name: &str, url: &str, rest: &str| {
        let deliver = format!("deliver = [\"{name}\"]");
        [
            target(name, url, rest),
            route(name, &literal(SECRET), &deliver),
        ]
        .concat()
    };
    let stays = || of("stays", "http://127.0.0.1:9/", "");
    let idle = of("idle", "http://127.0.0.1:9/", "paused = true");
    let rig = Rig::start(&[stays(), idle, of("busy", &crm.url(), "")].concat()).await;
    let (waiting, under_way) = (sent(&rig, "idle").await, sent(&rig, "busy").await);
    crm.wait_for(1).await;
    rig.reload(&stays()).await;
    wait_for("the end of what waited", async || {
        (state(&rig, &waiting).await == "dead").then_some(())
    })
    .await;
    assert_eq!(state(&rig, &under_way).await, "pending");
    crm.release(1);
    wait_for("the end of the attempt", async || {
        let state = state(&rig, &under_way).await;
        assert_ne!(state, "dead");
        (state == "delivered").then_some(())
    })
    .await;
}
