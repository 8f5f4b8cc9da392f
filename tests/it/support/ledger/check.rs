//! Holds the senders' log and the sinks' logs together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{Arrival, FORGED, Log, Sink};
use crate::support::{metrics::Metrics, process::Process, receiver::Fate, wait_within};

/// How long a backlog may take to drain: the claims of a killed gateway fall due only when their leases end.
pub const DRAIN: Duration = Duration::from_secs(240);

/// The clock of the store ticks in milliseconds, and the sinks look at theirs a little late.
const TOLERANCE: Duration = Duration::from_millis(10);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Ids posted.
    pub sent: usize,
    /// Ids answered with a 2xx.
    pub acknowledged: usize,
    /// Ids that some post was told to be `accepted`.
    pub accepted: usize,
    /// Arrivals at all sinks.
    pub arrivals: usize,
    /// Events that were told to be delivered, sink by sink.
    pub delivered: usize,
    /// ... and that were told not to be sent again: dead letters.
    pub dead: usize,
    /// Arrivals of an event at a sink that had said it was delivered.
    pub duplicates: usize,
    /// Attempts made again under the same number: the store never heard of the first.
    pub repeated: usize,
    /// Attempts sooner than the answer before asked for, after an attempt that was lost with its gateway.
    pub early: usize,
    /// Posts without a 2xx.
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
            self.delivered,
            self.duplicates
        )
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

/// How attempts follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub factor: f64,
    pub max: Duration,
    /// The share of a wait that randomness may take away.
    pub jitter: f64,
}

impl Backoff {
    /// The least wait after the attempt of this number.
    fn least(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        if let Some(asked) = retry_after {
            return asked.clamp(self.first, self.max);
        }
        let grown = self.first.as_secs_f64() * self.factor.powf(f64::from(attempt - 1));
        let least = grown.min(self.max.as_secs_f64()) * (1.0 - self.jitter);
        Duration::from_secs_f64(least)
    }
}

/// What a check is to know beside the logs.
#[derive(Default)]
pub struct Rules<'a> {
    /// Without it the moments of the attempts are not judged.
    pub backoff: Option<Backoff>,
    /// Gateways with a spool may tell `accepted` again what they cannot know while the store is away. Then I4 holds
    /// for what is delivered.
    pub spooled: bool,
    /// From when to when something was wrong that can lose a settlement.
    pub disruptions: &'a [(Instant, Instant)],
}

/// Waits until `gateways` have nothing pending (I8), then it is as [`proven`].
pub async fn drained(log: &Log, sinks: &[Sink], gateways: &[&Process]) -> Report {
    let acknowledged = log.acknowledged().count();
    assert!(
        acknowledged > 0,
        "nothing was acknowledged: nothing is proven"
    );
    for gateway in gateways {
        nothing_pending(gateway).await;
    }
    proven(log, sinks, &Rules::default())
}

