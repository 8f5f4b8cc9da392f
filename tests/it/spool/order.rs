//! The order of a group from its acceptance, through the spool or not, to its deliveries from a real Redis.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hookgate::{
    clock::Clock,
    config::Durability,
    event::Outcome,
    store::{
        Acceptance, Claimed, Settled, Store, Want, embedded,
        redis::{Options, RedisStore},
        spooled::{Limits, Setup, Spooled},
    },
};
use tempfile::TempDir;

use super::moving::{no_series, ordered};
use crate::support::{redis::RedisServer, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_group_are_delivered_in_the_order_of_their_acceptance() {
    let mut redis = RedisServer::start();
    let directory = TempDir::new().unwrap();
    let store = open(&redis, &directory).await;
    let mut expected = Vec::new();
    for round in 0..2 {
        for number in 0..90 {
            match number {
                30 => redis.kill(),
                60 => redis.restart(),
                _ => {}
            }
            let id = format!("{round}-{number}");
            let event = Arc::new(ordered(&id));
            let leases = vec![None; event.deliveries.len()];
            let accepted = store.accept(event).await.unwrap();
            assert_eq!(accepted, Acceptance::Accepted { leases });
            expected.push(id);
        }
    }
    // In the second half of each round Redis may have been back, or not: the order is the same.
    let mut delivered = Vec::new();
    for _ in &expected {
        let claimed = next(&store).await;
        delivered.push(claimed.event.id.to_string());
        let settlement = claimed.settlement(Outcome::Delivered, None);
        assert_eq!(store.settle(settlement).await.unwrap(), Settled::Done);
    }
    assert_eq!(delivered, expected);
    store.close().await;
}

async fn open(redis: &RedisServer, directory: &TempDir) -> Spooled {
    let metrics = no_series();
    let durability = Durability::Always;
    let options = Options::new(redis.connection(), durability);
    let primary = RedisStore::open(options, metrics.clone()).await.unwrap();
    let options = embedded::Options {
        directory: directory.path().to_owned(),
        durability,
    };
    let clock = Clock::system();
    let spool = embedded::Embedded::open(options, clock.clone(), metrics.clone()).unwrap();
    let setup = Setup {
        primary: Arc::new(primary),
        spool: Arc::new(spool),
        limits: Arc::new(ArcSwap::from_pointee(Limits {
            body_max: 1 << 20,
            retention: Duration::from_secs(3600),
        })),
        metrics,
        clock,
    };
    Spooled::start(setup).await.unwrap()
}

/// The only delivery that is due, once there is one.
async fn next(store: &Spooled) -> Claimed {
    let want = Want {
        target: "crm".into(),
        max: 10,
        lease: Duration::from_secs(60),
    };
    let mut claimed = wait_for("a delivery that is due", async || {
        let claims = store.claim(std::slice::from_ref(&want)).await.ok()?;
        (!claims.claimed.is_empty()).then_some(claims.claimed)
    })
    .await;
    assert_eq!(claimed.len(), 1, "one at a time");
    claimed.remove(0)
}
