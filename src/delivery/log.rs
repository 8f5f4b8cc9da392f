//! One line an attempt, so many a second.

use std::{num::NonZeroU32, time::Instant};

use crate::{
    event::Outcome,
    rate::Lines,
    store::{Claimed, Settled, Settlement},
    trace::TraceContext,
};

/// Lines a second, of attempts that went well, of those that are tried again, and of those that were the last: none of
/// them can crowd out the others.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// Characters of an event id, which a provider chose.
const ID_CHARS: usize = 64;

pub(super) struct AttemptLog {
    delivered: Lines,
    retried: Lines,
    dead: Lines,
}

impl AttemptLog {
    pub(super) fn new() -> Self {
        let lines = || Lines::new(LINES_PER_SECOND, Instant::now());
        Self {
            delivered: lines(),
            retried: lines(),
            dead: lines(),
        }
    }

    /// Writes the line, or counts it; the next line of its kind tells how many were left out.
    /// `settled`: `None` when the store never answered.
    pub(super) fn attempt(
        &self,
        claimed: &Claimed,
        settlement: &Settlement,
        settled: Option<Settled>,
    ) {
        let Some(attempt) = &settlement.attempt else {
            return;
        };
        let (lines, retry_in) = match settlement.outcome {
            Outcome::Delivered => (&self.delivered, None),
            Outcome::Retry(wait) => (&self.retried, Some(wait)),
            Outcome::Dead(_) => (&self.dead, None),
            Outcome::Filtered | Outcome::Released => return,
        };
        let Some(left_out) = lines.take(Instant::now()) else {
            return;
        };
        let event = &claimed.event;
        let id: String = event.id.chars().take(ID_CHARS).collect();
        let reason = match settlement.outcome {
            Outcome::Dead(reason) => Some(reason.as_str()),
            _ => None,
        };
        tracing::info!(
            event = %event.uid,
            route = %event.route,
            target_name = %claimed.target,
            id = %id.escape_default(),
            attempt = claimed.attempts.saturating_add(1),
            outcome = settlement.outcome.as_str(),
            reason,
            status = attempt.status,
            error = attempt.error,
            took_ms = attempt.duration.as_secs_f64() * 1000.0,
            retry_in = retry_in.map(tracing::field::debug),
            settled = match settled {
                Some(Settled::Done) => "yes",
                Some(Settled::Lost) => "no: the claim was lost",
                None => "no: the store did not answer",
            },
            trace = TraceContext::of_event(event).map(|trace| tracing::field::display(trace.id())),
            left_out,
            "attempt"
        );
    }
}
