//! Carries single deliveries to one target: check, attempt, decide.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    LEASE_MARGIN,
    attempt::{Answer, attempt},
    breaker,
    circuit::Circuit,
    client::HttpClient,
    expressions::{Expressions, Prepared},
    outcome::{Reply, decide, speaks_of_target},
    request::Template,
    settler::{Ended, Settlements},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{RetryOn, Target},
    event::{AttemptRecord, BodyDigest, DeadReason, Event, Outcome},
    expression::ALLOWANCE,
    metrics::{Metrics, TargetMetrics},
    store::{
        Claimed,
        handover::{Admission, Gate, Origin, Presence},
    },
    trace::{self, TRACEPARENT, Tracer},
};

const HOOKGATE_REPLAY: HeaderName = HeaderName::from_static("hookgate-replay");

/// A delivery on its way.
pub(super) struct Parcel {
    pub(super) claimed: Claimed,
    /// Held until it is settled.
    pub(super) unsettled: Option<OwnedSemaphorePermit>,
}

/// What a target's deliveries need.
pub(super) struct Courier {
    pub(super) target: Arc<Target>,
    pub(super) client: HttpClient,
    pub(super) template: Template,
    pub(super) expressions: Expressions,
    pub(super) gate: Arc<Gate>,
    pub(super) presence: Arc<Presence>,
    /// `None`: the breaker is off.
    pub(super) circuit: Option<Circuit>,
    pub(super) settlements: Settlements,
    pub(super) metrics: Arc<Metrics>,
    pub(super) target_metrics: Option<Arc<TargetMetrics>>,
    pub(super) clock: Clock,
    pub(super) tracer: Tracer,
    /// Cut off what is still under way.
    pub(super) abort: CancellationToken,
}

impl Courier {
    /// Sees one delivery to its end; `slot` is given back as soon as the attempt is over.
    pub(super) async fn carry(
        &self,
        parcel: Parcel,
        origin: Origin,
        mut admission: Admission,
        slot: OwnedSemaphorePermit,
    ) {
        let claimed = &parcel.claimed;
        let mut started_at = self.clock.now();
        let mut begun = Instant::now();
        if origin == Origin::Store && BodyDigest::of(&claimed.event.body) != claimed.event.digest {
            return self.bury_corrupt(parcel, started_at);
        }
        let mut event = claimed.event.clone();
        if self.evaluates(claimed) {
            match self.prepare(&event).await {
                // Its lease has room for both: see `too_late`.
                Some(Prepared::Ready(ready)) if admission.begin() => event = ready,
                prepared => {
                    drop((admission, slot));
                    return self.end_unsent(parcel, prepared, started_at, begun.elapsed());
                }
            }
            (started_at, begun) = (self.clock.now(), Instant::now());
        }
        let number = claimed.attempts.saturating_add(1);
        let tracer = &self.tracer;
        let span = tracer.attempt(&event, &self.target.name, number, started_at);
        let answer = self.attempt(claimed, &event, number, span.as_ref()).await;
        self.judge(&answer.reply, &admission);
        drop((admission, slot));
        let duration = begun.elapsed();
        let outcome = self.decide(claimed, &answer.reply, &self.target.retry_on);
        self.count(claimed, &outcome, Some(duration));
        let record = record(answer, started_at, duration);
        if let Some(span) = span {
            trace(span, &outcome, &record);
        }
        self.end(parcel, outcome, Some(record));
    }

    /// Whether expressions say if and how this delivery is sent.
    pub(super) fn evaluates(&self, claimed: &Claimed) -> bool {
        self.expressions.has(&claimed.event.route)
    }

    /// `None`: the gateway stops.
    async fn prepare(&self, event: &Arc<Event>) -> Option<Prepared> {
        tokio::select! {
            biased;
            prepared = self.expressions.prepare(event) => Some(prepared),
            () = self.abort.cancelled() => None,
        }
    }

    /// Of a delivery that no request was made for. It says nothing about the target.
    fn end_unsent(
        &self,
        parcel: Parcel,
        prepared: Option<Prepared>,
        started_at: Timestamp,
        duration: Duration,
    ) {
        let claimed = &parcel.claimed;
        let (outcome, why) = match prepared {
            None | Some(Prepared::Ready(_) | Prepared::NoWorker) => return self.release(parcel),
            Some(Prepared::Unwanted) => return self.end(parcel, Outcome::Filtered, None),
            Some(Prepared::Failed(why)) => (Outcome::Dead(DeadReason::ExpressionFailed), why),
            Some(Prepared::Unable(why)) => {
                tracing::warn!(
                    target_name = %self.target.name,
                    event = %claimed.event.uid,
                    error = why,
                    "an expression could not be evaluated"
                );
                // Not the target's doing, so its `retry_on` does not speak of it.
                let reply = Reply::Network(why.clone());
                (self.decide(claimed, &reply, &RetryOn::Default), why)
            }
        };
        self.count(claimed, &outcome, None);
        let record = AttemptRecord {
            started_at,
            duration,
            status: None,
            error: Some(why),
            response_head: Bytes::new(),
        };
        self.end(parcel, outcome, Some(record));
    }

