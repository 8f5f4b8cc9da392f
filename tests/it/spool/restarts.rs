//! The gateway ends, in good order or not, while its spool holds events.

use super::{PHASE, SEED, SENDERS, with_spool};
use crate::support::{
    gateway::{complete, temporary},
    ledger::{Failure, Load, drained_through_spools, spool_moved, three_sinks},
    process::{Process, free_addresses, run_to_end},
    redis::RedisServer,
    wait_for,
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

/// Nothing of the first start is left out for it: the scripts, the format of the keys, the removed targets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_and_serves_while_redis_is_away() {
    let mut redis = RedisServer::start();
    redis.kill();
    let sinks = three_sinks().await;
    let mut gateway = Process::spawn(&with_spool(&redis.url(0), &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(PHASE).await;
    // Again, with a spool that holds events and a Redis that is still away.
    gateway.kill();
    gateway.restart().await;
    load.more_acknowledged(PHASE).await;
    redis.restart();
    spool_moved(&gateway).await;
    load.more_acknowledged(PHASE).await;
    let log = load.stop().await;
    let refused = log.failures.keys().find(|one| **one != Failure::Unanswered);
    assert_eq!(refused, None, "{:?}", log.failures);
    drained_through_spools(&log, &sinks, &[&gateway]).await;
}

/// Waiting in the spool would not mend it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_there_and_unfit_ends_the_start() {
    let faults = [
        (
            "CONFIG SET maxmemory-policy allkeys-lru",
            "maxmemory-policy",
        ),
        ("CONFIG SET appendfsync everysec", "appendfsync"),
        ("SET hookgate:{0}:format 5", "events in format 4"),
        ("SET hookgate:{0}:shards 3", "events in 3 shards"),
    ];
    for (command, told) in faults {
        let redis = RedisServer::start();
        redis.command(&command.split(' ').collect::<Vec<_>>());
        let sinks = three_sinks().await;
        let directory = temporary();
        let [public, admin] = free_addresses();
        let toml = with_spool(&redis.url(0), &sinks);
        let toml = complete(&toml, &public.to_string(), &admin.to_string());
        let (code, stderr) = run_to_end(directory.path(), &toml).await;
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}

/// What the spool holds for a target that is gone becomes a dead letter once it is moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_was_removed_meanwhile_leaves_dead_letters() {
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let toml = with_spool(&redis.url(0), &sinks);
    let mut gateway = Process::spawn(&toml).await;
    let load = Load::start(&[], 0, SEED);
    redis.kill();
    let reply = load.post(&gateway.client, "a").await;
    assert_eq!(reply.outcome(), "accepted");
    gateway.kill();

    let file = gateway.directory.path().join("routes.toml");
    let all = std::fs::read_to_string(&file).expect("a configuration");
    let fewer = without(&all, sinks[2].name());
    std::fs::write(&file, fewer).expect("a writable directory");
    gateway.restart().await;
    redis.restart();
    spool_moved(&gateway).await;
    wait_for("the dead letter", async || {
        let told = "deliveries of removed targets became dead letters deliveries=1";
        gateway.stderr().contains(told).then_some(())
    })
    .await;
    wait_for("the other deliveries", async || {
        let arrived = sinks[..2].iter().all(|sink| sink.count("a") == 1);
        arrived.then_some(())
    })
    .await;
    assert_eq!(sinks[2].count("a"), 0);
    load.stop().await;
}

/// The configuration without a target.
fn without(toml: &str, target: &str) -> String {
    let mut root: toml::Table = toml.parse().expect("a configuration in TOML");
    let removed = root["targets"]
        .as_table_mut()
        .and_then(|targets| targets.remove(target));
    assert!(removed.is_some());
    let deliver = root["routes"]["github"]["deliver"].as_array_mut();
    deliver
        .expect("a list")
        .retain(|to| to.as_str() != Some(target));
    toml::to_string(&root).expect("a table")
}
