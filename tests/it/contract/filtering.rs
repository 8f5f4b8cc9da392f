//! Deliveries that were filtered: settled without an attempt, and neither delivered nor dead.

use std::time::Duration;

use hookgate::{
    event::{DeadReason, DeliveryState, Outcome},
    store::{
        Depth, Replayed, Settled,
        listing::{Filter, Query, StateFilter},
        orphans::Gone,
    },
};
use uuid::Uuid;

use super::subject::{LONG, Subject, in_order};

const MINUTE: Duration = Duration::from_secs(60);

/// Stores an event for `t` and filters that delivery.
async fn filtered(subject: &Subject, id: &str) -> Uuid {
    let uid = subject.stored(id, &["t"]).await;
    let claimed = subject.claim_one("t").await;
    let settled = subject.settle(&claimed, Outcome::Filtered).await;
    assert_eq!(settled, Settled::Done);
    uid
}

async fn listed(subject: &Subject, state: StateFilter) -> Vec<String> {
    let mut query = Query {
        filter: Filter {
            state: Some(state),
            ..Filter::default()
        },
        newest_first: false,
        cursor: None,
        limit: 10,
    };
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        let page = subject.store.list(&query).await.unwrap();
        ids.extend(page.events.iter().map(|event| event.id.to_string()));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return ids,
        }
    }
    panic!("the list never ends");
}

pub(super) async fn filters_without_an_attempt(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    assert_eq!(
        subject.settle(&claimed, Outcome::Filtered).await,
        Settled::Done
    );
    for outcome in [Outcome::Filtered, Outcome::Delivered, Outcome::Released] {
        assert_eq!(subject.settle(&claimed, outcome).await, Settled::Lost);
    }
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Filtered, 0)
    );
    assert!(delivery.history.is_empty());
    assert_eq!(subject.depth("t").await, Depth::default());
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [None]);
}

pub(super) async fn lists_what_was_filtered_apart(subject: &Subject) {
    filtered(subject, "filtered").await;
    subject.delivered("delivered", "t").await;
    subject.stored("dead", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    let failed = Outcome::Dead(DeadReason::ExpressionFailed);
    subject.settle(&claimed, failed).await;
    let both = subject.stored("both", &["t", "u"]).await;
    for (target, outcome) in [("t", Outcome::Filtered), ("u", Outcome::Delivered)] {
        let claimed = subject.claim_one(target).await;
        subject.settle(&claimed, outcome).await;
    }
    subject.stored("pending", &["t"]).await;
    for (state, expected) in [
        (StateFilter::Filtered, &["filtered", "both"][..]),
        (StateFilter::Delivered, &["delivered", "both"]),
        (StateFilter::Dead, &["dead"]),
        (StateFilter::Pending, &["pending"]),
    ] {
        let mut listed = listed(subject, state).await;
        let mut expected = expected.to_vec();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{state:?}");
    }
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (1, 1));
    let states: Vec<_> = subject.get(both).await.deliveries;
    let states: Vec<_> = states.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Filtered, DeliveryState::Delivered]);
}

pub(super) async fn removes_what_was_filtered_by_its_age(subject: &Subject) {
    let alone = filtered(subject, "alone").await;
    let beside = subject.stored("beside", &["t", "u"]).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Filtered).await;
    assert_eq!(subject.expire(LONG, u64::MAX).await, 0);
    subject.advance(LONG + MINUTE);
    assert_eq!(subject.expire(LONG, u64::MAX).await, 1);
    assert!(!subject.is_stored(alone).await);
    assert!(subject.is_stored(beside).await, "one delivery is pending");
    let claimed = subject.claim_one("u").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(subject.expire(LONG, 0).await, 1, "by size");
    assert_eq!(subject.depth("t").await, Depth::default());
}

pub(super) async fn replays_what_was_filtered(subject: &Subject) {
    let uid = filtered(subject, "a").await;
    // And filters it again.
    for _ in 0..2 {
        assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
        assert_eq!(subject.replay(uid, "t").await, Replayed::Pending);
        let depth = subject.depth("t").await;
        assert_eq!((depth.pending, depth.dead), (1, 0));
        let claimed = subject.claim_one("t").await;
        assert_eq!((claimed.attempts, claimed.event.uid), (0, uid));
        subject.settle(&claimed, Outcome::Filtered).await;
        assert_eq!(subject.depth("t").await, Depth::default());
    }
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    let claimed = subject.claim_one("t").await;
    subject
        .settle(&claimed, Outcome::Retry(Duration::ZERO))
        .await;
    let claimed = subject.claim_one("t").await;
    assert_eq!(claimed.attempts, 1);
    subject.settle(&claimed, Outcome::Delivered).await;
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Delivered, 2)
    );
    assert_eq!(statuses(subject, uid).await, [503, 200]);

    // What was attempted before stays readable.
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Filtered).await;
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Filtered, 0)
    );
    assert_eq!(statuses(subject, uid).await, [503, 200]);
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(statuses(subject, uid).await, [503, 200, 200]);
}

async fn statuses(subject: &Subject, uid: Uuid) -> Vec<u16> {
    let delivery = &subject.get(uid).await.deliveries[0];
    delivery.history.iter().filter_map(|a| a.status).collect()
}

/// Also where a dead letter would hold.
pub(super) async fn gives_the_turn_on_when_a_delivery_is_filtered(subject: &Subject) {
    for hold in [false, true] {
        let key = hold.to_string();
        let names = ["1", "2", "3"].map(|id| format!("{id} {hold}"));
        for id in &names {
            let event = in_order(subject.event(id, &["t"]), &key, hold);
            subject.accept(event).await;
        }
        let first = subject.claim_one("t").await;
        let replayed = first.event.uid;
        subject.settle(&first, Outcome::Filtered).await;
        let second = subject.claim_one("t").await;
        assert_eq!(&*second.event.id, names[1]);
        subject.settle(&second, Outcome::Filtered).await;
        let third = subject.claim_one("t").await;
        assert_eq!(&*third.event.id, names[2]);
        subject.settle(&third, Outcome::Delivered).await;
        assert_eq!(subject.replay(replayed, "t").await, Replayed::Due);
        let again = subject.claim_one("t").await;
        assert_eq!(again.event.uid, replayed);
        subject.settle(&again, Outcome::Filtered).await;
        assert_eq!(subject.depth("t").await, Depth::default());
    }
}

pub(super) async fn retires_nothing_that_was_filtered(subject: &Subject) {
    let uid = filtered(subject, "a").await;
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec![]))
            .await
            .unwrap(),
        0
    );
    let state = subject.get(uid).await.deliveries[0].state;
    assert_eq!(state, DeliveryState::Filtered);
}
