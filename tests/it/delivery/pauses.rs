//! A target is paused when its file says so or an operator does, and the store tells all gateways what operators did.

use std::time::Duration;

use hookgate::{config::Target, event::Outcome, store::Store as _};

use super::{
    breaker::meanwhile,
    rig::{Rig, World, event, is_delivered, target, told},
};
use crate::support::{model::Model, receiver::Receiver};

const PAUSED: &str = r#"hookgate_target_paused{target="crm"}"#;

fn of_crm(one: &hookgate::store::Settlement) -> bool {
    &*one.target == "crm" && is_delivered(one)
}

fn paused_by_file(url: &str, paused: bool) -> Target {
    told(Target {
        paused,
        ..target("crm", url)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_s_pause_survives_a_change_and_ends_with_the_resumption_alone() {
    let (old, new, well) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let other = || target("other", &well.url());
    let rig = Rig::start([target("crm", &old.url()), other()]);
    assert!(rig.delivery.pause("crm").await.unwrap());
    for n in 0..20 {
        rig.send(event(&format!("before_{n}"), &["crm"])).await;
    }
    rig.change([told(target("crm", &new.url())), other()]);
    assert!(rig.gate("crm").is_paused());
    assert_eq!(rig.metric(PAUSED), "1");
    for n in 0..20 {
        rig.send(event(&format!("after_{n}"), &["crm"])).await;
    }
    meanwhile(&rig, 0).await;
    // Removed and back again, too.
    rig.change([other()]);
    rig.change([told(target("crm", &new.url())), other()]);
    meanwhile(&rig, 20).await;
    assert_eq!(rig.metric(PAUSED), "1");
    assert_eq!(old.connections() + new.connections(), 0);
    assert_eq!(rig.model.waiting("crm"), 40);

    assert!(rig.delivery.resume("crm").await.unwrap());
    assert!(!rig.delivery.resume("crm").await.unwrap(), "it was not");
    assert_eq!(rig.metric(PAUSED), "0");
    rig.model.wait_for(40, of_crm).await;
    assert_eq!((old.requests().len(), new.requests().len()), (0, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_pauses_no_operator_resumes_and_the_other_way_round() {
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let other = || target("other", &well.url());
    let rig = Rig::start([paused_by_file(&receiver.url(), true), other()]);
    rig.send(event("evt_1", &["crm"])).await;
    assert!(rig.delivery.pause("crm").await.unwrap());
    assert!(rig.delivery.resume("crm").await.unwrap());
    assert!(!rig.gate("crm").is_paused_by_operator());
    meanwhile(&rig, 0).await;
    assert_eq!(rig.metric(PAUSED), "1");
    assert_eq!(receiver.connections(), 0);

    rig.delivery.pause("crm").await.unwrap();
    rig.change([paused_by_file(&receiver.url(), false), other()]);
    meanwhile(&rig, 20).await;
    assert_eq!(rig.metric(PAUSED), "1");
    assert_eq!(receiver.connections(), 0);
    rig.delivery.resume("crm").await.unwrap();
    rig.model.wait_for(1, of_crm).await;

    rig.change([paused_by_file(&receiver.url(), true), other()]);
    assert_eq!(rig.metric(PAUSED), "1");
    rig.send(event("evt_2", &["crm"])).await;
    meanwhile(&rig, 40).await;
    assert_eq!(receiver.requests().len(), 1);
    rig.change([paused_by_file(&receiver.url(), false), other()]);
    rig.model.wait_for(2, of_crm).await;
    assert_eq!(rig.metric(PAUSED), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_another_gateway_was_asked_for_is_followed() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    // What the other one writes; that the store fails meanwhile ends nothing.
    rig.model.fail_pauses(1);
    rig.model.pause_target(&"crm".into()).await.unwrap();
    rig.wait_for_metric(PAUSED, "1").await;
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.resume_target(&"crm".into()).await.unwrap();
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(rig.metric(PAUSED), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_has_not_told_nothing_is_sent() {
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let world = World {
        model: Model::new(),
        paused: None,
        ..World::default()
    };
    world.model.pause_target(&"crm".into()).await.unwrap();
    world.model.fail_pauses(2);
    let rig = Rig::start_in(
        world,
        [target("crm", &receiver.url()), target("other", &well.url())],
    );
    for n in 0..10 {
        rig.send(event(&format!("evt_{n}"), &["crm", "other"]))
            .await;
    }
    // Those of the other go when the store tells that it is not paused, and by then it has told that the first is.
    rig.model.wait_for(10, is_delivered).await;
    assert_eq!(rig.model.waiting("crm"), 10);
    assert_eq!(receiver.connections(), 0);
    let released = |one: &hookgate::store::Settlement| one.outcome == Outcome::Released;
    assert!(!rig.model.settled().iter().any(released));
    rig.delivery.stop(Duration::from_secs(5)).await;
}
