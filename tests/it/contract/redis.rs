//! The Redis store's factory: a database of its own on the shared server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use hookgate::{
    clock::{Clock, Timestamp},
    config::Durability,
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
