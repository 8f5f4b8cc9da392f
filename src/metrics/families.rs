//! The label families: known only while the series are made. The help texts stand here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::event::DeadReason;

use super::{
    Labels, Metrics, NO_ROUTE, NO_TARGET, PairMetrics, RouteLabels, RouteMetrics, STORE_OPERATIONS,
    SpansDropped, SpoolMetrics, StoreMetrics, TargetMetrics,
    series::{Series, sweep},
};

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

pub(super) struct Families {
    pub(super) registry: Registry,
    requests: IntCounterVec,
    rejections: IntCounterVec,
    request_duration: HistogramVec,
    credential_uses: IntCounterVec,
    credential_not_after: GaugeVec,
    handshakes: IntCounterVec,
    duplicate_age: HistogramVec,
    conflicting_duplicates: IntCounterVec,
    unordered: IntCounterVec,
    key_fetches: IntCounterVec,
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    latency: HistogramVec,
    dead_letters: IntCounterVec,
    filtered: IntCounterVec,
    pending: IntGaugeVec,
    oldest_due: GaugeVec,
    in_flight: IntGaugeVec,
    paused: IntGaugeVec,
    circuit_open: IntGaugeVec,
}

impl Families {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
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
            credential_not_after: gauges(
                r,
                "credential_not_after_timestamp_seconds",
                "When each secret or key ends that has a `not_after`; the others have no series.",
                &["route", "credential"],
            )?,
            handshakes: counters(
                r,
                "handshakes_total",
                "Providers' handshakes that were answered.",
                &["route", "handshake"],
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
            unordered: counters(
                r,
                "unordered_deliveries_total",
                "Deliveries whose `order_by` found no string, number or boolean to order them by.",
                &["route"],
            )?,
            key_fetches: counters(
                r,
                "key_fetches_total",
                "Fetches of keys and certificates by the route that needed them and result (ok, failed).",
                &["route", "result"],
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
            filtered: counters(
                r,
                "filtered_deliveries_total",
                "Deliveries that `when` did not want, by route and target.",
                &["route", "target"],
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
            circuit_open: int_gauges(
                r,
                "target_circuit_open",
                "1 when the target's circuit is open or half-open.",
                &["target"],
            )?,
            registry,
        })
    }

