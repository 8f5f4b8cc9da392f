//! Removing what is finished and old, forgetting ids, and giving up on targets that are gone.

use rusqlite::OptionalExtension as _;

use crate::{
    clock::Timestamp,
    event::{DeadReason, DeliveryState, Order, TargetName},
    store::{Expired, Retention, orphans::Gone},
};

use super::{
    claiming::{WAITING, read_waiting},
    claims::{TargetIndex, Waiting},
    commits::{self, Place},
    deliveries::{self, DeliveryId, number_of, seq_of},
    failure::Failure,
    ledger::{Answer, Kept, Ledger, MILLISECOND, first_ids_row},
    queues::QueueIndex,
    targets::{index_of, row_of, state_code},
    turns::read_order,
};

/// Bounds of one call: other operations wait for it.
const EVENTS_REMOVED_MAX: usize = 200;
const EVENTS_SEEN_MAX: usize = 2_000;
const ID_ROWS_REMOVED_MAX: i64 = 200;
const RETIRED_MAX: usize = 1_000;

/// What a walk over the commits has found.
struct Walk {
    cutoff_ms: i64,
    bytes_max: u64,
    bytes_left: u64,
    /// The commits that lose events.
    losers: Vec<Loser>,
    victims: usize,
    seen: usize,
    kept: Option<Kept>,
    /// Where the next call begins.
    next: Place,
    more: bool,
}

#[derive(Clone, Copy)]
struct Commit {
    place: Place,
    last_seq: i64,
}

struct Loser {
    commit: Commit,
    victims: Vec<Victim>,
}

struct Victim {
    seq: i64,
    body_bytes: u64,
}

/// An event whose deliveries are all settled.
#[derive(Clone, Copy)]
struct Finished {
    seq: i64,
    /// When the last of them was.
    at_ms: i64,
}

struct DeadLetter {
    id: DeliveryId,
    target: TargetIndex,
    /// The order that it holds up.
    holds: Option<Order>,
}

impl Walk {
    /// Whether something that was finished then is to go.
    fn takes(&self, finished_ms: i64) -> bool {
        finished_ms < self.cutoff_ms || self.bytes_left > self.bytes_max
    }

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
        let walk = self.walk(now.saturating_sub(retention.age), retention.bytes)?;
        for loser in &walk.losers {
            self.shrink(loser)?;
        }
        self.unfinished_until = walk.next;
        self.kept = walk.kept;
        let rows = self.remove_id_rows(now)?;
        Ok(Expired {
            events: walk.victims as u64,
            ids: self.ids.forget(now),
            more: walk.more || rows == ID_ROWS_REMOVED_MAX.unsigned_abs(),
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

    /// Finds the oldest events that were finished before `cutoff`, or are finished and too many for `bytes_max`.
    fn walk(&self, cutoff: Timestamp, bytes_max: u64) -> Result<Walk, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT max_ms, first_seq, last_seq FROM commits
             WHERE (max_ms, first_seq) >= (?1, ?2) ORDER BY max_ms, first_seq",
        )?;
        let mut rows = statement.query(self.unfinished_until)?;
        let mut walk = Walk {
            cutoff_ms: cutoff.as_millis(),
            bytes_max,
            bytes_left: self.targets.counts.body_bytes,
            losers: Vec::new(),
            victims: 0,
            seen: 0,
            kept: self.kept,
            next: self.unfinished_until,
            more: false,
        };
        while let Some(row) = rows.next()? {
            let place @ (max_ms, first_seq) = (row.get(0)?, row.get(1)?);
            walk.next = place;
            if !walk.takes(max_ms) {
                return Ok(walk);
            }
            let last_seq = row.get(2)?;
            walk.more = walk.seen >= EVENTS_SEEN_MAX
                || !self.look_at(Commit { place, last_seq }, &mut walk)?;
            if walk.more {
                return Ok(walk);
            }
            walk.next = (max_ms, first_seq + 1);
        }
        Ok(walk)
    }

