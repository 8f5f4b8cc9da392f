//! Accepting, duplicates, and what comes back.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use hookgate::{
    event::{BodyDigest, DeliveryState, EventKey, Outcome, event_uid},
    store::{Acceptance, Retention, Settled, orphans::Gone},
};
use uuid::Uuid;

use super::subject::{LONG, Subject, WINDOW, want, with_body};

pub(super) async fn accepts_once_and_then_answers_duplicate(subject: &Subject) {
    let first_received_at = subject.clock.now();
    let uid = subject.stored("a", &["t"]).await;
    for _ in 0..3 {
        subject.advance(Duration::from_secs(1));
        let duplicate = Acceptance::Duplicate {
            uid,
            first_received_at,
            same_body: true,
        };
        assert_eq!(subject.accept(subject.event("a", &["t"])).await, duplicate);
    }
    assert_eq!(subject.claim("t", 10).await.len(), 1);
}

pub(super) async fn tells_another_body_under_the_same_id(subject: &Subject) {
    let uid = subject.stored("a", &["t"]).await;
    let other = with_body(subject.event("a", &["t"]), "another body");
    match subject.accept(other).await {
        Acceptance::Duplicate {
            uid: first,
            same_body,
            ..
        } => assert_eq!((first, same_body), (uid, false)),
        other => panic!("{other:?}"),
    }
    assert_eq!(&*subject.get(uid).await.event.body, b"a");
}

pub(super) async fn keeps_equal_ids_of_two_routes_apart(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    let mut other = subject.event("a", &["t"]);
    other.route = "other".into();
    other.key = EventKey::new("other", "a");
    other.uid = event_uid(other.key, other.received_at);
    assert!(matches!(
        subject.accept(other).await,
        Acceptance::Accepted { .. }
    ));
    assert_eq!(subject.claim("t", 10).await.len(), 2);
}

pub(super) async fn accepts_again_when_the_window_has_passed(subject: &Subject) {
    let first = subject.stored("a", &["t"]).await;
    subject.advance(WINDOW - Duration::from_millis(1));
    let repeated = subject.accept(subject.event("a", &["t"])).await;
    assert!(matches!(repeated, Acceptance::Duplicate { uid, .. } if uid == first));
    subject.advance(Duration::from_millis(1));
    let second = subject.stored("a", &["t"]).await;
    assert_ne!(first, second);

    let repeated = subject.accept(subject.event("a", &["t"])).await;
    assert!(matches!(repeated, Acceptance::Duplicate { uid, .. } if uid == second));
    assert_eq!(subject.claim("t", 10).await.len(), 2);
}

pub(super) async fn accepts_one_of_many_at_once(subject: &Subject) {
    let event = Arc::new(subject.event("a", &["t"]));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (store, event) = (subject.store.clone(), event.clone());
            tokio::spawn(async move { store.accept(event).await.unwrap() })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Acceptance::Accepted { .. } => accepted += 1,
            Acceptance::Duplicate { uid, same_body, .. } => {
                assert_eq!((uid, same_body), (event.uid, true));
            }
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(subject.claim("t", 300).await.len(), 1);
    assert_eq!(subject.depth("t").await.pending, 1);
}

pub(super) async fn answers_each_of_many_in_order(subject: &Subject) {
    let stored = subject.stored("stored", &["t"]).await;
    // More than any store takes in one piece, with repeats among them and of what was there before.
    let mut events: Vec<_> = (0..700)
        .map(|n| subject.event(&format!("{}", n % 600), &["t", "u"]))
        .collect();
    events.push(subject.event("stored", &["t"]));
    events.push(subject.event("nowhere", &[]));
    for event in events.iter_mut().step_by(3) {
        if let Some(delivery) = event.deliveries.last_mut() {
            delivery.lease = Some(LONG);
        }
    }
    let leased: Vec<Vec<bool>> = events
        .iter()
        .map(|event| event.deliveries.iter().map(|d| d.lease.is_some()).collect())
        .collect();
    let uids: Vec<_> = events.iter().map(|event| event.uid).collect();
    let events = events.into_iter().map(Arc::new).collect();
    let answers = subject.store.accept_all(events).await;
    assert_eq!(answers.len(), 702);

    let mut tokens = Vec::new();
    for (n, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Acceptance::Duplicate { uid, .. } if n == 700 => assert_eq!(uid, stored),
            Acceptance::Duplicate { uid, .. } => {
                assert!((600..700).contains(&n), "{n} is new");
                assert_eq!(uid, uids[n - 600]);
            }
            Acceptance::Accepted { leases } => {
                assert!(!(600..=700).contains(&n), "{n} is a repeat");
                let has: Vec<_> = leases.iter().map(Option::is_some).collect();
                assert_eq!(has, leased[n], "the leases of {n}");
                tokens.extend(leases.into_iter().flatten().map(|lease| (n, lease.token)));
            }
        }
    }
    assert_eq!(tokens.len(), 200);
    for (n, token) in tokens {
        let settled = subject.settle_as(uids[n], "u", token, Outcome::Delivered);
        assert_eq!(settled.await, Settled::Done, "{n}");
    }
    assert_eq!(subject.depth("t").await.pending, 601);
    assert_eq!(subject.depth("u").await.pending, 400);
    assert_eq!(subject.claim("u", 1000).await.len(), 400);
    assert!(subject.store.accept_all(Vec::new()).await.is_empty());
}

