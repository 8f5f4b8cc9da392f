//! `order_by`: the events of a key reach the target one after another, whatever is killed, and others beside them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use http::Method;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{ask, change, with};
use crate::support::{
    client::Client,
    ledger::{Arrival, DRAIN, Load, Sink, configuration, drained, nothing_pending},
    process::Process,
    receiver::{Fate, Reply, Request},
    redis::RedisServer,
    wait_for, wait_within,
};

const SEED: u64 = 11;
const KEYS: usize = 12;
/// Events answered between two kills.
const SHARE: u64 = 60;
const KILLS: usize = 5;
/// Of each key, where a dead letter holds them up.
const EVENTS_HELD: usize = 5;
/// How long a sender waits before it sends again what was not answered.
const RETRY_AFTER: Duration = Duration::from_millis(20);

fn ordered(store_url: &str, sinks: &[Sink], on_dead: &str) -> String {
    let rule = format!(
        r#"deliver = [{{ to = "crm", order_by = "/key", on_dead = "{on_dead}" }}, "audit"]"#
    );
    with(
        &configuration(store_url, sinks),
        r#"deliver = ["crm", "audit"]"#,
        &rule,
    )
}

async fn two_sinks() -> [Sink; 2] {
    [Sink::start("crm").await, Sink::start("audit").await]
}

/// The key and its event's number from the provider's id.
fn parts(id: &str) -> (&str, usize) {
    let (key, number) = id.split_once('-').expect("an id of this test");
    (key, number.parse().expect("a number"))
}

