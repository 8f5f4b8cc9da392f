//! Replays: of one delivery, and of many by filter.

use std::{sync::Arc, time::Duration};

use hookgate::{
    clock::{Clock, Timestamp},
    delivery::Roots,
    store::{
        DeliveryName, Replayed, Store as _,
        listing::{Filter, StateFilter},
        replays::{Replay, ReplayState},
    },
};
use uuid::Uuid;

use super::rig::{Rig, event, is_dead, is_delivered, target};
use crate::support::{
    model::Model,
    receiver::{Receiver, Reply},
    wait_for,
};

/// Of everything before, and nothing after.
fn replay(filter: Filter, rate: u32) -> Replay {
    let now = Clock::system().now();
    // Of the same millisecond are some of the events.
    let created_at = Timestamp::from_millis(now.as_millis() + 1);
    while Clock::system().now() < created_at {
        std::thread::sleep(Duration::from_micros(100));
    }
    Replay {
        id: Uuid::from_u128(1),
        revision: 0,
        filter,
        rate,
        state: ReplayState::Running,
        created_at,
        ended_at: None,
        next_step_at: now,
        cursor: None,
        events: 0,
        replayed: 0,
    }
}

fn dead() -> Filter {
    Filter {
        state: Some(StateFilter::Dead),
        ..Filter::default()
    }
}

