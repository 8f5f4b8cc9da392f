//! Deliveries in order: one of a group after the other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use hookgate::{
    event::{DeadReason, DeliveryState, Event, NewDelivery, Order, OrderGroup, Outcome},
    store::{Acceptance, Claimed, Lease, Replayed, Settled, Settlement, orphans::Gone},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::subject::{LONG, ROUTE, SHORT, Subject, ids, in_order, only_lease};

const MINUTE: Duration = Duration::from_secs(60);
const DEAD: Outcome = Outcome::Dead(DeadReason::Refused);

/// Accepts an event of this group for `t`; returns its uid.
async fn ordered(subject: &Subject, id: &str, key: &str, hold: bool) -> Uuid {
    let event = in_order(subject.event(id, &["t"]), key, hold);
    let uid = event.uid;
    let accepted = subject.accept(event).await;
    assert_eq!(accepted, Acceptance::Accepted { leases: vec![None] });
    uid
}

/// Claims and delivers, one after the other, exactly these.
async fn delivers(subject: &Subject, expected: &[&str]) {
    for id in expected {
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.id, *id);
        let settled = subject.settle(&claimed, Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
    assert!(subject.claim("t", 10).await.is_empty());
}

fn leased(event: Event) -> Event {
    let deliveries = event.deliveries.iter().map(|delivery| NewDelivery {
        lease: Some(LONG),
        ..delivery.clone()
    });
    Event {
        deliveries: deliveries.collect(),
        ..event
    }
}

/// Of the only delivery, which was accepted claimed.
fn delivered(event: &Event, lease: Lease) -> Settlement {
    Settlement {
        uid: event.uid,
        route: event.route.clone(),
        target: event.deliveries[0].target.clone(),
        order: event.deliveries[0].order,
        token: lease.token,
        outcome: Outcome::Delivered,
        attempt: None,
    }
}

pub(super) async fn gives_one_of_a_group_after_the_other(subject: &Subject) {
    for id in ["1", "2", "3"] {
        ordered(subject, id, "k", false).await;
        subject.advance(MINUTE);
    }
    assert_eq!(subject.depth("t").await.oldest_due, 3 * MINUTE);
    for (n, id) in (0..).zip(["1", "2", "3"]) {
        assert_eq!(subject.depth("t").await.pending, 3 - n);
        let claims = subject.claims("t", 10, LONG).await;
        assert_eq!(ids(&claims.claimed), [id]);
        let next = claims.next_due[0].unwrap();
        assert!(next > MINUTE, "its turn comes no earlier: {next:?}");
        let depth = subject.depth("t").await;
        assert_eq!(depth.oldest_due, Duration::ZERO, "those behind are not due");
        subject.advance(MINUTE);
        let settled = subject.settle(&claims.claimed[0], Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [None]);
    assert_eq!(subject.depth("t").await.pending, 0);
    // The group is none any more: the next need not wait.
    ordered(subject, "4", "k", false).await;
    delivers(subject, &["4"]).await;
}

pub(super) async fn gives_no_lease_to_one_that_waits_for_its_turn(subject: &Subject) {
    let first = leased(in_order(subject.event("1", &["t"]), "k", false));
    let second = leased(in_order(subject.event("2", &["t"]), "k", false));
    let lease = only_lease(subject.accept(first.clone()).await);
    let accepted = subject.accept(second).await;
    assert_eq!(accepted, Acceptance::Accepted { leases: vec![None] });
    assert!(subject.claim("t", 10).await.is_empty());
    let settled = subject.store.settle(delivered(&first, lease)).await;
    assert_eq!(settled.unwrap(), Settled::Done);
    delivers(subject, &["2"]).await;
}

pub(super) async fn keeps_the_order_of_one_call(subject: &Subject) {
    let names: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    let events = names.iter().map(|id| {
        let event = in_order(subject.event(id, &["t"]), "k", false);
        Arc::new(leased(event))
    });
    let events: Vec<_> = events.collect();
    let answers = subject.store.accept_all(events.clone()).await;
    let leases = answers.into_iter().map(|answer| match answer.unwrap() {
        Acceptance::Accepted { leases } => leases[0],
        other => panic!("{other:?}"),
    });
    let leases: Vec<_> = leases.collect();
    assert!(leases[1..].iter().all(Option::is_none));
    assert_eq!(subject.depth("t").await.pending, 30);
    let settlement = delivered(&events[0], leases[0].unwrap());
    let settled = subject.store.settle(settlement).await;
    assert_eq!(settled.unwrap(), Settled::Done);
    let rest: Vec<_> = names[1..].iter().map(String::as_str).collect();
    delivers(subject, &rest).await;
}

pub(super) async fn delivers_groups_beside_each_other_and_beside_those_without(subject: &Subject) {
    for (id, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")] {
        ordered(subject, id, key, true).await;
        subject.advance(Duration::from_millis(1));
    }
    subject.stored("free", &["t"]).await;
    // The same key for another target is another group.
    let event = in_order(subject.event("u1", &["u"]), "a", true);
    subject.accept(event).await;
    let first = subject.claim("t", 10).await;
    assert_eq!(ids(&first), ["a1", "b1", "free"]);
    assert_eq!(ids(&subject.claim("u", 10).await), ["u1"]);
    subject.settle(&first[1], Outcome::Delivered).await;
    assert_eq!(ids(&subject.claim("t", 10).await), ["b2"]);
    subject.settle(&first[2], Outcome::Delivered).await;
    assert!(subject.claim("t", 10).await.is_empty());
    subject.settle(&first[0], Outcome::Delivered).await;
    assert_eq!(ids(&subject.claim("t", 10).await), ["a2"]);
}

pub(super) async fn keeps_the_turn_over_retries_and_releases(subject: &Subject) {
    for id in ["1", "2"] {
        ordered(subject, id, "k", false).await;
    }
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Retry(MINUTE)).await;
    let waiting = subject.claims("t", 10, LONG).await;
    assert!(waiting.claimed.is_empty());
    assert_eq!(waiting.next_due, [Some(MINUTE)]);
    subject.advance(MINUTE);
    let claimed = subject.claim_one("t").await;
    assert_eq!((&*claimed.event.id, claimed.attempts), ("1", 1));
    subject.settle(&claimed, Outcome::Released).await;
    delivers(subject, &["1", "2"]).await;
}

pub(super) async fn keeps_the_turn_when_a_lease_ends(subject: &Subject) {
    for id in ["1", "2"] {
        ordered(subject, id, "k", false).await;
    }
    let first = subject.claims("t", 10, SHORT).await.claimed;
    assert_eq!(ids(&first), ["1"]);
    subject.until_due("t").await;
    let second = subject.claim_one("t").await;
    assert_eq!(&*second.event.id, "1");
    let late = subject.settle(&first[0], Outcome::Delivered).await;
    assert_eq!(late, Settled::Lost);
    assert!(subject.claim("t", 10).await.is_empty());
    subject.settle(&second, Outcome::Delivered).await;
    delivers(subject, &["2"]).await;
}

pub(super) async fn gives_the_turn_on_when_a_delivery_is_dead(subject: &Subject) {
    for id in ["1", "2", "3"] {
        ordered(subject, id, "k", false).await;
    }
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    delivers(subject, &["2", "3"]).await;
}

pub(super) async fn holds_those_behind_a_dead_letter_that_holds(subject: &Subject) {
    let first = ordered(subject, "1", "k", true).await;
    ordered(subject, "2", "k", true).await;
    for _ in 0..2 {
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.id, "1");
        subject.settle(&claimed, DEAD).await;
        let held = subject.claims("t", 10, LONG).await;
        assert!(held.claimed.is_empty());
        assert_eq!(held.next_due, [None]);
        let depth = subject.depth("t").await;
        assert_eq!((depth.pending, depth.dead), (1, 1));
        assert_eq!(depth.oldest_due, Duration::ZERO);
        assert_eq!(subject.replay(first, "t").await, Replayed::Due);
    }
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    // Also one that comes only now, and would not hold itself.
    let third = leased(in_order(subject.event("3", &["t"]), "k", false));
    let accepted = subject.accept(third).await;
    assert_eq!(accepted, Acceptance::Accepted { leases: vec![None] });
    assert!(subject.claim("t", 10).await.is_empty());
    assert_eq!(subject.replay(first, "t").await, Replayed::Due);
    delivers(subject, &["1", "2", "3"]).await;
}

