//! SIGTERM and SIGINT under load, on each store.

use nix::sys::signal::Signal;

use super::{SEED, SENDERS};
use crate::support::{
    ledger::{Failure, Load, drained, patient, three_sinks},
    process::Process,
    redis::RedisServer,
    wait_for,
};

const STOPS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_on_the_embedded_store() {
    stop_again_and_again("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_on_redis() {
    let redis = RedisServer::start();
    stop_again_and_again(&redis.url(0)).await;
}

async fn stop_again_and_again(store_url: &str) {
    let sinks = three_sinks().await;
    let mut gateway = Process::spawn(&patient(store_url, &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for signal in STOPS {
        load.more_acknowledged(100).await;
        gateway.signal(signal);
        let status = gateway.exited().await;
        assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
        assert_told(&gateway, &format!("stopping signal=\"{signal}\"")).await;
        assert_told(&gateway, "stopped").await;
        gateway.restart().await;
    }
    load.more_acknowledged(100).await;
    let log = load.stop().await;
    for failure in log.failures.keys() {
        if let Failure::Answered { status, code, .. } = failure {
            assert_eq!((*status, code.as_str()), (503, "draining"));
        }
    }
    let report = drained(&log, &sinks, &[&gateway]).await;
    assert_eq!(report.duplicates, 0, "what was under way was not settled");
}

/// Waits, since what was written may be read only after the end of who wrote it.
async fn assert_told(gateway: &Process, expected: &str) {
    let line = format!("a line that ends with {expected}");
    wait_for(&line, async || {
        let stderr = gateway.stderr();
        let mut lines = stderr.lines();
        lines.any(|line| line.ends_with(expected)).then_some(())
    })
    .await;
}
