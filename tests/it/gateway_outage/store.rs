//! Redis killed, hung, full, without its scripts, under a gateway at work.

use futures_util::future::join_all;
use http::StatusCode;

use super::{SEED, SENDERS, assert_store_unavailable, wait_until_ready};
use crate::support::{
    ledger::{Load, configuration, drained, three_sinks},
    process::Process,
    redis::RedisServer,
    wait_for,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_is_503_until_it_is_back_and_loses_nothing() {
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for round in 0..3 {
        load.more_acknowledged(100).await;
        redis.kill();
        let ids: Vec<_> = (0..5)
            .map(|number| format!("down-{round}-{number}"))
            .collect();
        for id in &ids {
            assert_store_unavailable(&load.post(&gateway.client, id).await);
        }
        load.more_failed(1).await;
        assert_shown_down(&gateway).await;
        redis.restart();
        load.more_acknowledged(100).await;
        wait_until_ready(&gateway).await;
        for id in &ids {
            let reply = load.post(&gateway.client, id).await;
            assert_eq!(reply.outcome(), "accepted", "{id}");
        }
    }
    let log = load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &sinks, &[&gateway]).await;
}

/// Redis executes what it was sent before it hung when it goes on, whether or not anybody still waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_redis_is_503_and_a_retry_finds_what_was_stored_nevertheless() {
    let redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    let load = Load::start(&[], 0, SEED);
    let post_all = async || {
        let ids = (0..20).map(|number| format!("hung-{number}"));
        let posts = ids.map(async |id| load.post(&gateway.client, &id).await);
        join_all(posts).await
    };

    // So that Redis knows the script: it could not ask for it while it hangs.
    assert_eq!(
        load.post(&gateway.client, "before").await.outcome(),
        "accepted"
    );

    redis.pause();
    for reply in post_all().await {
        assert_store_unavailable(&reply);
    }
    assert_shown_down(&gateway).await;

    redis.resume();
    wait_until_ready(&gateway).await;
    let outcomes: Vec<_> = post_all().await.iter().map(|r| r.outcome()).collect();
    assert!(outcomes.contains(&"duplicate".to_owned()), "{outcomes:?}");
    drained(&load.stop().await, &sinks, &[&gateway]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_fail_no_request() {
    let redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for _ in 0..20 {
        load.more_acknowledged(30).await;
        redis.command(&["SCRIPT", "FLUSH"]);
    }
    load.more_acknowledged(30).await;
    let log = load.stop().await;
    assert_eq!(log.failures.len(), 0, "{:?}", log.failures);
    drained(&log, &sinks, &[&gateway]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_is_503_until_there_is_room() {
    let redis = RedisServer::start();
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for id in ["no-room-1", "no-room-2"] {
        load.more_acknowledged(100).await;
        redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
        load.more_failed(SENDERS as u64).await;
        assert_store_unavailable(&load.post(&gateway.client, id).await);
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        load.more_acknowledged(100).await;
        let reply = load.post(&gateway.client, id).await;
        assert_eq!(reply.outcome(), "accepted");
    }
    let log = load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &sinks, &[&gateway]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_busy_with_a_script_is_503_until_it_is_killed() {
    let redis = RedisServer::with(&[("busy-reply-threshold", "100")]);
    let busy = || {
        let script = redis.endless_script();
        move || script.kill()
    };
    refuses_until_its_end(&redis, busy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_redis_is_503_until_it_can_be_written_to() {
    let redis = RedisServer::start();
    let read_only = || {
        redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
        || {
            redis.command(&["REPLICAOF", "NO", "ONE"]);
        }
    };
    refuses_until_its_end(&redis, read_only).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_loads_its_data_is_503_until_it_has_them() {
    let redis = RedisServer::with(&[("enable-debug-command", "yes")]);
    let fill = "for number = 1, 3000 do redis.call('SET', 'key' .. number, 'x') end";
    redis.command(&["EVAL", fill, "0"]);
    let load = || {
        let loading = redis.load_slowly();
        || loading.join().expect("data that load")
    };
    refuses_until_its_end(&redis, load).await;
}

/// Twice, under load: `begin` makes Redis refuse everything until what it returns is called.
async fn refuses_until_its_end<E: FnOnce()>(redis: &RedisServer, begin: impl Fn() -> E) {
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for id in ["refused-1", "refused-2"] {
        load.more_acknowledged(100).await;
        let end = begin();
        load.more_failed(1).await;
        assert_store_unavailable(&load.post(&gateway.client, id).await);
        assert_shown_down(&gateway).await;
        tokio::task::block_in_place(end);
        load.more_acknowledged(100).await;
        wait_until_ready(&gateway).await;
        let reply = load.post(&gateway.client, id).await;
        assert_eq!(reply.outcome(), "accepted");
    }
    let log = load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &sinks, &[&gateway]).await;
}

/// The store is not ready, and the metrics say so.
async fn assert_shown_down(gateway: &Process) {
    let ready = gateway.admin.get("/readyz").await;
    let text = ready.text();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    wait_for("hookgate_store_up at 0", async || {
        let up = gateway.metrics().await.value("hookgate_store_up", &[]);
        (up.expect("a series from the start") == 0.0).then_some(())
    })
    .await;
}