pub(super) async fn frees_a_group_whose_dead_letter_expires(subject: &Subject) {
    ordered(subject, "1", "k", true).await;
    ordered(subject, "2", "k", true).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    subject.advance(2 * LONG);
    assert!(subject.claim("t", 10).await.is_empty());
    assert_eq!(subject.expire(LONG, u64::MAX).await, 1);
    assert_eq!(
        subject.claims("t", 0, LONG).await.next_due,
        [Some(Duration::ZERO)]
    );
    delivers(subject, &["2"]).await;
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (0, 0));
}

pub(super) async fn frees_the_groups_of_retired_targets(subject: &Subject) {
    let mut uids = Vec::new();
    for id in ["1", "2", "3"] {
        uids.push(ordered(subject, id, "k", true).await);
    }
    let claimed = subject.claim_one("t").await;
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec!["u".into()]))
            .await
            .unwrap(),
        3
    );
    let settled = subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(settled, Settled::Lost);
    for uid in &uids {
        let state = subject.get(*uid).await.deliveries[0].state;
        assert_eq!(state, DeliveryState::Dead(DeadReason::TargetRemoved));
    }
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (0, 3));
    // The target is back.
    ordered(subject, "4", "k", true).await;
    delivers(subject, &["4"]).await;
    assert_eq!(subject.replay(uids[1], "t").await, Replayed::Due);
    assert_eq!(subject.replay(uids[0], "t").await, Replayed::Due);
    delivers(subject, &["2", "1"]).await;
}

