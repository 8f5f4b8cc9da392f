//! Claiming what is due, settling it, and telling how much waits.

use std::time::{Duration, Instant};

use rusqlite::{Row, params};

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, DeliveryState, Outcome, TargetName},
    store::{Depth, Settled, Settlement, Want},
};

use super::{
    claims::{Claim, Claims, TargetIndex, Waiting},
    failure::Failure,
    ledger::{Ledger, Picked, Picks},
    targets::{row_of, state_code},
};

/// A target's pending deliveries, those longest due first; read only as far as needed.
pub(super) const DUE: &str =
    "SELECT id, due_ms, attempts FROM waiting WHERE target = ?1 ORDER BY due_ms, id";

impl Ledger {
    pub(super) fn claim(&mut self, wants: &[Want]) -> Result<Picks, Failure> {
        let mut picks = Picks::default();
        let now = self.clock.now();
        for want in wants {
            let next_due = match self.targets.find(&want.target) {
                Some(target) => self.pick(want, target, now, &mut picks.picked)?,
                None => None,
            };
            picks.next_due.push(next_due);
        }
        Ok(picks)
    }

    /// Returns how long until the next falls due.
    fn pick(
        &mut self,
        want: &Want,
        target: TargetIndex,
        now: Timestamp,
        picked: &mut Vec<Picked>,
    ) -> Result<Option<Duration>, Failure> {
        let instant = Instant::now();
        let mut statement = self.connection.prepare_cached(DUE)?;
        let mut rows = statement.query([row_of(target)])?;
        let mut left = want.max;
        let mut next = None;
        while let Some(row) = rows.next()? {
            let waiting = read_waiting(row)?;
            if self.claims.is_held(waiting.id, instant) {
                continue;
            }
            let due = Timestamp::from_millis(waiting.due_ms);
            if due > now || left == 0 {
                next = Some(due.since(now));
                break;
            }
            left -= 1;
            picked.push(Picked {
                delivery: waiting.id,
                target: want.target.clone(),
                attempts: waiting.attempts,
                lease: (self.claims).claim(Claim { target, waiting }, instant, want.lease),
            });
        }
        let lapse = self.claims.next_end(target, instant);
        Ok([next, lapse].into_iter().flatten().min())
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Failure> {
        let target = self.targets.find(&settlement.target);
        let claimed = target.and_then(|target| {
            let waiting = self.claims.end(settlement.token, target)?;
            Some((target, waiting))
        });
        let Some((target, waiting)) = claimed else {
            return Ok(Settled::Lost);
        };
        let state = match settlement.outcome {
            // Its row never changed: it is due at once.
            Outcome::Released => return Ok(Settled::Done),
            Outcome::Retry(_) => DeliveryState::Pending,
            Outcome::Delivered => DeliveryState::Delivered,
            Outcome::Dead(reason) => DeliveryState::Dead(reason),
        };
        self.begin()?;
        if !self.end_wait(target, &waiting)? {
            return Ok(Settled::Lost);
        }
        let waiting = Waiting {
            attempts: waiting.attempts.saturating_add(1),
            ..waiting
        };
        let now = self.clock.now();
        self.write(target, &waiting, state, now, settlement.attempt.as_ref())?;
        if state != DeliveryState::Delivered {
            self.keep(&waiting, settlement.attempt.as_ref())?;
        }
        if let Outcome::Retry(wait) = settlement.outcome {
            let due_ms = now.saturating_add(wait).as_millis();
            self.wait(target, Waiting { due_ms, ..waiting })?;
        } else {
            let dead = state != DeliveryState::Delivered;
            self.targets.settled(target, dead);
            self.may_be_finished(settlement.uid);
        }
        Ok(Settled::Done)
    }

    /// Makes a delivery pending.
    pub(super) fn wait(&self, target: TargetIndex, waiting: Waiting) -> Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO waiting (target, due_ms, id, attempts) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((row_of(target), waiting.due_ms, waiting.id, waiting.attempts))?;
        Ok(())
    }

    /// False when the delivery was not pending.
    pub(super) fn end_wait(&self, target: TargetIndex, waiting: &Waiting) -> Result<bool, Failure> {
        let rows = self
            .connection
            .prepare_cached("DELETE FROM waiting WHERE target = ?1 AND due_ms = ?2 AND id = ?3")?
            .execute((row_of(target), waiting.due_ms, waiting.id))?;
        Ok(rows == 1)
    }

    /// Writes where a delivery stands, with its newest attempt.
    fn write(
        &self,
        target: TargetIndex,
        waiting: &Waiting,
        state: DeliveryState,
        now: Timestamp,
        attempt: Option<&AttemptRecord>,
    ) -> Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO deliveries (id, target, state, settled_ms, attempts,
                 started_ms, duration_ms, status, error, response_head)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                waiting.id,
                row_of(target),
                state_code(state),
                now.as_millis(),
                waiting.attempts,
                attempt.map(|a| a.started_at.as_millis()),
                attempt.map(duration_ms),
                attempt.and_then(|a| a.status),
                attempt.and_then(|a| a.error.as_deref()),
                attempt.map(|a| &*a.response_head),
            ])?;
        Ok(())
    }

    /// Adds a failed attempt to the newest 32.
    fn keep(&self, waiting: &Waiting, attempt: Option<&AttemptRecord>) -> Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO attempts (delivery, slot, started_ms, duration_ms, status,
                 error, response_head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                waiting.id,
                waiting.attempts % 32,
                attempt.map(|a| a.started_at.as_millis()),
                attempt.map(duration_ms),
                attempt.and_then(|a| a.status),
                attempt.and_then(|a| a.error.as_deref()),
                attempt.map(|a| &*a.response_head),
            ])?;
        Ok(())
    }

    pub(super) fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, Failure> {
        let now = self.clock.now();
        targets
            .iter()
            .map(|name| match self.targets.find(name) {
                Some(target) => self.depth_of(target, now),
                None => Ok(Depth::default()),
            })
            .collect()
    }

    fn depth_of(&self, target: TargetIndex, now: Timestamp) -> Result<Depth, Failure> {
        let mut statement = self.connection.prepare_cached(DUE)?;
        let mut rows = statement.query([row_of(target)])?;
        let oldest = first_unclaimed(&mut rows, &self.claims)?;
        let count = |of: &[u64]| of.get(target).copied().unwrap_or(0);
        Ok(Depth {
            pending: count(&self.targets.counts.pending),
            dead: count(&self.targets.counts.dead),
            oldest_due: oldest.map_or(Duration::ZERO, |due| now.since(due)),
        })
    }
}

/// Of [`DUE`].
pub(super) fn read_waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        id: row.get(0)?,
        due_ms: row.get(1)?,
        attempts: row.get(2)?,
    })
}

fn duration_ms(attempt: &AttemptRecord) -> i64 {
    i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX)
}

fn first_unclaimed(
    rows: &mut rusqlite::Rows<'_>,
    claims: &Claims,
) -> rusqlite::Result<Option<Timestamp>> {
    let instant = Instant::now();
    while let Some(row) = rows.next()? {
        if !claims.is_held(row.get(0)?, instant) {
            return Ok(Some(Timestamp::from_millis(row.get(1)?)));
        }
    }
    Ok(None)
}
