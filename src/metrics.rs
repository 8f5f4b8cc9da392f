//! Every metric, in one place.
//!
//! Labels come from the configuration or from enums, never from a request; every series exists from
//! the start. Children are resolved once: the hot path adds to a counter it already holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::event::{DeadReason, RouteName, TargetName};

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
    /// The targets that it delivers to.
    pub targets: Vec<TargetName>,
}

pub struct Metrics {
    registry: Registry,
    routes: HashMap<RouteName, Arc<RouteMetrics>>,
    targets: HashMap<TargetName, Arc<TargetMetrics>>,
    pairs: HashMap<(RouteName, TargetName), Arc<PairMetrics>>,
    /// Requests that reached no route.
    pub unrouted: Arc<RouteMetrics>,
    pub store: StoreMetrics,
    /// Open connections on the public listeners.
    pub connections: IntGauge,
    /// When the served certificate ends, in Unix seconds.
    pub tls_certificate_not_after: Gauge,
    pub config_reloads: HashMap<&'static str, IntCounter>,
    pub config_last_reload_success: IntGauge,
    pub config_last_reload_timestamp: Gauge,
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
    pub duplicate_age: Histogram,
    pub conflicting_duplicates: IntCounter,
}

/// One target's series.
pub struct TargetMetrics {
    pub attempt_duration: Histogram,
    pub pending: IntGauge,
    pub oldest_due: Gauge,
    pub in_flight: IntGauge,
    pub paused: IntGauge,
}

/// The series of one route's deliveries to one target.
pub struct PairMetrics {
    pub delivered: IntCounter,
    pub retried: IntCounter,
    pub dead: IntCounter,
    dead_letters: HashMap<DeadReason, IntCounter>,
    /// From acceptance to delivery.
    pub latency: Histogram,
}

pub struct StoreMetrics {
    durations: HashMap<&'static str, Histogram>,
    errors: HashMap<&'static str, IntCounter>,
    pub up: IntGauge,
    pub commit_batch_events: Histogram,
}

/// The operations of the store that are measured.
pub const STORE_OPERATIONS: [&str; 8] = [
    "accept",
    "claim",
    "settle",
    "depth",
    "get",
    "retire_targets",
    "expire",
    "ready",
];

const NO_ROUTE: &str = "-";

impl Metrics {
    /// Registers every metric and makes every series.
    pub fn new(labels: &Labels<'_>) -> Result<Self, prometheus::Error> {
        let families = Families::new()?;
        let routes = labels
            .routes
            .iter()
            .map(|route| {
                (
                    route.name.clone(),
                    Arc::new(families.route(&route.name, &route.credentials, labels.reasons)),
                )
            })
            .collect();
        let targets = labels
            .targets
            .iter()
            .map(|name| (name.clone(), Arc::new(families.target(name))))
            .collect();
        let pairs = labels
            .routes
            .iter()
            .flat_map(|route| {
                route
                    .targets
                    .iter()
                    .map(move |target| (route.name.clone(), target.clone()))
            })
            .map(|(route, target)| {
                let pair = Arc::new(families.pair(&route, &target));
                ((route, target), pair)
            })
            .collect();
        let unrouted = Arc::new(families.route(NO_ROUTE, &[], labels.reasons));
        families.finish(routes, targets, pairs, unrouted)
    }

    pub fn route(&self, name: &str) -> Option<Arc<RouteMetrics>> {
        self.routes.get(name).cloned()
    }

    pub fn target(&self, name: &str) -> Option<Arc<TargetMetrics>> {
        self.targets.get(name).cloned()
    }

    /// `None` for a pair that the configuration no longer names but the store still holds.
    pub fn pair(&self, route: &RouteName, target: &TargetName) -> Option<Arc<PairMetrics>> {
        self.pairs.get(&(route.clone(), target.clone())).cloned()
    }

    /// The text format, as Prometheus scrapes it.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
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
}

