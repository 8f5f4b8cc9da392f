//! The events of one request on their way to the targets.

use std::sync::Arc;

use futures_util::FutureExt as _;
use hookgate::{delivery::Roots, event::Event, store::Acceptance};

use super::rig::{Rig, event, is_delivered, target};
use crate::support::{model::Model, receiver::Receiver};

fn request(events: usize) -> Vec<Arc<Event>> {
    let one = |n| {
        let mut event = event(&format!("evt_{n}"), &["crm", "audit"]);
        event.together = true;
        Arc::new(event)
    };
    (0..events).map(one).collect()
}

async fn rig(crm: &Receiver, audit: &Receiver, model: Arc<Model>) -> Rig {
    let targets = [target("crm", &crm.url()), target("audit", &audit.url())];
    Rig::start_with(targets, model, Roots::Native)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_request_are_handed_over_without_a_claim() {
    let (crm, audit) = (Receiver::start().await, Receiver::start().await);
    let rig = rig(&crm, &audit, Model::new()).await;
    let events = request(3);
    for _ in 0..100 {
        // The repeats give their places back.
        let answers = rig.store.accept_together(events.clone()).await.unwrap();
        assert_eq!(answers.len(), 3);
    }
    rig.model.wait_for(6, is_delivered).await;
    let last = Arc::new(event("last", &["crm", "audit"]));
    let answers = rig.store.accept_together(vec![last]).await.unwrap();
    assert!(matches!(answers[..], [Acceptance::Accepted { .. }]));
    rig.model.wait_for(8, is_delivered).await;
    assert_eq!(rig.model.claimed(), 0);
    assert_eq!((crm.requests().len(), audit.requests().len()), (4, 4));
}

/// What finds no place is claimed from the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_more_than_the_lanes_hold_is_delivered_whole() {
    let (crm, audit) = (Receiver::start().await, Receiver::start().await);
    let rig = rig(&crm, &audit, Model::new()).await;
    rig.store.accept_together(request(300)).await.unwrap();
    rig.model.wait_for(600, is_delivered).await;
    assert!(rig.model.claimed() > 0);
    assert_eq!((crm.requests().len(), audit.requests().len()), (300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_went_away_is_handed_over() {
    let (crm, audit) = (Receiver::start().await, Receiver::start().await);
    let rig = rig(&crm, &audit, Model::holding_accepts()).await;
    let begun = rig.store.accept_together(request(3));
    // Polled once, then dropped while the store is still at it.
    assert!(begun.now_or_never().is_none());
    rig.model.let_accept(3);
    rig.model.wait_for(6, is_delivered).await;
    assert_eq!(rig.model.claimed(), 0);
}
