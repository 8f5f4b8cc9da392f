//! The gateway ends, in good order or not, while its spool holds events.

use super::{PHASE, SEED, SENDERS, with_spool};
use crate::support::{
    ledger::{Failure, Load, drained_through_spools, spool_moved, three_sinks},
    process::Process,
    redis::RedisServer,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_moves_what_its_spool_holds_when_it_is_back() {
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let mut gateway = Process::spawn(&with_spool(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for _ in 0..3 {
        load.more_acknowledged(PHASE).await;
        redis.kill();
        load.more_acknowledged(PHASE).await;
        gateway.kill();
        redis.restart();
        gateway.restart().await;
        let stderr = gateway.stderr();
        assert!(stderr.contains("events of an earlier run"), "{stderr}");
        load.more_acknowledged(PHASE).await;
    }
    let log = load.stop().await;
    let refused = log.failures.keys().find(|one| **one != Failure::Unanswered);
    assert_eq!(refused, None, "{:?}", log.failures);
    drained_through_spools(&log, &sinks, &[&gateway]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_in_the_spool_what_it_holds() {
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let mut gateway = Process::spawn(&with_spool(&redis.url(0), &sinks)).await;
    let load = Load::start(&[], 0, SEED);
    redis.kill();
    for id in ["a", "b", "c"] {
        let reply = load.post(&gateway.client, id).await;
        assert_eq!(reply.outcome(), "accepted");
    }
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    redis.restart();
    gateway.restart().await;
    spool_moved(&gateway).await;
    let reply = load.post(&gateway.client, "a").await;
    assert_eq!(reply.outcome(), "duplicate");
    drained_through_spools(&load.stop().await, &sinks, &[&gateway]).await;
}
