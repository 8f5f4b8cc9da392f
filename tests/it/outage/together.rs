//! The events of one request in Redis: one step, whatever happens meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use hookgate::{
    config::{Durability, RedisUrl},
    event::{Event, NewDelivery, Order, OrderGroup, Outcome},
    store::{
        Acceptance, Store, StoreError, TOGETHER_MAX,
        redis::{Options, RedisStore},
    },
};
use redis::Value;

use super::{TARGET, event, is_accepted, metrics, open, until, want};
use crate::support::redis::{RedisServer, command};

const SHARDS: u16 = 3;

/// Its events go to three targets, to one of them in order.
fn request(name: &str, events: usize) -> Vec<Arc<Event>> {
    let one = |number| {
        let mut event = event(&format!("{name}-{number}"));
        event.together = true;
        event.deliveries.push(NewDelivery::to("audit".into()));
        event.deliveries.push(NewDelivery {
            order: Some(Order {
                group: OrderGroup::new("github", "mail", "key"),
                hold: true,
            }),
            ..NewDelivery::to("mail".into())
        });
        Arc::new(event)
    };
    (0..events).map(one).collect()
}

async fn stored(store: &RedisStore, events: &[Arc<Event>]) -> usize {
    let mut stored = 0;
    // In turns: a thousand at once take a busy machine longer than a request to the store may.
    for events in events.chunks(50) {
        let found = join_all(events.iter().map(|event| store.get(event.uid))).await;
        stored += found
            .iter()
            .filter(|found| found.as_ref().unwrap().is_some())
            .count();
    }
    stored
}

async fn pending(store: &RedisStore) -> Vec<u64> {
    let targets = [TARGET, "audit", "mail"].map(Into::into);
    let depths = store.depth(&targets).await.unwrap();
    depths.iter().map(|depth| depth.pending).collect()
}

/// Whatever the step at which the script fails: of very many events it writes the records in parts.
#[tokio::test]
async fn a_request_that_fails_half_way_leaves_nothing() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    for (round, (key, damage)) in [
        ("due:crm/github", "SET"),
        ("due:mail/github", "SET"),
        ("turns:audit", "SET"),
        ("bytes", "SADD"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("hookgate:{{0}}:{key}");
        server.command(&["DEL", &key]);
        server.command(&[damage, &key, "garbage"]);
        let events = request(&round.to_string(), 700);
        let failed = store.accept_together(events.clone()).await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable(_))),
            "{key}: {failed:?}"
        );
        server.command(&["DEL", &key]);
        assert_eq!(stored(&store, &events).await, 0, "{key}");
        assert_eq!(pending(&store).await, [0, 0, 0], "{key}");
        for kind in ["event", "state", "group", "ids"] {
            let keys = format!("hookgate:{{0}}:{kind}:*");
            let left = command(&server.connection(), &["KEYS", &keys]);
            assert_eq!(left, Value::Array(Vec::new()), "{key}: {kind}");
        }
        server.command(&["FLUSHALL"]);
    }
    let answers = store.accept_together(request("0", 700)).await.unwrap();
    assert!(answers.iter().all(is_accepted));
    assert_eq!(pending(&store).await, [700, 700, 700]);
}

