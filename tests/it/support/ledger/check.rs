//! Holds the senders' log and the sinks' logs together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use uuid::Uuid;

use super::{Log, Sink};
use crate::support::{process::Process, wait_within};

/// How long a backlog may take to drain: the claims of a killed gateway fall due only when their leases end.
pub const DRAIN: Duration = Duration::from_secs(240);

/// What was found. A loss, or anything else that must not be, is a panic and not in here.
#[derive(Debug)]
pub struct Report {
    /// Ids posted.
    pub sent: usize,
    /// Ids answered with a 2xx.
    pub acknowledged: usize,
    /// Ids that some post was told to be `accepted`.
    pub accepted: usize,
    /// Arrivals at all sinks.
    pub arrivals: usize,
    /// Arrivals of an event at a sink that had it already.
    pub duplicates: usize,
    pub failures: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {}, acknowledged {} (told accepted {}), posts without a 2xx {}, delivered {}, \
             duplicate deliveries {}, losses 0",
            self.sent,
            self.acknowledged,
            self.accepted,
            self.failures,
            self.arrivals,
            self.duplicates
        )
    }
}

/// Waits until `gateways` have nothing pending, then checks:
///
/// - I1: what was answered with a 2xx arrived at every sink;
/// - I2: what never was arrived at every sink or at none, since event and deliveries are stored in one step;
/// - I3: no arrival's body differs from what was sent under its id, and no id was never sent;
/// - I4: an id was told to be `accepted` at most once, and it is one event: one uid in all answers and arrivals.
pub async fn drained(log: &Log, sinks: &[Sink], gateways: &[&Process]) -> Report {
    let acknowledged = log.acknowledged().count();
    assert!(
        acknowledged > 0,
        "nothing was acknowledged: nothing is proven"
    );
    for gateway in gateways {
        nothing_pending(gateway).await;
    }
    check(log, sinks, Told::Once)
}

/// [`drained`], for gateways with a spool: what they cannot know while the store is away they may tell `accepted` again.
/// Then I4 holds for what is delivered: an id becomes one event.
pub async fn drained_through_spools(log: &Log, sinks: &[Sink], gateways: &[&Process]) -> Report {
    for gateway in gateways {
        spool_moved(gateway).await;
        nothing_pending(gateway).await;
    }
    check(log, sinks, Told::Again)
}

/// Waits until everything has left the spool that was accepted into it.
pub async fn spool_moved(gateway: &Process) {
    wait_within(DRAIN, "a spool that is empty", async || {
        let metrics = gateway.metrics().await;
        let value = |name| metrics.value(name, &[]).expect("a series from the start");
        let moved = metrics.sum("hookgate_spool_moved_total", "result=");
        // What an earlier run of the gateway left is moved, too.
        let all = moved >= value("hookgate_spool_accepted_total");
        (all && value("hookgate_spool_events") == 0.0).then_some(())
    })
    .await;
}

/// How often an id may be told to be `accepted`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Once,
    Again,
}

/// Waits for two measurements of the queues that began after now, and for the second to be zero.
pub async fn nothing_pending(gateway: &Process) {
    let measured = |metrics: &crate::support::metrics::Metrics| {
        let count = "hookgate_store_operation_duration_seconds_count";
        metrics.sum(count, r#"operation="depth""#)
    };
    let before = measured(&gateway.metrics().await);
    wait_within(DRAIN, "a gateway with nothing pending", async || {
        let metrics = gateway.metrics().await;
        let pending = metrics.sum("hookgate_pending_deliveries", "target=");
        (measured(&metrics) >= before + 2.0 && pending == 0.0).then_some(())
    })
    .await;
}

fn check(log: &Log, sinks: &[Sink], may_tell: Told) -> Report {
    let mut uids: BTreeMap<&str, BTreeSet<Uuid>> = BTreeMap::new();
    for (id, posting) in &log.postings {
        if may_tell == Told::Again {
            continue;
        }
        let told = posting.accepted.iter().chain(&posting.duplicate);
        uids.entry(id).or_default().extend(told);
        let accepted = posting.accepted.len();
        assert!(accepted <= 1, "{id} was accepted {accepted} times");
    }
    let mut at: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let (mut arrivals, mut distinct) = (0, 0);
    for sink in sinks {
        let mut seen = BTreeSet::new();
        for arrival in sink.arrivals() {
            let posting = log.postings.get_key_value(&arrival.id);
            let (id, posting) = posting.unwrap_or_else(|| panic!("{} never sent", arrival.id));
            assert_eq!(arrival.digest, posting.digest, "{id}: not the bytes sent");
            uids.entry(id).or_default().insert(arrival.uid);
            at.entry(id.clone()).or_default().insert(sink.name());
            seen.insert(arrival.uid);
            arrivals += 1;
        }
        distinct += seen.len();
    }
    for (id, uids) in &uids {
        assert!(uids.len() <= 1, "{id} became several events: {uids:?}");
    }
    for (id, _) in log.acknowledged() {
        assert!(at.contains_key(id), "{id} was acknowledged and is lost");
    }
    // An event without a 2xx may still be on its way, but `nothing_pending` has seen the end of that.
    for (id, at) in &at {
        assert_eq!(at.len(), sinks.len(), "{id} arrived only at {at:?}");
    }
    Report {
        sent: log.postings.len(),
        acknowledged: log.acknowledged().count(),
        accepted: log.postings.values().map(|p| p.accepted.len()).sum(),
        arrivals,
        duplicates: arrivals - distinct,
        failures: log.failures.values().sum(),
    }
}