/// [`drained`], for gateways with a spool: what they cannot know while the store is away they may tell `accepted` again.
/// Then I4 holds for what is delivered: an id becomes one event.
pub async fn drained_through_spools(log: &Log, sinks: &[Sink], gateways: &[&Process]) -> Report {
    for gateway in gateways {
        spool_moved(gateway).await;
        nothing_pending(gateway).await;
    }
    let rules = Rules {
        spooled: true,
        ..Rules::default()
    };
    proven(log, sinks, &rules)
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

/// [Judges](judge) and panics at a violation.
pub fn proven(log: &Log, sinks: &[Sink], rules: &Rules<'_>) -> Report {
    let (report, violations) = judge(log, sinks, rules);
    assert!(violations.is_empty(), "{:#?}", first_of(&violations));
    report
}

/// So many that they can be read.
pub fn first_of(violations: &[Violation]) -> &[Violation] {
    &violations[..violations.len().min(10)]
}

/// Waits for two measurements of the queues that began after now, and for the second to be zero.
pub async fn nothing_pending(gateway: &Process) {
    let measured = |metrics: &Metrics| {
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

/// Of queues that are empty:
///
/// - I1: what was answered with a 2xx was delivered to every sink, or the sink refused it;
/// - I2: what never was came to every sink or to none, since event and deliveries are stored in one step;
/// - I3: no arrival's body differs from what was sent under its id, and no id was never sent;
/// - I4: an id was told to be `accepted` at most once, and it is one event: one uid in all answers and arrivals;
/// - I5: no arrival's id is a forger's;
/// - I6: no attempt comes sooner than the answer before it asked for, or, without one, the backoff; and none twice,
///   but for a settlement that a disruption can have lost.
pub fn judge(log: &Log, sinks: &[Sink], rules: &Rules<'_>) -> (Report, Vec<Violation>) {
    let mut check = Check {
        log,
        rules,
        report: Report {
            sent: log.postings.len(),
            acknowledged: log.acknowledged().count(),
            accepted: log.postings.values().map(|p| p.accepted.len()).sum(),
            failures: log.failures.values().sum(),
            ..Report::default()
        },
        violations: Vec::new(),
        uids: BTreeMap::new(),
        ended: BTreeMap::new(),
    };
    check.answers();
    for sink in sinks {
        check.sink(sink);
    }
    check.ends(sinks);
    (check.report, check.violations)
}

struct Check<'a> {
    log: &'a Log,
    rules: &'a Rules<'a>,
    report: Report,
    violations: Vec<Violation>,
    /// By id, what its answers and arrivals call it.
    uids: BTreeMap<&'a str, BTreeSet<Uuid>>,
    /// By id, the sinks at which it came, and whether it came to its end there.
    ended: BTreeMap<&'a str, BTreeMap<&'static str, bool>>,
}

impl<'a> Check<'a> {
    fn violated(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    fn answers(&mut self) {
        if self.rules.spooled {
            return;
        }
        for (id, posting) in &self.log.postings {
            let told = posting.accepted.iter().chain(&posting.duplicate);
            self.uids.entry(id).or_default().extend(told);
            let accepted = posting.accepted.len();
            if accepted > 1 {
                self.violated("I4", format!("{id} was accepted {accepted} times"));
            }
        }
    }

    fn sink(&mut self, sink: &Sink) {
        let mut deliveries: HashMap<Uuid, Vec<Arrival>> = HashMap::new();
        for arrival in sink.arrivals() {
            self.report.arrivals += 1;
            self.arrival(sink, &arrival);
            deliveries.entry(arrival.uid).or_default().push(arrival);
        }
        for arrivals in deliveries.values_mut() {
            arrivals.sort_by_key(|arrival| arrival.at);
            self.delivery(sink, arrivals);
        }
    }

    fn arrival(&mut self, sink: &Sink, arrival: &Arrival) {
        let (id, name) = (&arrival.id, sink.name());
        let Some((id, posting)) = self.log.postings.get_key_value(&**id) else {
            let invariant = if id.starts_with(FORGED) { "I5" } else { "I3" };
            let what = format!("{id} ({}) was never sent, and came to {name}", arrival.uid);
            return self.violated(invariant, what);
        };
        if arrival.digest != posting.digest {
            self.violated("I3", format!("{id}: not the bytes sent, at {name}"));
        }
        self.uids.entry(id).or_default().insert(arrival.uid);
        let ended = self.ended.entry(id).or_default().entry(name).or_default();
        *ended |= arrival.fate != Fate::Failed;
    }

    /// All arrivals of one event at one sink, in their order.
    fn delivery(&mut self, sink: &Sink, arrivals: &[Arrival]) {
        let delivered = arrivals.iter().position(|a| a.fate == Fate::Delivered);
        let refused = arrivals.iter().any(|a| a.fate == Fate::Refused);
        self.report.delivered += usize::from(delivered.is_some());
        self.report.dead += usize::from(delivered.is_none() && refused);
        self.report.duplicates += delivered.map_or(0, |first| arrivals.len() - 1 - first);
        let Some(backoff) = self.rules.backoff else {
            return;
        };
        for (index, arrival) in arrivals.iter().enumerate() {
            self.repetition(sink, arrival, &arrivals[..index]);
            self.wait(sink, arrival, &arrivals[..index], &backoff);
        }
    }

    fn repetition(&mut self, sink: &Sink, arrival: &Arrival, before: &[Arrival]) {
        let same = before.iter().find(|a| a.attempt == arrival.attempt);
        let Some(same) = same else { return };
        self.report.repeated += 1;
        if !self.disrupted(same.at, arrival.at) {
            let (id, name, attempt) = (&arrival.id, sink.name(), arrival.attempt);
            let after = arrival.at - same.at;
            let what = format!(
                "{id}: attempt {attempt} was made again at {name} after {after:?}, and nothing explains it"
            );
            self.violated("I6", what);
        }
    }

    fn wait(&mut self, sink: &Sink, arrival: &Arrival, before: &[Arrival], backoff: &Backoff) {
        let last = arrival.attempt.saturating_sub(1);
        // Where there are several under one number, any of them can be the one that was settled.
        let failed = before
            .iter()
            .filter(|a| a.attempt == last && a.fate == Fate::Failed);
        let allowed = failed
            .clone()
            .map(|a| a.answered + backoff.least(last, a.retry_after))
            .min();
        let (Some(allowed), Some(first)) = (allowed, failed.map(|a| a.at).min()) else {
            return;
        };
        if arrival.at + TOLERANCE >= allowed {
            return;
        }
        if self.disrupted(first, arrival.at) {
            self.report.early += 1;
            return;
        }
        let (id, name, early) = (&arrival.id, sink.name(), allowed - arrival.at);
        let what = format!(
            "{id}: attempt {} came {early:?} too soon at {name}; before it: {:?}",
            arrival.attempt,
            before.last()
        );
        self.violated("I6", what);
    }

    fn disrupted(&self, from: Instant, to: Instant) -> bool {
        let mut all = self.rules.disruptions.iter();
        all.any(|(began, ended)| *began <= to && *ended >= from)
    }

    fn ends(&mut self, sinks: &[Sink]) {
        let several = std::mem::take(&mut self.uids).into_iter();
        for (id, uids) in several.filter(|(_, uids)| uids.len() > 1) {
            self.violated("I4", format!("{id} became several events: {uids:?}"));
        }
        let ended = std::mem::take(&mut self.ended);
        for (id, posting) in &self.log.postings {
            let nowhere = BTreeMap::new();
            let at = ended.get(id.as_str()).unwrap_or(&nowhere);
            let known = posting.is_acknowledged() || !at.is_empty();
            let missing: Vec<_> = sinks
                .iter()
                .map(Sink::name)
                .filter(|name| !at.get(name).is_some_and(|ended| *ended))
                .collect();
            if !known || missing.is_empty() {
                continue;
            }
            if posting.is_acknowledged() {
                let uids = posting.accepted.iter().chain(&posting.duplicate).next();
                let what = format!("{id} ({uids:?}) was acknowledged and is lost at {missing:?}");
                self.violated("I1", what);
            } else {
                let came: Vec<_> = at.keys().collect();
                let what =
                    format!("{id} was not acknowledged, came to {came:?}, not to {missing:?}");
                self.violated("I2", what);
            }
        }
    }
}