pub(super) async fn replays_at_the_old_place_after_the_one_whose_turn_it_is(subject: &Subject) {
    let first = ordered(subject, "1", "k", false).await;
    for id in ["2", "3"] {
        ordered(subject, id, "k", false).await;
    }
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    let second = subject.claim_one("t").await;
    assert_eq!(&*second.event.id, "2");
    assert_eq!(subject.replay(first, "t").await, Replayed::Due);
    assert!(subject.claim("t", 10).await.is_empty());
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (3, 0));
    subject.settle(&second, Outcome::Retry(MINUTE)).await;
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [Some(MINUTE)]);
    subject.advance(MINUTE);
    delivers(subject, &["2", "1", "3"]).await;
}

pub(super) async fn replays_one_before_a_dead_letter_that_holds(subject: &Subject) {
    let first = ordered(subject, "1", "k", true).await;
    let second = ordered(subject, "2", "k", true).await;
    ordered(subject, "3", "k", true).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    // Nothing before it is unsettled.
    assert_eq!(subject.replay(first, "t").await, Replayed::Due);
    delivers(subject, &["1"]).await;
    assert_eq!(subject.depth("t").await.pending, 1);
    assert_eq!(subject.replay(second, "t").await, Replayed::Due);
    delivers(subject, &["2", "3"]).await;
}

pub(super) async fn gives_no_turn_when_what_was_delivered_expires(subject: &Subject) {
    for hold in [false, true] {
        let key = hold.to_string();
        let id = |id: &str| format!("{id} {hold}");
        ordered(subject, &id("1"), &key, hold).await;
        delivers(subject, &[&id("1")]).await;
        let second = ordered(subject, &id("2"), &key, hold).await;
        delivers(subject, &[&id("2")]).await;
        ordered(subject, &id("3"), &key, hold).await;
        let third = subject.claim_one("t").await;
        assert_eq!(subject.replay(second, "t").await, Replayed::Due);
        subject.advance(MINUTE);
        assert_eq!(subject.expire(SHORT, u64::MAX).await, 1);
        assert!(
            subject.claim("t", 10).await.is_empty(),
            "the third is in flight"
        );
        subject.settle(&third, Outcome::Delivered).await;
        delivers(subject, &[&id("2")]).await;
        subject.advance(MINUTE);
        assert_eq!(subject.expire(SHORT, u64::MAX).await, 2);
    }
}

pub(super) async fn gives_no_turn_when_a_dead_letter_behind_the_first_expires(subject: &Subject) {
    let mut uids = Vec::new();
    for id in ["1", "2"] {
        uids.push(ordered(subject, id, "k", true).await);
        delivers(subject, &[id]).await;
    }
    ordered(subject, "3", "k", true).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    // Before the dead letter: the second has the turn, the first waits for it.
    assert_eq!(subject.replay(uids[1], "t").await, Replayed::Due);
    let second = subject.claim_one("t").await;
    assert_eq!(subject.replay(uids[0], "t").await, Replayed::Due);
    subject.advance(MINUTE);
    assert_eq!(subject.expire(SHORT, u64::MAX).await, 1);
    assert!(
        subject.claim("t", 10).await.is_empty(),
        "the second is in flight"
    );
    subject.settle(&second, Outcome::Delivered).await;
    delivers(subject, &["1"]).await;
}

