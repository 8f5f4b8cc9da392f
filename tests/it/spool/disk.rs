//! Redis is away, and the disk under the spool is full.

use http::StatusCode;

use super::{PHASE, SEED, SENDERS, with_spool};
use crate::{
    gateway_outage::{
        assert_store_unavailable,
        disk::{Ballast, SMALL_DISK, small_disks_are_allowed},
    },
    support::{
        ledger::{Load, drained_through_spools, three_sinks},
        process::Process,
        redis::RedisServer,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_spool_is_503_until_there_is_room_and_loses_nothing() {
    if !small_disks_are_allowed() {
        eprintln!(
            "not tested: this system lets nobody mount a file system in a name space of their own"
        );
        return;
    }
    let mut redis = RedisServer::start();
    let sinks = three_sinks().await;
    let toml = with_spool(&redis.url(0), &sinks).replace("file:spool", "file:data");
    let gateway = Process::spawn_under(SMALL_DISK, &toml, &[]).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(PHASE).await;
    redis.kill();
    load.more_acknowledged(PHASE).await;

    let ballast = Ballast::fill(&gateway);
    load.more_failed(SENDERS as u64).await;
    assert_store_unavailable(&load.post(&gateway.client, "no-room").await);
    let ready = gateway.admin.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let stderr = gateway.stderr();
    assert!(
        stderr.contains("the store is full: also the spool"),
        "{stderr}"
    );

    drop(ballast);
    load.more_acknowledged(PHASE).await;
    redis.restart();
    load.more_acknowledged(PHASE).await;
    let log = load.stop().await;
    log.assert_only("store_unavailable");
    drained_through_spools(&log, &sinks, &[&gateway]).await;
}
