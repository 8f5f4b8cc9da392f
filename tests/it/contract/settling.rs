//! Settlements: what each outcome leaves, and the depth.

use std::time::Duration;

use futures_util::future::join_all;
use hookgate::{
    event::{DeadReason, DeliveryState, Outcome},
    store::{Depth, HISTORY_MAX, Settled, orphans::Gone},
};

use super::subject::{LONG, Subject, attempt};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn settles_a_claim_once(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    assert_eq!(
        subject.settle(&claimed, Outcome::Delivered).await,
        Settled::Done
    );
    let again = [
        Outcome::Delivered,
        Outcome::Retry(MINUTE),
        Outcome::Dead(DeadReason::Refused),
        Outcome::Released,
    ];
    for outcome in again {
        assert_eq!(subject.settle(&claimed, outcome).await, Settled::Lost);
    }
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Delivered, 1)
    );
    assert_eq!(
        delivery.last_attempt().cloned(),
        Some(attempt(subject.clock.now(), Some(200)))
    );
    assert_eq!(subject.depth("t").await, Depth::default());
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [None]);
}

pub(super) async fn ignores_a_token_that_nobody_holds(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let lost = Settled::Lost;
    assert_eq!(
        subject.settle_as(uid, "t", 1, Outcome::Delivered).await,
        lost
    );
    let claimed = subject.claim_one("t").await;
    for (target, token) in [
        ("t", claimed.lease.token + 1),
        ("t", claimed.lease.token - 1),
        ("nobody", claimed.lease.token),
    ] {
        let settled = subject
            .settle_as(uid, target, token, Outcome::Delivered)
            .await;
        assert_eq!(settled, lost, "{target} {token}");
    }
    assert_eq!(subject.depth("t").await.pending, 1);
    assert_eq!(
        subject.settle(&claimed, Outcome::Delivered).await,
        Settled::Done
    );
}

pub(super) async fn retries_after_the_wait_and_counts_attempts(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    for n in 0..3 {
        let claimed = subject.claim_one("t").await;
        assert_eq!(claimed.attempts, n);
        assert_eq!(
            subject.settle(&claimed, Outcome::Retry(MINUTE)).await,
            Settled::Done
        );
        let waiting = subject.claims("t", 10, LONG).await;
        assert!(waiting.claimed.is_empty());
        assert_eq!(waiting.next_due, [Some(MINUTE)]);
        subject.advance(MINUTE - Duration::from_millis(1));
        assert!(
            subject.claim("t", 10).await.is_empty(),
            "a moment too early"
        );
        subject.advance(Duration::from_millis(1));
        assert_eq!(
            subject.claims("t", 0, LONG).await.next_due,
            [Some(Duration::ZERO)]
        );
    }
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Pending, 3)
    );
    let last = delivery.last_attempt().unwrap();
    assert_eq!(last.status, Some(503));
    assert_eq!(&last.response_head[..], b"\x00head\xff");
}

pub(super) async fn releases_without_counting_an_attempt(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    assert_eq!(
        subject.settle(&claimed, Outcome::Released).await,
        Settled::Done
    );
    assert_eq!(
        subject.settle(&claimed, Outcome::Delivered).await,
        Settled::Lost
    );
    let again = subject.claim_one("t").await;
    assert_eq!(again.attempts, 0);
    assert!(again.lease.token > claimed.lease.token);
    assert_eq!(
        subject.get(uid).await.deliveries[0].last_attempt().cloned(),
        None
    );
}

pub(super) async fn keeps_dead_letters_with_reason_and_attempt(subject: &Subject) {
    for (n, reason) in DeadReason::ALL.into_iter().enumerate() {
        let uid = subject.stored(reason.as_str(), &["t"]).await;
        let claimed = subject.claim_one("t").await;
        let settled = subject.settle(&claimed, Outcome::Dead(reason)).await;
        assert_eq!(settled, Settled::Done);
        assert!(subject.claim("t", 10).await.is_empty());
        let delivery = &subject.get(uid).await.deliveries[0];
        assert_eq!(
            (delivery.state, delivery.attempts),
            (DeliveryState::Dead(reason), 1)
        );
        assert_eq!(delivery.last_attempt().unwrap().status, Some(503));
        let depth = subject.depth("t").await;
        assert_eq!((depth.pending, depth.dead), (0, n as u64 + 1));
    }
}

pub(super) async fn tells_how_deep_and_how_late_each_target_is(subject: &Subject) {
    subject.stored("a", &["t", "u"]).await;
    subject.advance(MINUTE);
    subject.stored("b", &["t"]).await;
    subject.advance(MINUTE);
    let targets = ["u".into(), "nobody".into(), "t".into()];
    let depths = subject.store.depth(&targets).await.unwrap();
    let depth = |pending, oldest_due| Depth {
        pending,
        dead: 0,
        oldest_due,
    };
    let zero = Duration::ZERO;
    assert_eq!(
        depths,
        [depth(1, 2 * MINUTE), depth(0, zero), depth(2, 2 * MINUTE)]
    );
    // A claimed delivery is pending, but does not wait; a retry that is not due does neither.
    let claimed = subject.claim("t", 1).await;
    assert_eq!(subject.depth("t").await, depth(2, MINUTE));
    subject.settle(&claimed[0], Outcome::Retry(MINUTE)).await;
    subject.claim("t", 1).await;
    assert_eq!(subject.depth("t").await, depth(2, zero));
}

