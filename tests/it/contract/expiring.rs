//! Expiry: of events by age and by size, and of ids.

use std::time::Duration;

use hookgate::{
    event::{DeadReason, Outcome},
    store::Acceptance,
};

use super::subject::{LONG, Subject, WINDOW, with_body};

const DAY: Duration = Duration::from_secs(86_400);
const NO_LIMIT: u64 = u64::MAX;

pub(super) async fn removes_finished_events_by_age(subject: &Subject) {
    let old = subject.delivered("old", "t").await;
    subject.advance(DAY);
    let young = subject.delivered("young", "t").await;
    assert_eq!(
        subject.expire(DAY, NO_LIMIT).await,
        0,
        "not older than a day"
    );
    subject.advance(Duration::from_millis(1));
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 1);
    assert!(!subject.is_stored(old).await);
    assert!(subject.is_stored(young).await);
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
}

pub(super) async fn removes_an_event_for_nobody_by_its_age(subject: &Subject) {
    let uid = subject.stored("a", &[]).await;
    assert!(subject.get(uid).await.deliveries.is_empty());
    subject.advance(DAY);
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
    assert!(subject.is_stored(uid).await);
    subject.advance(Duration::from_millis(1));
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 1);
    assert!(!subject.is_stored(uid).await);
}

pub(super) async fn removes_the_oldest_finished_bodies_by_size(subject: &Subject) {
    let mut uids = Vec::new();
    for n in 0..5 {
        subject.advance(Duration::from_secs(1));
        let event = with_body(subject.event(&n.to_string(), &["t"]), vec![b'x'; 1000]);
        uids.push(event.uid);
        subject.accept(event).await;
        let claimed = subject.claim_one("t").await;
        subject.settle(&claimed, Outcome::Delivered).await;
    }
    assert_eq!(subject.expire(DAY, 5000).await, 0, "just enough room");
    assert_eq!(subject.expire(DAY, 2999).await, 3);
    for (n, uid) in uids.into_iter().enumerate() {
        assert_eq!(subject.is_stored(uid).await, n >= 3, "event {n}");
    }
    assert_eq!(subject.expire(DAY, 0).await, 2);
}

pub(super) async fn never_removes_an_unfinished_event(subject: &Subject) {
    let waiting = subject.stored("waiting", &["t"]).await;
    let half = subject.stored("half", &["u", "v"]).await;
    let claimed = subject.claim_one("u").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    let claimed = subject.claim_one("v").await;
    subject.settle(&claimed, Outcome::Retry(DAY)).await;
    let finished = subject.delivered("finished", "t").await;
    subject.advance(10 * DAY);
    assert_eq!(subject.expire(DAY, 0).await, 1);
    assert!(!subject.is_stored(finished).await);
    for uid in [waiting, half] {
        assert!(subject.is_stored(uid).await);
    }
    assert_eq!(&*subject.claim_one("t").await.event.body, b"waiting");
    assert_eq!(&*subject.claim_one("v").await.event.body, b"half");
}

pub(super) async fn removes_an_event_once_its_last_delivery_is_settled(subject: &Subject) {
    let uid = subject.stored("a", &["t", "u"]).await;
    subject.advance(Duration::from_millis(1));
    let late = subject.stored("late", &["u"]).await;
    for (target, outcome, removed) in [
        ("t", Outcome::Delivered, 0),
        ("u", Outcome::Dead(DeadReason::GaveUp), 1),
    ] {
        assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
        let claimed = subject.claim(target, 1).await.remove(0);
        assert_eq!(claimed.event.uid, uid);
        subject.settle(&claimed, outcome).await;
        subject.advance(2 * DAY);
        assert_eq!(subject.expire(DAY, NO_LIMIT).await, removed, "{target}");
    }
    assert!(!subject.is_stored(uid).await);
    assert!(subject.is_stored(late).await);
}

/// Retries may outlast the retention: a dead letter that went at once could never be replayed.
pub(super) async fn keeps_a_dead_letter_for_the_whole_retention_after_its_end(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    subject.advance(10 * DAY);
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
    let claimed = subject.claim_one("t").await;
    subject
        .settle(&claimed, Outcome::Dead(DeadReason::GaveUp))
        .await;
    let young = subject.delivered("young", "t").await;
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
    subject.advance(DAY);
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
    subject.advance(Duration::from_millis(1));
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 2);
    assert!(!subject.is_stored(uid).await);
    assert!(!subject.is_stored(young).await);
}

/// What is kept for its age goes all the same when the bodies are too many.
pub(super) async fn removes_by_size_what_it_kept_for_its_age(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    subject.advance(2 * DAY);
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 0);
    assert_eq!(subject.expire(DAY, 0).await, 1);
    assert!(!subject.is_stored(uid).await);
}

pub(super) async fn removes_dead_letters_from_the_depth(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    subject.stored("b", &["t"]).await;
    let claimed = subject.claim("t", 1).await.remove(0);
    subject
        .settle(&claimed, Outcome::Dead(DeadReason::Refused))
        .await;
    subject.advance(2 * DAY);
    assert_eq!(subject.depth("t").await.dead, 1);
    assert_eq!(subject.expire(DAY, NO_LIMIT).await, 1);
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (1, 0));
}

pub(super) async fn remembers_ids_longer_than_their_events(subject: &Subject) {
    let uid = subject.delivered("a", "t").await;
    subject.advance(WINDOW - Duration::from_millis(1));
    assert_eq!(subject.expire(Duration::ZERO, 0).await, 1);
    assert!(!subject.is_stored(uid).await);
    let again = subject.accept(subject.event("a", &["t"])).await;
    assert!(
        matches!(again, Acceptance::Duplicate { uid: first, same_body: true, .. } if first == uid)
    );
    assert!(subject.claims("t", 1, LONG).await.claimed.is_empty());

    subject.advance(3 * WINDOW);
    subject.expire(Duration::ZERO, 0).await;
    assert_ne!(subject.stored("a", &["t"]).await, uid);
}