impl PairMetrics {
    pub fn dead_letter(&self, reason: DeadReason) {
        self.dead.inc();
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

/// Seconds, from a tenth of a millisecond to ten seconds.
const FAST: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
/// Seconds, from a millisecond to three days.
const SLOW: [f64; 16] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0,
    86_400.0, 259_200.0,
];
const BATCH: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The label families: known only while the series are made.
struct Families {
    registry: Registry,
    requests: IntCounterVec,
    rejections: IntCounterVec,
    request_duration: HistogramVec,
    credential_uses: IntCounterVec,
    duplicate_age: HistogramVec,
    conflicting_duplicates: IntCounterVec,
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    latency: HistogramVec,
    dead_letters: IntCounterVec,
    pending: IntGaugeVec,
    oldest_due: GaugeVec,
    in_flight: IntGaugeVec,
    paused: IntGaugeVec,
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            requests: counters(
                r,
                "requests_total",
                "Requests by route and outcome (accepted, duplicate, rejected).",
                &["route", "outcome"],
            )?,
            rejections: counters(
                r,
                "rejections_total",
                "Rejected requests by route and reason.",
                &["route", "reason"],
            )?,
            request_duration: histograms(
                r,
                "request_duration_seconds",
                "Time from a request's head to its answer.",
                &["route"],
                &FAST,
            )?,
            credential_uses: counters(
                r,
                "credential_uses_total",
                "Requests proven by each secret or key.",
                &["route", "credential"],
            )?,
            duplicate_age: histograms(
                r,
                "duplicate_age_seconds",
                "How long after the first a duplicate came.",
                &["route"],
                &SLOW,
            )?,
            conflicting_duplicates: counters(
                r,
                "conflicting_duplicates_total",
                "Duplicates whose body was another than the first one's.",
                &["route"],
            )?,
            attempts: counters(
                r,
                "delivery_attempts_total",
                "Attempts by route, target and outcome (delivered, retry, dead).",
                &["route", "target", "outcome"],
            )?,
            attempt_duration: histograms(
                r,
                "delivery_attempt_duration_seconds",
                "Time of one attempt.",
                &["target"],
                &FAST,
            )?,
            latency: histograms(
                r,
                "delivery_latency_seconds",
                "Time from acceptance to delivery.",
                &["route", "target"],
                &SLOW,
            )?,
            dead_letters: counters(
                r,
                "dead_letters_total",
                "Dead letters by route, target and reason.",
                &["route", "target", "reason"],
            )?,
            pending: int_gauges(
                r,
                "pending_deliveries",
                "Deliveries not yet settled.",
                &["target"],
            )?,
            oldest_due: gauges(
                r,
                "oldest_due_seconds",
                "Age of the oldest past-due delivery.",
                &["target"],
            )?,
            in_flight: int_gauges(r, "target_in_flight", "Attempts under way.", &["target"])?,
            paused: int_gauges(
                r,
                "target_paused",
                "1 when the target is paused.",
                &["target"],
            )?,
            registry,
        })
    }

    fn route(&self, name: &str, credentials: &[String], reasons: &[&'static str]) -> RouteMetrics {
        RouteMetrics {
            accepted: self.requests.with_label_values(&[name, "accepted"]),
            duplicate: self.requests.with_label_values(&[name, "duplicate"]),
            rejected: self.requests.with_label_values(&[name, "rejected"]),
            rejections: reasons
                .iter()
                .map(|&reason| (reason, self.rejections.with_label_values(&[name, reason])))
                .collect(),
            duration: self.request_duration.with_label_values(&[name]),
            credential_uses: credentials
                .iter()
                .map(|credential| {
                    (
                        credential.clone(),
                        self.credential_uses
                            .with_label_values(&[name, credential.as_str()]),
                    )
                })
                .collect(),
            duplicate_age: self.duplicate_age.with_label_values(&[name]),
            conflicting_duplicates: self.conflicting_duplicates.with_label_values(&[name]),
        }
    }

    fn target(&self, name: &str) -> TargetMetrics {
        TargetMetrics {
            attempt_duration: self.attempt_duration.with_label_values(&[name]),
            pending: self.pending.with_label_values(&[name]),
            oldest_due: self.oldest_due.with_label_values(&[name]),
            in_flight: self.in_flight.with_label_values(&[name]),
            paused: self.paused.with_label_values(&[name]),
        }
    }

    fn pair(&self, route: &str, target: &str) -> PairMetrics {
        PairMetrics {
            delivered: self
                .attempts
                .with_label_values(&[route, target, "delivered"]),
            retried: self.attempts.with_label_values(&[route, target, "retry"]),
            dead: self.attempts.with_label_values(&[route, target, "dead"]),
            dead_letters: DeadReason::ALL
                .into_iter()
                .map(|reason| {
                    (
                        reason,
                        self.dead_letters
                            .with_label_values(&[route, target, reason.as_str()]),
                    )
                })
                .collect(),
            latency: self.latency.with_label_values(&[route, target]),
        }
    }

    /// Registers what has no family and puts the whole together.
    fn finish(
        self,
        routes: HashMap<RouteName, Arc<RouteMetrics>>,
        targets: HashMap<TargetName, Arc<TargetMetrics>>,
        pairs: HashMap<(RouteName, TargetName), Arc<PairMetrics>>,
        unrouted: Arc<RouteMetrics>,
    ) -> Result<Metrics, prometheus::Error> {
        let r = &self.registry;
        let durations = histograms(
            r,
            "store_operation_duration_seconds",
            "Time of one store operation.",
            &["operation"],
            &FAST,
        )?;
        let errors = counters(
            r,
            "store_errors_total",
            "Store operations without a known result.",
            &["operation"],
        )?;
        let batch = histograms(
            r,
            "commit_batch_events",
            "Events in one durable commit.",
            &[],
            &BATCH,
        )?;
        let up = int_gauges(r, "store_up", "1 when the store answers.", &[])?;
        let connections = int_gauges(
            r,
            "connections",
            "Open connections on the public listeners.",
            &[],
        )?;
        let not_after = gauges(
            r,
            "tls_certificate_not_after_timestamp_seconds",
            "When the served certificate ends.",
            &[],
        )?;
        let build = int_gauges(
            r,
            "build_info",
            "Always 1; the label tells the version.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let reloads = counters(
            r,
            "config_reloads_total",
            "Configuration loads by result.",
            &["result"],
        )?;
        let reload_success = int_gauges(
            r,
            "config_last_reload_success",
            "1 when the last load succeeded.",
            &[],
        )?;
        let reload_at = gauges(
            r,
            "config_last_reload_timestamp_seconds",
            "When the configuration was last loaded.",
            &[],
        )?;
        #[cfg(target_os = "linux")]
        r.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Metrics {
            routes,
            targets,
            pairs,
            unrouted,
            store: StoreMetrics {
                durations: STORE_OPERATIONS
                    .into_iter()
                    .map(|op| (op, durations.with_label_values(&[op])))
                    .collect(),
                errors: STORE_OPERATIONS
                    .into_iter()
                    .map(|op| (op, errors.with_label_values(&[op])))
                    .collect(),
                up: up.with_label_values(&[] as &[&str]),
                commit_batch_events: batch.with_label_values(&[] as &[&str]),
            },
            connections: connections.with_label_values(&[] as &[&str]),
            tls_certificate_not_after: not_after.with_label_values(&[] as &[&str]),
            config_reloads: ["success", "failure"]
                .into_iter()
                .map(|result| (result, reloads.with_label_values(&[result])))
                .collect(),
            config_last_reload_success: reload_success.with_label_values(&[] as &[&str]),
            config_last_reload_timestamp: reload_at.with_label_values(&[] as &[&str]),
            registry: self.registry,
        })
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("hookgate")
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let family = IntCounterVec::new(opts(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn int_gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let family = IntGaugeVec::new(opts(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    let family = GaugeVec::new(opts(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let family = HistogramVec::new(
        HistogramOpts::new(name, help)
            .namespace("hookgate")
            .buckets(buckets.to_vec()),
        labels,
    )?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
