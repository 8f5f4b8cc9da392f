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
use crate::support::redis::{
    RedisServer, free_port, info, sentinel::Sentinels, tls::Certificate, wait_until,
};

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

/// The old primary goes on as a replica, on the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_replaced_in_good_health_is_left() {
    let rig = Sentinels::start();
    let store = open(&rig).await;
    work(&store, "before").await.unwrap();
    replicated(&rig);
    rig.fail_over();
    until("another is the primary", async || {
        rig.primary()
            .filter(|primary| primary.port() != rig.servers[0].port())
            .map(drop)
    })
    .await;
    works_again(&store, "after").await;
    let again = store.accept(Arc::new(event("before"))).await.unwrap();
    assert!(matches!(again, Acceptance::Duplicate { .. }), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sentinels_have_credentials_of_their_own() {
    let rig = Sentinels::start();
    let user = "SETUSER hookgate on >secret resetchannels -@all +hello +auth +sentinel|get-master-addr-by-name";
    let words: Vec<_> = std::iter::once("ACL").chain(user.split(' ')).collect();
    rig.ask_each(&words);
    let open = async |password: &str| {
        let url = format!(
            "{}?sentinel_user=hookgate&sentinel_password={password}",
            rig.url()
        );
        let servers = RedisUrl::parse(&url).unwrap();
        RedisStore::open(Options::new(servers, Durability::Always), metrics()).await
    };
    work(&open("secret").await.unwrap(), "a").await.unwrap();
    let fault = open("canary").await.err().unwrap().to_string();
    assert!(
        fault.contains("refuses the user name or password"),
        "{fault}"
    );
    assert!(!fault.contains("canary"), "{fault}");
}

/// What `min-replicas-to-write` is for: a primary that may be cut off takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_lost_its_replicas_refuses_and_takes_events_again_when_they_are_back() {
    let primary = RedisServer::with(&[
        ("min-replicas-to-write", "1"),
        ("min-replicas-max-lag", "1"),
        ("repl-diskless-sync-delay", "0"),
    ]);
    let replica_of = format!("127.0.0.1 {}", primary.port());
    let replica = RedisServer::with(&[("replicaof", &replica_of)]);
    wait_until("the replica is in step", || {
        let replication = primary.command(&["INFO", "replication"]);
        info(&replication, "min_slaves_good_slaves") == "1"
    });
    let options = Options::new(primary.connection(), Durability::Always);
    let store = RedisStore::open(options, metrics()).await.unwrap();
    work(&store, "before").await.unwrap();
    replica.pause();
    let mut attempts = 0;
    let refused = until("writes are refused", async || {
        attempts += 1;
        let id = format!("cut-off-{attempts}");
        store.accept(Arc::new(event(&id))).await.err()
    })
    .await;
    assert!(refused.to_string().contains("replicas"), "{refused}");
    replica.resume();
    works_again(&store, "after").await;
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
    let options = Options::new(servers, Durability::Always);
    let store = RedisStore::open_lazily(&options, metrics()).await.unwrap();
    let error = store.accept(Arc::new(event("early"))).await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    let port = url
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let _server = RedisServer::on(port, &[]);
    until("it connects", async || work(&store, "late").await.ok()).await;
    store.close().await;
}
