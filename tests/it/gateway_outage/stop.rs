//! SIGTERM under load, on each store.

use super::{SEED, SENDERS};
use crate::support::{
    ledger::{Failure, Load, configuration, drained, three_sinks},
    process::Process,
    redis::RedisServer,
};

const STOPS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_on_the_embedded_store() {
    stop_again_and_again("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_on_redis() {
    let redis = RedisServer::start();
    stop_again_and_again(&redis.url(0)).await;
}

async fn stop_again_and_again(store_url: &str) {
    let sinks = three_sinks().await;
    let mut gateway = Process::spawn(&configuration(store_url, &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for _ in 0..STOPS {
        load.more_acknowledged(100).await;
        let status = gateway.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
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
