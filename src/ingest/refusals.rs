//! The log of refusals: one line each, bounded in rate, so that a flood of forgeries cannot fill a disk.

use std::{net::IpAddr, num::NonZeroU32, time::Instant};

use super::rejection::Rejection;
use crate::rate::Lines;

/// Lines a second, and how many may come at once. That it is not zero is checked when this is compiled.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// Characters of a path or method that a caller chose.
const TEXT_MAX: usize = 128;

pub(super) struct RefusalLog {
    lines: Lines,
}

impl RefusalLog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Lines::new(LINES_PER_SECOND, now),
        }
    }

    /// Writes the line, or counts it as suppressed; the next line that is written tells how many were.
    pub(super) fn record(
        &self,
        rejection: &Rejection,
        route: Option<&str>,
        request_id: &str,
        client: Option<IpAddr>,
        method: &str,
        path: &str,
    ) {
        let Some(suppressed) = self.lines.take(Instant::now()) else {
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
            suppressed,
            "rejected"
        );
    }
}

fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(TEXT_MAX)
        .map_or(text, |(end, _)| &text[..end])
}