pub(super) async fn settles_one_target_without_the_other(subject: &Subject) {
    let uid = subject.stored("a", &["t", "u"]).await;
    let claimed = subject.claim_one("u").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    let states: Vec<_> = subject
        .get(uid)
        .await
        .deliveries
        .iter()
        .map(|d| d.state)
        .collect();
    assert_eq!(states, [DeliveryState::Pending, DeliveryState::Delivered]);
    assert_eq!(ids_of_pending(subject).await, (1, 0));
}

async fn ids_of_pending(subject: &Subject) -> (u64, u64) {
    (
        subject.depth("t").await.pending,
        subject.depth("u").await.pending,
    )
}

pub(super) async fn settles_each_delivery_once_whatever_comes_at_once(subject: &Subject) {
    let targets = ["t", "u", "v"];
    let uid = subject.stored("a", &targets).await;
    subject.stored("b", &targets).await;
    let mut claimed = Vec::new();
    for target in targets {
        claimed.extend(subject.claim(target, 2).await);
    }
    let outcomes = [
        Outcome::Delivered,
        Outcome::Dead(DeadReason::Refused),
        Outcome::Delivered,
    ];
    let settlements = claimed
        .iter()
        .flat_map(|claimed| outcomes.clone().map(|outcome| (claimed, outcome)))
        .map(|(claimed, outcome)| subject.settle(claimed, outcome));
    let settled = join_all(settlements).await;
    for of_one in settled.chunks(outcomes.len()) {
        let done = of_one.iter().filter(|settled| **settled == Settled::Done);
        assert_eq!(done.count(), 1, "{of_one:?}");
    }
    let stored = subject.get(uid).await;
    assert!(
        stored
            .deliveries
            .iter()
            .all(|delivery| delivery.attempts == 1)
    );
    for target in targets {
        assert_eq!(subject.depth(target).await.pending, 0);
    }
    assert_eq!(subject.expire(Duration::ZERO, 0).await, 2);
}

pub(super) async fn retires_removed_targets(subject: &Subject) {
    let uid = subject.stored("a", &["kept", "gone"]).await;
    subject.stored("b", &["gone", "lost"]).await;
    let claimed = subject.claim("gone", 1).await.remove(0);
    // By name, what others wait for stays; and then by what there is.
    let gone = Gone::These(vec!["lost".into(), "new".into()]);
    assert_eq!(subject.store.retire_targets(&gone).await.unwrap(), 1);
    let gone = Gone::AllBut(vec!["kept".into(), "new".into()]);
    assert_eq!(subject.store.retire_targets(&gone).await.unwrap(), 2);
    assert_eq!(subject.store.retire_targets(&gone).await.unwrap(), 0);

    let removed = DeliveryState::Dead(DeadReason::TargetRemoved);
    let states: Vec<_> = subject
        .get(uid)
        .await
        .deliveries
        .iter()
        .map(|d| d.state)
        .collect();
    assert_eq!(states, [DeliveryState::Pending, removed]);
    assert_eq!(
        subject.settle(&claimed, Outcome::Delivered).await,
        Settled::Lost
    );
    assert!(subject.claim("gone", 10).await.is_empty());
    assert_eq!(subject.claim("kept", 10).await.len(), 1);
    let gone = subject.depth("gone").await;
    assert_eq!((gone.pending, gone.dead), (0, 2));
}

pub(super) async fn changes_nothing_with_the_token_of_another_delivery(subject: &Subject) {
    let (a, b) = (
        subject.stored("a", &["t"]).await,
        subject.event("b", &["t"]).uid,
    );
    let claimed = subject.claim_one("t").await;
    let token = claimed.lease.token;
    subject.stored("b", &["t"]).await;
    let settled = subject.settle_as(b, "t", token, Outcome::Delivered).await;
    assert_eq!(settled, Settled::Lost);
    assert_eq!(subject.depth("t").await.pending, 2);
    let settled = subject.settle_as(a, "t", token, Outcome::Delivered).await;
    assert_eq!(settled, Settled::Done);
}

pub(super) async fn keeps_every_attempt_oldest_first(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let mut expected = Vec::new();
    for n in 0..4 {
        subject.advance(MINUTE);
        let claimed = subject.claim_one("t").await;
        let (outcome, status) = match n {
            3 => (Outcome::Delivered, 200),
            _ => (Outcome::Retry(MINUTE), 503),
        };
        expected.push((subject.clock.now(), Some(status)));
        subject.settle(&claimed, outcome).await;
        let delivery = &subject.get(uid).await.deliveries[0];
        let history = delivery.history.iter();
        let told: Vec<_> = history.map(|a| (a.started_at, a.status)).collect();
        assert_eq!(told, expected);
        assert_eq!(
            delivery.last_attempt().cloned(),
            Some(attempt(subject.clock.now(), Some(status))),
            "the newest is whole"
        );
    }
}

pub(super) async fn keeps_the_newest_of_very_many_attempts(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    for _ in 0..HISTORY_MAX + 10 {
        subject.advance(Duration::from_millis(1));
        let claimed = subject.claim_one("t").await;
        subject
            .settle(&claimed, Outcome::Retry(Duration::ZERO))
            .await;
    }
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!(delivery.attempts as usize, HISTORY_MAX + 10);
    assert_eq!(delivery.history.len(), HISTORY_MAX);
    let newest = subject.clock.now();
    for (n, attempt) in (0..).zip(delivery.history.iter().rev()) {
        let at = newest.saturating_sub(Duration::from_millis(n));
        assert_eq!((attempt.started_at, attempt.status), (at, Some(503)));
    }
}
