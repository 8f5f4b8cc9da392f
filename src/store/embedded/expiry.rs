//! Removing what is finished and old, forgetting ids, and giving up on targets that are gone.

use crate::{
    clock::Timestamp,
    event::{DeadReason, DeliveryState, TargetName},
    store::{Expired, Retention},
};

use super::{
    claims::{DeliveryId, TargetIndex},
    failure::Failure,
    ledger::{Answer, DELIVERIES_MAX, Kept, Ledger, Place},
    targets::{row_of, state_code},
};

/// Bounds of one call: other operations wait for it.
const EVENTS_REMOVED_MAX: usize = 200;
const EVENTS_SEEN_MAX: usize = 2_000;
const ID_ROWS_REMOVED_MAX: i64 = 200;
const RETIRED_MAX: i64 = 1_000;

/// Events to remove.
struct Victims {
    events: Vec<Victim>,
    kept: Option<Kept>,
    /// Where the next call begins.
    next: Place,
    more: bool,
}

struct Victim {
    seq: i64,
    body_bytes: u64,
}

impl Victims {
    fn keep(&mut self, place: Place, finished_ms: i64) {
        let kept = self.kept.get_or_insert(Kept {
            from: place,
            finished_ms,
        });
        kept.from = kept.from.min(place);
        kept.finished_ms = kept.finished_ms.min(finished_ms);
    }
}

impl Ledger {
    pub(super) fn expire(&mut self, retention: Retention) -> Result<Expired, Failure> {
        let now = self.clock.now();
        self.look_again(now, retention);
        let victims = self.victims(now.saturating_sub(retention.age), retention.bytes)?;
        for victim in &victims.events {
            self.remove(victim)?;
        }
        self.unfinished_until = victims.next;
        self.kept = victims.kept;
        let rows = self.remove_id_rows(now)?;
        Ok(Expired {
            events: victims.events.len() as u64,
            ids: self.ids.forget(now),
            more: victims.more || rows == ID_ROWS_REMOVED_MAX.unsigned_abs(),
        })
    }

    /// Goes back to the events that were kept, once one of them may have to go.
    fn look_again(&mut self, now: Timestamp, retention: Retention) {
        let cutoff = now.saturating_sub(retention.age).as_millis();
        let too_many = self.targets.counts.body_bytes > retention.bytes;
        if let Some(kept) = self
            .kept
            .take_if(|kept| kept.finished_ms < cutoff || too_many)
        {
            self.unfinished_until = self.unfinished_until.min(kept.from);
        }
    }

