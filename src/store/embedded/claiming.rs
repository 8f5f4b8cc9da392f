//! Claiming what is due, settling it, and telling how much waits.

use std::time::{Duration, Instant};

use rusqlite::params;

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, DeliveryState, Outcome, TargetName},
    store::{Depth, Settled, Settlement, Want},
};

use super::{
    claims::{Claims, DeliveryId, TargetIndex},
    failure::Failure,
    ledger::{DELIVERIES_MAX, Ledger, Picked, Picks},
    targets::{PENDING, row_of, state_code},
};

/// A target's pending deliveries, those longest due first; read only as far as needed.
const DUE: &str = "SELECT id, due_ms, attempts FROM deliveries INDEXED BY pending
    WHERE target = ?1 AND state = 0 ORDER BY due_ms, id";

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
        let mut waiting = None;
        while let Some(row) = rows.next()? {
            let delivery: DeliveryId = row.get(0)?;
            if self.claims.is_held(delivery, instant) {
                continue;
            }
            let due = Timestamp::from_millis(row.get(1)?);
            if due > now || left == 0 {
                waiting = Some(due.since(now));
                break;
            }
            left -= 1;
            picked.push(Picked {
                delivery,
                target: want.target.clone(),
                attempts: row.get(2)?,
                lease: self.claims.claim(delivery, target, instant, want.lease),
            });
        }
        let lapse = self.claims.next_end(target, instant);
        Ok([waiting, lapse].into_iter().flatten().min())
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Failure> {
        let target = self.targets.find(&settlement.target);
        let claimed = target.and_then(|target| {
            let delivery = self.claims.end(settlement.token, target)?;
            Some((target, delivery))
        });
        let Some((target, delivery)) = claimed else {
            return Ok(Settled::Lost);
        };
        let attempt = settlement.attempt.as_ref();
        let now = self.clock.now();
        let done = match settlement.outcome {
            // Its due time never changed: it is due at once.
            Outcome::Released => return Ok(Settled::Done),
            Outcome::Retry(wait) => {
                let due = now.saturating_add(wait);
                self.update(delivery, PENDING, due, attempt)? && self.keep(delivery)?
            }
            Outcome::Delivered => {
                let state = state_code(DeliveryState::Delivered);
                let done = self.update(delivery, state, now, attempt)?;
                self.finished(settlement, target, delivery, false, done)
            }
            Outcome::Dead(reason) => {
                let state = state_code(DeliveryState::Dead(reason));
                let done = self.update(delivery, state, now, attempt)? && self.keep(delivery)?;
                self.finished(settlement, target, delivery, true, done)
            }
        };
        Ok(if done { Settled::Done } else { Settled::Lost })
    }

    fn finished(
        &mut self,
        settlement: &Settlement,
        target: TargetIndex,
        delivery: DeliveryId,
        dead: bool,
        done: bool,
    ) -> bool {
        if done {
            self.targets.settled(target, dead);
            self.may_be_finished(settlement.uid, delivery / DELIVERIES_MAX);
        }
        done
    }

    /// False when the delivery is not pending.
    fn update(
        &mut self,
        delivery: DeliveryId,
        state: i64,
        due_or_settled_at: Timestamp,
        attempt: Option<&AttemptRecord>,
    ) -> Result<bool, Failure> {
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, due_ms = ?3, attempts = attempts + 1,
                 started_ms = ?4, duration_ms = ?5, status = ?6, error = ?7, response_head = ?8
                 WHERE id = ?1 AND state = 0",
            )?
            .execute(params![
                delivery,
                state,
                due_or_settled_at.as_millis(),
                attempt.map(|a| a.started_at.as_millis()),
                attempt.map(|a| i64::try_from(a.duration.as_millis()).unwrap_or(i64::MAX)),
                attempt.and_then(|a| a.status),
                attempt.and_then(|a| a.error.as_deref()),
                attempt.map(|a| &*a.response_head),
            ])?;
        Ok(rows == 1)
    }

    /// Copies the failed attempt from the delivery to the newest 32.
    fn keep(&self, delivery: DeliveryId) -> Result<bool, Failure> {
        let rows = self
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO attempts
                 SELECT id, attempts & 31, started_ms, duration_ms, status, error, response_head
                 FROM deliveries WHERE id = ?1",
            )?
            .execute([delivery])?;
        Ok(rows == 1)
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
