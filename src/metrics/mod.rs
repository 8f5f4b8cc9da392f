//! Every metric, in one place; `families.rs` has their names, labels and help texts.
//!
//! Labels come from the configuration or from enums, never from a request; every series exists from
//! the start, or from when the configuration names what it is of. What it names no longer is told as `-`.
//! Children are resolved once: the hot path adds to a counter it already holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, TextEncoder};

use crate::event::{DeadReason, RouteName, TargetName};

mod families;
mod series;

use families::Families;
use series::Series;

/// What the labels may be.
pub struct Labels<'a> {
    pub routes: &'a [RouteLabels],
    pub targets: &'a [TargetName],
    /// The `reason` of every rejection.
    pub reasons: &'a [&'static str],
}

/// One route's labels.
pub struct RouteLabels {
    pub name: RouteName,
    /// The names of its secrets and keys.
    pub credentials: Vec<String>,
    /// Those of them that end, and when, in Unix seconds.
    pub credentials_end: Vec<(String, f64)>,
    /// The names of its provider's handshakes.
    pub handshakes: Vec<&'static str>,
    /// The targets that it delivers to.
    pub targets: Vec<TargetName>,
}

pub struct Metrics {
    families: Families,
    /// Of what the configuration names now.
    series: ArcSwap<Series>,
    /// Requests that reached no route.
    pub unrouted: Arc<RouteMetrics>,
    /// Deliveries to targets that are configured no longer.
    stray: Arc<PairMetrics>,
    pub store: StoreMetrics,
    pub spool: SpoolMetrics,
    pub spans_dropped: SpansDropped,
    /// Requests that made no new event, and left no record.
    pub records_dropped: IntCounter,
    /// Deliveries that became dead letters since their target was removed.
    pub retired: IntCounter,
    /// Open connections on the public listeners.
    pub connections: IntGauge,
    /// When the served certificate ends, in Unix seconds.
    pub tls_certificate_not_after: Gauge,
    pub config_reloaded: IntCounter,
    pub config_reload_failed: IntCounter,
    pub config_last_reload_success: IntGauge,
    pub config_last_reload_timestamp: Gauge,
    pub config_restart_required: IntGauge,
}

/// One route's series.
pub struct RouteMetrics {
    pub accepted: IntCounter,
    pub duplicate: IntCounter,
    pub rejected: IntCounter,
    rejections: HashMap<&'static str, IntCounter>,
    /// From the request's head to its answer.
    pub duration: Histogram,
    credential_uses: HashMap<String, IntCounter>,
    handshakes: HashMap<&'static str, IntCounter>,
    pub duplicate_age: Histogram,
    pub conflicting_duplicates: IntCounter,
    /// Deliveries for whose order the event had no key.
    pub unordered: IntCounter,
    /// Fetches of keys that were answered …
    pub key_fetched: IntCounter,
    /// … and those that were not, or with what is of no use.
    pub key_fetch_failed: IntCounter,
}

/// One target's series.
pub struct TargetMetrics {
    pub attempt_duration: Histogram,
    pub pending: IntGauge,
    pub oldest_due: Gauge,
    pub in_flight: IntGauge,
    pub paused: IntGauge,
    pub circuit_open: IntGauge,
}

/// The series of one route's deliveries to one target.
pub struct PairMetrics {
    pub delivered: IntCounter,
    pub retried: IntCounter,
    pub dead: IntCounter,
    dead_letters: HashMap<DeadReason, IntCounter>,
    pub filtered: IntCounter,
    /// From acceptance to delivery.
    pub latency: Histogram,
}

pub struct StoreMetrics {
    durations: HashMap<&'static str, Histogram>,
    errors: HashMap<&'static str, IntCounter>,
    pub up: IntGauge,
    pub commit_batch_events: Histogram,
}

/// Where events go while the store cannot take them; all at zero without a spool.
pub struct SpoolMetrics {
    events: IntGauge,
    pub accepted: IntCounter,
    pub moved_accepted: IntCounter,
    pub moved_duplicate: IntCounter,
    pub moved_corrupt: IntCounter,
}

