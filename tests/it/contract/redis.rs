//! The Redis store's factory — a database of its own on the shared server — and what it alone promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use hookgate::{
    clock::{Clock, Timestamp},
    config::Durability,
    event::{DeadReason, Outcome},
    metrics::{Labels, Metrics},
    store::redis::RedisStore,
};

use super::subject::Subject;
use crate::support::redis::RedisServer;

pub(super) async fn subject() -> Subject {
    let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Arc::new(Metrics::new(&labels).unwrap());
    let database = RedisServer::shared().fresh_database();
    let store =
        RedisStore::open_with_clock(database, Durability::Always, metrics, clock.clone()).await;
    Subject::new(Arc::new(store.unwrap()), clock, hand, ())
}

/// Retries may outlast the retention: a dead letter that went at once could never be replayed.
#[tokio::test]
async fn keeps_a_dead_letter_for_the_whole_retention_after_its_end() {
    let subject = subject().await;
    let retention = Duration::from_secs(86_400);
    subject.stored("a", &["t"]).await;
    subject.advance(10 * retention);
    let claimed = subject.claim_one("t").await;
    let gave_up = Outcome::Dead(DeadReason::GaveUp);
    subject.settle(&claimed, gave_up).await;
    subject.advance(retention);
    assert_eq!(subject.expire(retention, u64::MAX).await, 0);
    subject.advance(Duration::from_millis(1));
    assert_eq!(subject.expire(retention, u64::MAX).await, 1);
}
