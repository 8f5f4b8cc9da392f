//! The Redis store's factory: a database of its own on the shared server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use hookgate::{
    clock::{Clock, Timestamp},
    config::Durability,
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Retention,
        redis::{Options, RedisStore},
    },
};
use redis::ConnectionInfo;

use super::subject::{Subject, WINDOW};
use crate::support::redis::{RedisServer, command};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn subject() -> Subject {
    subject_in(RedisServer::shared().fresh_database()).await
}

async fn subject_in(database: ConnectionInfo) -> Subject {
    let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Arc::new(Metrics::new(&labels).unwrap());
    let store = RedisStore::open_with_clock(
        Options::new(database, Durability::Always),
        metrics,
        clock.clone(),
    )
    .await;
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
    for keys in ["*:id:*", "*:ids:*", "*:minutes"] {
        let left = command(&database, &["KEYS", keys]);
        assert_eq!(left, redis::Value::Array(Vec::new()), "{keys}");
    }
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