    pub(super) fn route(&self, route: &RouteLabels, reasons: &[&'static str]) -> RouteMetrics {
        let name = &*route.name;
        for (credential, end) in &route.credentials_end {
            let gauge = &self.credential_not_after;
            gauge.with_label_values(&[name, credential]).set(*end);
        }
        RouteMetrics {
            accepted: self.requests.with_label_values(&[name, "accepted"]),
            duplicate: self.requests.with_label_values(&[name, "duplicate"]),
            rejected: self.requests.with_label_values(&[name, "rejected"]),
            rejections: reasons
                .iter()
                .map(|&reason| (reason, self.rejections.with_label_values(&[name, reason])))
                .collect(),
            duration: self.request_duration.with_label_values(&[name]),
            credential_uses: route
                .credentials
                .iter()
                .map(|credential| {
                    (
                        credential.clone(),
                        self.credential_uses
                            .with_label_values(&[name, credential.as_str()]),
                    )
                })
                .collect(),
            handshakes: route
                .handshakes
                .iter()
                .map(|&handshake| {
                    let counter = self.handshakes.with_label_values(&[name, handshake]);
                    (handshake, counter)
                })
                .collect(),
            duplicate_age: self.duplicate_age.with_label_values(&[name]),
            conflicting_duplicates: self.conflicting_duplicates.with_label_values(&[name]),
            unordered: self.unordered.with_label_values(&[name]),
            key_fetched: self.key_fetches.with_label_values(&[name, "ok"]),
            key_fetch_failed: self.key_fetches.with_label_values(&[name, "failed"]),
        }
    }

    pub(super) fn target(&self, name: &str) -> TargetMetrics {
        TargetMetrics {
            attempt_duration: self.attempt_duration.with_label_values(&[name]),
            pending: self.pending.with_label_values(&[name]),
            oldest_due: self.oldest_due.with_label_values(&[name]),
            in_flight: self.in_flight.with_label_values(&[name]),
            paused: self.paused.with_label_values(&[name]),
            circuit_open: self.circuit_open.with_label_values(&[name]),
        }
    }

    pub(super) fn pair(&self, route: &str, target: &str) -> PairMetrics {
        // A removed target has no series to count on: `Metrics::retired`.
        let reasons = DeadReason::ALL
            .into_iter()
            .filter(|reason| *reason != DeadReason::TargetRemoved);
        PairMetrics {
            delivered: self
                .attempts
                .with_label_values(&[route, target, "delivered"]),
            retried: self.attempts.with_label_values(&[route, target, "retry"]),
            dead: self.attempts.with_label_values(&[route, target, "dead"]),
            dead_letters: reasons
                .map(|reason| {
                    (
                        reason,
                        self.dead_letters
                            .with_label_values(&[route, target, reason.as_str()]),
                    )
                })
                .collect(),
            filtered: self.filtered.with_label_values(&[route, target]),
            latency: self.latency.with_label_values(&[route, target]),
        }
    }

    /// Takes away the series of routes, targets, credentials and handshakes that are not among these.
    pub(super) fn retain(&self, labels: &Labels<'_>) {
        let (mut routes, mut credentials) = (HashSet::from([NO_ROUTE]), HashSet::new());
        let (mut ends, mut handshakes, mut pairs) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for route in labels.routes {
            let name = &*route.name;
            routes.insert(name);
            credentials.extend(route.credentials.iter().map(|other| (name, other.as_str())));
            let ending = route.credentials_end.iter();
            ends.extend(ending.map(|(credential, _)| (name, credential.as_str())));
            handshakes.extend(route.handshakes.iter().map(|&other| (name, other)));
            pairs.extend(route.targets.iter().map(|other| (name, &**other)));
        }
        let targets: HashSet<_> = labels.targets.iter().map(|target| &**target).collect();

        let of_route = |found: &HashMap<&str, &str>| routes.contains(at(found, "route"));
        let of_target = |found: &HashMap<&str, &str>| targets.contains(at(found, "target"));
        let of_pair = |found: &HashMap<&str, &str>| {
            let pair = (at(found, "route"), at(found, "target"));
            let is_stray = pair.0 == NO_ROUTE && (pair.1 == NO_TARGET || targets.contains(pair.1));
            is_stray || pairs.contains(&pair)
        };
        sweep(&self.requests, of_route);
        sweep(&self.rejections, of_route);
        sweep(&self.request_duration, of_route);
        sweep(&self.duplicate_age, of_route);
        sweep(&self.conflicting_duplicates, of_route);
        sweep(&self.unordered, of_route);
        sweep(&self.key_fetches, of_route);
        sweep(&self.credential_uses, |found| {
            credentials.contains(&(at(found, "route"), at(found, "credential")))
        });
        sweep(&self.credential_not_after, |found| {
            ends.contains(&(at(found, "route"), at(found, "credential")))
        });
        sweep(&self.handshakes, |found| {
            handshakes.contains(&(at(found, "route"), at(found, "handshake")))
        });
        sweep(&self.attempts, of_pair);
        sweep(&self.latency, of_pair);
        sweep(&self.dead_letters, of_pair);
        sweep(&self.filtered, of_pair);
        sweep(&self.attempt_duration, of_target);
        sweep(&self.pending, of_target);
        sweep(&self.oldest_due, of_target);
        sweep(&self.in_flight, of_target);
        sweep(&self.paused, of_target);
        sweep(&self.circuit_open, of_target);
    }

    /// Registers what has no family and puts the whole together.
    pub(super) fn finish(
        self,
        series: Series,
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
        let spool_events = int_gauges(
            r,
            "spool_events",
            "Events in the spool that are not yet moved to the store.",
            &[],
        )?;
        let spool_accepted = counters(
            r,
            "spool_accepted_total",
            "Events accepted into the spool.",
            &[],
        )?;
        let moved = counters(
            r,
            "spool_moved_total",
            "Events that left the spool: accepted by the store, a duplicate there, or corrupt.",
            &["result"],
        )?;
        let spans_dropped = counters(
            r,
            "spans_dropped_total",
            "Spans that no collector has: too many waited (queue_full), it did not take them (refused), or did not answer (no_answer).",
            &["reason"],
        )?;
        let records_dropped = counters(
            r,
            "records_dropped_total",
            "Refused requests, duplicates and handshakes that left no record, because there were too many.",
            &[],
        )?;
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
            "Always 1; the labels tell the version and the commit that it was built from.",
            &["version", "commit"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), env!("HOOKGATE_BUILT_FROM")])
            .set(1);
        let reloads = counters(
            r,
            "config_reloads_total",
            "Reloads of the configuration by result (ok, failed).",
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
            "When the configuration that is served was loaded.",
            &[],
        )?;
        let restart_required = int_gauges(
            r,
            "config_restart_required",
            "1 when the configuration has changes that only a restart applies.",
            &[],
        )?;
        #[cfg(target_os = "linux")]
        r.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Metrics {
            series: ArcSwap::from_pointee(series),
            unrouted,
            stray: Arc::new(self.pair(NO_ROUTE, NO_TARGET)),
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
            spool: SpoolMetrics {
                events: spool_events.with_label_values(&[] as &[&str]),
                accepted: spool_accepted.with_label_values(&[] as &[&str]),
                moved_accepted: moved.with_label_values(&["accepted"]),
                moved_duplicate: moved.with_label_values(&["duplicate"]),
                moved_corrupt: moved.with_label_values(&["corrupt"]),
            },
            spans_dropped: SpansDropped {
                queue_full: spans_dropped.with_label_values(&["queue_full"]),
                refused: spans_dropped.with_label_values(&["refused"]),
                no_answer: spans_dropped.with_label_values(&["no_answer"]),
            },
            records_dropped: records_dropped.with_label_values(&[] as &[&str]),
            retired: self.dead_letters.with_label_values(&[
                NO_ROUTE,
                NO_TARGET,
                DeadReason::TargetRemoved.as_str(),
            ]),
            connections: connections.with_label_values(&[] as &[&str]),
            tls_certificate_not_after: not_after.with_label_values(&[] as &[&str]),
            config_reloaded: reloads.with_label_values(&["ok"]),
            config_reload_failed: reloads.with_label_values(&["failed"]),
            config_last_reload_success: reload_success.with_label_values(&[] as &[&str]),
            config_last_reload_timestamp: reload_at.with_label_values(&[] as &[&str]),
            config_restart_required: restart_required.with_label_values(&[] as &[&str]),
            families: self,
        })
    }
}

fn at<'l>(found: &HashMap<&str, &'l str>, label: &str) -> &'l str {
    found.get(label).copied().unwrap_or_default()
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
