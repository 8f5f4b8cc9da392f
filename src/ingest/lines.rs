//! The log: one line a request, bounded in rate, so that neither a flood of forgeries nor the traffic itself fills a
//! disk. A line never holds a body, a secret or a query string.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use actix_http::header::HeaderMap;

use super::{Taken, rejection::Rejection, route::trace_of};
use crate::{rate::Lines, store::Acceptance};

/// Refusals a second, and how many may come at once. That it is not zero is checked when this is compiled.
const REFUSED_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// Characters of what a caller chose.
const TEXT_MAX: usize = 128;

pub(super) struct RefusalLog {
    lines: Lines,
}

impl RefusalLog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Lines::new(REFUSED_PER_SECOND, now),
        }
    }

    /// Writes the line, or counts it; the next line that is written tells how many were.
    pub(super) fn record(
        &self,
        rejection: &Rejection,
        route: Option<&str>,
        request_id: &str,
        client: Option<IpAddr>,
        method: &str,
        path: &str,
    ) {
        let Some(left_out) = self.lines.take(Instant::now()) else {
            return;
        };
        tracing::info!(
            request_id,
            route = route.unwrap_or("-"),
            reason = rejection.reason.as_str(),
            status = rejection.reason.status(),
            cause = rejection.cause().map(tracing::field::display),
            client = client.map(tracing::field::display),
            // Debug escapes control characters, so a caller cannot forge a line.
            method = ?cut(method),
            path = ?cut(path),
            left_out,
            "rejected"
        );
    }
}

/// A request that was not refused.
pub(super) struct Served<'a> {
    pub(super) request_id: &'a str,
    pub(super) route: &'a str,
    pub(super) status: u16,
    pub(super) took: Duration,
    pub(super) credential: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
}

impl Served<'_> {
    /// `left_out`: lines before this one.
    pub(super) fn taken(&self, taken: &Taken, left_out: u64) {
        let (events, is_duplicate) = match taken {
            Taken::One(one) => (std::slice::from_ref(one), one.is_duplicate()),
            Taken::Together(all) => (&all[..], taken.is_duplicate()),
        };
        let first = events.first();
        let uid = first.map(|one| match &one.acceptance {
            Acceptance::Accepted { .. } => one.uid,
            Acceptance::Duplicate { uid, .. } => *uid,
        });
        let outcome = match is_duplicate {
            true => "duplicate",
            false => "accepted",
        };
        tracing::info!(
            request_id = self.request_id,
            route = self.route,
            outcome,
            event = uid.map(tracing::field::display),
            id = first.map(|one| tracing::field::debug(cut(&one.id))),
            // Of a list of events.
            events = (events.len() != 1).then_some(events.len()),
            status = self.status,
            took_ms = self.took_ms(),
            credential = self.credential,
            trace = trace_of(self.headers).map(|trace| trace.id()),
            left_out,
            "{outcome}"
        );
    }

    pub(super) fn handshake(&self, name: &str) {
        tracing::info!(
            request_id = self.request_id,
            route = self.route,
            outcome = "handshake",
            handshake = name,
            status = self.status,
            took_ms = self.took_ms(),
            trace = trace_of(self.headers).map(|trace| trace.id()),
            "handshake answered"
        );
    }

    fn took_ms(&self) -> f64 {
        self.took.as_secs_f64() * 1000.0
    }
}

pub(super) fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(TEXT_MAX)
        .map_or(text, |(end, _)| &text[..end])
}