/// Spans that no collector has, by why.
#[derive(Clone, Debug)]
pub struct SpansDropped {
    /// Too many waited.
    pub queue_full: IntCounter,
    /// The collector answered that it does not take them.
    pub refused: IntCounter,
    /// It gave no answer, or none that could be read.
    pub no_answer: IntCounter,
}

/// The operations of the store that are measured.
pub const STORE_OPERATIONS: [&str; 22] = [
    "accept",
    "claim",
    "settle",
    "depth",
    "get",
    "list",
    "replay",
    "replays",
    "save_replay",
    "forget_replay",
    "keep_secret",
    "kept_secrets",
    "forget_secret",
    "keep_records",
    "record",
    "records",
    "pause_target",
    "resume_target",
    "paused_targets",
    "retire_targets",
    "expire",
    "ready",
];

const NO_ROUTE: &str = "-";
const NO_TARGET: &str = "-";

impl Metrics {
    /// Registers every metric and makes every series.
    pub fn new(labels: &Labels<'_>) -> Result<Self, prometheus::Error> {
        let families = Families::new()?;
        let series = Series::make(&families, labels);
        let nobody = RouteLabels {
            name: NO_ROUTE.into(),
            credentials: Vec::new(),
            credentials_end: Vec::new(),
            handshakes: Vec::new(),
            targets: Vec::new(),
        };
        let unrouted = Arc::new(families.route(&nobody, labels.reasons));
        families.finish(series, unrouted)
    }

    /// Makes the series that are not there yet, which begin at 0.
    pub fn add(&self, labels: &Labels<'_>) {
        let mut series = (**self.series.load()).clone();
        series.extend(Series::make(&self.families, labels));
        self.series.store(Arc::new(series));
    }

    /// Takes away all series but these, which keep their counts.
    pub fn retain(&self, labels: &Labels<'_>) {
        let series = Series::make(&self.families, labels);
        self.series.store(Arc::new(series));
        self.families.retain(labels);
    }

    pub fn route(&self, name: &str) -> Option<Arc<RouteMetrics>> {
        self.series.load().routes.get(name).cloned()
    }

    pub fn target(&self, name: &str) -> Option<Arc<TargetMetrics>> {
        self.series.load().targets.get(name).cloned()
    }

    /// Of a route that the configuration no longer names, or not with this target: the target's without a route. Of a
    /// target that it no longer names: those without either.
    pub fn pair(&self, route: &RouteName, target: &TargetName) -> Arc<PairMetrics> {
        let series = self.series.load();
        let pair = (route.clone(), target.clone());
        let found = series.pairs.get(&pair);
        let found = found.or_else(|| series.strays.get(target));
        found.unwrap_or(&self.stray).clone()
    }

    /// The text format, as Prometheus scrapes it.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.families.registry.gather())
    }
}

impl RouteMetrics {
    pub fn rejection(&self, reason: &'static str) {
        self.rejected.inc();
        if let Some(counter) = self.rejections.get(reason) {
            counter.inc();
        }
    }

    pub fn credential_used(&self, name: &str) {
        if let Some(counter) = self.credential_uses.get(name) {
            counter.inc();
        }
    }

    pub fn handshake(&self, name: &str) {
        if let Some(counter) = self.handshakes.get(name) {
            counter.inc();
        }
    }
}

impl PairMetrics {
    pub fn dead_letter(&self, reason: DeadReason) {
        if let Some(counter) = self.dead_letters.get(&reason) {
            counter.inc();
        }
    }
}

impl StoreMetrics {
    pub fn observe(&self, operation: &'static str, took: Duration, failed: bool) {
        if let Some(histogram) = self.durations.get(operation) {
            histogram.observe(took.as_secs_f64());
        }
        if failed && let Some(counter) = self.errors.get(operation) {
            counter.inc();
        }
    }
}

impl SpoolMetrics {
    pub fn set_events(&self, events: u64) {
        self.events.set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}
