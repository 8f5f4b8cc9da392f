//! Deliveries that outlive their route or target in the file: none ends uncounted.

use super::rig::{Rig, SECRET, literal, route, target};
use crate::support::{receiver::Receiver, receiver::Reply, wait_for};

const DEAD: &str = "hookgate_dead_letters_total";
const ATTEMPTS: &str = "hookgate_delivery_attempts_total";
const LATENCY: &str = "hookgate_delivery_latency_seconds_count";

async fn wait_for_count(rig: &Rig, name: &str, labels: &[(&str, &str)], count: f64) {
    wait_for(&format!("{count} of {name} {labels:?}"), async || {
        let value = rig.metrics().await.value(name, labels);
        (value == Some(count)).then_some(())
    })
    .await;
}

/// What waits for a target that stays goes out, whatever has become of its route.
#[tokio::test(flavor = "multi_thread")]
async fn the_deliveries_of_a_removed_route_are_counted_for_their_target() {
    let crm = Receiver::start().await;
    let delivering = "deliver = [\"crm\"]";
    let before = [
        target("crm", &crm.url(), "paused = true"),
        route("gone", &literal(SECRET), delivering),
        route("other", &literal(SECRET), delivering),
    ];
    let rig = Rig::start(&before.concat()).await;
    let dead = [("reason", "refused"), ("route", "-"), ("target", "crm")];
    let ended = |outcome| [("outcome", outcome), ("route", "-"), ("target", "crm")];
    assert_eq!(rig.metrics().await.value(DEAD, &dead), Some(0.0));
    for (route, id) in [("gone", "a"), ("gone", "b"), ("gone", "c"), ("other", "d")] {
        assert_eq!(rig.post(route, id, SECRET).await, 200);
    }
    // The other route stays, but does not deliver there any more.
    let after = [
        target("crm", &crm.url(), ""),
        route("other", &literal(SECRET), "deliver = []"),
    ];
    crm.answer(|request| match &*request.body {
        br#"{"id":"a"}"# => Reply::status(200),
        _ => Reply::status(410),
    });
    rig.reload(&after.concat()).await;
    wait_for_count(&rig, DEAD, &dead, 3.0).await;
    wait_for_count(&rig, ATTEMPTS, &ended("dead"), 3.0).await;
    wait_for_count(&rig, ATTEMPTS, &ended("delivered"), 1.0).await;
    wait_for_count(&rig, LATENCY, &[("route", "-"), ("target", "crm")], 1.0).await;
    assert_eq!(rig.metrics().await.sum(DEAD, "route=\"gone\""), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlives_its_target_is_counted() {
    let crm = Receiver::start().await;
    crm.always(Reply::held().with_status(410));
    let before = [
        target("crm", &crm.url(), ""),
        route("shop", &literal(SECRET), "deliver = [\"crm\"]"),
    ];
    let rig = Rig::start(&before.concat()).await;
    assert_eq!(rig.post("shop", "a", SECRET).await, 200);
    crm.wait_for(1).await;
    rig.reload(&route("shop", &literal(SECRET), "deliver = []"))
        .await;
    crm.release(1);
    let dead = [("reason", "refused"), ("route", "-"), ("target", "-")];
    wait_for_count(&rig, DEAD, &dead, 1.0).await;
    let ended = [("outcome", "dead"), ("route", "-"), ("target", "-")];
    wait_for_count(&rig, ATTEMPTS, &ended, 1.0).await;
    assert_eq!(rig.metrics().await.sum(DEAD, "target=\"crm\""), 0.0);
}
