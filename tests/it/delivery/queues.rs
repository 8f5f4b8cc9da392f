//! Lanes, concurrency, pauses and backlogs.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use hookgate::{
    delivery::Roots,
    event::Outcome,
    store::{Acceptance, Store as _},
};

use super::rig::{Rig, event, is_delivered, target};
use crate::support::{
    model::Model,
    receiver::{Receiver, Reply, Request},
};

fn ids(requests: &[Request]) -> Vec<String> {
    let id = |request: &Request| request.header("hookgate-event-id").unwrap().to_owned();
    requests.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_is_handed_over_without_a_claim() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    for n in 1..=20 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
        rig.model.wait_for(n, is_delivered).await;
    }
    assert_eq!(rig.model.claimed(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_holds_up_no_other() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.always(Reply::hang());
    let rig = Rig::start([target("slow", &slow.url()), target("quick", &quick.url())]);
    for n in 0..200 {
        rig.send(event(&format!("evt_{n}"), &["slow", "quick"]))
            .await;
    }
    rig.model.wait_for(200, is_delivered).await;
    assert_eq!(quick.requests().len(), 200);
    assert!(
        rig.model
            .settled()
            .iter()
            .all(|one| &*one.target == "quick")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_is_never_exceeded() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::held());
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 3;
    let rig = Rig::start([crm]);
    for n in 0..30 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    for arrived in 3..30 {
        receiver.wait_for(arrived).await;
        receiver.release(1);
    }
    receiver.release(3);
    rig.model.wait_for(30, is_delivered).await;
    assert_eq!(receiver.most_at_once(), 3);
    let series = r#"hookgate_target_in_flight{target="crm"}"#;
    rig.wait_for_metric(series, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_targets_events_wait_in_the_store() {
    let (paused, open) = (Receiver::start().await, Receiver::start().await);
    let mut waiting = target("waiting", &paused.url());
    waiting.paused = true;
    let rig = Rig::start([waiting, target("open", &open.url())]);
    for n in 0..50 {
        rig.send(event(&format!("evt_{n}"), &["waiting", "open"]))
            .await;
    }
    rig.model.wait_for(50, is_delivered).await;
    assert_eq!(rig.model.waiting("waiting"), 50);
    assert_eq!(paused.connections(), 0);
    assert_eq!(
        rig.metric(r#"hookgate_target_paused{target="waiting"}"#),
        "1"
    );
    assert_eq!(rig.metric(r#"hookgate_target_paused{target="open"}"#), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_drains_in_order() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::held()]);
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 1;
    let rig = Rig::start([crm]);
    let sent: Vec<String> = (0..500).map(|n| format!("evt_{n}")).collect();
    for id in &sent {
        rig.send(event(id, &["crm"])).await;
    }
    assert!(rig.model.waiting("crm") > 400, "the lane is bounded");
    receiver.release(1);
    rig.model.wait_for(500, is_delivered).await;
    assert_eq!(ids(&receiver.requests()), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_delivered_whole_and_once() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 2;
    let rig = Rig::start([crm]);
    let sent: Vec<String> = (1000..1500).map(|n| format!("evt_{n}")).collect();
    join_all(sent.iter().map(|id| rig.send(event(id, &["crm"])))).await;
    rig.model.wait_for(500, is_delivered).await;
    let mut arrived = ids(&receiver.requests());
    arrived.sort();
    assert_eq!(arrived, sent);
    assert!(
        rig.model.claimed() > 0,
        "the burst was larger than the lane"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_over_begins_again_after_a_backlog() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::held()]);
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 1;
    let rig = Rig::start([crm]);
    for n in 0..100 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    receiver.release(1);
    rig.model.wait_for(100, is_delivered).await;
    // The dispatcher learns that nothing is left from a claim that comes back with less than it asked for.
    let mut sent = 100;
    loop {
        let before = rig.model.claimed();
        rig.send(event(&format!("evt_{sent}"), &["crm"])).await;
        sent += 1;
        rig.model.wait_for(sent, is_delivered).await;
        if rig.model.claimed() == before {
            break;
        }
        assert!(sent < 1000, "every event still goes through the store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_the_start_is_found() {
    let receiver = Receiver::start().await;
    let model = Model::new();
    for n in 0..300 {
        let left = Arc::new(event(&format!("evt_{n}"), &["crm"]));
        model.accept(left).await.unwrap();
    }
    let rig = Rig::start_with([target("crm", &receiver.url())], model, Roots::Native);
    rig.model.wait_for(300, is_delivered).await;
    assert_eq!(receiver.requests().len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_give_their_places_back() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 1;
    let rig = Rig::start([crm]);
    rig.send(event("evt_1", &["crm"])).await;
    for _ in 0..100 {
        let again = Arc::new(event("evt_1", &["crm"]));
        let acceptance = rig.store.accept(again).await.unwrap();
        assert!(matches!(acceptance, Acceptance::Duplicate { .. }));
    }
    rig.send(event("evt_2", &["crm"])).await;
    rig.model.wait_for(2, is_delivered).await;
    assert_eq!(rig.model.claimed(), 0);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_whose_caller_went_away_is_handed_over() {
    let receiver = Receiver::start().await;
    let crm = target("crm", &receiver.url());
    let rig = Rig::start_with([crm], Model::holding_accepts(), Roots::Native);
    let begun = rig.store.accept(Arc::new(event("evt_1", &["crm"])));
    // Polled once, then dropped while the store is still at it.
    assert!(begun.now_or_never().is_none());
    rig.model.let_accept(1);
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(
        rig.model.claimed(),
        0,
        "not by waiting for the lease to end"
    );
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_reaches_the_metrics() {
    let receiver = Receiver::start().await;
    let model = Model::new();
    for n in 0..7 {
        let left = Arc::new(event(&format!("evt_{n}"), &["crm"]));
        model.accept(left).await.unwrap();
    }
    let mut crm = target("crm", &receiver.url());
    crm.paused = true;
    let rig = Rig::start_with([crm], model, Roots::Native);
    let series = r#"hookgate_pending_deliveries{target="crm"}"#;
    rig.wait_for_metric(series, "7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_lease_is_nearly_over_is_not_begun() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.model.shorten_leases(1);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    let outcomes: Vec<_> = rig
        .model
        .settled()
        .iter()
        .map(|one| one.outcome.clone())
        .collect();
    assert_eq!(outcomes, [Outcome::Released, Outcome::Delivered]);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].header("hookgate-attempt"),
        Some("1"),
        "a release is no attempt"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_go_on_when_the_store_comes_back() {
    let receiver = Receiver::start().await;
    let model = Model::new();
    model.fail_claims(2);
    let left = Arc::new(event("evt_1", &["crm"]));
    model.accept(left).await.unwrap();
    let rig = Rig::start_with([target("crm", &receiver.url())], model, Roots::Native);
    rig.model.wait_for(1, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateways_lapsed_claim_is_taken_over() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    let mut claimed = event("evt_1", &["crm"]);
    claimed.deliveries[0].lease = Some(Duration::from_millis(100));
    // As if another gateway had accepted it, and died.
    rig.model.accept(claimed.into()).await.unwrap();
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(receiver.requests().len(), 1);
}
