//! Claiming what is due, and telling how much waits.

use std::time::{Duration, Instant};

use rusqlite::Row;

use crate::{
    clock::Timestamp,
    event::TargetName,
    store::{Depth, Want},
};

use super::{
    claims::{Claim, TargetIndex, Waiting},
    failure::Failure,
    ledger::{Ledger, Picked, Picks},
    queues::{END, QueueIndex, Spot},
    targets::row_of,
    turns::read_order,
};

/// A queue's pending deliveries from a place on, those longest due first; read only as far as needed.
pub(super) const WAITING: &str = "SELECT id, due_ms, attempts, replayed_ms, turn FROM waiting
    WHERE queue = ?1 AND (due_ms, id) >= (?2, ?3) ORDER BY due_ms, id";

/// What the deliveries of a claim have in common.
struct Hand<'a> {
    want: &'a Want,
    target: TargetIndex,
    now: Timestamp,
    instant: Instant,
}

impl Ledger {
    pub(super) fn claim(&mut self, wants: &[Want]) -> Result<Picks, Failure> {
        let mut picks = Picks::default();
        let now = self.due_clock.now();
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
        self.note_lapsed(target, instant);
        let hand = Hand {
            want,
            target,
            now,
            instant,
        };
        let mut left = want.max;
        // Each with its rank in its queue, to alternate in the end.
        let mut ranked = Vec::new();
        let mut rank = 0;
        loop {
            let queues = self.queues.take_turns(target, now.as_millis(), left);
            // There are no more queues than are wanted.
            let Some(share) = left.checked_div(queues.len()) else {
                break;
            };
            for queue in queues {
                let taken = self.pick_from(&hand, queue, share)?;
                left -= taken.len();
                ranked.extend((rank..).zip(taken));
            }
            rank += share;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        picked.extend(ranked.into_iter().map(|(_, picked)| picked));
        let next = self.first_due(target, instant)?.map(|due| due.since(now));
        let lapse = self.claims.next_end(target, instant);
        Ok([next, lapse].into_iter().flatten().min())
    }

    /// Claims at most `max` of a queue.
    fn pick_from(
        &mut self,
        hand: &Hand<'_>,
        queue: QueueIndex,
        max: usize,
    ) -> Result<Vec<Picked>, Failure> {
        let (due_ms, id) = self.queues.from(queue);
        let mut picked = Vec::new();
        let mut rest = END;
        let mut statement = self.connection.prepare_cached(WAITING)?;
        let mut rows = statement.query((row_of(queue), due_ms, id))?;
        while let Some(row) = rows.next()? {
            let waiting = read_waiting(row)?;
            if self.claims.is_held(waiting.id, hand.instant) {
                continue;
            }
            if picked.len() == max || Timestamp::from_millis(waiting.due_ms) > hand.now {
                rest = waiting.spot().min(END);
                break;
            }
            let claim = Claim {
                target: hand.target,
                queue,
                waiting,
                uid: None,
            };
            picked.push(Picked {
                delivery: waiting.id,
                target: hand.want.target.clone(),
                attempts: waiting.attempts,
                lease: self.claims.claim(claim, hand.instant, hand.want.lease),
                order: waiting.order,
                replayed_at: waiting.replayed_ms.map(Timestamp::from_millis),
            });
        }
        self.queues.look_from(queue, rest);
        Ok(picked)
    }

    /// What lapsed can be claimed again.
    fn note_lapsed(&mut self, target: TargetIndex, instant: Instant) {
        for claim in self.claims.lapsed(target, instant) {
            self.queues.look_at(claim.queue, claim.waiting.spot());
        }
    }

    /// When the first of the target's deliveries that nobody has claimed falls, or fell, due.
    fn first_due(
        &mut self,
        target: TargetIndex,
        instant: Instant,
    ) -> Result<Option<Timestamp>, Failure> {
        for queue in self.queues.unseen(target) {
            self.look_on(queue, instant)?;
        }
        // What a queue is looked at from may be gone: then it is looked for further on.
        while let Some(queue) = self.queues.first(target) {
            let first = self.look_on(queue, instant)?;
            if self.queues.first(target) == Some(queue) {
                return Ok(Some(Timestamp::from_millis(first.0)));
            }
        }
        Ok(None)
    }

    /// Looks for the first of a queue that nobody has claimed.
    fn look_on(&mut self, queue: QueueIndex, instant: Instant) -> Result<Spot, Failure> {
        let (due_ms, id) = self.queues.from(queue);
        let mut first = END;
        let mut statement = self.connection.prepare_cached(WAITING)?;
        let mut rows = statement.query((row_of(queue), due_ms, id))?;
        while let Some(row) = rows.next()? {
            let waiting = read_waiting(row)?;
            if !self.claims.is_held(waiting.id, instant) {
                first = waiting.spot().min(END);
                break;
            }
        }
        self.queues.look_from(queue, first);
        Ok(first)
    }

    pub(super) fn depth(&mut self, targets: &[TargetName]) -> Result<Vec<Depth>, Failure> {
        let now = self.due_clock.now();
        targets
            .iter()
            .map(|name| match self.targets.find(name) {
                Some(target) => self.depth_of(target, now),
                None => Ok(Depth::default()),
            })
            .collect()
    }

    fn depth_of(&mut self, target: TargetIndex, now: Timestamp) -> Result<Depth, Failure> {
        let instant = Instant::now();
        self.note_lapsed(target, instant);
        let oldest = self.first_due(target, instant)?;
        let count = |of: &[u64]| of.get(target).copied().unwrap_or(0);
        Ok(Depth {
            pending: count(&self.targets.counts.pending),
            dead: count(&self.targets.counts.dead),
            oldest_due: oldest.map_or(Duration::ZERO, |due| now.since(due)),
        })
    }
}

/// Of [`WAITING`].
pub(super) fn read_waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        id: row.get(0)?,
        due_ms: row.get(1)?,
        attempts: row.get(2)?,
        replayed_ms: row.get(3)?,
        order: read_order(row, 4)?,
    })
}
