//! `kill -9` of the gateway at random moments under load, on each store: nothing acknowledged is lost, nothing is
//! accepted twice, no byte is changed.
//!
//! `HOOKGATE_KILLS` sets the number of kills a store, `HOOKGATE_SEED` the seed that a run prints. What is drawn
//! is counted in answered posts, so that a kill finds the gateway at work however slow the machine is; half of
//! the kills wait a random moment more.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test's own settings, and its summary"
)]

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::support::{
    ledger::{Load, Sink, configuration, drained, duplicates_max, three_sinks},
    process::Process,
    redis::RedisServer,
};

const KILLS: usize = 20;
const SENDERS: usize = 16;
/// A kill comes after at most so many answered posts.
const POSTS_MAX: u64 = 400;
const DELAY_MAX: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_on_the_embedded_store() {
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration("file:data", &sinks)).await;
    kill_again_and_again("embedded", gateway, &sinks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_on_redis() {
    let redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    kill_again_and_again("redis", gateway, &sinks).await;
}

async fn kill_again_and_again(store: &str, mut gateway: Process, sinks: &[Sink]) {
    let (kills, seed) = (kills(), seed());
    println!("{store}: {kills} kills, HOOKGATE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let load = Load::start(&[&gateway.client], SENDERS, seed);
    for _ in 0..kills {
        load.more_acknowledged(random.random_range(1..=POSTS_MAX))
            .await;
        if random.random() {
            tokio::time::sleep(DELAY_MAX.mul_f64(random.random())).await;
        }
        gateway.restart().await;
    }
    load.more_acknowledged(POSTS_MAX).await;
    let log = load.stop().await;
    let report = drained(&log, sinks, &[&gateway]).await;
    println!("{store}: kills {kills}, {report}");

    assert!(report.failures > 0, "no kill met a post: nothing is proven");
    let most = duplicates_max(kills, sinks.len());
    assert!(report.duplicates <= most, "more than {most}: {report}");
}

fn kills() -> usize {
    std::env::var("HOOKGATE_KILLS").map_or(KILLS, |text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    std::env::var("HOOKGATE_SEED").map_or_else(
        |_| rand::random::<u32>().into(),
        |text| text.parse().expect("a number"),
    )
}
