//! Settling what was claimed.

use rusqlite::{OptionalExtension as _, params};

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, DeliveryState, Outcome},
    store::{HISTORY_MAX, Settled, Settlement},
};

use super::{
    claims::{BLOCKED_MS, Claim, TargetIndex, Waiting},
    deliveries::{DeliveryId, seq_of},
    failure::Failure,
    head,
    ledger::Ledger,
    queues::QueueIndex,
    targets::{row_of, state_code},
    turns::order_bytes,
};

impl Ledger {
    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Failure> {
        let Some(claim) = self.claim_of(settlement)? else {
            return Ok(Settled::Lost);
        };
        let Claim {
            target,
            queue,
            waiting,
            ..
        } = claim;
        self.claims.drop_claim(waiting.id);
        let state = match settlement.outcome {
            // Its row never changed: it is due at once.
            Outcome::Released => {
                self.queues.look_at(queue, waiting.spot());
                return Ok(Settled::Done);
            }
            Outcome::Retry(_) => DeliveryState::Pending,
            Outcome::Delivered => DeliveryState::Delivered,
            Outcome::Dead(reason) => DeliveryState::Dead(reason),
            Outcome::Filtered => DeliveryState::Filtered,
        };
        self.begin()?;
        if !self.end_wait(queue, &waiting)? {
            return Ok(Settled::Lost);
        }
        // Only then is there an attempt before.
        if waiting.attempts > 0 || waiting.replayed_ms.is_some() {
            self.keep(waiting.id)?;
        }
        let now = self.clock.now();
        let was_attempted = state != DeliveryState::Filtered;
        let waiting = Waiting {
            attempts: waiting.attempts.saturating_add(was_attempted.into()),
            ..waiting
        };
        self.write(target, &waiting, state, now, settlement.attempt.as_ref())?;
        if let Outcome::Retry(wait) = settlement.outcome {
            let due = self.due_clock.now().saturating_add(wait);
            let due_ms = due.as_millis().min(BLOCKED_MS - 1);
            let waiting = Waiting { due_ms, ..waiting };
            self.wait(queue, waiting)?;
            self.queues.look_at(queue, waiting.spot());
        } else {
            self.targets.settled(target, is_dead(state));
            self.may_be_finished(settlement.uid);
            self.end_turn(&waiting, state)?;
        }
        Ok(Settled::Done)
    }

    /// The claim that this ends, if it is still held.
    fn claim_of(&self, settlement: &Settlement) -> Result<Option<Claim>, Failure> {
        let target = self.targets.find(&settlement.target);
        let claim = target.and_then(|target| self.claims.find(settlement.token, target));
        let Some(claim) = claim else {
            return Ok(None);
        };
        // What could not be read back is settled without a uid.
        let is_of = settlement.uid.is_nil()
            || match claim.uid {
                Some(uid) => uid == settlement.uid,
                None => self
                    .uid_of(claim.waiting.id)?
                    .is_none_or(|uid| uid == settlement.uid),
            };
        Ok(is_of.then_some(claim))
    }

    /// Of the event of a delivery; `None` when it cannot be read.
    fn uid_of(&self, id: DeliveryId) -> Result<Option<uuid::Uuid>, Failure> {
        let head = self
            .connection
            .prepare_cached("SELECT head FROM events WHERE seq = ?1")?
            .query_row([seq_of(id)], |row| {
                Ok(row.get_ref(0)?.as_blob().ok().and_then(head::uid))
            })
            .optional()?;
        Ok(head.flatten())
    }

    /// What has the turn of its group gives it on, or holds.
    fn end_turn(&mut self, waiting: &Waiting, state: DeliveryState) -> Result<(), Failure> {
        match waiting.order {
            Some(order) if order.hold && is_dead(state) => self.hold(order.group, waiting.id),
            Some(order) => self.leave(order.group, waiting.id),
            None => Ok(()),
        }
    }

    /// Makes a delivery pending.
    pub(super) fn wait(&self, queue: QueueIndex, waiting: Waiting) -> Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO waiting (queue, due_ms, id, attempts, replayed_ms, turn)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                row_of(queue),
                waiting.due_ms,
                waiting.id,
                waiting.attempts,
                waiting.replayed_ms,
                waiting.order.map(order_bytes),
            ))?;
        Ok(())
    }

    /// False when the delivery was not pending.
    pub(super) fn end_wait(&self, queue: QueueIndex, waiting: &Waiting) -> Result<bool, Failure> {
        let rows = self
            .connection
            .prepare_cached("DELETE FROM waiting WHERE queue = ?1 AND due_ms = ?2 AND id = ?3")?
            .execute((row_of(queue), waiting.due_ms, waiting.id))?;
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
        let holds = waiting.order.filter(|order| order.hold && is_dead(state));
        self.connection
            .prepare_cached(
                "INSERT INTO deliveries (id, target, state, settled_ms, attempts,
                 started_ms, duration_ms, status, error, response_head, replayed_ms, turn)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT (id) DO UPDATE SET state = ?3, settled_ms = ?4, attempts = ?5,
                 started_ms = ?6, duration_ms = ?7, status = ?8, error = ?9, response_head = ?10,
                 replayed_ms = ?11, turn = ?12",
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
                waiting.replayed_ms,
                holds.map(order_bytes),
            ])?;
        Ok(())
    }

    /// Moves what was the newest attempt of a delivery to those before the newest.
    fn keep(&self, id: DeliveryId) -> Result<(), Failure> {
        let number: Option<i64> = self
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO attempts
                 (delivery, number, started_ms, duration_ms, status, error)
                 SELECT id, earlier + attempts, started_ms, duration_ms, status, error
                 FROM deliveries WHERE id = ?1 AND started_ms IS NOT NULL RETURNING number",
            )?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let before = i64::try_from(HISTORY_MAX - 1).unwrap_or(i64::MAX);
        if let Some(number) = number.filter(|number| *number > before) {
            self.connection
                .prepare_cached("DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2")?
                .execute((id, number - before))?;
        }
        Ok(())
    }
}

fn is_dead(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Dead(_))
}

fn duration_ms(attempt: &AttemptRecord) -> i64 {
    i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX)
}
