//! Carries single deliveries to one target: check, attempt, decide, settle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    LEASE_MARGIN,
    attempt::{Answer, attempt},
    client::HttpClient,
    outcome::{Reply, decide},
    request::Template,
};
use crate::{
    clock::{Clock, Timestamp},
    config::Target,
    event::{AttemptRecord, BodyDigest, DeadReason, Outcome},
    metrics::{Metrics, TargetMetrics},
    store::{
        Claimed, Settled, Settlement, Store,
        handover::{Gate, Origin, Queued},
    },
};

/// The waits between tries to settle while the store is away.
const SETTLE_RETRY_FIRST: Duration = Duration::from_millis(50);
const SETTLE_RETRY_MAX: Duration = Duration::from_secs(2);
/// So much of an event's id is logged.
const LOGGED_ID_CHARS: usize = 64;

/// What a target's deliveries need.
pub(super) struct Courier {
    pub(super) target: Arc<Target>,
    pub(super) client: HttpClient,
    pub(super) template: Template,
    pub(super) gate: Arc<Gate>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) target_metrics: Option<Arc<TargetMetrics>>,
    pub(super) clock: Clock,
    /// Cut off what is still under way.
    pub(super) abort: CancellationToken,
}

impl Courier {
    /// Sees one delivery to its end; `slot` is given back as soon as the attempt is over.
    pub(super) async fn carry(&self, queued: Queued, slot: OwnedSemaphorePermit) {
        let Queued { claimed, origin } = queued;
        if self.too_late(&claimed) {
            drop(slot);
            return self.release(claimed).await;
        }
        let started_at = self.clock.now();
        let begun = Instant::now();
        if origin == Origin::Store && BodyDigest::of(&claimed.event.body) != claimed.event.digest {
            drop(slot);
            return self.bury_corrupt(claimed, started_at).await;
        }
        let answer = self.attempt(&claimed).await;
        drop(slot);
        let duration = begun.elapsed();
        let outcome = decide(
            &answer.reply,
            &self.target.retry,
            &self.target.retry_on,
            claimed.attempts,
            claimed.event.received_at,
            self.clock.now(),
            rand::random(),
        );
        self.count(&claimed, &outcome, duration);
        let record = record(answer, started_at, duration);
        self.settle(&claimed, outcome, Some(record)).await;
    }

    /// Gives a delivery that was not begun back to the store.
    pub(super) async fn release(&self, claimed: Claimed) {
        self.settle(&claimed, Outcome::Released, None).await;
    }

    /// Whether the claim could end before the attempt does: then another gateway might begin it too.
    fn too_late(&self, claimed: &Claimed) -> bool {
        let left = claimed.lease.ends.saturating_duration_since(Instant::now());
        left < self.target.timeout + LEASE_MARGIN
    }

    async fn attempt(&self, claimed: &Claimed) -> Answer {
        let _in_flight = self
            .target_metrics
            .as_ref()
            .map(|metrics| InFlight::begin(&metrics.in_flight));
        let number = claimed.attempts.saturating_add(1);
        let request = self.template.request(&claimed.event, number);
        tokio::select! {
            biased;
            answer = attempt(&self.client, request, self.target.timeout, &self.clock) => answer,
            () = self.abort.cancelled() => Answer {
                reply: Reply::Network("cut off: the gateway stopped".to_owned()),
                status: None,
                response_head: Bytes::new(),
            },
        }
    }

    async fn bury_corrupt(&self, claimed: Claimed, started_at: Timestamp) {
        tracing::error!(
            target_name = %self.target.name,
            event = %claimed.event.uid,
            "the stored body does not match its digest; it is not delivered"
        );
        let record = AttemptRecord {
            started_at,
            duration: Duration::ZERO,
            status: None,
            error: Some("the stored body does not match its digest".to_owned()),
            response_head: Bytes::new(),
        };
        let outcome = Outcome::Dead(DeadReason::Corrupt);
        self.settle(&claimed, outcome, Some(record)).await;
    }

    /// Attempts count whether or not their settlement gets through; dead letters only when it did.
    fn count(&self, claimed: &Claimed, outcome: &Outcome, took: Duration) {
        if let Some(metrics) = &self.target_metrics {
            metrics.attempt_duration.observe(took.as_secs_f64());
        }
        let event = &claimed.event;
        let Some(pair) = self.metrics.pair(&event.route, &claimed.target) else {
            return;
        };
        match outcome {
            Outcome::Delivered => {
                pair.delivered.inc();
                let age = self.clock.now().since(event.received_at);
                pair.latency.observe(age.as_secs_f64());
            }
            Outcome::Retry(_) => pair.retried.inc(),
            Outcome::Dead(_) => pair.dead.inc(),
            Outcome::Released => {}
        }
    }

    async fn settle(&self, claimed: &Claimed, outcome: Outcome, attempt: Option<AttemptRecord>) {
        let settlement = Settlement {
            uid: claimed.event.uid,
            target: claimed.target.clone(),
            token: claimed.lease.token,
            outcome,
            attempt,
        };
        let settled = self.settle_until(&settlement, claimed.lease.ends).await;
        log(claimed, &settlement, settled);
        if settled != Some(Settled::Done) {
            return;
        }
        match settlement.outcome {
            Outcome::Retry(wait) => self.gate.due_again_in(wait),
            Outcome::Released => self.gate.due_again_in(Duration::ZERO),
            Outcome::Dead(reason) => {
                if let Some(pair) = self.metrics.pair(&claimed.event.route, &claimed.target) {
                    pair.dead_letter(reason);
                }
            }
            Outcome::Delivered => {}
        }
    }

    /// `None`: the store was away until the lease ended (or the gateway stopped); it falls due again by itself.
    async fn settle_until(&self, settlement: &Settlement, ends: Instant) -> Option<Settled> {
        let mut wait = SETTLE_RETRY_FIRST;
        loop {
            let error = match self.store.settle(settlement.clone()).await {
                Ok(settled) => return Some(settled),
                Err(error) => error,
            };
            let no_time = Instant::now() + wait >= ends;
            if no_time || self.abort.is_cancelled() {
                tracing::warn!(target_name = %settlement.target, event = %settlement.uid, %error,
                    "could not settle a delivery; it falls due again");
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.abort.cancelled() => {}
            }
            wait = (wait * 2).min(SETTLE_RETRY_MAX);
        }
    }
}

fn record(answer: Answer, started_at: Timestamp, duration: Duration) -> AttemptRecord {
    AttemptRecord {
        started_at,
        duration,
        status: answer.status,
        error: match answer.reply {
            Reply::Network(text) => Some(text),
            Reply::Status { .. } => None,
        },
        response_head: answer.response_head,
    }
}

/// One line an attempt at debug; dead letters at info.
fn log(claimed: &Claimed, settlement: &Settlement, settled: Option<Settled>) {
    let Some(attempt) = &settlement.attempt else {
        return;
    };
    let event = &claimed.event;
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                route = %event.route,
                target_name = %claimed.target,
                event = %event.uid,
                id = %event.id.chars().take(LOGGED_ID_CHARS).collect::<String>().escape_default(),
                attempt = claimed.attempts.saturating_add(1),
                status = attempt.status,
                error = attempt.error,
                outcome = ?settlement.outcome,
                ?settled,
                $message
            )
        };
    }
    match settlement.outcome {
        Outcome::Dead(_) => line!(info, "dead letter"),
        _ => line!(debug, "attempt"),
    }
}

/// Counts an attempt as under way until it is dropped, however it ends.
struct InFlight(IntGauge);

impl InFlight {
    fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
