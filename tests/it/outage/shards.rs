//! Events spread over shards: everything is found again, and an idle gateway asks little.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hookgate::{
    clock::{Clock, ClockHand, Timestamp},
    config::Durability,
    event::{DeadReason, Event, NewDelivery, Order, OrderGroup, Outcome},
    store::{
        Acceptance, Retention, Settled, Store as _, Want,
        redis::{Options, RedisStore},
    },
};
use redis::{ConnectionInfo, Value};

use super::{PATIENCE, TARGET, event, metrics, want};
use crate::support::redis::{RedisServer, command};

const SHARDS: u16 = 8;
const LEASE: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

fn options(connection: ConnectionInfo, shards: u16) -> Options {
    Options {
        shards,
        ..Options::new(connection, Durability::Always)
    }
}

async fn open(connection: ConnectionInfo) -> RedisStore {
    let opened = RedisStore::open(options(connection, SHARDS), metrics()).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// Whose time only the test moves.
async fn open_with_clock(connection: ConnectionInfo, clock: &Clock) -> RedisStore {
    let options = options(connection, SHARDS);
    let opened = RedisStore::open_with_clock(options, metrics(), clock.clone()).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

fn clock() -> (Clock, ClockHand) {
    Clock::manual(Timestamp::from_secs(1_800_000_000))
}

fn events(number: usize) -> Vec<Arc<Event>> {
    (0..number)
        .map(|number| Arc::new(event(&number.to_string())))
        .collect()
}

async fn accept(store: &RedisStore, events: Vec<Arc<Event>>) {
    for answer in store.accept_all(events).await {
        assert!(
            matches!(answer, Ok(Acceptance::Accepted { .. })),
            "{answer:?}"
        );
    }
}

async fn pending(store: &RedisStore) -> u64 {
    store.depth(&[TARGET.into()]).await.unwrap()[0].pending
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_every_shard_are_found_claimed_settled_and_expired() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    let nothing = store.claim(&want(0, PATIENCE)).await.unwrap();
    assert_eq!(nothing.next_due, [None]);
    let events = events(100);
    accept(&store, events.clone()).await;
    for shard in 0..SHARDS {
        let key = format!("hookgate:{{{shard}}}:format");
        assert_eq!(command(&connection, &["EXISTS", &key]), Value::Int(1));
        let keys = format!("hookgate:{{{shard}}}:event:*");
        assert_ne!(
            command(&connection, &["KEYS", &keys]),
            Value::Array(Vec::new())
        );
    }
    for answer in store.accept_all(events.clone()).await {
        assert!(
            matches!(answer, Ok(Acceptance::Duplicate { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(pending(&store).await, 100);
    for event in &events {
        let stored = store.get(event.uid).await.unwrap().unwrap();
        assert_eq!(stored.event.body, event.body);
    }

    let mut claimed = Vec::new();
    while claimed.len() < 100 {
        let claims = store.claim(&want(30, PATIENCE)).await.unwrap();
        assert!(
            (1..=30).contains(&claims.claimed.len()),
            "never too many, nor none"
        );
        claimed.extend(claims.claimed);
    }
    let uids: HashSet<_> = claimed.iter().map(|claimed| claimed.event.uid).collect();
    assert_eq!(uids.len(), 100);
    let settlements = claimed
        .iter()
        .map(|claimed| claimed.settlement(Outcome::Delivered, None));
    let settlements: Vec<_> = settlements.collect();
    for settled in store.settle_all(settlements.clone()).await {
        assert_eq!(settled.unwrap(), Settled::Done);
    }
    for settled in store.settle_all(settlements).await {
        assert_eq!(settled.unwrap(), Settled::Lost);
    }
    assert_eq!(pending(&store).await, 0);
    let expired = store.expire(super::NOTHING_KEPT).await.unwrap();
    assert_eq!(expired.events, 100);
    assert!(store.get(events[0].uid).await.unwrap().is_none());
}

#[tokio::test]
async fn a_route_that_is_kept_together_stands_in_one_shard_and_is_found_there() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    let together = events(30).into_iter().map(|event| {
        Arc::new(Event {
            together: true,
            ..(*event).clone()
        })
    });
    let together: Vec<_> = together.collect();
    accept(&store, together.clone()).await;
    let mut used = 0;
    for shard in 0..SHARDS {
        let keys = format!("hookgate:{{{shard}}}:event:*");
        used += i64::from(command(&connection, &["KEYS", &keys]) != Value::Array(Vec::new()));
    }
    assert_eq!(used, 1);
    for event in &together {
        assert!(store.get(event.uid).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn another_number_of_shards_is_refused_and_leaves_nothing() {
    let connection = RedisServer::shared().fresh_database();
    open(connection.clone()).await.close().await;
    for other in [1, 3, 9] {
        let opened = RedisStore::open(options(connection.clone(), other), metrics()).await;
        let fault = opened.err().expect("a refusal").to_string();
        assert!(
            fault.contains("events in 8 shards") && fault.contains("set it to 8"),
            "{fault}"
        );
        assert_eq!(fault.lines().count(), 1, "{fault}");
    }
    let key = "hookgate:{8}:format";
    assert_eq!(command(&connection, &["EXISTS", key]), Value::Int(0));
    open(connection).await.close().await;
}

/// Commands that clients sent, whatever the scripts did with them.
fn commands(server: &RedisServer) -> i64 {
    let scripts = server.command(&["INFO", "commandstats"]);
    let calls = |name: &str| -> i64 {
        let stats = crate::support::redis::info(&scripts, name);
        let calls = stats
            .strip_prefix("calls=")
            .and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    };
    calls("cmdstat_evalsha")
}

/// A dispatcher asks about once a second, the depths are asked for every 5 seconds, and expiry every 60.
#[tokio::test]
async fn an_idle_gateway_sends_at_most_two_commands_a_second_with_any_number_of_shards() {
    const SECONDS: i64 = 120;
    for shards in [1, SHARDS, 64] {
        let server = RedisServer::start();
        let (clock, hand) = clock();
        let options = options(server.connection(), shards);
        let opened = RedisStore::open_with_clock(options, metrics(), clock.clone()).await;
        let store = opened.unwrap();
        let wants: Vec<_> = ["crm", "billing", "audit"]
            .iter()
            .map(|target| Want {
                target: (*target).into(),
                ..want(10, LEASE)[0].clone()
            })
            .collect();
        let targets: Vec<_> = wants.iter().map(|want| want.target.clone()).collect();
        // What it has never asked, it asks once.
        store.claim(&wants).await.unwrap();
        store.depth(&targets).await.unwrap();
        let before = commands(&server);
        for second in 0..SECONDS {
            hand.set(clock.now().saturating_add(SECOND));
            store.claim(&wants).await.unwrap();
            if second % 5 == 0 {
                store.depth(&targets).await.unwrap();
            }
            if second % 60 == 0 {
                let retention = Retention {
                    age: PATIENCE,
                    bytes: u64::MAX,
                };
                store.expire(retention).await.unwrap();
            }
        }
        let sent = commands(&server) - before;
        assert!(
            sent >= SECONDS,
            "{shards} shards: {sent}, and every second one"
        );
        assert!(sent <= 2 * SECONDS, "{shards} shards: {sent}");
    }
}

#[tokio::test]
async fn the_claims_of_a_dead_gateway_are_taken_over_within_a_second_of_their_end() {
    let connection = RedisServer::shared().fresh_database();
    let (clock, hand) = clock();
    let dead = open_with_clock(connection.clone(), &clock).await;
    let alive = open_with_clock(connection, &clock).await;
    // Nothing is known to be anywhere.
    assert!(
        alive
            .claim(&want(100, LEASE))
            .await
            .unwrap()
            .claimed
            .is_empty()
    );
    accept(&dead, events(50)).await;
    let mut claimed = 0;
    while claimed < 50 {
        claimed += dead.claim(&want(50, LEASE)).await.unwrap().claimed.len();
    }
    let mut taken = 0;
    for second in 1..=16 {
        hand.set(clock.now().saturating_add(SECOND));
        loop {
            let claims = alive.claim(&want(100, LEASE)).await.unwrap();
            taken += claims.claimed.len();
            if claims.next_due[0] != Some(Duration::ZERO) {
                break;
            }
        }
        assert!(second >= 15 || taken == 0, "second {second}: {taken}");
    }
    assert_eq!(taken, 50);
}

#[tokio::test]
async fn a_retry_is_claimed_when_it_is_due_whatever_shard_it_is_in() {
    let (clock, hand) = clock();
    let store = open_with_clock(RedisServer::shared().fresh_database(), &clock).await;
    let leased = events(40).into_iter().map(|event| {
        let mut event = (*event).clone();
        event.deliveries = vec![NewDelivery {
            lease: Some(LEASE),
            ..NewDelivery::to(TARGET.into())
        }];
        Arc::new(event)
    });
    assert!(
        store
            .claim(&want(100, LEASE))
            .await
            .unwrap()
            .claimed
            .is_empty()
    );
    accept(&store, leased.collect()).await;
    let claims = store.claim(&want(100, LEASE)).await.unwrap();
    assert_eq!(
        (claims.claimed.len(), claims.next_due),
        (0, vec![Some(LEASE)])
    );
    // Nobody settles them: the leases end.
    hand.set(clock.now().saturating_add(LEASE));
    let claims = store.claim(&want(100, LEASE)).await.unwrap();
    assert_eq!(claims.claimed.len(), 40);
    let retries = claims.claimed.iter();
    let retries = retries.map(|claimed| claimed.settlement(Outcome::Retry(3 * SECOND), None));
    for settled in store.settle_all(retries.collect()).await {
        assert_eq!(settled.unwrap(), Settled::Done);
    }
    let claims = store.claim(&want(100, LEASE)).await.unwrap();
    assert_eq!(
        (claims.claimed.len(), claims.next_due),
        (0, vec![Some(3 * SECOND)])
    );
    hand.set(clock.now().saturating_add(3 * SECOND));
    assert_eq!(
        store.claim(&want(100, LEASE)).await.unwrap().claimed.len(),
        40
    );
}

#[tokio::test]
async fn who_waited_for_a_dead_letter_that_expires_is_claimed_at_once_whatever_shard_it_is_in() {
    let (clock, hand) = clock();
    let store = open_with_clock(RedisServer::shared().fresh_database(), &clock).await;
    for route in 0..20 {
        let of_group = |number: usize| {
            let mut event = event(&format!("{route} {number}"));
            event.route = format!("route-{route}").into();
            let group = OrderGroup::new(&event.route, TARGET, "k");
            event.deliveries[0].order = Some(Order { group, hold: true });
            event.together = true;
            Arc::new(event)
        };
        accept(&store, vec![of_group(0), of_group(1)]).await;
        let mut claims = store.claim(&want(10, LEASE)).await.unwrap();
        assert_eq!(claims.claimed.len(), 1);
        let claimed = claims.claimed.remove(0);
        let dead = Outcome::Dead(DeadReason::Refused);
        let settled = store.settle(claimed.settlement(dead, None)).await;
        assert_eq!(settled.unwrap(), Settled::Done);
        let claims = store.claim(&want(10, LEASE)).await.unwrap();
        assert!(claims.claimed.is_empty());
        hand.set(clock.now().saturating_add(SECOND));
        let expired = store.expire(super::NOTHING_KEPT).await.unwrap();
        assert!(expired.events > 0);
        // Until the round comes by it is nobody's business but the expiry's.
        let claims = store.claim(&want(10, LEASE)).await.unwrap();
        assert_eq!(claims.claimed.len(), 1, "of route {route}");
        let delivered = claims.claimed[0].settlement(Outcome::Delivered, None);
        assert_eq!(store.settle(delivered).await.unwrap(), Settled::Done);
    }
}

#[tokio::test]
async fn who_is_behind_an_event_that_cannot_be_read_is_claimed_next_whatever_shard_it_is_in() {
    let connection = RedisServer::shared().fresh_database();
    let (clock, _hand) = clock();
    let store = open_with_clock(connection.clone(), &clock).await;
    for _ in 0..SHARDS {
        let asked = store.claim(&want(10, LEASE)).await.unwrap();
        assert!(asked.claimed.is_empty());
    }
    let of_group = |number: usize| {
        let mut event = event(&number.to_string());
        let group = OrderGroup::new(&event.route, TARGET, "k");
        event.deliveries[0].order = Some(Order { group, hold: false });
        event.together = true;
        Arc::new(event)
    };
    accept(&store, vec![of_group(0)]).await;
    let damage = "redis.call('SET', redis.call('KEYS', '*:event:*')[1], 'damaged')";
    command(&connection, &["EVAL", damage, "0"]);
    accept(&store, vec![of_group(1)]).await;
    let claims = store.claim(&want(10, LEASE)).await.unwrap();
    assert!(claims.claimed.is_empty(), "the first is a dead letter now");
    assert_eq!(claims.next_due, [Some(Duration::ZERO)]);
    let claims = store.claim(&want(10, LEASE)).await.unwrap();
    assert_eq!(&*claims.claimed[0].event.id, "1");
}
