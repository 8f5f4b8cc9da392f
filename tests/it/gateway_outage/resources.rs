//! Little of everything: descriptors, memory, processors.

use std::process::Command;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::{SEED, SENDERS};
use crate::support::{
    ledger::{Load, Sink, configuration, drained, patient, three_sinks},
    process::Process,
    redis::RedisServer,
};

const BODY: usize = 64 * 1024;
/// Events before the memory is first measured: what a gateway at work needs anyhow is there then.
const WARM: usize = 400;
const EVENTS: usize = 800;
/// Of the bodies that come later at most this share may stay in memory.
const HELD_SHARE: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_all_targets_is_not_held_in_memory_by_the_embedded_store() {
    drain_from_disk("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_all_targets_is_not_held_in_memory_with_redis() {
    let redis = RedisServer::start();
    drain_from_disk(&redis.url(0)).await;
}

/// All targets are down while events come in.
async fn drain_from_disk(store_url: &str) {
    let sinks = ["crm", "audit"].map(Sink::refusing);
    let (quick, calm) = (
        r#"first = "50ms", max = "500ms""#,
        r#"first = "5s", max = "5s""#,
    );
    let toml = patient(store_url, &sinks).replace(quick, calm);
    assert!(toml.contains(calm));
    let gateway = Process::spawn(&toml).await;
    let load = Load::start(&[], 0, SEED);
    let padding = "x".repeat(BODY);
    let post = async |number: usize| {
        let id = format!("large-{number}");
        let body = format!(r#"{{"id":"{id}","padding":"{padding}"}}"#);
        let reply = load.post_body(&gateway.client, &id, &body).await;
        assert_eq!(reply.outcome(), "accepted");
    };
    let post_all = async |from: usize, to: usize| {
        for first in (from..to).step_by(SENDERS) {
            join_all((first..first + SENDERS).map(post)).await;
        }
    };
    post_all(0, WARM).await;
    let (_, before) = gateway.memory();
    post_all(WARM, EVENTS).await;
    let (_, most) = gateway.memory();
    // The kernel's count is not exact, so that even the most can seem to be less later.
    let grown = most.saturating_sub(before);
    let came = ((EVENTS - WARM) * BODY) as u64;
    assert!(
        grown < came / HELD_SHARE,
        "{before}, then {grown} more for {came}"
    );

    for sink in &sinks {
        sink.listen();
    }
    let report = drained(&load.stop().await, &sinks, &[&gateway]).await;
    assert_eq!(report.duplicates, 0, "{report}");
}

/// Who is connected is served; who is not waits in the system's queue, and is served when there are descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_descriptors_sheds_and_recovers() {
    let sinks = three_sinks().await;
    let gateway = Process::spawn(&configuration("file:data", &sinks)).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(100).await;
    limit_descriptors(&gateway, gateway.descriptors());
    let idle = join_all((0..100).map(|_| TcpStream::connect(gateway.public))).await;
    load.more_acknowledged(100).await;
    drop(idle);
    limit_descriptors(&gateway, 1024);
    load.more_acknowledged(100).await;
    let mut raw = gateway.raw().await;
    raw.write("GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let reply = raw.reply().await.expect("an answer to who came anew");
    assert_eq!(reply.status.as_u16(), 404);
    let log = load.stop().await;
    drained(&log, &sinks, &[&gateway]).await;
}

fn limit_descriptors(gateway: &Process, most: usize) {
    let limited = Command::new("prlimit")
        .args(["--pid", &gateway.pid().to_string()])
        .arg(format!("--nofile={most}:"))
        .status()
        .expect("prlimit, of util-linux");
    assert!(limited.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_processor_is_enough() {
    let sinks = three_sinks().await;
    let toml = configuration("file:data", &sinks);
    let mut gateway = Process::spawn_under(&["taskset", "-c", "0"], &toml, &[]).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(200).await;
    gateway.restart().await;
    load.more_acknowledged(200).await;
    drained(&load.stop().await, &sinks, &[&gateway]).await;
}
