//! What a stop does with deliveries in each stage.

use std::time::Duration;

use hookgate::event::Outcome;

use super::rig::{Rig, error, event, is_delivered, target};
use crate::support::{
    model::PATIENCE,
    receiver::{Receiver, Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_under_way_and_releases_the_rest() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::held());
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 1;
    let rig = Rig::start([crm]);
    for n in 1..=3 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    receiver.wait_for(1).await;
    let delivery = rig.delivery;
    let stopping = tokio::spawn(async move { delivery.stop(PATIENCE).await });
    let released = |one: &hookgate::store::Settlement| one.outcome == Outcome::Released;
    rig.model.wait_for(2, released).await;
    receiver.release(10);
    stopping.await.unwrap();

    let settled = rig.model.settled();
    assert_eq!(settled.len(), 3);
    assert_eq!(settled.iter().filter(|one| is_delivered(one)).count(), 1);
    assert!(
        settled
            .iter()
            .filter(|one| released(one))
            .all(|one| one.attempt.is_none())
    );
    assert_eq!(rig.model.waiting("crm"), 2, "due for whoever comes next");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cuts_off_at_the_end_of_its_grace() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::hang());
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.send(event("evt_1", &["crm"])).await;
    receiver.wait_for(1).await;
    rig.delivery.stop(Duration::from_millis(50)).await;
    let settled = rig.model.settled();
    assert_eq!(settled.len(), 1, "settled before the stop returned");
    assert_eq!(settled[0].outcome, Outcome::Retry(Duration::from_millis(4)));
    assert_eq!(error(&settled[0]), "cut off: the gateway stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_events_are_left_in_the_store() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    let store = rig.store.clone();
    rig.delivery.stop(PATIENCE).await;
    store.accept(event("evt_1", &["crm"]).into()).await.unwrap();
    assert_eq!(rig.model.waiting("crm"), 1);
    assert_eq!(receiver.connections(), 0);
}