fn body(id: &str) -> String {
    format!(r#"{{"id":"{id}","key":"{}"}}"#, parts(id).0)
}

/// Some fail once or twice, some are refused for good, some take their time.
fn moody(request: &Request) -> Reply {
    let id = request.header("hookgate-event-id").expect("the event's id");
    let attempt = request.header("hookgate-attempt").expect("its attempt");
    let reply = match (parts(id).1 % 10, attempt) {
        (3, "1") | (7, "1" | "2") => Reply::status(503),
        (5, _) => Reply::status(410),
        _ => Reply::status(204),
    };
    reply.after(Duration::from_millis(parts(id).1 as u64 % 4))
}

/// Each goes on only when the one before is answered, so that the order of acceptance is known.
async fn send(load: &Load, gateways: &[Client], key: usize, number: usize) {
    let id = format!("k{key}-{number}");
    for gateway in gateways.iter().cycle().skip(key + number) {
        if load.is_taken(gateway, &id, &body(&id)).await {
            return;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn send_all(load: &Load, gateway: &Process, key: usize) {
    for number in 0..EVENTS_HELD {
        send(load, std::slice::from_ref(&gateway.client), key, number).await;
    }
}

/// Panics unless of each key the numbers come in order, each again and again until it is over and then no more,
/// and none while the one before is not answered. Killed after its answer and before it is settled, one comes again.
fn assert_in_order(arrivals: &[Arrival]) {
    let mut last: BTreeMap<&str, &Arrival> = BTreeMap::new();
    for arrival in arrivals {
        let (key, number) = parts(&arrival.id);
        match last.insert(key, arrival) {
            None => assert_eq!(number, 0, "{} came first", arrival.id),
            Some(before) if before.id == arrival.id => {}
            Some(before) => {
                let told = format!("{} after {} ({:?})", arrival.id, before.id, before.fate);
                assert_eq!(number, parts(&before.id).1 + 1, "{told}");
                assert_ne!(before.fate, Fate::Failed, "{told}");
                assert!(arrival.at >= before.answered, "{told}: unanswered yet");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_outlives_kill_9_on_the_embedded_store() {
    let sinks = two_sinks().await;
    sinks[0].answer(moody);
    let gateway = Process::spawn(&ordered("file:data", &sinks, "continue")).await;
    order_outlives_kills(vec![gateway], &sinks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_outlives_kill_9_of_two_gateways_on_redis() {
    let redis = RedisServer::start();
    let sinks = two_sinks().await;
    sinks[0].answer(moody);
    let toml = ordered(&redis.url(0), &sinks, "continue");
    let gateways = vec![Process::spawn(&toml).await, Process::spawn(&toml).await];
    order_outlives_kills(gateways, &sinks).await;
}

async fn order_outlives_kills(mut gateways: Vec<Process>, sinks: &[Sink; 2]) {
    let mut random = StdRng::seed_from_u64(SEED);
    let load = Load::start(&[], 0, SEED);
    let clients: Vec<_> = gateways.iter().map(|g| g.client.clone()).collect();
    let over = AtomicBool::new(false);
    let sender = async |key| {
        let mut number = 0;
        while !over.load(Ordering::SeqCst) {
            send(&load, &clients, key, number).await;
            number += 1;
        }
        number
    };
    let killer = async {
        for kill in 0..KILLS {
            load.more_acknowledged(SHARE).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
            let killed = kill % gateways.len();
            gateways[killed].restart().await;
            // All attempts fail for a while: the breaker opens.
            if kill == KILLS / 2 {
                sinks[0].refuse().await;
                load.more_acknowledged(SHARE).await;
                sinks[0].listen();
            }
        }
        load.more_acknowledged(SHARE).await;
        over.store(true, Ordering::SeqCst);
    };
    let (sent, ()) = tokio::join!(join_all((0..KEYS).map(sender)), killer);
    let log = load.stop().await;
    let gateways: Vec<_> = gateways.iter().collect();
    let report = drained(&log, sinks, &gateways).await;
    assert!(report.failures > 0, "no kill met a post: nothing is proven");
    let arrivals = sinks[0].arrivals();
    assert_in_order(&arrivals);
    for (key, sent) in sent.into_iter().enumerate() {
        let mut of_key = arrivals
            .iter()
            .filter(|a| parts(&a.id).0 == format!("k{key}"));
        assert_eq!(of_key.next_back().map(|a| parts(&a.id).1 + 1), Some(sent));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_holds_its_group_is_replayed_on_the_embedded_store() {
    let sinks = two_sinks().await;
    let gateway = Process::spawn(&ordered("file:data", &sinks, "hold")).await;
    replay_frees_the_group(gateway, &sinks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_holds_its_group_is_replayed_on_redis() {
    let redis = RedisServer::start();
    let sinks = two_sinks().await;
    let gateway = Process::spawn(&ordered(&redis.url(0), &sinks, "hold")).await;
    replay_frees_the_group(gateway, &sinks).await;
}

async fn replay_frees_the_group(mut gateway: Process, sinks: &[Sink; 2]) {
    let crm = &sinks[0];
    crm.answer(|request| {
        let is_first = request.header("hookgate-event-id") == Some("k0-0");
        let replayed = request.header("hookgate-replay").is_some();
        Reply::status(if is_first && !replayed { 410 } else { 204 })
    });
    let load = Load::start(&[], 0, SEED);
    join_all((0..2).map(|key| send_all(&load, &gateway, key))).await;
    let held = async |gateway: &Process| {
        wait_for("all but the group that is held", async || {
            let targets = ask(gateway, "targets").await;
            let crm = targets["targets"]
                .as_array()?
                .iter()
                .find(|t| t["name"] == "crm")?;
            (crm["pending"] == 4 && crm["dead"] == 1 && crm["in_flight"] == 0).then_some(())
        })
        .await;
    };
    held(&gateway).await;
    gateway.restart().await;
    send_all(&load, &gateway, 2).await;
    wait_for("the other group after the restart", async || {
        (crm.count("k2-4") > 0).then_some(())
    })
    .await;
    held(&gateway).await;
    assert_eq!(crm.arrivals().len(), 1 + 5 + 5);

    let dead = ask(&gateway, "events?state=dead&target=crm").await;
    let uid = dead["events"][0]["uid"].as_str().expect("a uid");
    let path = format!("events/{uid}/replay?target=crm");
    let answer = change(&gateway, Method::POST, &path, "").await;
    assert_eq!(answer["deliveries"][0]["result"], "due");
    wait_within(DRAIN, "the group's last event", async || {
        (crm.count("k0-4") > 0).then_some(())
    })
    .await;
    nothing_pending(&gateway).await;
    let arrivals = crm.arrivals();
    let group: Vec<_> = arrivals
        .iter()
        .filter(|a| a.id.starts_with("k0-"))
        .collect();
    let numbers: Vec<_> = group.iter().map(|a| parts(&a.id).1).collect();
    assert_eq!(numbers, [0, 0, 1, 2, 3, 4]);
}
