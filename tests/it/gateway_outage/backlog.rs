//! A target that is down while events come in, on each store.

use super::{SEED, SENDERS};
use crate::support::{
    ledger::{Load, Sink, drained, patient},
    process::Process,
    redis::RedisServer,
    wait_for,
};

const EVENTS: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains_when_the_target_is_back_on_the_embedded_store() {
    drain("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains_when_the_target_is_back_on_redis() {
    let redis = RedisServer::start();
    drain(&redis.url(0)).await;
}

/// One target refuses connections and the other is well, so that it is seen that the first harms only itself.
async fn drain(store_url: &str) {
    let sinks = [Sink::refusing("crm"), Sink::start("audit").await];
    let gateway = Process::spawn(&patient(store_url, &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(EVENTS).await;
    let log = load.stop().await;
    assert_eq!(log.failures.len(), 0, "{:?}", log.failures);

    let mut missing: Vec<_> = log.acknowledged().map(|(id, _)| id).collect();
    wait_for("all events at the target that is well", async || {
        sinks[1].retain_missing(&mut missing);
        missing.is_empty().then_some(())
    })
    .await;
    assert_eq!(sinks[0].arrivals().len(), 0);

    sinks[0].listen();
    let report = drained(&log, &sinks, &[&gateway]).await;
    assert_eq!(report.duplicates, 0, "{report}");
}