    /// The oldest events that were finished before `cutoff`, or are finished and too many for `bytes_max`.
    fn victims(&self, cutoff: Timestamp, bytes_max: u64) -> Result<Victims, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT received_ms, seq, body_bytes FROM events INDEXED BY events_by_time
             WHERE (received_ms, seq) >= (?1, ?2) ORDER BY received_ms, seq",
        )?;
        let mut rows = statement.query(self.unfinished_until)?;
        let mut bytes_left = self.targets.counts.body_bytes;
        let mut victims = Victims {
            events: Vec::new(),
            kept: self.kept,
            next: self.unfinished_until,
            more: false,
        };
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let (received_ms, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
            victims.next = (received_ms, seq);
            if received_ms >= cutoff.as_millis() && bytes_left <= bytes_max {
                return Ok(victims);
            }
            if seen == EVENTS_SEEN_MAX || victims.events.len() == EVENTS_REMOVED_MAX {
                victims.more = true;
                return Ok(victims);
            }
            seen += 1;
            victims.next = (received_ms, seq + 1);
            let Some(finished_ms) = self.finished_ms(received_ms, seq)? else {
                continue;
            };
            if finished_ms >= cutoff.as_millis() && bytes_left <= bytes_max {
                victims.keep((received_ms, seq), finished_ms);
                continue;
            }
            let body_bytes = row.get::<_, i64>(2)?.unsigned_abs();
            bytes_left = bytes_left.saturating_sub(body_bytes);
            victims.events.push(Victim { seq, body_bytes });
        }
        Ok(victims)
    }

    /// When the last delivery was settled; `None` while one is pending.
    fn finished_ms(&self, received_ms: i64, seq: i64) -> Result<Option<i64>, Failure> {
        let (first, last) = deliveries_of(seq);
        let mut statement = self.connection.prepare_cached(
            "SELECT count(*) FILTER (WHERE state = 0), max(due_ms)
             FROM deliveries NOT INDEXED WHERE id BETWEEN ?1 AND ?2",
        )?;
        let (pending, settled_ms): (i64, Option<i64>) =
            statement.query_row((first, last), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((pending == 0).then_some(settled_ms.unwrap_or(received_ms)))
    }

    fn remove(&mut self, victim: &Victim) -> Result<(), Failure> {
        self.begin()?;
        let (first, last) = deliveries_of(victim.seq);
        self.connection
            .prepare_cached("DELETE FROM attempts WHERE delivery BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        for target in self.dead_targets(first, last)? {
            if let Some(dead) = self.targets.counts.dead.get_mut(target) {
                *dead = dead.saturating_sub(1);
            }
        }
        self.connection
            .prepare_cached("DELETE FROM deliveries WHERE id BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        self.connection
            .prepare_cached("DELETE FROM events WHERE seq = ?1")?
            .execute([victim.seq])?;
        let bytes = &mut self.targets.counts.body_bytes;
        *bytes = bytes.saturating_sub(victim.body_bytes);
        Ok(())
    }

    fn dead_targets(&self, first: i64, last: i64) -> Result<Vec<TargetIndex>, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT target FROM deliveries NOT INDEXED WHERE id BETWEEN ?1 AND ?2 AND state >= 2",
        )?;
        let rows = statement.query_map((first, last), |row| row.get::<_, i64>(0))?;
        let index = |row: i64| usize::try_from(row - 1).unwrap_or(usize::MAX);
        Ok(rows
            .map(|row| row.map(index))
            .collect::<rusqlite::Result<_>>()?)
    }

    /// Returns how many rows that were.
    fn remove_id_rows(&mut self, now: Timestamp) -> Result<u64, Failure> {
        let passed = self
            .connection
            .prepare_cached("SELECT 1 FROM ids INDEXED BY ids_by_end WHERE ends_ms <= ?1")?
            .exists([now.as_millis()])?;
        if !passed {
            return Ok(0);
        }
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached(
                "DELETE FROM ids WHERE commit_no IN
                 (SELECT commit_no FROM ids INDEXED BY ids_by_end WHERE ends_ms <= ?1 LIMIT ?2)",
            )?
            .execute((now.as_millis(), ID_ROWS_REMOVED_MAX))?;
        Ok(rows as u64)
    }

    /// A bounded piece of [`crate::store::Store::retire_targets`]: each delivery is retired atomically, and
    /// what a crash leaves over is retired by the next call.
    pub(super) fn retire(&mut self, known: &[TargetName]) -> Result<Answer, Failure> {
        let waiting = |(index, name): (TargetIndex, &TargetName)| {
            let pending = self.targets.counts.pending.get(index).copied().unwrap_or(0);
            (pending > 0 && !known.contains(name)).then_some(index)
        };
        let targets = self.targets.names().iter().enumerate();
        let Some(target) = targets.filter_map(waiting).next() else {
            let (deliveries, more) = (0, false);
            return Ok(Answer::Retired { deliveries, more });
        };
        let deliveries = self.pending(target)?;
        if deliveries.is_empty() {
            // The count was wrong, which only damage can cause: believe the table.
            if let Some(pending) = self.targets.counts.pending.get_mut(target) {
                *pending = 0;
            }
        }
        for delivery in &deliveries {
            self.retire_one(*delivery, target)?;
        }
        Ok(Answer::Retired {
            deliveries: deliveries.len() as u64,
            more: true,
        })
    }

    fn retire_one(&mut self, delivery: DeliveryId, target: TargetIndex) -> Result<(), Failure> {
        self.begin()?;
        self.connection
            .prepare_cached("UPDATE deliveries SET state = ?2, due_ms = ?3 WHERE id = ?1")?
            .execute((
                delivery,
                state_code(DeliveryState::Dead(DeadReason::TargetRemoved)),
                self.clock.now().as_millis(),
            ))?;
        self.claims.drop_claim(delivery);
        self.targets.settled(target, true);
        self.unfinished_until = (i64::MIN, 0);
        Ok(())
    }

    fn pending(&self, target: TargetIndex) -> Result<Vec<DeliveryId>, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id FROM deliveries INDEXED BY pending WHERE target = ?1 AND state = 0 LIMIT ?2",
        )?;
        let rows = statement.query_map((row_of(target), RETIRED_MAX), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// The first and the last id that this event's deliveries can have.
fn deliveries_of(seq: i64) -> (DeliveryId, DeliveryId) {
    let first = seq * DELIVERIES_MAX;
    (first, first + DELIVERIES_MAX - 1)
}
