//! Replay: settled deliveries once more.

use std::time::Duration;

use hookgate::{
    event::{DeadReason, DeliveryState, Outcome},
    store::{Replayed, Settled},
};
use uuid::Uuid;

use super::subject::{LONG, Subject, delivery};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const DEAD: Outcome = Outcome::Dead(DeadReason::GaveUp);

pub(super) async fn makes_settled_deliveries_due_with_no_attempts_counted(subject: &Subject) {
    let delivered = subject.delivered("delivered", "t").await;
    let dead = subject.stored("dead", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    subject
        .settle(&claimed, Outcome::Retry(Duration::ZERO))
        .await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    subject.advance(MINUTE);

    let replayed_at = subject.clock.now();
    let names = [delivery(delivered, "t"), delivery(dead, "t")];
    let replayed = subject.store.replay(&names, None).await.unwrap();
    assert_eq!(replayed, [Replayed::Due, Replayed::Due]);
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (2, 0));
    for (uid, attempts) in [(delivered, 1), (dead, 2)] {
        let delivery = &subject.get(uid).await.deliveries[0];
        assert_eq!(delivery.state, DeliveryState::Pending);
        assert_eq!(delivery.attempts, 0);
        assert_eq!(delivery.replayed_at, Some(replayed_at));
        assert_eq!(delivery.history.len(), attempts, "they stay readable");
    }
    subject.advance(MINUTE);
    assert_eq!(subject.depth("t").await.oldest_due, MINUTE);
    let claimed = subject.claim("t", 10).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        assert_eq!(claimed.attempts, 0);
        assert_eq!(claimed.replayed_at, Some(replayed_at));
        assert_eq!(&*claimed.event.body, claimed.event.id.as_bytes());
        let settled = subject.settle(claimed, Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
    for (uid, before) in [(delivered, &[200][..]), (dead, &[503, 503])] {
        let delivery = &subject.get(uid).await.deliveries[0];
        assert_eq!(delivery.state, DeliveryState::Delivered);
        assert_eq!(delivery.attempts, 1);
        assert_eq!(delivery.replayed_at, Some(replayed_at));
        let statuses: Vec<_> = delivery.history.iter().filter_map(|a| a.status).collect();
        assert_eq!(statuses, [before, &[200]].concat());
    }
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (0, 0));
}

