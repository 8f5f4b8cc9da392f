//! Redis with Sentinel: the primary is where the sentinels say, and moves.

use std::sync::Arc;

use hookgate::{
    config::{Durability, RedisUrl},
    store::{
        Acceptance, Store as _,
        redis::{Options, RedisStore},
    },
};

use super::{TARGET, event, metrics, until, work, works_again};
use crate::support::redis::{free_port, sentinel::Sentinels, tls::Certificate};

async fn open(rig: &Sentinels) -> RedisStore {
    let options = Options::new(rig.servers(), Durability::Always);
    let opened = RedisStore::open(options, metrics()).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_and_what_was_replicated_stays() {
    let mut rig = Sentinels::start();
    let store = open(&rig).await;
    work(&store, "before").await.unwrap();
    store.accept(Arc::new(event("waiting"))).await.unwrap();
    replicated(&rig);

    rig.servers[0].kill();
    works_again(&store, "after").await;
    let again = store.accept(Arc::new(event("before"))).await.unwrap();
    assert!(matches!(again, Acceptance::Duplicate { .. }), "{again:?}");
    let again = store.accept(Arc::new(event("waiting"))).await.unwrap();
    assert!(matches!(again, Acceptance::Duplicate { .. }), "{again:?}");
    assert!(store.get(event("waiting").uid).await.unwrap().is_some());

    // The old one comes back, and becomes a replica: it is not gone back to.
    rig.servers[0].restart();
    works_again(&store, "restarted").await;
    assert!(rig.primary().is_some());
}

/// Until both replicas have what was written: Redis answers before that.
fn replicated(rig: &Sentinels) {
    let reached = rig.servers[0].command(&["WAIT", "2", "10000"]);
    assert_eq!(reached, redis::Value::Int(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_for_its_successor() {
    let rig = Sentinels::start();
    let store = open(&rig).await;
    work(&store, "before").await.unwrap();
    replicated(&rig);
    rig.servers[0].pause();
    works_again(&store, "after").await;
    rig.servers[0].resume();
    work(&store, "resumed").await.unwrap();
    let depth = store.depth(&[TARGET.into()]).await.unwrap();
    assert_eq!(depth.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_servers_speak_tls() {
    let rig = Sentinels::over_tls(Certificate::new());
    let store = open(&rig).await;
    work(&store, "a").await.unwrap();
    store.close().await;
    let untrusted = RedisUrl::parse(&rig.url()).unwrap();
    let options = Options::new(untrusted, Durability::Always);
    let fault = RedisStore::open(options, metrics()).await.err().unwrap();
    assert!(fault.to_string().contains("certificate"), "{fault}");
}

#[tokio::test]
async fn sentinels_that_are_not_there_or_know_nothing_are_told_in_one_line() {
    let url = format!(
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main",
        free_port(),
        free_port()
    );
    let options = Options::new(RedisUrl::parse(&url).unwrap(), Durability::Always);
    let fault = RedisStore::open(options, metrics()).await.err().unwrap();
    let fault = fault.to_string();
    assert_eq!(fault.lines().count(), 1, "{fault}");
    assert_eq!(fault.matches("connection refused").count(), 2, "{fault}");
    assert!(fault.contains("\"main\" by its sentinels"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_opened_lazily_finds_its_servers_when_they_come() {
    let url = format!("redis://127.0.0.1:{}/", free_port());
    let servers = RedisUrl::parse(&url).unwrap();
    let store = RedisStore::open_lazily(&Options::new(servers, Durability::Always), metrics());
    let error = store.accept(Arc::new(event("early"))).await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    let port = url
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let _server = crate::support::redis::RedisServer::on(port, &[]);
    until("it connects", async || work(&store, "late").await.ok()).await;
    store.close().await;
}
