//! The Redis store's factory: a database of its own on the shared server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use hookgate::{
    clock::{Clock, Timestamp},
    config::Durability,
    event::{Event, event_uid},
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Retention, StoreError,
        redis::{Options, RedisStore},
        replays::Replay,
    },
};
use redis::ConnectionInfo;

use super::{
    filtering, listing, pauses, records, replaying, replays,
    subject::{Subject, WINDOW},
    together,
};
use crate::support::redis::{RedisServer, command};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn subject() -> Subject {
    subject_in(RedisServer::shared().fresh_database()).await
}

async fn sharded_subject() -> Subject {
    let database = RedisServer::shared().fresh_database();
    let shards = 3;
    subject_with(Options {
        shards,
        ..Options::new(database, Durability::Always)
    })
    .await
}

async fn subject_in(database: ConnectionInfo) -> Subject {
    subject_with(Options::new(database, Durability::Always)).await
}

async fn subject_with(options: Options) -> Subject {
    let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Arc::new(Metrics::new(&labels).unwrap());
    let store = RedisStore::open_with_clock(options, metrics, clock.clone()).await;
    Subject::new(Arc::new(store.unwrap()), clock, hand, ())
}

#[tokio::test]
async fn forgets_each_id_once_its_window_has_passed() {
    let database = RedisServer::shared().fresh_database();
    let subject = subject_in(database.clone()).await;
    // More than one call forgets.
    for n in 0..1500 {
        subject.stored(&n.to_string(), &[]).await;
    }
    subject.advance(WINDOW - Duration::from_millis(1));
    assert_eq!(forget(&subject).await, 0);
    subject.advance(Duration::from_millis(1));
    let again = subject.stored("7", &[]).await;
    subject.advance(MINUTE);
    assert_eq!(forget(&subject).await, 1499, "what was accepted anew stays");
    let repeated = subject.accept(subject.event("7", &[])).await;
    assert!(matches!(repeated, Acceptance::Duplicate { uid, .. } if uid == again));

    subject.advance(WINDOW);
    assert_eq!(forget(&subject).await, 1);
    let left = command(&database, &["KEYS", "*:ids:*"]);
    assert_eq!(left, redis::Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_over_all_shards() {
    listing::lists_both_ways_by_acceptance(&sharded_subject().await).await;
    listing::tells_an_event_without_its_body(&sharded_subject().await).await;
    listing::gives_each_once_while_others_come_and_go(&sharded_subject().await).await;
    listing::finds_few_among_many(&sharded_subject().await).await;
    listing::refuses_a_cursor_that_no_page_ended_with(&sharded_subject().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_over_all_shards() {
    replaying::changes_nothing_of_what_is_pending_or_unknown(&sharded_subject().await).await;
    replaying::takes_no_token_from_before_the_replay(&sharded_subject().await).await;
    replays::keeps_a_replay_by_its_revision(&sharded_subject().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_requests_in_one_of_many_shards() {
    together::accepts_as_many_as_a_request_can_bring(&sharded_subject().await).await;
    together::keeps_the_order_of_one_request(&sharded_subject().await).await;
    together::leaves_nothing_of_more_than_a_request_can_bring(&sharded_subject().await).await;
    together::accepts_one_of_many_equal_requests_at_once(&sharded_subject().await).await;
    together::does_a_dropped_request_whole_or_not_at_all(&sharded_subject().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_in_many_shards() {
    filtering::lists_what_was_filtered_apart(&sharded_subject().await).await;
    filtering::replays_what_was_filtered(&sharded_subject().await).await;
    filtering::gives_the_turn_on_when_a_delivery_is_filtered(&sharded_subject().await).await;
}

/// What is not spread is in the first shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_records_and_pauses_beside_many_shards() {
    records::lists_newest_first_in_pages(&sharded_subject().await).await;
    records::keeps_the_newest_of_very_many(&sharded_subject().await).await;
    pauses::keeps_a_pause_until_the_target_is_resumed(&sharded_subject().await).await;
}

/// Also the count of bytes is right when bodies have gone with their records.
#[tokio::test]
async fn counts_the_bytes_of_kept_bodies() {
    let database = RedisServer::shared().fresh_database();
    let subject = subject_in(database.clone()).await;
    records::keeps_the_newest_of_very_many(&subject).await;
    let get = |key| command(&database, &["GET", &format!("hookgate:{{0}}:{key}")]);
    assert_eq!(get("record-bytes"), redis::Value::BulkString(b"0".to_vec()));
    records::forgets_records_of_before_the_retention(&subject_in(database.clone()).await).await;
    assert_eq!(get("record-bytes"), redis::Value::BulkString(b"0".to_vec()));
}

/// Those that have ended first go first, and what runs never goes.
#[tokio::test]
async fn keeps_a_hundred_replays() {
    let subject = subject().await;
    let replay = |id: u128, ended: bool| {
        let ended_at = ended.then(|| Timestamp::from_millis(i64::try_from(id).unwrap()));
        Replay {
            ended_at,
            ..replays::replay(&subject, id)
        }
    };
    for id in 1..=101 {
        let new = replay(id, id <= 2);
        assert!(subject.store.save_replay(&new).await.unwrap(), "{id}");
    }
    let kept = subject.store.replays().await.unwrap();
    assert_eq!(kept.len(), 100);
    assert!(!kept.iter().any(|kept| kept.id.as_u128() == 1));
    let save = async |id| subject.store.save_replay(&replay(id, false)).await;
    assert!(save(102).await.unwrap());
    let full = save(103).await.unwrap_err();
    assert!(matches!(full, StoreError::Full(_)), "{full}");
    assert!(full.to_string().contains("cancel one"), "{full}");
}

/// What a million ids cost is measured with a sixteenth of them in a sixteenth of the buckets.
#[tokio::test]
async fn a_remembered_id_of_a_million_costs_forty_bytes_at_most() {
    const BUCKETS: u32 = 32_768 / 16;
    const IDS: u32 = 1_000_000 / 16;
    let server = RedisServer::start();
    let subject = subject_in(server.connection()).await;
    let used = || {
        server.command(&["MEMORY", "PURGE"]);
        used_memory(&server)
    };
    // What every store has, whatever it remembers.
    subject.stored("first", &[]).await;
    subject.expire(Duration::ZERO, 0).await;
    let before = used();
    for first in (0..IDS).step_by(500) {
        let events = (first..IDS.min(first + 500))
            .map(|number| Arc::new(numbered(&subject, number, BUCKETS)));
        for accepted in subject.store.accept_all(events.collect()).await {
            assert!(matches!(accepted, Ok(Acceptance::Accepted { .. })));
        }
        subject.expire(Duration::ZERO, 0).await;
    }
    assert_eq!(subject.expire(Duration::ZERO, 0).await, 0);
    let script = "local bytes, buckets = 0, redis.call('KEYS', '*:ids:*') \
                  for _, key in ipairs(buckets) do bytes = bytes + redis.call('MEMORY', 'USAGE', key) end \
                  return {#buckets, bytes}";
    let measured = server.command(&["EVAL", script, "0"]);
    let redis::Value::Array(measured) = measured else {
        panic!("{measured:?}");
    };
    let [redis::Value::Int(buckets), redis::Value::Int(bytes)] = measured[..] else {
        panic!("{measured:?}");
    };
    assert!((i64::from(BUCKETS)..=i64::from(BUCKETS) + 1).contains(&buckets));
    let ids = f64::from(IDS);
    #[expect(clippy::cast_precision_loss, reason = "far from the limits")]
    let (by_keys, by_server) = (bytes as f64 / ids, (used() - before) as f64 / ids);
    println!("{by_keys:.1} bytes an id by MEMORY USAGE, {by_server:.1} by used_memory");
    assert!(by_keys <= 40.0, "{by_keys} bytes an id by MEMORY USAGE");
    assert!(by_server <= 40.0, "{by_server} bytes an id by used_memory");
}

/// Its key falls into one of so many buckets, and is as random as others.
fn numbered(subject: &Subject, number: u32, buckets: u32) -> Event {
    let mut event = subject.event(&number.to_string(), &[]);
    let [high, low] = u16::try_from(number % buckets).unwrap().to_be_bytes();
    (event.key.0[0], event.key.0[1]) = (high, low);
    event.uid = event_uid(event.key, event.received_at);
    event
}

fn used_memory(server: &RedisServer) -> i64 {
    let info = server.command(&["INFO", "memory"]);
    let text = match &info {
        redis::Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        redis::Value::VerbatimString { text, .. } => text.clone(),
        other => panic!("{other:?}"),
    };
    let used = text
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    used.unwrap().trim().parse().unwrap()
}

/// Expires nothing but ids; returns how many.
async fn forget(subject: &Subject) -> u64 {
    let retention = Retention {
        age: Duration::MAX,
        bytes: u64::MAX,
    };
    let mut ids = 0;
    loop {
        let expired = subject.store.expire(retention).await.unwrap();
        assert_eq!(expired.events, 0);
        ids += expired.ids;
        if !expired.more {
            return ids;
        }
    }
}