/// So many dead letters, with a receiver that takes everything from now on.
async fn with_dead_letters(count: usize) -> (Receiver, Rig) {
    let receiver = Receiver::start().await;
    receiver.script((0..count).map(|_| Reply::status(410)));
    let rig = Rig::start([target("crm", &receiver.url())]);
    for n in 0..count {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(count, is_dead).await;
    (receiver, rig)
}

async fn ended(model: &Model) -> Replay {
    wait_for("the end of the replay", async || {
        let kept = model.kept_replays().pop()?;
        (kept.state != ReplayState::Running).then_some(kept)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_letter_is_sent_again_and_says_so() {
    let (receiver, rig) = with_dead_letters(1).await;
    let name = DeliveryName {
        uid: rig.model.settled()[0].uid,
        target: "crm".into(),
    };
    let unknown = DeliveryName {
        uid: Uuid::nil(),
        ..name.clone()
    };
    let answers = rig
        .store
        .replay(&[name.clone(), unknown], None)
        .await
        .unwrap();
    assert_eq!(answers, [Replayed::Due, Replayed::Unknown]);
    rig.model.wait_for(1, is_delivered).await;
    let requests = receiver.requests();
    let said = |header| -> Vec<_> {
        requests
            .iter()
            .map(|request| request.header(header))
            .collect()
    };
    assert_eq!(said("hookgate-replay"), [None, Some("true")]);
    assert_eq!(said("hookgate-attempt"), [Some("1"), Some("1")]);
    assert_eq!(said("hookgate-event")[0], said("hookgate-event")[1]);
    let latency = r#"hookgate_delivery_latency_seconds_count{route="orders",target="crm"}"#;
    let delivered =
        r#"hookgate_delivery_attempts_total{outcome="delivered",route="orders",target="crm"}"#;
    rig.wait_for_metric(delivered, "1").await;
    assert_eq!(rig.metric(latency), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_of_a_filter_are_replayed_once() {
    let (receiver, rig) = with_dead_letters(120).await;
    rig.send(event("evt_fine", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    // As fast as it goes, on pages of which each call looks at a part.
    assert!(
        rig.store
            .save_replay(&replay(dead(), 1_000_000))
            .await
            .unwrap()
    );
    rig.model.wait_for(121, is_delivered).await;
    let ended = ended(&rig.model).await;
    assert_eq!(ended.state, ReplayState::Done);
    assert_eq!((ended.events, ended.replayed), (120, 120));
    assert!(ended.ended_at.is_some());
    assert_eq!(receiver.requests().len(), 241);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_held_to_its_rate_and_can_be_cancelled() {
    let (receiver, rig) = with_dead_letters(10).await;
    // The second would come after a second, and that is not waited for.
    assert!(rig.store.save_replay(&replay(dead(), 1)).await.unwrap());
    rig.model.wait_for(1, is_delivered).await;
    wait_for("a cancellation", async || {
        let mut kept = rig.model.kept_replays().pop()?;
        kept.state = ReplayState::Cancelled;
        kept.ended_at = Some(kept.created_at);
        rig.store.save_replay(&kept).await.unwrap().then_some(())
    })
    .await;
    let sent = receiver.requests().len();
    // Told of another replay, the runner looks at all of them.
    let other = Replay {
        id: Uuid::from_u128(2),
        filter: Filter {
            route: Some("nowhere".into()),
            ..dead()
        },
        ..replay(dead(), 100)
    };
    assert!(rig.store.save_replay(&other).await.unwrap());
    let last = ended(&rig.model).await;
    assert_eq!((last.id, last.state), (other.id, ReplayState::Done));
    assert_eq!(receiver.requests().len(), sent);
    assert_eq!(rig.model.kept_replays()[0].state, ReplayState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replayed_while_a_page_of_it_is_read_is_not_replayed_again() {
    let (receiver, rig) = with_dead_letters(30).await;
    rig.model.hold_lists();
    let listed = rig.model.listed();
    let began = replay(dead(), 1_000_000);
    assert!(rig.store.save_replay(&began).await.unwrap());
    rig.model.wait_for_listed(listed).await;
    let name = rig.model.settled().first().map(|first| DeliveryName {
        uid: first.uid,
        target: first.target.clone(),
    });
    let answers = rig.store.replay(&[name.unwrap()], None).await.unwrap();
    assert_eq!(answers, [Replayed::Due]);
    rig.model.wait_for(1, is_delivered).await;
    rig.model.let_list();
    let ended = ended(&rig.model).await;
    assert_eq!((ended.events, ended.replayed), (30, 29));
    rig.model.wait_for(30, is_delivered).await;
    assert_eq!(receiver.requests().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_gateway_began_is_gone_on_with() {
    let (receiver, rig) = with_dead_letters(30).await;
    rig.delivery.stop(crate::support::PATIENCE).await;
    let left = Replay {
        cursor: Some("10".to_owned()),
        events: 10,
        replayed: 10,
        ..replay(dead(), 1_000_000)
    };
    rig.model.save_replay(&left).await.unwrap();
    let next = Rig::start_with(
        [target("crm", &receiver.url())],
        rig.model.clone(),
        Roots::Native,
    );
    let ended = ended(&next.model).await;
    assert_eq!((ended.events, ended.replayed), (30, 30));
    next.model.wait_for(20, is_delivered).await;
    assert_eq!(receiver.requests().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_replay_each_delivery_once() {
    let (receiver, one) = with_dead_letters(100).await;
    let two = Rig::start_with(
        [target("crm", &receiver.url())],
        one.model.clone(),
        Roots::Native,
    );
    let began = replay(dead(), 1_000_000);
    assert!(one.store.save_replay(&began).await.unwrap());
    assert!(!two.store.save_replay(&began).await.unwrap(), "it is there");
    let two_looks = Replay {
        id: Uuid::from_u128(2),
        ..began
    };
    assert!(two.store.save_replay(&two_looks).await.unwrap());
    one.model.wait_for(100, is_delivered).await;
    wait_for("the end of both", async || {
        let kept = one.model.kept_replays();
        let done = kept.iter().filter(|r| r.state == ReplayState::Done);
        (done.count() == 2).then_some(())
    })
    .await;
    let replayed: u64 = one.model.kept_replays().iter().map(|r| r.replayed).sum();
    assert_eq!(replayed, 100);
    assert_eq!(receiver.requests().len(), 200);
    let _both_run: [Arc<_>; 2] = [one.store, two.store];
}