/// Very many records are written in parts: here the last one is refused.
#[tokio::test]
async fn a_request_whose_last_record_is_refused_leaves_nothing() {
    let server = RedisServer::start();
    let whole = open(server.connection()).await;
    let mut user: Vec<_> = ["ACL", "SETUSER", "partly", "on", ">password", "+@all"].into();
    let keys = [
        "",
        "alive",
        "bytes",
        "due:*",
        "event:*",
        "finished",
        "format",
        "group:*",
        "ids:*",
        "log:*",
        "logs",
        "names",
        "places",
        "routes:*",
        "shards",
        "state:*mail",
        "targets",
        "turns:*",
    ];
    let keys = keys.map(|key| format!("~hookgate:{{0}}:{key}"));
    user.extend(keys.iter().map(String::as_str));
    server.command(&user);
    let url = format!("redis://partly:password@127.0.0.1:{}/", server.port());
    let options = Options::new(RedisUrl::parse(&url).unwrap(), Durability::Always);
    let partly = RedisStore::open(options, metrics()).await.unwrap();

    let mut events = request("a", TOGETHER_MAX);
    partly.accept_together(events[..1].to_vec()).await.unwrap();
    let last = Arc::make_mut(&mut events[TOGETHER_MAX - 1]);
    last.deliveries.push(NewDelivery {
        target: "refused".into(),
        ..last.deliveries[2].clone()
    });
    let bytes = || command(&server.connection(), &["GET", "hookgate:{0}:bytes"]);
    let before = bytes();
    let failed = partly.accept_together(events.clone()).await.unwrap_err();
    assert_eq!(bytes(), before);
    assert!(matches!(failed, StoreError::Unavailable(_)), "{failed}");
    assert_eq!(stored(&whole, &events).await, 1, "the one of before");
    assert_eq!(pending(&whole).await, [1, 1, 1]);
    for kind in ["event", "state"] {
        let keys = format!("hookgate:{{0}}:{kind}:*");
        match command(&server.connection(), &["KEYS", &keys]) {
            Value::Array(left) => assert_eq!(left.len(), 1, "{kind}"),
            other => panic!("{other:?}"),
        }
    }
    let answers = whole.accept_together(events).await.unwrap();
    let new = answers.iter().filter(|answer| is_accepted(answer)).count();
    assert_eq!(new, TOGETHER_MAX - 1, "no id is remembered");
    assert_eq!(pending(&whole).await, [TOGETHER_MAX as u64; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_has_all_of_a_request_or_nothing() {
    // More than other calls take at a time.
    const EVENTS: usize = 200;
    let mut server = RedisServer::start();
    let store = Arc::new(open(server.connection()).await);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let sent = Arc::new(Mutex::new(Vec::new()));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (store, stop) = (store.clone(), stop.clone());
            let (answered, sent) = (answered.clone(), sent.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let events = request(&format!("{sender}-{number}"), EVENTS);
                    let is_answered = store.accept_together(events.clone()).await.is_ok();
                    answered.fetch_add(usize::from(is_answered), Ordering::SeqCst);
                    sent.lock().unwrap().push((events, is_answered));
                    if !is_answered {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            })
        })
        .collect();
    let more = async |count: usize| {
        let enough = answered.load(Ordering::SeqCst) + count;
        until("answered requests", async || {
            (answered.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
    };
    for _ in 0..3 {
        more(8).await;
        server.kill();
        server.restart();
    }
    more(8).await;
    stop.store(true, Ordering::SeqCst);
    join_all(senders).await;
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    let mut whole = 0;
    for (events, is_answered) in &sent {
        let stored = stored(&store, events).await;
        assert!(stored == EVENTS || stored == 0, "{stored}");
        assert!(stored == EVENTS || !is_answered, "answered, and lost");
        whole += stored / EVENTS;
    }
    assert!(whole >= 32, "{whole}");
    assert_eq!(pending(&store).await, [(whole * EVENTS) as u64; 3]);
    assert!(
        sent.iter().any(|(_, is_answered)| !is_answered),
        "no kill met a request"
    );
}

#[tokio::test]
async fn a_request_with_an_event_that_fits_no_record_leaves_nothing() {
    let store = open(RedisServer::shared().fresh_database()).await;
    let mut events = request("a", 3);
    let targets = (0..70_000).map(|n| NewDelivery::to(n.to_string().into()));
    Arc::make_mut(&mut events[1]).deliveries = targets.collect();
    let refused = store.accept_together(events.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert_eq!(stored(&store, &events).await, 0);
    let rest = [events[0].clone(), events[2].clone()];
    let answers = store.accept_together(rest.into()).await.unwrap();
    assert!(answers.iter().all(is_accepted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_two_gateways_at_once_is_accepted_once() {
    // More than other calls take at a time.
    const EVENTS: usize = 300;
    let connection = RedisServer::shared().fresh_database();
    let gateways = [open(connection.clone()).await, open(connection).await].map(Arc::new);
    for round in 0..10 {
        let events = request(&round.to_string(), EVENTS);
        let calls: Vec<_> = (0..8)
            .map(|call| {
                let (store, events) = (gateways[call % 2].clone(), events.clone());
                tokio::spawn(async move { store.accept_together(events).await.unwrap() })
            })
            .collect();
        let mut accepted = 0;
        for call in calls {
            let answers = call.await.unwrap();
            let new = answers.iter().filter(|answer| is_accepted(answer)).count();
            assert!(new == 0 || new == EVENTS, "{new}");
            accepted += new;
        }
        assert_eq!(accepted, EVENTS);
    }
    assert_eq!(pending(&gateways[0]).await, [10 * EVENTS as u64; 3]);
}

#[tokio::test]
async fn a_request_stands_in_the_shard_of_its_route() {
    let connection = RedisServer::shared().fresh_database();
    let options = Options {
        shards: SHARDS,
        ..Options::new(connection.clone(), Durability::Always)
    };
    let store = RedisStore::open(options, metrics()).await.unwrap();
    let events = request("a", 30);
    let answers = store.accept_together(events.clone()).await.unwrap();
    assert!(answers.iter().all(is_accepted));
    let again = store.accept_together(events.clone()).await.unwrap();
    let is_repeat = |answer: &Acceptance| matches!(answer, Acceptance::Duplicate { .. });
    assert!(again.iter().all(is_repeat));
    assert_eq!(stored(&store, &events).await, 30);
    let claims = store.claim(&want(100, super::PATIENCE)).await.unwrap();
    assert_eq!(claims.claimed.len(), 30);
    for claimed in &claims.claimed {
        let settlement = claimed.settlement(Outcome::Filtered, None);
        store.settle(settlement).await.unwrap();
    }

    // Those that would be of several are one step in none.
    let mut apart = request("b", 30);
    for event in &mut apart {
        Arc::make_mut(event).together = false;
    }
    let refused = store.accept_together(apart.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert_eq!(stored(&store, &apart).await, 0);
}