    /// False when more of this commit's events are to go than one call removes.
    fn look_at(&self, commit: Commit, walk: &mut Walk) -> Result<bool, Failure> {
        let (finished, seen) = self.finished(commit)?;
        walk.seen += 1 + seen;
        let mut victims = Vec::new();
        let mut whole = true;
        for event in finished {
            if !walk.takes(event.at_ms) {
                walk.keep(commit.place, event.at_ms);
                continue;
            }
            if walk.victims == EVENTS_REMOVED_MAX {
                whole = false;
                break;
            }
            let body_bytes = self.body_bytes(event.seq)?;
            walk.bytes_left = walk.bytes_left.saturating_sub(body_bytes);
            walk.victims += 1;
            victims.push(Victim {
                seq: event.seq,
                body_bytes,
            });
        }
        if !victims.is_empty() {
            walk.losers.push(Loser { commit, victims });
        }
        Ok(whole)
    }

    /// The finished events of a commit, and how many have a delivery that was settled. Costs one look into
    /// the narrow rows when there are none: a backlog is passed by quickly.
    fn finished(&self, commit: Commit) -> Result<(Vec<Finished>, usize), Failure> {
        let (_, first_seq) = commit.place;
        let mut statement = self.connection.prepare_cached(
            "SELECT id, settled_ms FROM deliveries NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 AND state <> 0 ORDER BY id",
        )?;
        let mut rows = statement.query(deliveries::range(first_seq, commit.last_seq))?;
        let mut finished = Vec::new();
        let mut event = Finished { seq: 0, at_ms: 0 };
        let (mut seen, mut settled) = (0, 0);
        while let Some(row) = rows.next()? {
            let (id, settled_ms): (DeliveryId, i64) = (row.get(0)?, row.get(1)?);
            if seq_of(id) != event.seq {
                seen += 1;
                settled = 0;
                event = Finished {
                    seq: seq_of(id),
                    at_ms: settled_ms,
                };
            }
            settled += 1;
            event.at_ms = event.at_ms.max(settled_ms);
            if settled == number_of(id) {
                finished.push(event);
            }
        }
        Ok((finished, seen))
    }

