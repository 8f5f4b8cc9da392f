//! What Redis can do to a gateway, and several gateways to one another.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod acl;
mod cluster;
mod conversion;
mod durability;
mod faults;
mod secrets;
mod sentinel;
mod shards;
mod sharing;
mod tls;
mod together;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hookgate::{
    clock::Timestamp,
    config::Durability,
    event::{BodyDigest, Event, EventKey, NewDelivery, Outcome, event_uid},
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Claimed, Retention, Store as _, StoreError, Want,
        redis::{Options, RedisStore},
    },
};
use redis::ConnectionInfo;

/// Generous: only a hang ends here.
const PATIENCE: Duration = Duration::from_secs(120);
const TARGET: &str = "crm";
/// Whatever is finished goes at once, however young.
const NOTHING_KEPT: Retention = Retention {
    age: PATIENCE,
    bytes: 0,
};

fn metrics() -> Arc<Metrics> {
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    Arc::new(Metrics::new(&labels).unwrap())
}

async fn open(connection: ConnectionInfo) -> RedisStore {
    let opened = RedisStore::open(Options::new(connection, Durability::Always), metrics()).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// An event for one target; its body tells its id.
fn event(id: &str) -> Event {
    let body = Bytes::from(format!(r#"{{"id":"{id}"}}"#));
    let received_at = Timestamp::from_millis(1_790_000_000_000);
    let key = EventKey::new("github", id);
    Event {
        uid: event_uid(key, received_at),
        key,
        route: "github".into(),
        id: id.into(),
        event_type: Some("push".into()),
        credential: None,
        request_id: None,
        received_at,
        dedupe_window: Duration::from_secs(3600),
        content_type: Some("application/json".into()),
        headers: vec![("x-github-event".into(), "push".into())],
        digest: BodyDigest::of(&body),
        body,
        deliveries: vec![NewDelivery {
            target: TARGET.into(),
            lease: None,
            order: None,
        }],
        together: false,
    }
}

/// Accepts an event, claims it and settles it.
async fn work(store: &RedisStore, id: &str) -> Result<(), StoreError> {
    let acceptance = store.accept(Arc::new(event(id))).await?;
    assert!(is_accepted(&acceptance), "{id}: {acceptance:?}");
    let claims = store.claim(&want(1, PATIENCE)).await?;
    for claimed in &claims.claimed {
        store
            .settle(claimed.settlement(Outcome::Delivered, None))
            .await?;
    }
    Ok(())
}

/// The same, again and again with new events, until all of it succeeds.
async fn works_again(store: &RedisStore, id: &str) {
    let mut attempts = 0;
    until("everything works again", async || {
        attempts += 1;
        work(store, &format!("{id}-{attempts}")).await.ok()
    })
    .await;
}

fn want(max: usize, lease: Duration) -> [Want; 1] {
    [Want {
        target: TARGET.into(),
        max,
        lease,
    }]
}

async fn claim_one(store: &RedisStore, lease: Duration) -> Claimed {
    let claims = store.claim(&want(1, lease)).await.unwrap();
    let mut claimed = claims.claimed.into_iter();
    claimed.next().expect("a due delivery")
}

fn is_accepted(acceptance: &Acceptance) -> bool {
    matches!(acceptance, Acceptance::Accepted { .. })
}

/// Tries again, with pauses, until it gives something.
async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let trying = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let tried = tokio::time::timeout(PATIENCE, trying).await;
    tried.unwrap_or_else(|_| panic!("in vain: {what}"))
}
