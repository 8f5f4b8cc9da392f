//! Targets change while deliveries go on: what has not changed goes on as it was, what has goes out as it is said now.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use hookgate::{
    config::{Rate, Secret, Target},
    delivery::{DeliveryError, Lines},
    event::Outcome,
    store::{Settlement, Store as _, handover::Circuit, orphans::Gone},
};

use super::{
    breaker::{NEVER, breaking, meanwhile},
    expressions::{when, world},
    rig::{ROUTE, Rig, World, event, is_delivered, target, told},
};
use crate::support::{
    model::{Model, PATIENCE},
    receiver::{Receiver, Reply},
};

const OPEN: &str = r#"hookgate_target_circuit_open{target="crm"}"#;

fn to(target: &str) -> impl Fn(&Settlement) -> bool {
    move |one| &*one.target == target && is_delivered(one)
}

fn now() -> std::time::Instant {
    std::time::Instant::now()
}

async fn wait_for_orphans(rig: &Rig) {
    let orphans = rig.lanes.orphans();
    let in_time = tokio::time::timeout(PATIENCE, orphans.notified()).await;
    assert!(in_time.is_ok(), "nobody told of the orphans");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_target_gets_its_events_and_what_the_store_has_for_it() {
    let (crm, other) = (Receiver::start().await, Receiver::start().await);
    let old = || target("other", &other.url());
    let rig = Rig::start_in(World::default(), [old()]);
    // By another gateway that had it before.
    let left = event("left", &["crm"]);
    rig.model.accept(left.into()).await.unwrap();
    rig.change([old(), target("crm", &crm.url())]);
    rig.send(event("evt_1", &["crm", "other"])).await;
    rig.model.wait_for(2, to("crm")).await;
    rig.model.wait_for(1, to("other")).await;
    assert_eq!(crm.requests().len(), 2);
    assert!(rig.gate("crm").lease() > Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_target_and_the_last_come_and_go() {
    let crm = Receiver::start().await;
    let rig = Rig::start_in(
        World::default(),
        [told(target("crm", "http://127.0.0.1:9/"))],
    );
    rig.change([]);
    assert!(rig.lanes.gate("crm").is_none());
    wait_for_orphans(&rig).await;
    rig.change([target("crm", &crm.url())]);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_target_keeps_its_open_circuit_and_what_waits() {
    let (crm, other, newer) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    crm.always(Reply::status(500));
    let unchanged = || breaking("crm", &crm.url(), 1, NEVER);
    let rig = Rig::start([unchanged(), target("other", &other.url())]);
    for n in 0..10 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.wait_for_metric(OPEN, "1").await;
    let nothing_out = r#"hookgate_target_in_flight{target="crm"}"#;
    rig.wait_for_metric(nothing_out, "0").await;
    let (gate, attempts) = (rig.gate("crm"), crm.requests().len());

    rig.change([unchanged(), told(target("other", &newer.url()))]);
    assert!(Arc::ptr_eq(&gate, &rig.gate("crm")));
    assert!(matches!(gate.circuit(now()), Circuit::Open(_)));
    meanwhile(&rig, 0).await;
    assert_eq!(newer.requests().len(), 20, "the other one has changed");
    assert_eq!(crm.requests().len(), attempts);
    assert_eq!(rig.model.waiting("crm"), 10);
    assert_eq!(rig.metric(OPEN), "1");

    // Changed after all, it begins anew.
    crm.always(Reply::status(200));
    rig.change([told(unchanged()), told(target("other", &newer.url()))]);
    rig.model.wait_for(10, to("crm")).await;
    assert_eq!(rig.metric(OPEN), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_target_keeps_its_rate() {
    let (crm, other) = (Receiver::start().await, Receiver::start().await);
    let day = Duration::from_secs(86_400);
    let rate = |burst| Rate {
        limit: NonZeroU32::MIN,
        period: day,
        burst: NonZeroU32::new(burst).unwrap(),
    };
    let rated = |burst| Target {
        rate: Some(rate(burst)),
        concurrency: 1,
        ..target("crm", &crm.url())
    };
    let rig = Rig::start([rated(3), target("other", &other.url())]);
    for n in 0..20 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(3, to("crm")).await;
    for n in 0..5 {
        // Changes of another one.
        let other = Target {
            concurrency: 5 + n,
            ..target("other", &other.url())
        };
        rig.change([rated(3), told(other)]);
        meanwhile(&rig, 20 * n).await;
    }
    assert_eq!(crm.requests().len(), 3, "no new tokens");

    rig.change([told(rated(5)), target("other", &other.url())]);
    rig.model.wait_for(8, to("crm")).await;
    meanwhile(&rig, 200).await;
    assert_eq!(crm.requests().len(), 8, "the new burst");
    rig.change([told(target("crm", &crm.url()))]);
    rig.model.wait_for(20, to("crm")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_concurrency_is_in_force_beside_what_is_under_way() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::held());
    let crm = |concurrency| Target {
        concurrency,
        ..target("crm", &receiver.url())
    };
    let rig = Rig::start([told(crm(1))]);
    for n in 0..30 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    receiver.wait_for(1).await;
    rig.change([told(crm(8))]);
    receiver.wait_for(9).await;
    receiver.release(30);
    rig.model.wait_for(30, is_delivered).await;
    assert_eq!(receiver.requests().len(), 30);
    assert_eq!(receiver.most_at_once(), 9, "one of the old lane");
    assert_eq!(
        rig.metric(r#"hookgate_target_in_flight{target="crm"}"#),
        "0"
    );
}

/// The old address hangs until the circuit of the new one has long been closed.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_old_attempts_says_nothing_about_the_new_address() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.always(Reply::hang());
    let crm = |url: &str| told(breaking("crm", url, 1, NEVER));
    let rig = Rig::start([crm(&old.url())]);
    for n in 0..2 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    old.wait_for(2).await;
    rig.change([crm(&new.url())]);
    rig.send(event("evt_2", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    old.end_hung();
    rig.model.wait_for(3, is_delivered).await;
    assert_eq!((old.requests().len(), new.requests().len()), (2, 3));
    assert_eq!(rig.gate("crm").circuit(now()), Circuit::Closed);
    assert_eq!(rig.metric(OPEN), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_expressions_are_those_of_the_next_attempts() {
    let receiver = Receiver::start().await;
    let crm = || target("crm", &receiver.url());
    let rig = Rig::start_in(world([("crm", when("false"))]), [crm()]);
    rig.send(event("evt_1", &["crm"])).await;
    let filtered = |one: &Settlement| one.outcome == Outcome::Filtered;
    rig.model.wait_for(1, filtered).await;
    let lease = rig.gate("crm").lease();

    let mut wanted = Lines::default();
    wanted.insert(ROUTE.into(), "crm".into(), when("true"));
    rig.change_to([crm()], &wanted);
    rig.send(event("evt_2", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(rig.gate("crm").lease(), lease);

    rig.change([crm()]);
    assert!(rig.gate("crm").lease() < lease, "nothing is evaluated");
    let gate = rig.gate("crm");
    rig.change([crm()]);
    assert!(Arc::ptr_eq(&gate, &rig.gate("crm")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changes_nothing() {
    let (crm, other) = (Receiver::start().await, Receiver::start().await);
    let rig = Rig::start([target("crm", &crm.url())]);
    let gate = rig.gate("crm");
    let bad = Target {
        headers: vec![(http::header::TRANSFER_ENCODING, Secret::new("chunked"))],
        ..target("other", &other.url())
    };
    let targets = [told(target("crm", &other.url())), bad].map(Arc::new);
    let refused = rig.delivery.prepare(&targets, &Lines::default());
    assert!(matches!(refused, Err(DeliveryError::Header { .. })));
    assert!(Arc::ptr_eq(&gate, &rig.gate("crm")));
    assert!(rig.lanes.gate("other").is_none());
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!((crm.requests().len(), other.requests().len()), (1, 0));
}

/// An event is being accepted while its target is removed: with a place in the lane, and without.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_for_a_target_that_is_gone_is_told() {
    for paused in [false, true] {
        let receiver = Receiver::start().await;
        let world = World {
            model: Model::holding_accepts(),
            ..World::default()
        };
        let crm = Target {
            paused,
            ..target("crm", &receiver.url())
        };
        let rig = Rig::start_in(world, [crm]);
        let (store, late) = (rig.store.clone(), event("late", &["crm"]));
        let gate = rig.gate("crm");
        let free = gate.free();
        let accepting = tokio::spawn(async move { store.accept(Arc::new(late)).await });
        while !paused && gate.free() == free {
            tokio::task::yield_now().await;
        }
        rig.change([]);
        if paused {
            wait_for_orphans(&rig).await;
        }
        rig.model.let_accept(1);
        accepting.await.unwrap().unwrap();
        wait_for_orphans(&rig).await;
        assert_eq!(
            rig.store
                .retire_targets(&Gone::AllBut(vec![]))
                .await
                .unwrap(),
            1
        );
        assert!(receiver.requests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_its_target_changes_goes_to_the_new_address() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let world = World {
        model: Model::holding_accepts(),
        ..World::default()
    };
    let rig = Rig::start_in(world, [target("crm", &old.url())]);
    let gate = rig.gate("crm");
    let free = gate.free();
    let accept = |n: usize| {
        let (store, event) = (rig.store.clone(), event(&format!("evt_{n}"), &["crm"]));
        tokio::spawn(async move { store.accept(Arc::new(event)).await })
    };
    let accepting: Vec<_> = (0..free + 5).map(accept).collect();
    while gate.free() > 0 {
        tokio::task::yield_now().await;
    }
    rig.change([told(target("crm", &new.url()))]);
    rig.model.let_accept(free + 5);
    for accepted in accepting {
        accepted.await.unwrap().unwrap();
    }
    rig.model.wait_for(free + 5, is_delivered).await;
    assert_eq!((old.requests().len(), new.requests().len()), (0, free + 5));
}

/// Attempts under way at a target that is removed end as they would, and only then is the rest told of.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_told_when_the_last_attempt_has_ended() {
    let (crm, other) = (Receiver::start().await, Receiver::start().await);
    crm.always(Reply::held());
    let other = || target("other", &other.url());
    // Changed in between: what an older lane has under way counts too.
    let rig = Rig::start([target("crm", &crm.url()), other()]);
    rig.send(event("evt_1", &["crm"])).await;
    crm.wait_for(1).await;
    rig.change([told(target("crm", &crm.url())), other()]);
    rig.change([other()]);
    rig.send(event("evt_2", &["crm"])).await;
    meanwhile(&rig, 0).await;
    let orphans = rig.lanes.orphans();
    let told = tokio::time::timeout(Duration::ZERO, orphans.notified()).await;
    assert!(told.is_err(), "told while an attempt is under way");
    crm.release(1);
    wait_for_orphans(&rig).await;
    assert_eq!(
        rig.store
            .retire_targets(&Gone::AllBut(vec!["other".into()]))
            .await
            .unwrap(),
        1
    );
    let delivered = rig.model.settled();
    assert_eq!(delivered.iter().filter(|one| to("crm")(one)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_targets_that_there_are_are_measured() {
    let receiver = Receiver::start().await;
    let named = |names: [&str; 2]| names.map(|name| target(name, &receiver.url()));
    let rig = Rig::start(named(["crm", "other"]));
    rig.model.wait_for_measured(&["crm", "other"]).await;
    rig.change(named(["crm", "late"]));
    rig.model.wait_for_measured(&["crm", "late"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_is_changed() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.delivery.stop(PATIENCE).await;
    rig.change([told(target("crm", &receiver.url()))]);
    rig.send(event("evt_1", &["crm"])).await;
    assert_eq!(rig.model.waiting("crm"), 1);
    assert!(receiver.requests().is_empty());
}
