//! A target's rate: attempts begin as tokens allow, and what waits for one waits in the store.

use std::{num::NonZeroU32, time::Duration};

use hookgate::{
    config::{Rate, Target},
    event::Outcome,
    store::Settlement,
};

use super::rig::{Rig, event, is_delivered, target};
use crate::support::receiver::Receiver;

fn rated(url: &str, limit: u32, period: Duration, burst: u32) -> Target {
    Target {
        rate: Some(Rate {
            limit: NonZeroU32::new(limit).unwrap(),
            period,
            burst: NonZeroU32::new(burst).unwrap(),
        }),
        ..target("crm", url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_rate_keeps_deliveries_in_the_store_and_asks_for_none() {
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let day = Duration::from_secs(86_400);
    let rig = Rig::start([
        rated(&receiver.url(), 1, day, 3),
        target("other", &well.url()),
    ]);
    for n in 0..50 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(3, is_delivered).await;
    for n in 0..50 {
        rig.send(event(&format!("other_{n}"), &["other"])).await;
        rig.model.wait_for(4 + n, is_delivered).await;
    }
    assert_eq!(receiver.requests().len(), 3, "the burst");
    assert_eq!(rig.model.waiting("crm"), 47, "not even claimed");
    assert!(rig.model.claimed() <= 3, "no more than there are tokens");
    let released = |one: &Settlement| one.outcome == Outcome::Released;
    assert!(!rig.model.settled().iter().any(released));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_out_as_tokens_come() {
    let receiver = Receiver::start().await;
    // Four at once, and then one every two milliseconds: a hundred take a while, and go in the end.
    let rig = Rig::start([rated(&receiver.url(), 500, Duration::from_secs(1), 4)]);
    for n in 0..100 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(100, is_delivered).await;
    assert_eq!(receiver.requests().len(), 100);
    let released = |one: &Settlement| one.outcome == Outcome::Released;
    assert!(!rig.model.settled().iter().any(released));
}
