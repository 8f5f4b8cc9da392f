//! Several gateways on one Redis.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use hookgate::{
    clock::Timestamp,
    config::Durability,
    event::{AttemptRecord, NewDelivery, Outcome},
    store::{
        Acceptance, Claimed, Settled, Settlement, Store as _, StoreError,
        redis::{Options, RedisStore},
    },
};
use tokio::task::JoinSet;

use super::{PATIENCE, TARGET, claim_one, event, is_accepted, metrics, open, until, want};
use crate::support::redis::RedisServer;

/// Long enough for the first claimer to be seen holding it, short enough to wait for its end.
const SHORT: Duration = Duration::from_millis(300);

pub(super) fn failed_attempt(status: u16) -> AttemptRecord {
    AttemptRecord {
        started_at: Timestamp::from_millis(1_790_000_000_000),
        duration: Duration::from_micros(1234),
        status: Some(status),
        error: None,
        response_head: Bytes::from(vec![b'x'; 1024]),
    }
}

fn settlement(claimed: &Claimed, outcome: Outcome) -> Settlement {
    Settlement {
        uid: claimed.event.uid,
        target: claimed.target.clone(),
        token: claimed.lease.token,
        outcome,
        attempt: Some(failed_attempt(200)),
        order: None,
        route: claimed.event.route.clone(),
    }
}

#[tokio::test]
async fn the_claims_of_a_dead_gateway_are_taken_over_and_its_late_settle_is_lost() {
    let connection = RedisServer::shared().fresh_database();
    let (dead, alive) = (open(connection.clone()).await, open(connection).await);
    dead.accept(Arc::new(event("a"))).await.unwrap();
    let lost = claim_one(&dead, SHORT).await;

    let taken = until("the end of the lease", async || {
        let claims = alive.claim(&want(1, PATIENCE)).await.unwrap();
        claims.claimed.into_iter().next()
    })
    .await;
    assert_eq!(taken.event.body, lost.event.body);
    assert!(taken.lease.token > lost.lease.token);
    let late = dead.settle(settlement(&lost, Outcome::Delivered)).await;
    assert_eq!(late.unwrap(), Settled::Lost);
    let settled = alive.settle(settlement(&taken, Outcome::Delivered)).await;
    assert_eq!(settled.unwrap(), Settled::Done);
    let repeated = alive.settle(settlement(&taken, Outcome::Delivered)).await;
    assert_eq!(repeated.unwrap(), Settled::Lost);
}

#[tokio::test]
async fn what_was_accepted_claimed_is_taken_over_when_its_gateway_dies() {
    let connection = RedisServer::shared().fresh_database();
    let (dead, alive) = (open(connection.clone()).await, open(connection).await);
    let mut arrival = event("a");
    arrival.deliveries = vec![NewDelivery {
        target: TARGET.into(),
        lease: Some(SHORT),
        order: None,
    }];
    let uid = arrival.uid;
    let Acceptance::Accepted { leases } = dead.accept(Arc::new(arrival)).await.unwrap() else {
        panic!("a new event");
    };
    let first = leases[0].expect("the lease that was asked for");

    let taken = until("the end of the lease", async || {
        let claims = alive.claim(&want(1, PATIENCE)).await.unwrap();
        claims.claimed.into_iter().next()
    })
    .await;
    assert!(taken.lease.token > first.token);
    let late = Settlement {
        uid,
        token: first.token,
        ..settlement(&taken, Outcome::Delivered)
    };
    assert_eq!(dead.settle(late).await.unwrap(), Settled::Lost);
}

#[tokio::test]
async fn a_repeated_settlement_never_ends_the_next_claim() {
    let store = open(RedisServer::shared().fresh_database()).await;
    store.accept(Arc::new(event("a"))).await.unwrap();
    let first = claim_one(&store, PATIENCE).await;
    let retry = || settlement(&first, Outcome::Retry(Duration::ZERO));
    assert_eq!(store.settle(retry()).await.unwrap(), Settled::Done);
    assert_eq!(store.settle(retry()).await.unwrap(), Settled::Lost);
    // The number that it has while it waits is nobody's token.
    let invented = Settlement {
        token: first.lease.token + 1,
        ..retry()
    };
    assert_eq!(store.settle(invented).await.unwrap(), Settled::Lost);
    // A far shorter lease: its end comes before that of the first, its token must not.
    let second = claim_one(&store, Duration::from_secs(1)).await;
    assert!(second.lease.token > first.lease.token);
    assert_eq!(store.settle(retry()).await.unwrap(), Settled::Lost);
    let delivered = store.settle(settlement(&second, Outcome::Delivered)).await;
    assert_eq!(delivered.unwrap(), Settled::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_at_two_gateways_at_once_is_accepted_once() {
    let connection = RedisServer::shared().fresh_database();
    let stores = [
        Arc::new(open(connection.clone()).await),
        Arc::new(open(connection).await),
    ];
    let mut accepts = JoinSet::new();
    for number in 0..200 {
        let store = stores[number % 2].clone();
        accepts.spawn(async move { store.accept(Arc::new(event("same"))).await.unwrap() });
    }
    let answers = accepts.join_all().await;
    assert_eq!(answers.len(), 200);
    assert_eq!(
        answers.iter().filter(|answer| is_accepted(answer)).count(),
        1
    );
    let uid = event("same").uid;
    for answer in answers {
        if let Acceptance::Duplicate {
            uid: first,
            same_body,
            ..
        } = answer
        {
            assert_eq!((first, same_body), (uid, true));
        }
    }
    assert_eq!(
        stores[0].depth(&[TARGET.into()]).await.unwrap()[0].pending,
        1
    );
}

#[tokio::test]
async fn calls_of_one_moment_share_script_calls() {
    let metrics = metrics();
    let connection = RedisServer::shared().fresh_database();
    let store = RedisStore::open(
        Options::new(connection, Durability::Always),
        metrics.clone(),
    )
    .await;
    let store = Arc::new(store.unwrap());
    let mut accepts = JoinSet::new();
    for number in 0..500 {
        let store = store.clone();
        accepts.spawn(async move { store.accept(Arc::new(event(&number.to_string()))).await });
    }
    for accepted in accepts.join_all().await {
        accepted.unwrap();
    }
    let batches = &metrics.store.commit_batch_events;
    assert!((batches.get_sample_sum() - 500.0).abs() < 0.5);
    assert!(
        batches.get_sample_count() <= 50,
        "{}",
        batches.get_sample_count()
    );
}

#[tokio::test]
async fn a_closed_store_finished_what_waited_and_takes_nothing_more() {
    let connection = RedisServer::shared().fresh_database();
    let store = open(connection.clone()).await;
    let arrivals = (0..2000).map(|number| store.accept(Arc::new(event(&number.to_string()))));
    let mut accepts = join_all(arrivals);
    // The first poll puts every one of them into the queue; none can be answered yet.
    assert!((&mut accepts).now_or_never().is_none());
    let (accepted, ()) = tokio::join!(accepts, store.close());
    let accepted = accepted.into_iter().filter(Result::is_ok).count();
    let error = store.accept(Arc::new(event("late"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)));
    assert!(store.ready().await.is_err());
    let other = open(connection).await;
    let pending = other.depth(&[TARGET.into()]).await.unwrap()[0].pending;
    assert_eq!(usize::try_from(pending).unwrap(), accepted);
    assert_eq!(accepted, 2000);
}
