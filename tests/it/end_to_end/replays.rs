//! A replay of many while gateways are killed: each dead letter goes out again, at the rate that was asked for.

use http::Method;

use super::{ask, change};
use crate::support::{
    ledger::{DRAIN, Load, Sink, configuration, nothing_pending},
    process::Process,
    receiver::Reply,
    redis::RedisServer,
    wait_within,
};

const SEED: u64 = 23;
const EVENTS: usize = 60;
/// Deliveries a second.
const RATE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_outlives_kill_9_on_the_embedded_store() {
    let sinks = [Sink::start("crm").await];
    let gateway = Process::spawn(&configuration("file:data", &sinks)).await;
    replay_outlives_kills(vec![gateway], &sinks[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_outlives_kill_9_of_two_gateways_on_redis() {
    let redis = RedisServer::start();
    let sinks = [Sink::start("crm").await];
    let toml = configuration(&redis.url(0), &sinks);
    let gateways = vec![Process::spawn(&toml).await, Process::spawn(&toml).await];
    replay_outlives_kills(gateways, &sinks[0]).await;
}

async fn replay_outlives_kills(mut gateways: Vec<Process>, crm: &Sink) {
    crm.answer(|_| Reply::status(410));
    let load = Load::start(&[], 0, SEED);
    for number in 0..EVENTS {
        load.post(&gateways[0].client, &format!("event-{number}"))
            .await;
    }
    for gateway in &gateways {
        nothing_pending(gateway).await;
    }
    assert_eq!(crm.arrivals().len(), EVENTS);
    crm.answer(|_| Reply::status(204));

    let asked = format!(r#"{{"state": "dead", "rate": {RATE}}}"#);
    let begun = change(&gateways[0], Method::POST, "replays", &asked).await;
    let path = format!("replays/{}", begun["id"].as_str().expect("an id"));
    for part in 1..=2 {
        wait_within(DRAIN, "a part of the replay", async || {
            (crm.arrivals().len() >= EVENTS + part * EVENTS / 4).then_some(())
        })
        .await;
        let killed = part % gateways.len();
        gateways[killed].restart().await;
    }
    let done = wait_within(DRAIN, "the end of the replay", async || {
        let replay = ask(&gateways[0], &path).await;
        (replay["state"] == "done").then_some(replay)
    })
    .await;
    // A page that a kill cut off is listed again, without those that were replayed already.
    assert!(done["events"].as_u64() <= Some(EVENTS as u64), "{done}");
    for gateway in &gateways {
        nothing_pending(gateway).await;
    }
    let missing = ask(&gateways[0], "events?state=dead").await;
    assert_eq!(missing["events"].as_array().map(Vec::len), Some(0));
    let again = crm.arrivals().split_off(EVENTS);
    for number in 0..EVENTS {
        let id = format!("event-{number}");
        let times = again.iter().filter(|arrival| *arrival.id == *id).count();
        // Killed between its answer and its settlement, a delivery is made twice.
        assert!((1..=3).contains(&times), "{id}: {times} times");
    }
}