/// Events of every kind, each sent twice with different bodies, in calls that a store may join.
pub(super) async fn keeps_events_of_one_moment_apart(subject: &Subject) {
    const TARGETS: [&str; 3] = ["t", "u", "v"];
    let is_leased = |event: usize, delivery: usize| (event + delivery).is_multiple_of(2);
    let arrivals: Vec<_> = (0..40)
        .flat_map(|n| {
            let mut event = subject.event(&n.to_string(), &TARGETS[..n % 4]);
            for (i, delivery) in event.deliveries.iter_mut().enumerate() {
                delivery.lease = is_leased(n, i).then_some(LONG);
            }
            let other = with_body(event.clone(), format!("another body of {n}"));
            [Arc::new(event), Arc::new(other)]
        })
        .collect();
    let answers = join_all(arrivals.iter().map(|e| subject.store.accept(e.clone()))).await;

    let mut waiting = [0; 3];
    for (n, (sent, answered)) in arrivals.chunks(2).zip(answers.chunks(2)).enumerate() {
        let uid = sent[0].uid;
        let accepted = answered
            .iter()
            .position(|answer| matches!(answer, Ok(Acceptance::Accepted { .. })))
            .unwrap_or_else(|| panic!("{n} was not accepted"));
        assert_eq!(
            subject.get(uid).await.event.body,
            sent[accepted].body,
            "{n}"
        );
        let duplicate = Acceptance::Duplicate {
            uid,
            first_received_at: subject.clock.now(),
            same_body: false,
        };
        assert_eq!(*answered[1 - accepted].as_ref().unwrap(), duplicate, "{n}");

        let Ok(Acceptance::Accepted { leases }) = &answered[accepted] else {
            unreachable!("it was found as accepted");
        };
        let leased: Vec<_> = leases.iter().map(Option::is_some).collect();
        let asked: Vec<_> = (0..n % 4).map(|i| is_leased(n, i)).collect();
        assert_eq!(leased, asked, "{n}");
        let token = leases
            .iter()
            .flatten()
            .next()
            .map_or(1, |lease| lease.token);
        for (i, lease) in leases.iter().enumerate() {
            // What was not claimed has no token, not even that of its event's other deliveries.
            let settled = subject
                .settle_as(uid, TARGETS[i], token, Outcome::Delivered)
                .await;
            let expected = lease.map_or(Settled::Lost, |_| Settled::Done);
            assert_eq!(settled, expected, "{n} for {}", TARGETS[i]);
            waiting[i] += usize::from(lease.is_none());
        }
    }
    for (target, waiting) in TARGETS.into_iter().zip(waiting) {
        let claimed = subject.claim(target, 100).await;
        assert_eq!(claimed.len(), waiting, "{target}");
        for claimed in claimed {
            let settled = subject.settle(&claimed, Outcome::Delivered).await;
            assert_eq!(settled, Settled::Done);
        }
    }
    assert_eq!(subject.expire(Duration::ZERO, 0).await, 40);
}

