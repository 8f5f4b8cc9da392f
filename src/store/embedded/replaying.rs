//! Replay: settled deliveries once more, and what is kept of replays by filter.

use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{DeliveryState, Order, RouteName, TargetName},
    store::{Replayed, replays::Replay},
};

use super::{
    claims::{BLOCKED_MS, Waiting},
    deliveries::{DeliveryId, seq_of},
    failure::Failure,
    ledger::{Answer, Ledger, SavedReplay},
    targets::state_of,
};

/// Replays that are kept: an ended one goes for a new one.
pub(super) const REPLAYS_MAX: u64 = 100;

/// A delivery as its event names it.
pub(super) struct Replayable {
    pub(super) id: DeliveryId,
    pub(super) route: RouteName,
    pub(super) target: TargetName,
    pub(super) order: Option<Order>,
}

impl Ledger {
    pub(super) fn replay(
        &mut self,
        found: Option<&Replayable>,
        unless_since: Option<Timestamp>,
    ) -> Result<Replayed, Failure> {
        let Some(delivery) = found else {
            return Ok(Replayed::Unknown);
        };
        let state = self
            .connection
            .prepare_cached("SELECT state, replayed_ms FROM deliveries WHERE id = ?1")?
            .query_row([delivery.id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
            })
            .optional()?;
        match state {
            Some((0, _)) => Ok(Replayed::Pending),
            Some((_, Some(replayed_ms)))
                if unless_since.is_some_and(|since| replayed_ms >= since.as_millis()) =>
            {
                Ok(Replayed::Since)
            }
            Some((state, _)) => {
                let was_dead = matches!(state_of(state), DeliveryState::Dead(_));
                self.replay_settled(delivery, was_dead)?;
                Ok(Replayed::Due)
            }
            // It was found a moment ago: not attempted yet, or gone meanwhile.
            None if self.is_there(delivery.id)? => Ok(Replayed::Pending),
            None => Ok(Replayed::Unknown),
        }
    }

    fn is_there(&self, id: DeliveryId) -> Result<bool, Failure> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM events WHERE seq = ?1")?;
        Ok(statement.exists([seq_of(id)])?)
    }

    fn replay_settled(&mut self, delivery: &Replayable, was_dead: bool) -> Result<(), Failure> {
        self.begin()?;
        let (queue, target) = self.queue(&delivery.route, &delivery.target)?;
        let has_turn = match delivery.order {
            Some(order) => self.join(order.group, queue, delivery.id)?,
            None => true,
        };
        let now_ms = self.clock.now().as_millis();
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET state = 0, earlier = earlier + attempts, attempts = 0,
                 replayed_ms = ?2, turn = NULL WHERE id = ?1",
            )?
            .execute((delivery.id, now_ms))?;
        let waiting = Waiting {
            id: delivery.id,
            due_ms: if has_turn {
                self.due_clock.now().as_millis()
            } else {
                BLOCKED_MS
            },
            attempts: 0,
            replayed_ms: Some(now_ms),
            order: delivery.order,
        };
        self.wait(queue, waiting)?;
        if has_turn {
            self.queues.look_at(queue, waiting.spot());
        }
        self.targets.add_pending(target);
        if was_dead {
            self.targets.remove_dead(target);
        }
        Ok(())
    }

    pub(super) fn save_replay(&mut self, replay: &Replay) -> Result<SavedReplay, Failure> {
        self.begin()?;
        let revision = i64::try_from(replay.revision).unwrap_or(i64::MAX);
        let ended_ms = replay.ended_at.map(|at| at.as_millis());
        if revision > 0 {
            let rows = self
                .connection
                .prepare_cached(
                    "UPDATE replays SET revision = revision + 1, ended_ms = ?3, record = ?4
                     WHERE id = ?1 AND revision = ?2",
                )?
                .execute((replay.id.as_bytes(), revision, ended_ms, replay.to_json()))?;
            return Ok(match rows {
                0 => SavedReplay::Changed,
                _ => SavedReplay::Kept,
            });
        }
        if self.is_kept(replay.id)? {
            return Ok(SavedReplay::Changed);
        }
        if !self.make_room_for_replay()? {
            return Ok(SavedReplay::NoRoom);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO replays (id, revision, created_ms, ended_ms, record)
                 VALUES (?1, 1, ?2, ?3, ?4)",
            )?
            .execute((
                replay.id.as_bytes(),
                replay.created_at.as_millis(),
                ended_ms,
                replay.to_json(),
            ))?;
        Ok(SavedReplay::Kept)
    }

    fn is_kept(&self, id: Uuid) -> Result<bool, Failure> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM replays WHERE id = ?1")?;
        Ok(statement.exists([id.as_bytes()])?)
    }

    /// Forgets the replay that ended first, if there are as many as there can be.
    fn make_room_for_replay(&self) -> Result<bool, Failure> {
        let kept: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM replays")?
            .query_row([], |row| row.get(0))?;
        if kept.unsigned_abs() < REPLAYS_MAX {
            return Ok(true);
        }
        let gone = self
            .connection
            .prepare_cached(
                "DELETE FROM replays WHERE id = (SELECT id FROM replays
                 WHERE ended_ms IS NOT NULL ORDER BY ended_ms, created_ms, id LIMIT 1)",
            )?
            .execute([])?;
        Ok(gone > 0)
    }

    pub(super) fn forget_replay(&mut self, id: Uuid) -> Result<Answer, Failure> {
        self.begin()?;
        self.connection
            .prepare_cached("DELETE FROM replays WHERE id = ?1")?
            .execute([id.as_bytes()])?;
        Ok(Answer::Done)
    }
}

/// Those kept, oldest first; what cannot be read is left out.
pub(super) fn kept(connection: &Connection) -> Result<Vec<Replay>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT id, revision, record FROM replays ORDER BY created_ms, id")?;
    let mut rows = statement.query([])?;
    let mut replays = Vec::new();
    while let Some(row) = rows.next()? {
        let id = Uuid::from_slice(row.get_ref(0)?.as_blob().unwrap_or_default());
        let revision = row.get::<_, i64>(1)?.unsigned_abs();
        let record = row.get_ref(2)?.as_bytes().unwrap_or_default();
        match id
            .ok()
            .and_then(|id| Replay::from_json(id, revision, record))
        {
            Some(replay) => replays.push(replay),
            None => tracing::error!("a replay that is kept cannot be read"),
        }
    }
    Ok(replays)
}
