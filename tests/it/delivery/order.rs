//! Ordered deliveries on their way out.

use hookgate::event::{Event, Order, OrderGroup};

use super::rig::{ROUTE, Rig, event, is_dead, is_delivered, target};
use crate::support::receiver::{Receiver, Reply, Request};

pub(super) fn ordered(id: &str, key: &str, hold: bool) -> Event {
    let mut event = event(id, &["crm"]);
    event.deliveries[0].order = Some(Order {
        group: OrderGroup::new(ROUTE, "crm", key),
        hold,
    });
    event.together = true;
    event
}

fn ids(requests: &[Request]) -> Vec<&str> {
    let id = |request: &'_ Request| -> usize {
        let headers = &request.headers;
        headers
            .iter()
            .position(|(name, _)| name == "hookgate-event-id")
            .unwrap()
    };
    requests
        .iter()
        .map(|request| request.headers[id(request)].1.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_group_goes_out_one_by_one_in_order() {
    let receiver = Receiver::start().await;
    // The first fails twice: nothing of its group overtakes it.
    receiver.script([Reply::status(500), Reply::status(500)]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    let sent: Vec<String> = (0..40).map(|n| format!("evt_{n}")).collect();
    for id in &sent {
        rig.send(ordered(id, "a", false)).await;
    }
    rig.model.wait_for(40, is_delivered).await;
    let requests = receiver.requests();
    let mut arrived = ids(&requests);
    arrived.dedup();
    assert_eq!(arrived, sent);
    assert_eq!(receiver.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_waits_holds_up_no_new_events() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| match request.header("hookgate-event-id") {
        Some("evt_held") => Reply::held(),
        _ => Reply::status(200),
    });
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.send(ordered("evt_held", "a", false)).await;
    receiver.wait_for(1).await;
    for n in 0..10 {
        rig.send(ordered(&format!("evt_a{n}"), "a", false)).await;
        rig.send(ordered(&format!("evt_b{n}"), &format!("b{n}"), false))
            .await;
        rig.send(event(&format!("evt_c{n}"), &["crm"])).await;
        rig.model.wait_for(2 * (n + 1), is_delivered).await;
    }
    assert_eq!(rig.model.waiting("crm"), 10);
    receiver.release(1);
    rig.model.wait_for(31, is_delivered).await;
    let requests = receiver.requests();
    let of_a = ids(&requests)
        .into_iter()
        .filter(|id| id.starts_with("evt_a"));
    let expected: Vec<String> = (0..10).map(|n| format!("evt_a{n}")).collect();
    assert_eq!(of_a.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_steps_aside_or_holds() {
    for hold in [false, true] {
        let receiver = Receiver::start().await;
        receiver.answer(|request| match request.header("hookgate-event-id") {
            Some("evt_0") => Reply::status(410),
            _ => Reply::status(200),
        });
        let rig = Rig::start([target("crm", &receiver.url())]);
        for n in 0..3 {
            rig.send(ordered(&format!("evt_{n}"), "a", hold)).await;
        }
        rig.send(ordered("evt_other", "b", hold)).await;
        let through = if hold { 1 } else { 3 };
        rig.model.wait_for(through, is_delivered).await;
        rig.model.wait_for(1, is_dead).await;
        assert_eq!(rig.model.waiting("crm"), 3 - through);
    }
}
