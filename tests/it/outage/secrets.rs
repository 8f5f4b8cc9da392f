//! Kept secrets in Redis: one a route, whichever gateway keeps it.

use std::sync::Arc;

use hookgate::{
    clock::Timestamp,
    config::{Durability, Secret},
    store::{
        KeptSecret, Store,
        redis::{Options, RedisStore},
    },
};

use super::{metrics, open};
use crate::support::redis::RedisServer;

fn secret(bytes: &[u8]) -> KeptSecret {
    KeptSecret {
        route: "asana".into(),
        secret: Secret::new(bytes),
        received_at: Timestamp::from_millis(1_790_000_000_000),
    }
}

async fn kept(store: &impl Store) -> Vec<Vec<u8>> {
    let kept = store.kept_secrets().await.unwrap();
    kept.iter()
        .map(|kept| kept.secret.expose().to_vec())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_secrets_at_two_gateways_at_once_is_kept() {
    for shards in [1, 3] {
        let options = Options {
            shards,
            ..Options::new(RedisServer::shared().fresh_database(), Durability::Always)
        };
        let gateways = [
            RedisStore::open(options.clone(), metrics()).await.unwrap(),
            RedisStore::open(options, metrics()).await.unwrap(),
        ]
        .map(Arc::new);
        for _ in 0..5 {
            let calls: Vec<_> = (0..40_u8)
                .map(|n| {
                    let store = gateways[usize::from(n % 2)].clone();
                    tokio::spawn(async move { store.keep_secret(&secret(&[n])).await.unwrap() })
                })
                .collect();
            let mut winners = Vec::new();
            for (n, call) in (0..40_u8).zip(calls) {
                winners.extend(call.await.unwrap().then_some(n));
            }
            assert_eq!(winners.len(), 1);
            for store in &gateways {
                assert_eq!(kept(&**store).await, [winners.clone()]);
            }
            assert!(gateways[1].forget_secret(&"asana".into()).await.unwrap());
            assert!(!gateways[0].forget_secret(&"asana".into()).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_secret_outlives_its_redis_and_is_told_by_no_error() {
    let mut server = RedisServer::start();
    let store = open(server.connection()).await;
    assert!(store.keep_secret(&secret(b"canary")).await.unwrap());
    server.kill();
    let away = [
        store.keep_secret(&secret(b"canary")).await.unwrap_err(),
        store.kept_secrets().await.unwrap_err(),
    ];
    let shown = format!("{away:?} {} {}", away[0], away[1]);
    assert!(!shown.contains("canary"), "{shown}");
    server.restart();
    let store = open(server.connection()).await;
    assert_eq!(kept(&store).await, [b"canary"]);
    assert!(!store.keep_secret(&secret(b"another")).await.unwrap());
    server.command(&["DEL", "hookgate:{0}:secrets"]);
    server.command(&["HSET", "hookgate:{0}:secrets", "asana", "canary"]);
    let damaged = store.kept_secrets().await.unwrap_err();
    assert!(!format!("{damaged:?}").contains("canary"), "{damaged}");
}
