//! Which events were committed when: a sparse index of the events by time, with a row a commit.

use rusqlite::Connection;

use crate::clock::Timestamp;

/// The times of the events of one row lie at most so far apart; others of the same commit get a row of
/// their own. That bounds where an event of a given time can be, whatever the clock did.
pub(super) const SPREAD_MAX_MS: i64 = 1_000;

/// A place in the order of expiry: `(max_ms, first_seq)` of a row.
pub(super) type Place = (i64, i64);
pub(super) const START: Place = (i64::MIN, 0);

/// A row: events that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    min_ms: i64,
    max_ms: i64,
    first_seq: i64,
    last_seq: i64,
    body_bytes: u64,
}

impl Span {
    pub(super) fn place(&self) -> Place {
        (self.max_ms, self.first_seq)
    }

    fn stretch(&self, seq: i64, at_ms: i64, body_bytes: u64) -> Option<Self> {
        let longer = Self {
            min_ms: self.min_ms.min(at_ms),
            max_ms: self.max_ms.max(at_ms),
            last_seq: seq,
            body_bytes: self.body_bytes.saturating_add(body_bytes),
            ..*self
        };
        let near = longer.max_ms.saturating_sub(longer.min_ms) <= SPREAD_MAX_MS;
        (near && seq == self.last_seq + 1).then_some(longer)
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO commits (max_ms, first_seq, last_seq, min_ms, body_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                self.max_ms,
                self.first_seq,
                self.last_seq,
                self.min_ms,
                i64::try_from(self.body_bytes).unwrap_or(i64::MAX),
            ))?;
        Ok(())
    }
}

/// Adds an event to the rows of the transaction under way.
pub(super) fn add(spans: &mut Vec<Span>, seq: i64, at: Timestamp, body_bytes: u64) {
    let at_ms = at.as_millis();
    if let Some(last) = spans.last_mut()
        && let Some(longer) = last.stretch(seq, at_ms, body_bytes)
    {
        *last = longer;
        return;
    }
    spans.push(Span {
        min_ms: at_ms,
        max_ms: at_ms,
        first_seq: seq,
        last_seq: seq,
        body_bytes,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_far_apart_in_time_get_rows_of_their_own() {
        let mut spans = Vec::new();
        for (seq, at_ms) in [
            (1, 5_000),
            (2, 4_500),
            (3, 5_500),
            (4, 5_501),
            (5, 100),
            (7, 100),
        ] {
            add(&mut spans, seq, Timestamp::from_millis(at_ms), 10);
        }
        let rows: Vec<_> = spans
            .iter()
            .map(|s| (s.min_ms, s.max_ms, s.first_seq, s.last_seq, s.body_bytes))
            .collect();
        let expected = [
            (4_500, 5_500, 1, 3, 30),
            (5_501, 5_501, 4, 4, 10),
            (100, 100, 5, 5, 10),
            (100, 100, 7, 7, 10),
        ];
        assert_eq!(rows, expected);
    }
}
