//! A breaker: what waits behind it uses up no attempts, and whoever asks is told how it stands.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ask, with};
use crate::support::{
    ledger::{Load, Sink, configuration, nothing_pending},
    process::Process,
    receiver::{Fate, Reply},
    redis::RedisServer,
    wait_for,
};

const SEED: u64 = 13;
const EVENTS: usize = 60;
/// Of each delivery: the first and the schedule's.
const ATTEMPTS: usize = 4;
const TRIALS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_is_told_of_and_spares_what_waits_on_the_embedded_store() {
    breaker_spares_what_waits("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_is_told_of_and_spares_what_waits_on_redis() {
    let redis = RedisServer::start();
    breaker_spares_what_waits(&redis.url(0)).await;
}

/// The target fails so often that each event would be dead many times over, if those that wait were tried.
async fn breaker_spares_what_waits(store_url: &str) {
    let sinks = [Sink::start("crm").await];
    sinks[0].answer(|_| Reply::status(503));
    let backoff = r#"first = "50ms", max = "500ms""#;
    let toml = with(
        &configuration(store_url, &sinks),
        backoff,
        r#"schedule = ["50ms", "50ms", "50ms"]"#,
    );
    let toml = with(&toml, r#"open_for = "200ms""#, r#"open_for = "30ms""#);
    let gateway = Process::spawn(&toml).await;
    let load = Load::start(&[], 0, SEED);
    for number in 0..EVENTS {
        load.post(&gateway.client, &format!("event-{number}")).await;
    }
    wait_for("a circuit that is open", async || {
        let state = circuit(&gateway).await;
        (state != "closed").then(|| assert!(state == "open" || state == "half_open", "{state}"))
    })
    .await;
    wait_for("the metric of it", async || {
        (open_in_metrics(&gateway).await == 1.0).then_some(())
    })
    .await;
    let before = sinks[0].arrivals().len();
    wait_for("trials", async || {
        (sinks[0].arrivals().len() >= before + TRIALS).then_some(())
    })
    .await;
    let dead = dead_letters(&gateway).await;
    let arrivals = sinks[0].arrivals().len();
    assert!(dead * ATTEMPTS <= arrivals, "{dead} of {arrivals} attempts");
    assert!(dead < EVENTS / 2, "{dead} of {EVENTS} are dead");

    sinks[0].answer(|_| Reply::status(204));
    wait_for("a circuit that is closed", async || {
        let is_closed = circuit(&gateway).await == "closed";
        (is_closed && open_in_metrics(&gateway).await == 0.0).then_some(())
    })
    .await;
    nothing_pending(&gateway).await;
    let arrivals = sinks[0].arrivals();
    let delivered: BTreeSet<_> = arrivals
        .iter()
        .filter(|arrival| arrival.fate == Fate::Delivered)
        .map(|arrival| &arrival.id)
        .collect();
    assert_eq!(delivered.len() + dead_letters(&gateway).await, EVENTS);
}

async fn circuit(gateway: &Process) -> Value {
    ask(gateway, "targets").await["targets"][0]["circuit"]["state"].take()
}

async fn open_in_metrics(gateway: &Process) -> f64 {
    let labels = [("target", "crm")];
    let metrics = gateway.metrics().await;
    metrics
        .value("hookgate_target_circuit_open", &labels)
        .expect("a series from the start")
}

async fn dead_letters(gateway: &Process) -> usize {
    let targets = ask(gateway, "targets").await;
    usize::try_from(targets["targets"][0]["dead"].as_u64().expect("a number")).expect("few")
}
