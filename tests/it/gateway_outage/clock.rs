//! A clock that is set forward and back while deliveries wait, on the embedded store: Redis has its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use hookgate::clock::{ClockHand, Timestamp};

use super::{SEED, SENDERS};
use crate::support::{
    gateway::Gateway,
    ledger::{Load, Rules, Sink, configuration, proven},
    receiver::Reply,
    wait_for,
};

const HOUR_MS: i64 = 3_600_000;
const EVENTS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_loses_nothing() {
    step(HOUR_MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_loses_nothing() {
    step(-HOUR_MS).await;
}

/// Events come in before and after, their first attempts fail, and all are delivered as if the clock had not been set.
async fn step(by_ms: i64) {
    let sinks = [Sink::start("crm").await];
    sinks[0].answer(|_| Reply::status(500));
    let gateway = Gateway::start(&configuration("file:data", &sinks)).await;
    let hand = gateway.hand.as_ref().expect("a clock that can be set");
    let step_ms = Arc::new(AtomicI64::new(0));
    let running = run(hand, gateway.began, step_ms.clone());
    let judged = async {
        let load = Load::start(&[&gateway.client], SENDERS, SEED);
        load.more_acknowledged(EVENTS).await;
        wait_for("attempts that fail", async || {
            (sinks[0].arrivals().len() as u64 >= EVENTS).then_some(())
        })
        .await;
        step_ms.store(by_ms, Ordering::SeqCst);
        load.more_acknowledged(EVENTS).await;
        let log = load.stop().await;
        sinks[0].release();
        wait_for("an empty queue", async || {
            (gateway.depth().await[0].pending == 0).then_some(())
        })
        .await;
        proven(&log, &sinks, &Rules::default());
    };
    tokio::select! {
        () = judged => {}
        () = running => {}
    }
    gateway.stop().await;
}

/// As the system's clock runs, but for the step.
async fn run(hand: &ClockHand, began: Timestamp, step_ms: Arc<AtomicI64>) {
    let start = Instant::now();
    let mut at_ms = began.as_millis();
    let (mut passed_ms, mut stepped_ms) = (0, 0);
    loop {
        let step = step_ms.load(Ordering::SeqCst);
        if step != stepped_ms {
            at_ms += step - stepped_ms;
            stepped_ms = step;
            hand.step(Timestamp::from_millis(at_ms));
        }
        let passed = i64::try_from(start.elapsed().as_millis()).expect("a short test");
        at_ms += passed - passed_ms;
        passed_ms = passed;
        hand.set(Timestamp::from_millis(at_ms));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
