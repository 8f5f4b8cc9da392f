//! Redis killed, hung, full, read-only, without its scripts: errors meanwhile, nothing lost, recovery by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use hookgate::{
    event::{DeadReason, DeliveryState, Event, NewDelivery, Outcome},
    store::{
        Acceptance, Settled, Settlement, Store as _, StoreError, orphans::Gone, redis::RedisStore,
    },
};
use redis::ConnectionInfo;
use tokio::task::JoinSet;

use super::{TARGET, claim_one, event, open, until, want};
use crate::support::redis::{RedisServer, command};

const WORKERS: usize = 8;

/// Workers that send events, each until Redis has answered for it, as providers do.
struct Load {
    store: Arc<RedisStore>,
    stop: AtomicBool,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Load {
    fn start(store: Arc<RedisStore>) -> (Arc<Self>, JoinSet<Vec<String>>) {
        let load = Arc::new(Self {
            store,
            stop: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        });
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            workers.spawn(load.clone().send(worker));
        }
        (load, workers)
    }

    async fn send(self: Arc<Self>, worker: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let id = format!("{worker}-{}", ids.len());
            while self.store.accept(Arc::new(event(&id))).await.is_err() {
                self.failed.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
            ids.push(id);
        }
        ids
    }

    async fn wait_for_more(&self, events: usize) {
        let enough = self.answered.load(Ordering::SeqCst) + events;
        until("more answers", async || {
            (self.answered.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
    }

    async fn wait_for_failure(&self) {
        let failed = self.failed.load(Ordering::SeqCst);
        until("a failed call", async || {
            (self.failed.load(Ordering::SeqCst) > failed).then_some(())
        })
        .await;
    }

    /// Stops, and checks that every answered event is stored whole and once. Returns how many.
    async fn stop(&self, workers: JoinSet<Vec<String>>) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let ids = workers.join_all().await.concat();
        for id in &ids {
            let sent = event(id);
            let stored = self.store.get(sent.uid).await.unwrap();
            let stored = stored.unwrap_or_else(|| panic!("{id} was answered and is lost"));
            assert_eq!(stored.event.body, sent.body);
        }
        let depth = self.store.depth(&[TARGET.into()]).await.unwrap();
        assert_eq!(depth[0].pending, ids.len() as u64, "one delivery an event");
        ids.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_loses_no_answered_event_and_is_found_again() {
    let mut server = RedisServer::start();
    let (load, workers) = Load::start(Arc::new(open(server.connection()).await));
    for _ in 0..3 {
        load.wait_for_more(100).await;
        server.kill();
        load.wait_for_failure().await;
        server.restart();
    }
    load.wait_for_more(100).await;
    assert!(load.stop(workers).await >= 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again_unnoticed() {
    let server = RedisServer::start();
    let (load, workers) = Load::start(Arc::new(open(server.connection()).await));
    for _ in 0..10 {
        load.wait_for_more(20).await;
        server.command(&["SCRIPT", "FLUSH"]);
    }
    load.wait_for_more(20).await;
    assert_eq!(load.failed.load(Ordering::SeqCst), 0);
    assert!(load.stop(workers).await >= 200);
}

#[tokio::test]
async fn a_hung_redis_is_an_error_within_the_deadline() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    store.accept(Arc::new(event("before"))).await.unwrap();

    server.pause();
    let deadline = |error: StoreError| assert!(matches!(error, StoreError::Deadline(_)), "{error}");
    let arrival = Arc::new(event("hung"));
    let wants = want(1, super::PATIENCE);
    let hung = async {
        tokio::join!(
            store.accept(arrival.clone()),
            store.claim(&wants),
            store.ready()
        )
    };
    let (accepted, claimed, ready) = tokio::time::timeout(super::PATIENCE, hung).await.unwrap();
    deadline(accepted.unwrap_err());
    deadline(claimed.unwrap_err());
    deadline(ready.unwrap_err());

    server.resume();
    until("an answer after the hang", async || {
        store.accept(arrival.clone()).await.ok()
    })
    .await;
    // The unknown call may have happened; then the repeat was a duplicate. Never are there two.
    assert_eq!(store.depth(&[TARGET.into()]).await.unwrap()[0].pending, 2);
}

#[tokio::test]
async fn a_full_redis_refuses_events_but_drains_and_recovers() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    store.accept(Arc::new(event("before"))).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);

    let full = |error: StoreError| assert!(matches!(error, StoreError::Full(_)), "{error}");
    full(store.accept(Arc::new(event("late"))).await.unwrap_err());
    full(store.ready().await.unwrap_err());
    assert!(store.get(event("late").uid).await.unwrap().is_none());
    let claimed = claim_one(&store, super::PATIENCE).await;
    let settled = store.settle(delivered(&claimed)).await.unwrap();
    assert_eq!(settled, Settled::Done);

    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let accepted = store.accept(Arc::new(event("late"))).await.unwrap();
    assert!(
        super::is_accepted(&accepted),
        "the id was not remembered without its event"
    );
    store.ready().await.unwrap();
}

#[tokio::test]
async fn a_read_only_redis_is_unavailable_until_it_is_the_primary_again() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = store.accept(Arc::new(event("a"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(store.ready().await.is_err());

    server.command(&["REPLICAOF", "NO", "ONE"]);
    until("an answer of the primary", async || {
        store.accept(Arc::new(event("a"))).await.ok()
    })
    .await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_back_becomes_a_dead_letter() {
    // What the scripts read of a record stays whole, or nothing does, or its beginning.
    for damage in [
        "redis.call('SETRANGE', key, 80, 'garbage')",
        "redis.call('SET', key, 'garbage')",
        "redis.call('SET', key, redis.call('GETRANGE', key, 0, 12))",
    ] {
        let server = RedisServer::start();
        let store = open(server.connection()).await;
        store.accept(Arc::new(event("bad"))).await.unwrap();
        damage_every_event(&server, damage);
        store.accept(Arc::new(event("good"))).await.unwrap();

        let claims = store.claim(&want(10, super::PATIENCE)).await.unwrap();
        let claimed: Vec<_> = claims
            .claimed
            .iter()
            .map(|claim| &*claim.event.id)
            .collect();
        assert_eq!(claimed, ["good"], "{damage}");
        let depth = store.depth(&[TARGET.into()]).await.unwrap()[0];
        assert_eq!((depth.pending, depth.dead), (1, 1), "{damage}");
        assert!(store.get(event("bad").uid).await.is_err(), "{damage}");

        // It is finished like any other, and goes whole: what is left is of the good one.
        assert_eq!(expire(&store).await, 1, "{damage}");
        let depth = store.depth(&[TARGET.into()]).await.unwrap()[0];
        assert_eq!((depth.pending, depth.dead), (1, 0), "{damage}");
        assert_eq!(
            keys_left(&server.connection()),
            [
                "bytes", "due", "event", "format", "log", "logs", "names", "routes", "state",
                "turns", "unlogged"
            ],
            "{damage}"
        );
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_back_stays_until_its_last_delivery_is_settled() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    let mut bad = event("bad");
    let slow = NewDelivery {
        target: "slow".into(),
        lease: None,
        order: None,
    };
    bad.deliveries.push(slow);
    store.accept(Arc::new(bad)).await.unwrap();
    damage_every_event(&server, "redis.call('SET', key, 'garbage')");
    let claim = async |target: &str| {
        let mut wants = want(10, super::PATIENCE);
        wants[0].target = target.into();
        assert!(store.claim(&wants).await.unwrap().claimed.is_empty());
        let depth = store.depth(&[target.into()]).await.unwrap()[0];
        assert_eq!((depth.pending, depth.dead), (0, 1), "{target}");
    };
    claim(TARGET).await;
    let expired = store.expire(super::NOTHING_KEPT).await.unwrap();
    assert_eq!(expired.events, 0, "a delivery waits");
    claim("slow").await;
    assert_eq!(expire(&store).await, 1);
    assert_eq!(
        keys_left(&server.connection()),
        [
            "bytes", "format", "names", "routes", "routes", "turns", "turns"
        ]
    );
}

#[tokio::test]
async fn an_accept_that_fails_half_way_remembers_no_id() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    for (key, damage) in [
        ("due:crm/github", "SET"),
        ("turns:crm", "SET"),
        ("bytes", "SADD"),
    ] {
        let key = format!("hookgate:{{0}}:{key}");
        server.command(&["DEL", &key]);
        server.command(&[damage, &key, "garbage"]);
        assert!(store.accept(Arc::new(event(&key))).await.is_err(), "{key}");
        server.command(&["DEL", &key]);
        let again = store.accept(Arc::new(event(&key))).await.unwrap();
        assert!(
            matches!(again, Acceptance::Accepted { .. }),
            "{key}: {again:?}"
        );
    }
    let claims = store.claim(&want(10, super::PATIENCE)).await.unwrap();
    assert_eq!(claims.claimed.len(), 3);
}

fn damage_every_event(server: &RedisServer, damage: &str) {
    let script =
        format!("for _, key in ipairs(redis.call('KEYS', '*event:*')) do {damage} end return 1");
    server.command(&["EVAL", &script, "0"]);
}

#[tokio::test]
async fn a_delivery_whose_event_is_gone_holds_up_nothing() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    store.accept(Arc::new(event("gone"))).await.unwrap();
    let script = "return redis.call('DEL', unpack(redis.call('KEYS', '*event:*')))";
    server.command(&["EVAL", script, "0"]);
    store.accept(Arc::new(event("good"))).await.unwrap();

    let claims = store.claim(&want(10, super::PATIENCE)).await.unwrap();
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(store.depth(&[TARGET.into()]).await.unwrap()[0].pending, 1);
}

#[tokio::test]
async fn a_history_of_attempts_is_bounded_and_keeps_the_last_whole() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    store.accept(Arc::new(event("failing"))).await.unwrap();
    let mut last = None;
    for number in 0..300u16 {
        let claimed = claim_one(&store, super::PATIENCE).await;
        assert_eq!(claimed.attempts, u32::from(number));
        let attempt = super::sharing::failed_attempt(500 + number);
        last = Some(attempt.clone());
        let settlement = Settlement {
            outcome: Outcome::Retry(Duration::ZERO),
            attempt: Some(attempt),
            ..delivered(&claimed)
        };
        assert_eq!(store.settle(settlement).await.unwrap(), Settled::Done);
    }
    let stored = store.get(event("failing").uid).await.unwrap().unwrap();
    assert_eq!(stored.deliveries[0].attempts, 300);
    assert_eq!(stored.deliveries[0].last_attempt().cloned(), last);
    let script = "return redis.call('STRLEN', redis.call('KEYS', '*state:*crm')[1])";
    let redis::Value::Int(bytes) = server.command(&["EVAL", script, "0"]) else {
        panic!("a length");
    };
    // 256 attempts of about a hundred bytes, and one head of a response.
    assert!((1024..1024 + 256 * 128).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_backlog_of_a_removed_target_is_retired_whole() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    let mut accepts = JoinSet::new();
    let store = Arc::new(store);
    for number in 0..1200 {
        let store = store.clone();
        accepts.spawn(async move { store.accept(Arc::new(event(&number.to_string()))).await });
    }
    for accepted in accepts.join_all().await {
        accepted.unwrap();
    }
    assert_eq!(
        store
            .retire_targets(&Gone::AllBut(vec![TARGET.into()]))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store.retire_targets(&Gone::AllBut(vec![])).await.unwrap(),
        1200
    );
    let depth = store.depth(&[TARGET.into()]).await.unwrap()[0];
    assert_eq!((depth.pending, depth.dead), (0, 1200));
    let stored = store.get(event("7").uid).await.unwrap().unwrap();
    let removed = DeliveryState::Dead(DeadReason::TargetRemoved);
    assert_eq!(stored.deliveries[0].state, removed);
    // It is known until its dead letters are gone.
    while store.expire(super::NOTHING_KEPT).await.unwrap().more {}
    assert_eq!(
        store.retire_targets(&Gone::AllBut(vec![])).await.unwrap(),
        0
    );
    assert_eq!(
        command(&connection, &["SCARD", "hookgate:{0}:names"]),
        redis::Value::Int(0)
    );
}

#[tokio::test]
async fn an_expired_event_leaves_nothing_behind() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    for id in ["a", "b", "c"] {
        store.accept(Arc::new(event(id))).await.unwrap();
    }
    store.accept(Arc::new(event_for_no_one("d"))).await.unwrap();
    let claims = store.claim(&want(2, super::PATIENCE)).await.unwrap();
    for (claimed, outcome) in claims
        .claimed
        .iter()
        .zip([Outcome::Delivered, Outcome::Dead(DeadReason::Refused)])
    {
        let settlement = Settlement {
            outcome,
            ..delivered(claimed)
        };
        assert_eq!(store.settle(settlement).await.unwrap(), Settled::Done);
    }
    // Only what is finished goes.
    assert_eq!(expire(&store).await, 3);
    let depth = store.depth(&[TARGET.into()]).await.unwrap()[0];
    assert_eq!((depth.pending, depth.dead), (1, 0));
    // The pending event, its place in the log and in the queue, where that is found, and its body's bytes.
    assert_eq!(
        keys_left(&connection),
        [
            "bytes", "due", "event", "format", "log", "logs", "names", "routes", "turns",
            "unlogged"
        ]
    );
    let bytes = event("a").body.len().to_string();
    assert_eq!(stored_bytes(&connection), bytes);
}

#[tokio::test]
async fn an_event_of_several_targets_leaves_nothing_behind() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    // A name so long that they do not stand within what is read of a record at first.
    let targets = ["crm".to_owned(), "billing".to_owned(), "x".repeat(600)];
    let mut arrival = event("a");
    arrival.deliveries = targets
        .iter()
        .map(|target| NewDelivery {
            target: target.as_str().into(),
            lease: Some(super::PATIENCE),
            order: None,
        })
        .collect();
    let uid = arrival.uid;
    let Acceptance::Accepted { leases } = store.accept(Arc::new(arrival)).await.unwrap() else {
        panic!("a new event");
    };
    let outcomes = [
        Outcome::Delivered,
        Outcome::Dead(DeadReason::Refused),
        Outcome::Dead(DeadReason::GaveUp),
    ];
    for ((target, lease), outcome) in targets.iter().zip(leases).zip(outcomes) {
        let expired = store.expire(super::NOTHING_KEPT).await.unwrap();
        assert_eq!(expired.events, 0, "before {target} is settled");
        let settlement = Settlement {
            uid,
            target: target.as_str().into(),
            token: lease.unwrap().token,
            outcome,
            attempt: Some(super::sharing::failed_attempt(500)),
            order: None,
            route: "github".into(),
        };
        assert_eq!(store.settle(settlement).await.unwrap(), Settled::Done);
    }
    assert_eq!(expire(&store).await, 1);
    // Whoever claims next finds the queues empty.
    for target in &targets {
        let mut wants = want(1, super::PATIENCE);
        wants[0].target = target.as_str().into();
        assert_eq!(store.claim(&wants).await.unwrap().next_due, [None]);
    }
    assert_eq!(keys_left(&connection), ["bytes", "format", "names"]);
    assert_eq!(stored_bytes(&connection), "0");
}

/// Expires whatever is finished; returns how many events went.
async fn expire(store: &RedisStore) -> u64 {
    let mut events = 0;
    loop {
        let expired = store.expire(super::NOTHING_KEPT).await.unwrap();
        events += expired.events;
        if !expired.more {
            return events;
        }
    }
}

/// What kinds of keys there are, remembered ids and the number of shards aside.
fn keys_left(connection: &ConnectionInfo) -> Vec<String> {
    let redis::Value::Array(keys) = command(connection, &["KEYS", "*"]) else {
        panic!("keys");
    };
    let mut kinds: Vec<_> = keys
        .into_iter()
        .map(|key| match key {
            redis::Value::BulkString(key) => {
                let key = String::from_utf8_lossy(&key).into_owned();
                key.split(':').nth(2).unwrap_or_default().to_owned()
            }
            other => panic!("{other:?}"),
        })
        .filter(|kind| !["ids", "forgetting", "shards"].contains(&&**kind))
        .collect();
    kinds.sort();
    kinds
}

fn stored_bytes(connection: &ConnectionInfo) -> String {
    match command(connection, &["GET", "hookgate:{0}:bytes"]) {
        redis::Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn event_for_no_one(id: &str) -> Event {
    Event {
        deliveries: Vec::new(),
        ..event(id)
    }
}

#[tokio::test]
async fn the_queue_of_a_hung_redis_is_bounded() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    server.pause();
    let arrivals = (0..10_000).map(|number| store.accept(Arc::new(event(&number.to_string()))));
    let answers = tokio::time::timeout(super::PATIENCE, join_all(arrivals))
        .await
        .unwrap();
    // Not what waited in vain for a connection that a busy machine took long to replace.
    let is_turned_away = |error: &StoreError| error.to_string().contains("too many calls wait");
    let turned_away = answers
        .iter()
        .filter(|answer| answer.as_ref().is_err_and(is_turned_away))
        .count();
    assert!((1..=10_000 - 8192).contains(&turned_away), "{turned_away}");
    assert!(answers.iter().all(Result::is_err));
    server.resume();
    until("an answer after the hang", async || {
        store.ready().await.ok()
    })
    .await;
}

fn delivered(claimed: &hookgate::store::Claimed) -> Settlement {
    Settlement {
        uid: claimed.event.uid,
        target: claimed.target.clone(),
        token: claimed.lease.token,
        outcome: Outcome::Delivered,
        attempt: None,
        order: None,
        route: claimed.event.route.clone(),
    }
}