pub(super) async fn changes_nothing_of_what_is_pending_or_unknown(subject: &Subject) {
    let retried = subject.stored("retried", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Retry(MINUTE)).await;
    let held = subject.stored("claimed", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    let waiting = subject.stored("waiting", &["u"]).await;
    let settled = subject.delivered("settled", "v").await;
    let names = [
        delivery(retried, "t"),
        delivery(held, "t"),
        delivery(waiting, "u"),
        delivery(waiting, "t"),
        delivery(Uuid::from_u128(7), "t"),
        delivery(settled, "v"),
        delivery(settled, "v"),
        delivery(settled, "w"),
    ];
    use Replayed::{Due, Pending, Unknown};
    assert_eq!(
        subject.store.replay(&names, None).await.unwrap(),
        [
            Pending, Pending, Pending, Unknown, Unknown, Due, Pending, Unknown
        ]
    );
    assert!(subject.store.replay(&[], None).await.unwrap().is_empty());
    let due = subject.claims("t", 0, LONG).await.next_due;
    assert_eq!(due, [Some(MINUTE)]);
    assert_eq!(subject.depth("t").await.pending, 2);
    let attempts = subject.get(retried).await.deliveries[0].attempts;
    assert_eq!(attempts, 1);
    assert_eq!(
        subject.settle(&claimed, Outcome::Delivered).await,
        Settled::Done
    );
    assert_eq!(subject.claim("v", 10).await.len(), 1);
}

pub(super) async fn replays_what_was_not_replayed_since(subject: &Subject) {
    use Replayed::{Due, Since};
    let began = subject.clock.now();
    let names = [
        delivery(subject.delivered("a", "t").await, "t"),
        delivery(subject.delivered("b", "u").await, "u"),
    ];
    let replay = async |since| subject.store.replay(&names, since).await.unwrap();
    assert_eq!(replay(Some(began)).await, [Due, Due]);
    for target in ["t", "u"] {
        let claimed = subject.claim_one(target).await;
        subject.settle(&claimed, Outcome::Delivered).await;
    }
    assert_eq!(replay(Some(began)).await, [Since, Since]);
    assert_eq!(subject.claim("t", 1).await.len(), 0, "nothing is due");
    subject.advance(MINUTE);
    assert_eq!(replay(Some(subject.clock.now())).await, [Due, Due]);
    for target in ["t", "u"] {
        let claimed = subject.claim_one(target).await;
        subject.settle(&claimed, Outcome::Delivered).await;
    }
    assert_eq!(replay(None).await, [Due, Due]);
}

pub(super) async fn replays_one_target_without_the_other(subject: &Subject) {
    let uid = subject.stored("a", &["t", "u", "v"]).await;
    for target in ["t", "u"] {
        let claimed = subject.claim_one(target).await;
        subject.settle(&claimed, Outcome::Delivered).await;
    }
    assert_eq!(subject.replay(uid, "u").await, Replayed::Due);
    let stored = subject.get(uid).await;
    let states: Vec<_> = stored.deliveries.iter().map(|d| d.state).collect();
    use DeliveryState::{Delivered, Pending};
    assert_eq!(states, [Delivered, Pending, Pending]);
    let replayed: Vec<_> = stored.deliveries.iter().map(|d| d.replayed_at).collect();
    assert_eq!(replayed, [None, Some(subject.clock.now()), None]);
    assert!(subject.claim("t", 10).await.is_empty());
    assert_eq!(&*subject.claim_one("u").await.event.id, "a");
    assert_eq!(subject.claim_one("v").await.replayed_at, None);
}

pub(super) async fn knows_a_replayed_delivery_over_its_retries(subject: &Subject) {
    let uid = subject.delivered("a", "t").await;
    subject.advance(MINUTE);
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    let replayed_at = Some(subject.clock.now());
    for attempts in 0..3 {
        let claimed = subject.claim_one("t").await;
        assert_eq!(
            (claimed.attempts, claimed.replayed_at),
            (attempts, replayed_at)
        );
        subject.settle(&claimed, Outcome::Retry(MINUTE)).await;
        subject.advance(MINUTE);
    }
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    let delivery = &subject.get(uid).await.deliveries[0];
    assert_eq!((delivery.attempts, delivery.replayed_at), (4, replayed_at));
    let statuses: Vec<_> = delivery.history.iter().filter_map(|a| a.status).collect();
    assert_eq!(statuses, [200, 503, 503, 503, 503]);
    assert_eq!(subject.depth("t").await.dead, 1);

    subject.advance(MINUTE);
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    let claimed = subject.claim_one("t").await;
    assert_eq!(claimed.replayed_at, Some(subject.clock.now()));
    assert_eq!(subject.get(uid).await.deliveries[0].history.len(), 5);
}

pub(super) async fn takes_no_token_from_before_the_replay(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let before = subject.claim_one("t").await;
    subject.settle(&before, DEAD).await;
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    assert_eq!(subject.settle(&before, DEAD).await, Settled::Lost);
    let after = subject.claim_one("t").await;
    assert!(after.lease.token > before.lease.token);
    assert_eq!(
        subject.settle(&before, Outcome::Delivered).await,
        Settled::Lost
    );
    assert_eq!(
        subject.settle(&after, Outcome::Delivered).await,
        Settled::Done
    );
}

pub(super) async fn keeps_a_replayed_event_until_it_is_settled_again(subject: &Subject) {
    let uid = subject.delivered("a", "t").await;
    subject.advance(10 * DAY);
    assert_eq!(subject.replay(uid, "t").await, Replayed::Due);
    assert_eq!(subject.expire(DAY, 0).await, 0);
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(subject.expire(DAY, u64::MAX).await, 0);
    subject.advance(DAY + Duration::from_millis(1));
    assert_eq!(subject.expire(DAY, u64::MAX).await, 1);
    assert_eq!(subject.replay(uid, "t").await, Replayed::Unknown);
    assert_eq!(subject.depth("t").await.pending, 0);
}

/// More than any store takes in one piece.
pub(super) async fn answers_each_of_many(subject: &Subject) {
    let mut names = Vec::new();
    for n in 0..300 {
        let uid = subject.delivered(&n.to_string(), "t").await;
        names.extend([delivery(uid, "t"), delivery(uid, "nobody")]);
    }
    let replayed = subject.store.replay(&names, None).await.unwrap();
    assert_eq!(replayed.len(), 600);
    for answers in replayed.chunks(2) {
        assert_eq!(answers, [Replayed::Due, Replayed::Unknown]);
    }
    assert_eq!(subject.depth("t").await.pending, 300);
    assert_eq!(subject.claim("t", 500).await.len(), 300);
}
