//! A target that fails is given a rest: what waits meanwhile costs no attempts and goes on by itself.

use std::{sync::Arc, time::Duration};

use hookgate::{
    config::{Breaker, Target},
    event::{DeadReason, DeliveryState, Outcome},
    store::{Settlement, Store as _, handover::Circuit},
};

use super::rig::{Rig, event, is_delivered, target};
use crate::support::receiver::{Receiver, Reply};

const NEVER: Duration = Duration::from_secs(3600);

/// A target whose circuit opens when all of its last `minimum` attempts failed.
fn breaking(name: &str, url: &str, minimum: u32, open_for: Duration) -> Target {
    Target {
        concurrency: 2,
        breaker: Some(Breaker {
            failure_ratio: 1.0,
            minimum,
            window: NEVER,
            open_for,
        }),
        ..target(name, url)
    }
}

fn is_retry(settlement: &Settlement) -> bool {
    matches!(settlement.outcome, Outcome::Retry(_))
}

/// Events for `other` that go their whole way: whatever was about to happen elsewhere has had its time.
async fn meanwhile(rig: &Rig, from: usize) {
    let before = rig.model.settled();
    let before = before.iter().filter(|one| &*one.target == "other").count();
    for n in 1..=20 {
        rig.send(event(&format!("other_{}", from + n), &["other"]))
            .await;
        let delivered = |one: &Settlement| &*one.target == "other" && is_delivered(one);
        rig.model.wait_for(before + n, delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_sends_nothing_and_uses_no_attempts() {
    let (broken, well) = (Receiver::start().await, Receiver::start().await);
    broken.always(Reply::status(500));
    let rig = Rig::start([
        breaking("crm", &broken.url(), 5, NEVER),
        target("other", &well.url()),
    ]);
    let open = r#"hookgate_target_circuit_open{target="crm"}"#;
    assert_eq!(rig.metric(open), "0");
    for n in 0..30 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.wait_for_metric(open, "1").await;
    let nothing_out = r#"hookgate_target_in_flight{target="crm"}"#;
    rig.wait_for_metric(nothing_out, "0").await;
    meanwhile(&rig, 0).await;

    let (arrived, claimed) = (broken.requests().len(), rig.model.claimed());
    assert!(
        (5..7).contains(&arrived),
        "{arrived}: those under way when it opened end, no other begins"
    );
    for n in 30..40 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    meanwhile(&rig, 20).await;
    assert_eq!(broken.requests().len(), arrived);
    assert_eq!(rig.model.claimed(), claimed, "nobody asks for them");
    assert_eq!(rig.model.waiting("crm"), 40);
    let settled = rig.model.settled();
    assert_eq!(settled.iter().filter(|one| is_retry(one)).count(), arrived);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_is_tried_with_one_delivery() {
    let (broken, well) = (Receiver::start().await, Receiver::start().await);
    broken.script((0..5).map(|_| Reply::status(503)));
    broken.always(Reply::held());
    let rig = Rig::start([
        breaking("crm", &broken.url(), 5, Duration::from_millis(50)),
        target("other", &well.url()),
    ]);
    // One at a time, so that nothing else is under way when it opens.
    rig.send(event("evt_0", &["crm"])).await;
    rig.model.wait_for(5, is_retry).await;
    for n in 1..20 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    broken.wait_for(6).await;
    assert_eq!(
        rig.gate("crm").circuit(std::time::Instant::now()),
        Circuit::HalfOpen
    );
    meanwhile(&rig, 0).await;
    assert_eq!(broken.requests().len(), 6, "the trial alone");
    assert_eq!(rig.model.waiting("crm"), 19);

    broken.release(100);
    let delivered = |one: &Settlement| &*one.target == "crm" && is_delivered(one);
    rig.model.wait_for(20, delivered).await;
    rig.wait_for_metric(r#"hookgate_target_circuit_open{target="crm"}"#, "0")
        .await;
    assert_eq!(broken.requests().len(), 25, "each delivered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_trial_opens_the_circuit_again() {
    let broken = Receiver::start().await;
    broken.script((0..8).map(|_| Reply::reset()));
    let rig = Rig::start([breaking("crm", &broken.url(), 3, Duration::from_millis(20))]);
    rig.send(event("evt_0", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(rig.model.settled().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_do_not_open_it() {
    let receiver = Receiver::start().await;
    receiver.script((0..50).map(|_| Reply::status(422)));
    let rig = Rig::start([breaking("crm", &receiver.url(), 5, NEVER)]);
    for n in 0..51 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for_settled(51).await;
    assert_eq!(receiver.requests().len(), 51);
    rig.wait_for_metric(r#"hookgate_target_circuit_open{target="crm"}"#, "0")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_in_the_lane_goes_back_even_while_every_slot_hangs() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::hang());
    let rig = Rig::start([breaking("crm", &receiver.url(), 1, NEVER)]);
    let released = |one: &Settlement| one.outcome == Outcome::Released;
    for n in 0..2 {
        rig.send(event(&format!("evt_hangs_{n}"), &["crm"])).await;
    }
    receiver.wait_for(2).await;
    for n in 0..4 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.gate("crm")
        .open_circuit(std::time::Instant::now() + NEVER);
    rig.model.wait_for(4, released).await;
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(rig.model.waiting("crm"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_keeps_everything_and_a_resumption_sends_it() {
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let rig = Rig::start([target("crm", &receiver.url()), target("other", &well.url())]);
    let paused = r#"hookgate_target_paused{target="crm"}"#;
    assert!(rig.delivery.pause("crm").await.unwrap());
    assert!(!rig.delivery.pause("nobody").await.unwrap());
    assert_eq!(rig.metric(paused), "1");
    for n in 0..50 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    meanwhile(&rig, 0).await;
    assert_eq!(receiver.connections(), 0);
    assert_eq!(rig.model.waiting("crm"), 50);

    assert!(rig.delivery.resume("crm").await.unwrap());
    assert_eq!(rig.metric(paused), "0");
    let delivered = |one: &Settlement| &*one.target == "crm" && is_delivered(one);
    rig.model.wait_for(50, delivered).await;
    assert_eq!(receiver.requests().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_event_is_a_duplicate_is_given_to_the_next() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([breaking("crm", &receiver.url(), 1, NEVER)]);
    rig.send(event("evt_0", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    rig.gate("crm").open_circuit(std::time::Instant::now());
    for _ in 0..10 {
        let again = Arc::new(event("evt_0", &["crm"]));
        rig.store.accept(again).await.unwrap();
    }
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(2, is_delivered).await;
    // The trial's success is what closed it.
    rig.send(event("evt_2", &["crm"])).await;
    rig.model.wait_for(3, is_delivered).await;
    let stored = rig.model.get(event("evt_2", &[]).uid).await.unwrap();
    assert!(stored.is_none_or(|stored| stored.deliveries[0].state == DeliveryState::Delivered));
}

/// Its lease is too short, its body is damaged, the store does not answer, the target is paused meanwhile: each time
/// another may be tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_comes_to_nothing_is_given_to_the_next() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([breaking("crm", &receiver.url(), 1, NEVER)]);
    // Not by its breaker: so it stays half-open, and one is tried after the other.
    rig.gate("crm").open_circuit(std::time::Instant::now());
    let delivered_after = async |happened: &str, count| {
        rig.send(event(&format!("after_{happened}"), &["crm"]))
            .await;
        rig.model.wait_for(count, is_delivered).await;
    };

    rig.model.shorten_leases(2);
    delivered_after("short leases", 1).await;

    for n in 0..3 {
        let mut corrupt = event(&format!("corrupt_{n}"), &["crm"]);
        corrupt.body = "flipped".into();
        rig.model.accept(corrupt.into()).await.unwrap();
    }
    let corrupt = Outcome::Dead(DeadReason::Corrupt);
    rig.model.wait_for(3, |one| one.outcome == corrupt).await;
    delivered_after("damage", 2).await;

    rig.model.fail_claims(2);
    let waiting = event("waiting", &["crm"]);
    rig.model.accept(waiting.into()).await.unwrap();
    delivered_after("failed claims", 4).await;

    rig.delivery.pause("crm").await.unwrap();
    rig.send(event("paused", &["crm"])).await;
    rig.delivery.resume("crm").await.unwrap();
    delivered_after("a pause", 6).await;
    assert_eq!(receiver.requests().len(), 6);
}
