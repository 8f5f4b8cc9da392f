//! Redis Cluster: the shards are spread over its primaries, and move with their slots.

use std::{sync::Arc, time::Duration};

use hookgate::{
    config::Durability,
    store::{
        Acceptance, Store as _, StoreError,
        redis::{Options, RedisStore},
    },
};
use redis::Value;

use super::{event, metrics, until, work, works_again};
use crate::support::redis::{cluster::Cluster, info, tls::Certificate, wait_until};

const SHARDS: u16 = 6;
/// Where the first shard is: the owner of slot 13907.
const FIRST_SHARD_ON: usize = 2;
const FIRST_SHARD_SLOT: &str = "13907";

async fn open(rig: &Cluster) -> RedisStore {
    let options = Options {
        shards: SHARDS,
        ..Options::new(rig.servers(), Durability::Always)
    };
    // On a busy machine a node may not answer in time at once.
    until("the store opens", async || {
        RedisStore::open(options.clone(), metrics()).await.ok()
    })
    .await
}

/// Ids of events of every shard.
async fn spread(store: &RedisStore, name: &str) -> Vec<String> {
    let ids: Vec<_> = (0..60).map(|number| format!("{name}-{number}")).collect();
    let events = ids.iter().map(|id| Arc::new(event(id))).collect();
    for accepted in store.accept_all(events).await {
        accepted.unwrap();
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_and_the_shards_stand_on_all_of_them() {
    let mut rig = Cluster::start();
    let store = open(&rig).await;
    let ids = spread(&store, "before").await;
    let keys = rig.keys("hookgate:*:event:*");
    assert!(keys[..3].iter().all(|&keys| keys > 0), "{keys:?}");
    for node in &rig.nodes[..3] {
        assert_eq!(node.command(&["WAIT", "1", "10000"]), Value::Int(1));
    }

    rig.nodes[FIRST_SHARD_ON].kill();
    until("every shard takes events again", async || {
        let events = ids.iter().map(|id| Arc::new(event(id)));
        let answers = store.accept_all(events.collect()).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>().ok()?;
        for answer in answers {
            assert!(matches!(answer, Acceptance::Duplicate { .. }), "{answer:?}");
        }
        Some(())
    })
    .await;
    works_again(&store, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_by_hand_is_followed() {
    let rig = Cluster::start();
    let store = open(&rig).await;
    let ids = spread(&store, "before").await;
    let replica = &rig.nodes[FIRST_SHARD_ON + 3];
    replica.command(&["CLUSTER", "FAILOVER"]);
    wait_until("the replica is the primary", || {
        info(&replica.command(&["INFO", "replication"]), "role") == "master"
    });
    until("every shard is found again", async || {
        let events = ids.iter().map(|id| Arc::new(event(id))).collect();
        let answers = store.accept_all(events).await.into_iter();
        let answers: Vec<_> = answers.collect::<Result<_, _>>().ok()?;
        let is_known = |answer: &_| matches!(answer, Acceptance::Duplicate { .. });
        assert!(answers.iter().all(is_known), "{answers:?}");
        Some(())
    })
    .await;
    works_again(&store, "after").await;
}

/// While a slot is on its way nothing may run, since half of the keys would be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_slot_moves_is_refused_meanwhile_and_then_found() {
    let rig = Cluster::start();
    let store = open(&rig).await;
    let ids = spread(&store, "before").await;
    let (from, to) = (&rig.nodes[FIRST_SHARD_ON], &rig.nodes[0]);
    let (from_id, to_id) = (rig.id(FIRST_SHARD_ON), rig.id(0));
    to.command(&[
        "CLUSTER",
        "SETSLOT",
        FIRST_SHARD_SLOT,
        "IMPORTING",
        &from_id,
    ]);
    from.command(&["CLUSTER", "SETSLOT", FIRST_SHARD_SLOT, "MIGRATING", &to_id]);

    let events = || ids.iter().map(|id| Arc::new(event(id))).collect();
    let answers: Vec<Result<Acceptance, StoreError>> = store.accept_all(events()).await;
    let (known, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!known.is_empty() && !refused.is_empty());
    for answer in refused {
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("moving the shard"), "{error}");
    }

    let Value::Array(keys) = from.command(&["CLUSTER", "GETKEYSINSLOT", FIRST_SHARD_SLOT, "10000"])
    else {
        panic!("keys");
    };
    let client = redis::Client::open(from.connection()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut migrate = redis::cmd("MIGRATE");
    migrate
        .arg("127.0.0.1")
        .arg(to.port())
        .arg("")
        .arg(0)
        .arg(5000)
        .arg("KEYS");
    for key in keys {
        migrate.arg(redis::from_redis_value::<Vec<u8>>(key).unwrap());
    }
    migrate.query::<()>(&mut connection).unwrap();
    for node in [to, from, &rig.nodes[1]] {
        node.command(&["CLUSTER", "SETSLOT", FIRST_SHARD_SLOT, "NODE", &to_id]);
    }

    // The first call meets a MOVED, and follows it.
    for answer in store.accept_all(events()).await {
        assert!(
            matches!(answer, Ok(Acceptance::Duplicate { .. })),
            "{answer:?}"
        );
    }
    tokio::time::timeout(Duration::from_secs(60), store.close())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_speak_tls() {
    let rig = Cluster::over_tls(Certificate::new());
    let store = open(&rig).await;
    spread(&store, "a").await;
    work(&store, "b").await.unwrap();
}
