//! The whole program with a spool while its Redis is killed, hung, full or read-only: nobody is refused.

use http::StatusCode;

use super::{PHASE, SEED, SENDERS, with_spool};
use crate::support::{
    ledger::{Load, Sink, drained_through_spools, spool_moved, three_sinks},
    process::Process,
    redis::{RedisServer, free_port},
    wait_for,
};

struct Rig {
    redis: RedisServer,
    sinks: Vec<Sink>,
    gateway: Process,
    load: Load,
}

impl Rig {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let sinks = three_sinks().await;
        let gateway = Process::spawn(&with_spool(&redis.url(0), &sinks)).await;
        let load = Load::start(&[&gateway.client], SENDERS, SEED);
        load.more_acknowledged(PHASE).await;
        Self {
            redis,
            sinks,
            gateway,
            load,
        }
    }

    /// More events than could have been under way are accepted, into the spool.
    async fn goes_on_without_redis(&self) {
        self.load.more_acknowledged(PHASE).await;
        wait_for("events in the spool", async || {
            let metrics = self.gateway.metrics().await;
            let waiting = metrics.value("hookgate_spool_events", &[]);
            (waiting.expect("a series from the start") > 0.0).then_some(())
        })
        .await;
        let ready = self.gateway.admin.get("/readyz").await;
        assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    }

    /// Nobody was refused, and everything arrived.
    async fn end(self) {
        self.load.more_acknowledged(PHASE).await;
        spool_moved(&self.gateway).await;
        self.load.more_acknowledged(PHASE).await;
        let log = self.load.stop().await;
        assert_eq!(log.failures.len(), 0, "{:?}", log.failures);
        let metrics = self.gateway.metrics().await;
        assert_eq!(metrics.value("hookgate_store_up", &[]), Some(1.0));
        drained_through_spools(&log, &self.sinks, &[&self.gateway]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_refuses_nobody() {
    let mut rig = Rig::start().await;
    for _ in 0..2 {
        rig.redis.kill();
        rig.goes_on_without_redis().await;
        rig.redis.restart();
        rig.load.more_acknowledged(PHASE).await;
        spool_moved(&rig.gateway).await;
    }
    for line in ["they go into the spool", "takes events again", "are moved"] {
        let stderr = rig.gateway.stderr();
        assert!(stderr.contains(line), "{line}: {stderr}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_redis_refuses_nobody() {
    let rig = Rig::start().await;
    rig.redis.pause();
    rig.goes_on_without_redis().await;
    rig.redis.resume();
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_nobody() {
    let rig = Rig::start().await;
    rig.redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    rig.goes_on_without_redis().await;
    rig.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_became_a_replica_refuses_nobody() {
    let rig = Rig::start().await;
    // Its primary never answers, so that it keeps its data.
    let nobody = free_port().to_string();
    rig.redis.command(&["REPLICAOF", "127.0.0.1", &nobody]);
    rig.goes_on_without_redis().await;
    rig.redis.command(&["REPLICAOF", "NO", "ONE"]);
    rig.end().await;
}

/// Redis goes away again while events are moved to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_away_under_the_mover_loses_nothing() {
    let mut rig = Rig::start().await;
    rig.redis.kill();
    rig.goes_on_without_redis().await;
    for _ in 0..3 {
        let before = moved(&rig.gateway).await;
        rig.redis.restart();
        wait_for("the first events that are moved", async || {
            (moved(&rig.gateway).await > before).then_some(())
        })
        .await;
        rig.redis.kill();
        rig.goes_on_without_redis().await;
    }
    rig.redis.restart();
    rig.end().await;
}

async fn moved(gateway: &Process) -> f64 {
    let metrics = gateway.metrics().await;
    metrics.sum("hookgate_spool_moved_total", "result=")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_has_the_last_word_about_duplicates() {
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&with_spool(&redis.url(0), &sinks)).await;
    let load = Load::start(&[], 0, SEED);
    let post = async |id: &str| {
        let reply = load.post(&gateway.client, id).await;
        (reply.outcome(), reply.uid())
    };
    let (outcome, in_redis) = post("before").await;
    assert_eq!(outcome, "accepted");

    redis.kill();
    let (outcome, again) = post("before").await;
    assert_eq!(outcome, "accepted", "the spool cannot know");
    let (outcome, in_spool) = post("during").await;
    assert_eq!(outcome, "accepted");
    assert_eq!(post("during").await, ("duplicate".to_owned(), in_spool));
    assert_eq!(post("before").await, ("duplicate".to_owned(), again));

    redis.restart();
    spool_moved(&gateway).await;
    assert_eq!(post("before").await, ("duplicate".to_owned(), in_redis));
    assert_eq!(post("during").await, ("duplicate".to_owned(), in_spool));
    let metrics = gateway.metrics().await;
    for (result, expected) in [("accepted", 1.0), ("duplicate", 1.0), ("corrupt", 0.0)] {
        let found = metrics.value("hookgate_spool_moved_total", &[("result", result)]);
        assert_eq!(found, Some(expected), "{result}");
    }
    let found = metrics.value("hookgate_spool_accepted_total", &[]);
    assert_eq!(found, Some(2.0));

    drained_through_spools(&load.stop().await, &sinks, &[&gateway]).await;
    for sink in &sinks {
        for (id, uid) in [("before", in_redis), ("during", in_spool)] {
            let arrivals = sink.arrivals();
            let arrived = arrivals.iter().filter(|arrival| *arrival.id == *id);
            let uids: Vec<_> = arrived.map(|arrival| arrival.uid).collect();
            assert_eq!(uids, [uid], "{id}");
        }
    }
}
