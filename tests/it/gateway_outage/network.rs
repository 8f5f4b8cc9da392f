//! A bad network between a gateway and Redis.

use std::time::Duration;

use super::{SEED, SENDERS, assert_store_unavailable, wait_until_ready};
use crate::support::{
    ledger::{Load, Sink, configuration, drained, three_sinks},
    process::Process,
    proxy::{Harm, Proxy},
    redis::RedisServer,
};

struct Far {
    sinks: Vec<Sink>,
    gateway: Process,
    proxy: Proxy,
    load: Load,
    /// Stopped last.
    _redis: RedisServer,
}

impl Far {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let proxy = Proxy::start(redis.address()).await;
        let sinks = three_sinks().await;
        let url = format!("redis://{}/0", proxy.address());
        let gateway = Process::spawn(&configuration(&url, &sinks)).await;
        let load = Load::start(&[&gateway.client], SENDERS, SEED);
        load.more_acknowledged(100).await;
        Self {
            sinks,
            gateway,
            proxy,
            load,
            _redis: redis,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_to_redis_fails_no_request() {
    let far = Far::start().await;
    for harm in [
        Harm::Latency(Duration::from_millis(100)),
        Harm::Slice(7),
        Harm::Bandwidth(200_000),
    ] {
        far.proxy.set(harm).await;
        far.load.more_acknowledged(SENDERS as u64 * 4).await;
    }
    far.proxy.set(Harm::None).await;
    let log = far.load.stop().await;
    assert_eq!(log.failures.len(), 0, "{:?}", log.failures);
    drained(&log, &far.sinks, &[&far.gateway]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_redis_that_is_blocked_is_503_within_the_deadline() {
    let far = Far::start().await;
    for (id, harm) in [
        ("too-slow", Harm::Latency(Duration::from_secs(5))),
        ("stalled", Harm::Stall),
        ("refused", Harm::Refuse),
        ("reset", Harm::Reset),
    ] {
        far.proxy.set(harm).await;
        assert_store_unavailable(&far.load.post(&far.gateway.client, id).await);
        far.load.more_failed(1).await;
        far.proxy.set(Harm::None).await;
        far.load.more_acknowledged(100).await;
        wait_until_ready(&far.gateway).await;
        // What was stalled may have reached Redis after all.
        let reply = far.load.post(&far.gateway.client, id).await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }
    let log = far.load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &far.sinks, &[&far.gateway]).await;
}

/// In the middle of the answer to a script that has run: the caller's retry is a duplicate, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_redis_that_are_cut_lose_nothing() {
    let far = Far::start().await;
    for bytes in [0, 1, 3, 10, 30, 100, 300, 1000] {
        far.proxy.set(Harm::CutReplyAfter(bytes)).await;
        far.load.more_failed(1).await;
        far.proxy.set(Harm::None).await;
        far.load.more_acknowledged(50).await;
    }
    let (sent, received) = far.proxy.bytes();
    assert!(sent > 0 && received > 0);
    assert!(far.proxy.connections() > 8, "each cut ends a connection");
    let log = far.load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &far.sinks, &[&far.gateway]).await;
}