    fn body_bytes(&self, seq: i64) -> Result<u64, Failure> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT length(body) FROM events WHERE seq = ?1")?;
        // Damage can take the event and leave its deliveries.
        let bytes: Option<i64> = statement.query_row([seq], |row| row.get(0)).optional()?;
        Ok(bytes.unwrap_or(0).unsigned_abs())
    }

    /// Removes events of a commit; its row goes with the last of them.
    fn shrink(&mut self, loser: &Loser) -> Result<(), Failure> {
        self.begin()?;
        for run in loser.victims.chunk_by(|a, b| a.seq + 1 == b.seq) {
            self.remove(run)?;
        }
        let (max_ms, first_seq) = loser.commit.place;
        let bytes: u64 = loser.victims.iter().map(|victim| victim.body_bytes).sum();
        self.connection
            .prepare_cached(
                "UPDATE commits SET body_bytes = max(body_bytes - ?3, 0)
                 WHERE max_ms = ?1 AND first_seq = ?2",
            )?
            .execute((max_ms, first_seq, i64::try_from(bytes).unwrap_or(i64::MAX)))?;
        self.connection
            .prepare_cached(
                "DELETE FROM commits WHERE max_ms = ?1 AND first_seq = ?2 AND NOT EXISTS
                 (SELECT 1 FROM events WHERE seq BETWEEN first_seq AND last_seq)",
            )?
            .execute((max_ms, first_seq))?;
        Ok(())
    }

    /// Removes events that follow each other.
    fn remove(&mut self, run: &[Victim]) -> Result<(), Failure> {
        let ([first, ..], [.., last]) = (run, run) else {
            return Ok(());
        };
        let (first_seq, last_seq) = (first.seq, last.seq);
        let (first, last) = deliveries::range(first_seq, last_seq);
        self.connection
            .prepare_cached("DELETE FROM attempts WHERE delivery BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        for dead in self.dead_letters(first, last)? {
            self.targets.remove_dead(dead.target);
            if let Some(order) = dead.holds {
                self.stop_holding(order.group, dead.id)?;
            }
        }
        self.connection
            .prepare_cached("DELETE FROM deliveries WHERE id BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        self.connection
            .prepare_cached("DELETE FROM events WHERE seq BETWEEN ?1 AND ?2")?
            .execute((first_seq, last_seq))?;
        let removed: u64 = run.iter().map(|victim| victim.body_bytes).sum();
        let bytes = &mut self.targets.counts.body_bytes;
        *bytes = bytes.saturating_sub(removed);
        Ok(())
    }

    fn dead_letters(&self, first: i64, last: i64) -> Result<Vec<DeadLetter>, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, target, turn FROM deliveries NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 AND state BETWEEN 2 AND 6",
        )?;
        let rows = statement.query_map((first, last), |row| {
            Ok(DeadLetter {
                id: row.get(0)?,
                target: index_of(row.get(1)?),
                holds: read_order(row, 2)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns how many rows that were.
    fn remove_id_rows(&mut self, now: Timestamp) -> Result<u64, Failure> {
        let first_to_stay = first_ids_row(now.saturating_add(MILLISECOND));
        let passed = self
            .connection
            .prepare_cached("SELECT 1 FROM ids WHERE row < ?1")?
            .exists([first_to_stay])?;
        if !passed {
            return Ok(0);
        }
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached(
                "DELETE FROM ids WHERE row IN
                 (SELECT row FROM ids WHERE row < ?1 ORDER BY row LIMIT ?2)",
            )?
            .execute((first_to_stay, ID_ROWS_REMOVED_MAX))?;
        Ok(rows as u64)
    }

    /// A bounded piece of [`crate::store::Store::retire_targets`]: each delivery is retired atomically, and
    /// what a crash leaves over is retired by the next call.
    pub(super) fn retire(&mut self, gone: &Gone) -> Result<Answer, Failure> {
        let waiting = |(index, name): (TargetIndex, &TargetName)| {
            let pending = self.targets.counts.pending.get(index).copied().unwrap_or(0);
            (pending > 0 && gone.has(name)).then_some(index)
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
        // What gets a turn by that is looked for only now: it may be among those just retired.
        let mut freed = Vec::new();
        for (queue, waiting) in &deliveries {
            self.retire_one(target, *queue, waiting)?;
            let had_turn = !waiting.is_blocked();
            freed.extend(waiting.order.filter(|_| had_turn));
        }
        for order in freed {
            self.pass_on(order.group)?;
        }
        Ok(Answer::Retired {
            deliveries: deliveries.len() as u64,
            more: true,
        })
    }

    /// It holds up nobody, whatever its order says.
    fn retire_one(
        &mut self,
        target: TargetIndex,
        queue: QueueIndex,
        waiting: &Waiting,
    ) -> Result<(), Failure> {
        self.begin()?;
        self.end_wait(queue, waiting)?;
        // Its newest attempt stays.
        self.connection
            .prepare_cached(
                "INSERT INTO deliveries (id, target, state, settled_ms, attempts)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET state = ?3, settled_ms = ?4",
            )?
            .execute((
                waiting.id,
                row_of(target),
                state_code(DeliveryState::Dead(DeadReason::TargetRemoved)),
                self.clock.now().as_millis(),
                waiting.attempts,
            ))?;
        self.claims.drop_claim(waiting.id);
        self.targets.settled(target, true);
        self.unfinished_until = commits::START;
        if let Some(order) = waiting.order {
            self.strike(order.group, waiting.id)?;
        }
        Ok(())
    }

    fn pending(&self, target: TargetIndex) -> Result<Vec<(QueueIndex, Waiting)>, Failure> {
        let mut pending = Vec::new();
        for &queue in self.queues.of(target) {
            let mut statement = self.connection.prepare_cached(WAITING)?;
            let rows = statement.query_map((row_of(queue), i64::MIN, 0), read_waiting)?;
            for row in rows.take(RETIRED_MAX - pending.len()) {
                pending.push((queue, row?));
            }
            if pending.len() == RETIRED_MAX {
                break;
            }
        }
        Ok(pending)
    }
}