pub(super) async fn keeps_what_held_before_its_target_was_retired(subject: &Subject) {
    let first = ordered(subject, "1", "k", true).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, DEAD).await;
    ordered(subject, "2", "k", true).await;
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec![]))
            .await
            .unwrap(),
        1
    );
    // The target is back.
    ordered(subject, "3", "k", true).await;
    assert!(subject.claim("t", 10).await.is_empty());
    assert_eq!(subject.replay(first, "t").await, Replayed::Due);
    delivers(subject, &["1", "3"]).await;
}

/// As many at once, for as many targets, as a route may have.
pub(super) async fn takes_ordered_deliveries_to_very_many_targets(subject: &Subject) {
    let targets: Vec<_> = (0..100).map(|n| format!("t{n}")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let events = (0..100).map(|n| {
        let event = subject.event(&n.to_string(), &targets);
        Arc::new(in_order(event, "k", false))
    });
    for answer in subject.store.accept_all(events.collect()).await {
        assert!(
            matches!(answer, Ok(Acceptance::Accepted { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(subject.depth("t99").await.pending, 100);
    assert_eq!(&*subject.claim_one("t99").await.event.id, "0");
}

pub(super) async fn tells_the_order_of_what_is_claimed(subject: &Subject) {
    let group = OrderGroup::new(ROUTE, "t", "k");
    for hold in [true, false] {
        ordered(subject, &hold.to_string(), "k", hold).await;
        let claimed = subject.claim_one("t").await;
        assert_eq!(claimed.order, Some(Order { group, hold }));
        subject.settle(&claimed, Outcome::Retry(MINUTE)).await;
        subject.advance(MINUTE);
        let claimed = subject.claim_one("t").await;
        assert_eq!(claimed.order, Some(Order { group, hold }));
        subject.settle(&claimed, Outcome::Delivered).await;
    }
    subject.stored("free", &["t"]).await;
    assert_eq!(subject.claim_one("t").await.order, None);
}

/// Accepting, claiming and settling at once: of each group never two claimed, and all in order.
pub(super) async fn keeps_order_whatever_comes_at_once(subject: &Subject) {
    const GROUPS: usize = 5;
    const EACH: usize = 12;
    let now = subject.clock.now();
    let accepting = (0..GROUPS).map(|group| {
        let store = subject.store.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let event = super::subject::event(&format!("{group} {n}"), &["t"], now);
                let event = in_order(event, &group.to_string(), false);
                store.accept(Arc::new(event)).await.unwrap();
            }
        })
    });
    let accepting: Vec<_> = accepting.collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut delivered = 0;
    let drained = async {
        while delivered < GROUPS * EACH {
            let claimed = subject.claim("t", 10).await;
            let mut groups = Vec::new();
            for claimed in &claimed {
                let (group, n) = claimed.event.id.split_once(' ').unwrap();
                assert!(!groups.contains(&group), "two of group {group} at once");
                groups.push(group);
                let next = seen.entry(group.to_owned()).or_default();
                assert_eq!(n, next.to_string(), "of group {group}");
                *next += 1;
            }
            for claimed in &claimed {
                let settled = subject.settle(claimed, Outcome::Delivered).await;
                assert_eq!(settled, Settled::Done);
                delivered += 1;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), drained)
        .await
        .unwrap();
    for accepting in accepting {
        accepting.await.unwrap();
    }
    assert_eq!(subject.depth("t").await.pending, 0);
}

/// What [`keeps_order_whatever_happens`] knows of an event.
struct Known {
    uid: Uuid,
    id: String,
    group: u64,
    hold: bool,
    state: DeliveryState,
    claimed: Option<Claimed>,
}

impl Known {
    fn holds(&self) -> bool {
        self.hold
            && matches!(self.state, DeliveryState::Dead(reason) if reason != DeadReason::TargetRemoved)
    }
}

/// Each of the steps at random, many times: of no group are two in flight, none passes a dead letter that holds,
/// nothing is lost, and in the end all are delivered.
#[allow(clippy::print_stdout, reason = "a walk that fails must be told apart")]
pub(super) async fn keeps_order_whatever_happens(subject: &Subject) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Vec<Known> = Vec::new();
    let mut accepted = 0;
    let mut late = Vec::new();
    for _ in 0..400 {
        match random.random_range(0..100) {
            0..30 => {
                let (id, group) = (accepted.to_string(), random.random_range(0..3));
                accepted += 1;
                let hold = random.random();
                let uid = ordered(subject, &id, &group.to_string(), hold).await;
                let (state, claimed) = (DeliveryState::Pending, None);
                all.push(Known {
                    uid,
                    id,
                    group,
                    hold,
                    state,
                    claimed,
                });
            }
            30..55 => claims(subject, &mut all).await,
            55..80 => {
                let mut in_flight: Vec<_> = all
                    .iter_mut()
                    .filter(|known| known.claimed.is_some())
                    .collect();
                if in_flight.is_empty() {
                    continue;
                }
                let known = in_flight.swap_remove(random.random_range(0..in_flight.len()));
                let claimed = known.claimed.take().unwrap();
                let (outcome, state) = match random.random_range(0..5) {
                    0 => (Outcome::Retry(SHORT), DeliveryState::Pending),
                    1 => (Outcome::Released, DeliveryState::Pending),
                    2 => (Outcome::Delivered, DeliveryState::Delivered),
                    3 => (Outcome::Filtered, DeliveryState::Filtered),
                    _ => (DEAD, DeliveryState::Dead(DeadReason::Refused)),
                };
                assert_eq!(subject.settle(&claimed, outcome).await, Settled::Done);
                known.state = state;
                late.push(claimed);
            }
            80..93 => {
                if all.is_empty() {
                    continue;
                }
                let number = random.random_range(0..all.len());
                let known = &mut all[number];
                let expected = match known.state {
                    DeliveryState::Pending => Replayed::Pending,
                    _ => Replayed::Due,
                };
                assert_eq!(
                    subject.replay(known.uid, "t").await,
                    expected,
                    "{}",
                    known.id
                );
                known.state = DeliveryState::Pending;
            }
            93..96 => {
                subject.advance(MINUTE);
                subject.expire(SHORT, u64::MAX).await;
                all.retain(|known| known.state == DeliveryState::Pending);
            }
            96..98 => {
                if let Some(claimed) = late.pop() {
                    let settled = subject.settle(&claimed, Outcome::Delivered).await;
                    assert_eq!(settled, Settled::Lost);
                }
            }
            98 => {
                subject
                    .store
                    .retire_targets(&Gone::AllBut(vec![]))
                    .await
                    .unwrap();
                for known in all
                    .iter_mut()
                    .filter(|known| known.state == DeliveryState::Pending)
                {
                    known.state = DeliveryState::Dead(DeadReason::TargetRemoved);
                    late.extend(known.claimed.take());
                }
            }
            _ => subject.advance(MINUTE),
        }
        counts(subject, &all).await;
    }
    drains(subject, &mut all).await;
}

async fn counts(subject: &Subject, all: &[Known]) {
    let depth = subject.depth("t").await;
    let pending = all
        .iter()
        .filter(|known| known.state == DeliveryState::Pending);
    let dead = all
        .iter()
        .filter(|known| matches!(known.state, DeliveryState::Dead(_)));
    assert_eq!(depth.pending, pending.count() as u64);
    assert_eq!(depth.dead, dead.count() as u64);
}

async fn claims(subject: &Subject, all: &mut [Known]) {
    subject.advance(SHORT);
    for claimed in subject.claim("t", 10).await {
        let place = all
            .iter()
            .position(|known| known.uid == claimed.event.uid)
            .unwrap();
        let (before, rest) = all.split_at_mut(place);
        let (known, behind) = rest.split_first_mut().unwrap();
        assert_eq!(known.state, DeliveryState::Pending, "{}", known.id);
        let mut others = before
            .iter()
            .chain(&*behind)
            .filter(|other| other.group == known.group);
        assert!(
            others.all(|other| other.claimed.is_none()),
            "two at once: {}",
            known.id
        );
        let mut before = before.iter().filter(|other| other.group == known.group);
        assert!(before.all(|other| !other.holds()), "held up: {}", known.id);
        assert!(known.claimed.is_none(), "{}", known.id);
        known.claimed = Some(claimed);
    }
}

/// Whatever is left is delivered, once what holds it up is replayed.
async fn drains(subject: &Subject, all: &mut [Known]) {
    let is_pending = |known: &Known| known.state == DeliveryState::Pending;
    for known in all.iter_mut().filter(|known| known.holds()) {
        assert_eq!(subject.replay(known.uid, "t").await, Replayed::Due);
        known.state = DeliveryState::Pending;
    }
    while all.iter().any(is_pending) {
        claims(subject, all).await;
        let mut delivered = 0;
        for known in all.iter_mut() {
            if let Some(claimed) = known.claimed.take() {
                let settled = subject.settle(&claimed, Outcome::Delivered).await;
                assert_eq!(settled, Settled::Done);
                known.state = DeliveryState::Delivered;
                delivered += 1;
            }
        }
        assert!(delivered > 0, "some wait for ever");
    }
    counts(subject, all).await;
}