    fn decide(&self, claimed: &Claimed, reply: &Reply, retry_on: &RetryOn) -> Outcome {
        let received_at = claimed.event.received_at;
        let replayed_at = claimed.replayed_at;
        decide(
            reply,
            &self.target.retry,
            retry_on,
            claimed.attempts,
            replayed_at.map_or(received_at, |at| at.max(received_at)),
            self.clock.now(),
            rand::random(),
        )
    }

    /// Tells the breaker; what the gateway itself cut off says nothing about the target.
    fn judge(&self, reply: &Reply, admission: &Admission) {
        let Some(circuit) = &self.circuit else {
            return;
        };
        let failed = speaks_of_target(reply, &self.target.retry_on);
        if !(failed && self.abort.is_cancelled()) {
            let trial = admission.is_trial();
            circuit.record(breaker::Result { failed, trial });
        }
    }

    /// Gives a delivery that was not begun back to the store.
    pub(super) fn release(&self, parcel: Parcel) {
        self.end(parcel, Outcome::Released, None);
    }

    /// Whether the claim could end before the attempt does: then another gateway might begin it too.
    pub(super) fn too_late(&self, claimed: &Claimed) -> bool {
        let left = claimed.lease.ends.saturating_duration_since(Instant::now());
        let evaluation = match self.evaluates(claimed) {
            true => ALLOWANCE,
            false => Duration::ZERO,
        };
        left < self.target.timeout + evaluation + LEASE_MARGIN
    }

    /// `event` is the claimed one as it is to be sent; `number` counts from 1.
    async fn attempt(
        &self,
        claimed: &Claimed,
        event: &Event,
        number: u32,
        span: Option<&trace::Open>,
    ) -> Answer {
        let _in_flight = self
            .target_metrics
            .as_ref()
            .map(|metrics| InFlight::begin(&metrics.in_flight));
        let now = self.clock.now();
        let mut request = self.template.request(event, number, now);
        // The provider must not be able to say it in Hookgate's name.
        match claimed.replayed_at {
            Some(_) => request
                .headers_mut()
                .insert(HOOKGATE_REPLAY, HeaderValue::from_static("true")),
            None => request.headers_mut().remove(HOOKGATE_REPLAY),
        };
        // Else the caller's goes on as it came.
        if let Some(Ok(value)) = span.map(|span| HeaderValue::try_from(span.traceparent())) {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        let (timeout, redaction) = (self.target.timeout, &self.template.redaction);
        tokio::select! {
            biased;
            answer = attempt(&self.client, request, timeout, redaction, &self.clock) => answer,
            () = self.abort.cancelled() => Answer {
                reply: Reply::Network("cut off: the gateway stopped".to_owned()),
                status: None,
                response_head: Bytes::new(),
            },
        }
    }

    fn bury_corrupt(&self, parcel: Parcel, started_at: Timestamp) {
        tracing::error!(
            target_name = %self.target.name,
            event = %parcel.claimed.event.uid,
            "the stored body does not match its digest; it is not delivered"
        );
        let record = AttemptRecord {
            started_at,
            duration: Duration::ZERO,
            status: None,
            error: Some("the stored body does not match its digest".to_owned()),
            response_head: Bytes::new(),
        };
        self.end(parcel, Outcome::Dead(DeadReason::Corrupt), Some(record));
    }

    /// Attempts count whether or not their settlement gets through; dead letters only when it did. `took`: of a request.
    fn count(&self, claimed: &Claimed, outcome: &Outcome, took: Option<Duration>) {
        if let (Some(metrics), Some(took)) = (&self.target_metrics, took) {
            metrics.attempt_duration.observe(took.as_secs_f64());
        }
        let event = &claimed.event;
        let pair = self.metrics.pair(&event.route, &claimed.target);
        match outcome {
            Outcome::Delivered => {
                pair.delivered.inc();
                if claimed.replayed_at.is_none() {
                    let age = self.clock.now().since(event.received_at);
                    pair.latency.observe(age.as_secs_f64());
                }
            }
            Outcome::Retry(_) => pair.retried.inc(),
            Outcome::Dead(_) => pair.dead.inc(),
            Outcome::Released | Outcome::Filtered => {}
        }
    }

    /// Leaves it to the settler.
    fn end(&self, parcel: Parcel, outcome: Outcome, attempt: Option<AttemptRecord>) {
        let Parcel { claimed, unsettled } = parcel;
        let settlement = claimed.settlement(outcome, attempt);
        let ended = Ended {
            claimed,
            settlement,
            _presence: self.presence.clone(),
            _unsettled: unsettled,
        };
        if self.settlements.send(ended).is_err() {
            // The settler runs as long as there is a courier.
            tracing::error!(target_name = %self.target.name, "nobody settles; the delivery falls due again");
        }
    }
}

fn trace(mut span: trace::Open, outcome: &Outcome, record: &AttemptRecord) {
    span.set("hookgate.outcome", outcome.as_str().into());
    if let Some(status) = record.status {
        let status = trace::Value::Number(status.into());
        span.set("http.response.status_code", status);
    }
    match (&record.error, outcome) {
        (Some(error), _) => span.fail(error.clone()),
        (None, Outcome::Delivered) => {}
        (None, _) => span.fail("the target did not take it".to_owned()),
    }
    span.end(record.started_at, record.duration);
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
