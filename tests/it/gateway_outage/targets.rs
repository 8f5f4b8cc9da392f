//! Targets that fail in every way at once, beside one that is well; and an event that one of them never takes.

use super::SEED;
use crate::support::{
    ledger::{Load, Rules, Sink, configuration, drained, judge, nothing_pending, patient},
    process::Process,
    receiver::{Fate, Reply},
    redis::RedisServer,
    wait_for,
};

const EVENTS: usize = 20;

fn replies() -> Vec<(&'static str, Reply)> {
    let asks = |value: &str| Reply::status(429).header("retry-after", value);
    let loopback = "http://127.0.0.1:1/";
    vec![
        ("fails", Reply::status(500)),
        ("asks", asks("1")),
        ("asks-date", asks("Fri, 31 Dec 2100 23:59:59 GMT")),
        ("asks-garbage", asks("soon")),
        ("asks-huge", asks("99999999999999999999")),
        ("asks-negative", asks("-5")),
        ("redirects", Reply::status(301).header("location", loopback)),
        ("hangs", Reply::hang()),
        ("resets", Reply::reset()),
        ("resets-late", Reply::reset_after_head()),
        ("half-closes", Reply::half_close()),
        ("garbage", Reply::garbage()),
        ("drips", Reply::drip()),
        ("cuts", Reply::cut("half of this")),
        ("refuses", Reply::status(410)),
        ("endless", Reply::endless()),
        ("huge", Reply::status(200).body(vec![b'.'; 1 << 18])),
        ("closes", Reply::then_close()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_fail_is_told_apart_and_harms_no_other_on_the_embedded_store() {
    fail_in_every_way("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_fail_is_told_apart_and_harms_no_other_on_redis() {
    let redis = RedisServer::start();
    fail_in_every_way(&redis.url(0)).await;
}

async fn fail_in_every_way(store_url: &str) {
    let mut sinks = vec![Sink::start("well").await, Sink::refusing("deaf")];
    for (name, reply) in replies() {
        let sink = Sink::start(name).await;
        sink.answer(move |_| reply.clone());
        sinks.push(sink);
    }
    let gateway = Process::spawn(&patient(store_url, &sinks)).await;
    let load = Load::start(&[], 0, SEED);
    for number in 0..EVENTS {
        let id = format!("event-{number}");
        let reply = load.post(&gateway.client, &id).await;
        assert_eq!(reply.outcome(), "accepted");
    }
    wait_for("every event at the target that is well", async || {
        (sinks[0].arrivals().len() == EVENTS).then_some(())
    })
    .await;
    for (name, reply) in replies() {
        let outcome = match reply.fate() {
            Fate::Delivered => "delivered",
            Fate::Failed => "retry",
            Fate::Refused => "dead",
        };
        told_as(&gateway, name, outcome).await;
    }
    told_as(&gateway, "deaf", "retry").await;

    sinks[1].listen();
    for sink in &sinks {
        sink.release();
    }
    let report = drained(&load.stop().await, &sinks, &[&gateway]).await;
    assert_eq!(report.dead, EVENTS, "{report:?}");
    let firsts = sinks[0].arrivals();
    assert!(firsts.iter().all(|arrival| arrival.attempt == 1));
}

/// Waits until attempts at `target` are counted as this `outcome`; none may be counted as another.
async fn told_as(gateway: &Process, target: &str, outcome: &str) {
    wait_for(&format!("{target}: {outcome}"), async || {
        let metrics = gateway.metrics().await;
        let count = |outcome| {
            let labels = [
                ("outcome", outcome),
                ("route", "github"),
                ("target", target),
            ];
            metrics.value("hookgate_delivery_attempts_total", &labels)
        };
        for other in ["delivered", "retry", "dead"] {
            if other != outcome {
                assert_eq!(count(other), Some(0.0), "{target}: {other}");
            }
        }
        (count(outcome)? > 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_always_fails_becomes_a_dead_letter_and_holds_up_no_other() {
    let sinks = [Sink::start("crm").await, Sink::start("audit").await];
    sinks[0].answer(|request| {
        let poisoned = request.header("hookgate-event-id") == Some("poison");
        Reply::status(if poisoned { 500 } else { 200 })
    });
    let backoff = r#"first = "50ms", max = "500ms""#;
    let schedule = r#"schedule = ["50ms", "50ms", "50ms"]"#;
    let toml = configuration("file:data", &sinks).replace(backoff, schedule);
    assert!(toml.contains(schedule));
    let gateway = Process::spawn(&toml).await;
    let load = Load::start(&[], 0, SEED);
    for id in ["before", "poison", "after-1", "after-2"] {
        load.post(&gateway.client, id).await;
    }
    nothing_pending(&gateway).await;
    assert_eq!(sinks[0].count("poison"), 4, "the first and three more");
    let metrics = gateway.metrics().await;
    let gave_up = metrics.sum("hookgate_dead_letters_total", r#"reason="gave_up""#);
    assert_eq!(gave_up, 1.0);
    // To the checker, which knows of no schedule, the dead letter is a loss, and the only one.
    let (_, violations) = judge(&load.stop().await, &sinks, &Rules::default());
    let told: Vec<_> = violations.iter().map(|v| (v.invariant, &v.what)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.starts_with("poison "), "{told:?}");
}
