//! The targets that rows name by number, and how many deliveries each has.

use hashbrown::HashMap;
use rusqlite::Connection;

use crate::event::{DeadReason, DeliveryState, TargetName};

use super::claims::TargetIndex;

/// The target of a row that is no delivery, see [`super::schema`].
pub(super) const NOBODY: i64 = 0;

/// A state as its column holds it.
pub(super) fn state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Dead(DeadReason::Refused) => 2,
        DeliveryState::Dead(DeadReason::GaveUp) => 3,
        DeliveryState::Dead(DeadReason::Corrupt) => 4,
        DeliveryState::Dead(DeadReason::TargetRemoved) => 5,
        DeliveryState::Dead(DeadReason::ExpressionFailed) => 6,
        DeliveryState::Filtered => 7,
    }
}

/// A code that nobody wrote tells of damage.
pub(super) fn state_of(code: i64) -> DeliveryState {
    [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Filtered,
    ]
    .into_iter()
    .chain(DeadReason::ALL.into_iter().map(DeliveryState::Dead))
    .find(|state| state_code(*state) == code)
    .unwrap_or(DeliveryState::Dead(DeadReason::Corrupt))
}

/// Deliveries by target, and the bytes of all bodies. Kept beside the tables, because counting rows
/// would take longer with every row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) pending: Vec<u64>,
    pub(super) dead: Vec<u64>,
    pub(super) body_bytes: u64,
}

/// A target's number in the tables is its place here plus one, see [`row_of`]. Targets are never removed.
#[derive(Debug, Default)]
pub(super) struct Targets {
    names: Vec<TargetName>,
    places: HashMap<TargetName, TargetIndex>,
    pub(super) counts: Counts,
}

impl Targets {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut targets = Self::default();
        let mut statement = connection.prepare("SELECT name FROM targets ORDER BY id")?;
        for name in statement.query_map([], |row| row.get::<_, String>(0))? {
            targets.push(name?.into());
        }
        let counts = &mut targets.counts;
        let pending = "SELECT q.target, w.number FROM queues AS q
            JOIN (SELECT queue, count(*) AS number FROM waiting GROUP BY queue) AS w ON w.queue = q.id";
        count(connection, pending, &mut counts.pending)?;
        let dead = "SELECT target, 1 FROM deliveries INDEXED BY dead WHERE state BETWEEN 2 AND 6";
        count(connection, dead, &mut counts.dead)?;
        let bytes: i64 = connection.query_row(
            "SELECT ifnull(sum(body_bytes), 0) FROM commits",
            [],
            |row| row.get(0),
        )?;
        counts.body_bytes = bytes.unsigned_abs();
        Ok(targets)
    }

    pub(super) fn find(&self, name: &str) -> Option<TargetIndex> {
        self.places.get(name).copied()
    }

    pub(super) fn names(&self) -> &[TargetName] {
        &self.names
    }

    pub(super) fn push(&mut self, name: TargetName) -> TargetIndex {
        let index = self.names.len();
        self.places.insert(name.clone(), index);
        self.names.push(name);
        self.counts.pending.push(0);
        self.counts.dead.push(0);
        index
    }

    /// Back to what it was when there were as many targets as `counts` tells of.
    pub(super) fn restore(&mut self, counts: Counts) {
        for name in self.names.drain(counts.pending.len()..) {
            self.places.remove(&name);
        }
        self.counts = counts;
    }

    pub(super) fn add_pending(&mut self, index: TargetIndex) {
        if let Some(pending) = self.counts.pending.get_mut(index) {
            *pending += 1;
        }
    }

    pub(super) fn settled(&mut self, index: TargetIndex, dead: bool) {
        if let Some(pending) = self.counts.pending.get_mut(index) {
            *pending = pending.saturating_sub(1);
        }
        if dead && let Some(dead) = self.counts.dead.get_mut(index) {
            *dead += 1;
        }
    }

    /// A dead letter is gone.
    pub(super) fn remove_dead(&mut self, index: TargetIndex) {
        if let Some(dead) = self.counts.dead.get_mut(index) {
            *dead = dead.saturating_sub(1);
        }
    }
}

/// A target's number in the tables.
pub(super) fn row_of(index: TargetIndex) -> i64 {
    i64::try_from(index).map_or(i64::MAX, |index| index + 1)
}

/// The place that a row of this number has; out of range when nobody gave it that number.
pub(super) fn index_of(row: i64) -> TargetIndex {
    usize::try_from(row - 1).unwrap_or(usize::MAX)
}

/// `sql`: targets' numbers, and how many to add for each.
fn count(connection: &Connection, sql: &str, into: &mut [u64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut counted = statement.query([])?;
    while let Some(row) = counted.next()? {
        let number: i64 = row.get(1)?;
        if let Some(count) = into.get_mut(index_of(row.get(0)?)) {
            *count += number.unsigned_abs();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_code_of_its_own() {
        let states: Vec<_> = [
            DeliveryState::Pending,
            DeliveryState::Delivered,
            DeliveryState::Filtered,
        ]
        .into_iter()
        .chain(DeadReason::ALL.into_iter().map(DeliveryState::Dead))
        .collect();
        assert_eq!(states.len(), 8);
        for state in states {
            assert_eq!(state_of(state_code(state)), state);
            let is_dead = matches!(state, DeliveryState::Dead(_));
            assert_eq!((2..=6).contains(&state_code(state)), is_dead, "the index");
        }
        assert_eq!(state_of(99), DeliveryState::Dead(DeadReason::Corrupt));
    }
}
