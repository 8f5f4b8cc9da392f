//! The events of one request: all in one step.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hookgate::{
    event::{DeliveryState, Event, Outcome},
    store::{Acceptance, Settled, StoreError, TOGETHER_DELIVERIES_MAX, TOGETHER_MAX},
};

use super::subject::{LONG, Subject, ids, in_order, with_body};

/// An event as a request with several brings it.
pub(super) fn of_request(subject: &Subject, id: &str, targets: &[&str]) -> Event {
    Event {
        together: true,
        ..subject.event(id, targets)
    }
}

fn request<'a>(subject: &Subject, ids: impl IntoIterator<Item = &'a str>) -> Vec<Arc<Event>> {
    let event = |id| Arc::new(of_request(subject, id, &["t"]));
    ids.into_iter().map(event).collect()
}

fn are_accepted(answers: &[Acceptance]) -> Vec<bool> {
    let is_new = |answer: &Acceptance| matches!(answer, Acceptance::Accepted { .. });
    answers.iter().map(is_new).collect()
}

/// As many as there can be, of 1 MiB in all, with several deliveries each.
pub(super) async fn accepts_as_many_as_a_request_can_bring(subject: &Subject) {
    let stored = of_request(subject, "stored", &["t"]);
    subject.accept(stored.clone()).await;
    let body = |n: usize| Bytes::from(format!("{n:0>1048}"));
    let mut events: Vec<_> = (0..TOGETHER_MAX)
        .map(|n| {
            let event = of_request(subject, &n.to_string(), &["t", "u", "v"]);
            with_body(event, body(n))
        })
        .collect();
    for event in events.iter_mut().step_by(2) {
        event.deliveries[1].lease = Some(LONG);
    }
    // A repeat within, one of what was there before, and one for nobody.
    events[998] = events[3].clone();
    events[997] = stored.clone();
    events[996] = of_request(subject, "nobody's", &[]);
    let bytes: usize = events.iter().map(|event| event.body.len()).sum();
    assert!(bytes > 1_000_000, "{bytes}");

    let request = events.iter().cloned().map(Arc::new).collect();
    let answers = subject.store.accept_together(request).await.unwrap();
    assert_eq!(answers.len(), events.len());
    let mut leased = Vec::new();
    for (n, (answer, event)) in answers.iter().zip(&events).enumerate() {
        match answer {
            Acceptance::Duplicate { uid, same_body, .. } => {
                assert!(n == 998 || n == 997, "{n} is new");
                assert_eq!((*uid, *same_body), (event.uid, true));
            }
            Acceptance::Accepted { leases } => {
                assert!(n != 998 && n != 997, "{n} is a repeat");
                let has: Vec<_> = leases.iter().map(Option::is_some).collect();
                let asked = event.deliveries.iter().map(|d| d.lease.is_some());
                assert_eq!(has, asked.collect::<Vec<_>>(), "the leases of {n}");
                leased.extend(
                    leases
                        .iter()
                        .flatten()
                        .map(|lease| (event.uid, lease.token)),
                );
            }
        }
    }
    assert_eq!(leased.len(), 498);
    for target in ["t", "v"] {
        let extra = u64::from(target == "t");
        assert_eq!(subject.depth(target).await.pending, 997 + extra);
    }
    assert_eq!(subject.claim("u", 2_000).await.len(), 499);
    for (uid, token) in leased {
        let settled = subject.settle_as(uid, "u", token, Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
    for event in events.iter().step_by(97) {
        let stored = subject.get(event.uid).await;
        assert_eq!(stored.event.body, event.body);
        assert_eq!(stored.deliveries.len(), event.deliveries.len());
    }
}

pub(super) async fn keeps_the_order_of_one_request(subject: &Subject) {
    let names: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    let events = names.iter().map(|id| {
        let mut event = in_order(subject.event(id, &["t"]), "k", false);
        event.deliveries[0].lease = Some(LONG);
        Arc::new(event)
    });
    let answers = subject.store.accept_together(events.collect()).await;
    let mut tokens = Vec::new();
    for answer in answers.unwrap() {
        match answer {
            Acceptance::Accepted { leases } => tokens.extend(leases[0]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tokens.len(), 1, "one has the turn");
    let first = subject.event("0", &["t"]).uid;
    let stored = subject.get(first).await;
    assert_eq!(stored.deliveries[0].state, DeliveryState::Pending);
    assert!(subject.claim("t", 10).await.is_empty());
    let order = in_order(subject.event("0", &["t"]), "k", false).deliveries[0].order;
    let settlement = hookgate::store::Settlement {
        uid: first,
        route: super::subject::ROUTE.into(),
        target: "t".into(),
        order,
        token: tokens[0].token,
        outcome: Outcome::Delivered,
        attempt: None,
    };
    let settled = subject.store.settle(settlement).await;
    assert_eq!(settled.unwrap(), Settled::Done);
    for id in &names[1..] {
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.id, *id);
        subject.settle(&claimed, Outcome::Delivered).await;
    }
}

pub(super) async fn leaves_nothing_of_more_than_a_request_can_bring(subject: &Subject) {
    let numbers: Vec<_> = (0..=TOGETHER_MAX).map(|n| n.to_string()).collect();
    let events = request(subject, numbers.iter().map(String::as_str));
    let refused = subject.store.accept_together(events.clone()).await;
    let refused = refused.expect_err("one too many");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let targets: Vec<_> = (0..=TOGETHER_DELIVERIES_MAX / TOGETHER_MAX)
        .map(|n| format!("t{n}"))
        .collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let many = numbers[..TOGETHER_MAX].iter();
    let many = many.map(|id| Arc::new(of_request(subject, id, &targets)));
    let refused = subject.store.accept_together(many.collect()).await;
    let refused = refused.expect_err("too many deliveries");
    assert!(refused.to_string().contains("deliveries"), "{refused}");
    assert_eq!(subject.depth("t0").await.pending, 0);
    for event in &events {
        assert!(!subject.is_stored(event.uid).await, "{}", event.id);
    }
    assert_eq!(subject.depth("t").await.pending, 0);
    // Nor is one of the ids remembered.
    let answers = subject.store.accept_together(events[1..].to_vec()).await;
    assert!(are_accepted(&answers.unwrap()).into_iter().all(|new| new));
    let nothing = subject.store.accept_together(Vec::new()).await;
    assert_eq!(nothing.unwrap(), []);
}

/// The same request many times at once, and one that overlaps: each is one step.
pub(super) async fn accepts_one_of_many_equal_requests_at_once(subject: &Subject) {
    let names: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    let events = request(subject, names.iter().map(String::as_str));
    let calls = (0..20).map(|n| {
        // Every fourth brings a half of it, the last event first.
        let mut events = events.clone();
        if n % 4 == 3 {
            events.reverse();
            events.truncate(30);
        }
        let store = subject.store.clone();
        tokio::spawn(async move { store.accept_together(events).await.unwrap() })
    });
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    let mut accepted = 0;
    for answers in answers {
        let new = are_accepted(&answers.unwrap());
        let of_one_step = match new.len() {
            // What came with a half before is known.
            60 => new[..30] == [new[0]; 30] && new[30..] == [new[30]; 30],
            _ => new == [new[0]; 30],
        };
        assert!(of_one_step, "{new:?}");
        accepted += new.iter().filter(|new| **new).count();
    }
    assert_eq!(accepted, 60);
    assert_eq!(subject.depth("t").await.pending, 60);
    assert_eq!(subject.claim("t", 100).await.len(), 60);
}

pub(super) async fn does_a_dropped_request_whole_or_not_at_all(subject: &Subject) {
    let requests: Vec<_> = (0..40)
        .map(|n| {
            let names: Vec<_> = (0..25).map(|m| format!("{n}-{m}")).collect();
            request(subject, names.iter().map(String::as_str))
        })
        .collect();
    for (n, events) in requests.iter().enumerate() {
        let mut accept = subject.store.accept_together(events.clone());
        for _ in 0..n % 4 {
            tokio::select! {
                biased;
                _ = &mut accept => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    for events in &requests {
        let again = subject.store.accept_together(events.clone()).await.unwrap();
        let new = are_accepted(&again);
        assert!(new == [new[0]; 25], "{new:?}");
    }
    assert_eq!(subject.depth("t").await.pending, 1_000);
    let claimed = subject.claim("t", 2_000).await;
    assert_eq!(claimed.len(), 1_000);
    let mut seen = ids(&claimed);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1_000);
}