pub(super) async fn gives_back_the_same_bytes(subject: &Subject) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1_u32 << 20)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2])
        .collect();
    for (id, body) in [
        ("every", every_byte),
        ("empty", Vec::new()),
        ("large", large),
    ] {
        let event = with_body(subject.event(id, &["t"]), body.clone());
        let uid = event.uid;
        subject.accept(event).await;
        let claimed = subject.claim_one("t").await.event;
        assert!(claimed.body == body, "{id}: the claimed body differs");
        assert_eq!(claimed.digest, BodyDigest::of(&body), "{id}");
        assert!(
            subject.get(uid).await.event.body == body,
            "{id}: the stored body differs"
        );
    }
}

pub(super) async fn gives_back_every_field(subject: &Subject) {
    let mut full = subject.event("id: \"quoted\" ü|\\", &["t"]);
    full.credential = Some("secret#2+ü|\"\\".into());
    full.request_id = Some("01a316c5a47b00c0ffee00000001".into());
    full.headers = vec![
        ("x-a".into(), "\"1\", ü\t\\".into()),
        ("x-b".into(), "".into()),
        ("x-a".into(), "again".into()),
    ];
    let mut bare = subject.event("bare", &["t"]);
    (bare.event_type, bare.content_type, bare.headers) = (None, None, Vec::new());
    for event in [full, bare] {
        subject.accept(event.clone()).await;
        let claimed = subject.claim_one("t").await.event;
        let stored = subject.get(event.uid).await.event;
        for back in [claimed, stored] {
            assert_eq!((back.uid, back.key), (event.uid, event.key));
            assert_eq!((&back.route, &back.id), (&event.route, &event.id));
            assert_eq!(back.event_type, event.event_type);
            assert_eq!(back.credential, event.credential);
            assert_eq!(back.request_id, event.request_id);
            assert_eq!(back.content_type, event.content_type);
            assert_eq!(back.received_at, event.received_at);
            assert_eq!(back.headers, event.headers);
        }
    }
}

pub(super) async fn does_a_dropped_accept_whole_or_not_at_all(subject: &Subject) {
    let events: Vec<_> = (0..60)
        .map(|n| Arc::new(subject.event(&n.to_string(), &["t", "u"])))
        .collect();
    for (n, event) in events.iter().enumerate() {
        let mut accept = subject.store.accept(event.clone());
        for _ in 0..n % 4 {
            tokio::select! {
                biased;
                _ = &mut accept => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    // The sender's own retry: whatever became of the first call, the event is there once.
    for event in &events {
        let acceptance = subject.store.accept(event.clone()).await.unwrap();
        if let Acceptance::Duplicate { uid, .. } = acceptance {
            assert_eq!(uid, event.uid);
        }
        assert_eq!(subject.get(event.uid).await.deliveries.len(), 2);
    }
    let wants = ["t", "u"].map(|target| want(target, 1000, LONG));
    let claims = subject.store.claim(&wants).await.unwrap();
    assert_eq!(claims.claimed.len(), 2 * events.len());
}

pub(super) async fn knows_nothing_of_an_unknown_uid(subject: &Subject) {
    let uid = subject.stored("a", &["t", "u"]).await;
    let stored = subject.get(uid).await;
    let states: Vec<_> = stored
        .deliveries
        .iter()
        .map(|delivery| (&*delivery.target, delivery.state, delivery.attempts))
        .collect();
    let pending = DeliveryState::Pending;
    assert_eq!(states, [("t", pending, 0), ("u", pending, 0)]);
    assert!(stored.deliveries.iter().all(|d| d.history.is_empty()));

    let same_moment = event_uid(EventKey::new("route", "b"), subject.clock.now());
    for unknown in [same_moment, Uuid::nil(), Uuid::max()] {
        assert!(!subject.is_stored(unknown).await, "{unknown}");
    }
}

pub(super) async fn refuses_every_call_after_close(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    subject.store.ready().await.unwrap();
    subject.store.close().await;
    let store = &subject.store;
    let event = Arc::new(subject.event("b", &["t"]));
    let retention = Retention {
        age: WINDOW,
        bytes: 0,
    };
    assert!(store.accept(event.clone()).await.is_err(), "accept");
    assert!(store.claim(&[want("t", 1, LONG)]).await.is_err(), "claim");
    assert!(store.depth(&["t".into()]).await.is_err(), "depth");
    assert!(store.get(event.uid).await.is_err(), "get");
    assert!(
        store.retire_targets(&Gone::AllBut(vec![])).await.is_err(),
        "retire"
    );
    assert!(store.expire(retention).await.is_err(), "expire");
    assert!(store.ready().await.is_err(), "ready");
}
