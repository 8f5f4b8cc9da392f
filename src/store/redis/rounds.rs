//! Which shards are asked when, so that an idle gateway sends about as many commands with many shards as with one.
//!
//! A shard is asked for deliveries when something that is known falls due there: as its last answer told, or because
//! this gateway itself put it there. What other gateways put there is seen when its turn comes, in a round through
//! all shards. A claim shows in such an answer as something due later, so its end is known to the millisecond,
//! unless the round takes longer than the lease.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    super::{Depth, Settlement, Want},
    encoding::millis,
};
use crate::{
    clock::Clock,
    event::{Event, Outcome, TargetName},
};

/// Between the turns of two shards. A little less than the second between two polls of the dispatcher, so that each
/// of them gives a turn.
const TURN_MS: i64 = 900;
/// How soon a shard that failed is asked again.
const AGAIN_MS: i64 = 1000;
/// Shards that one call of expire asks.
const EXPIRED_AT_ONCE: usize = 12;
/// Nothing is waiting.
const NEVER: i64 = i64::MAX;

pub(super) struct Rounds {
    clock: Option<Clock>,
    start: Instant,
    shards: Vec<Known>,
    claims: Mutex<Turn>,
    depths: Mutex<Turn>,
    expiries: Mutex<Turn>,
}

/// What is known of a shard.
#[derive(Default)]
struct Known {
    /// For each target that was asked for: when the next delivery falls due.
    dues: Mutex<HashMap<TargetName, i64>>,
    measured: Mutex<Option<Measured>>,
    /// This gateway did something since it was measured.
    is_changed: AtomicBool,
    has_more_to_expire: AtomicBool,
}

/// A shard's depths.
struct Measured {
    at: i64,
    targets: Vec<TargetName>,
    depths: Vec<Depth>,
}

#[derive(Default)]
struct Turn {
    next: usize,
    not_before: i64,
}

impl Turn {
    fn take(&mut self, shards: usize) -> usize {
        let taken = self.next % shards;
        self.next = taken + 1;
        taken
    }
}

/// In how many milliseconds the deliveries of each target fall due that a call leaves in the store.
#[derive(Default)]
pub(super) struct Left(HashMap<TargetName, i64>);

impl Left {
    /// By accepting these.
    pub(super) fn of_events<'a>(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut left = Self::default();
        for delivery in events.flat_map(|event| &event.deliveries) {
            left.add(&delivery.target, delivery.lease.map_or(0, millis));
        }
        left
    }

    /// By settling these.
    pub(super) fn of_settlements<'a>(settlements: impl Iterator<Item = &'a Settlement>) -> Self {
        let mut left = Self::default();
        for settlement in settlements {
            match settlement.outcome {
                Outcome::Retry(wait) => left.add(&settlement.target, millis(wait)),
                Outcome::Released => left.add(&settlement.target, 0),
                Outcome::Delivered | Outcome::Filtered if settlement.order.is_none() => {}
                // Then the next of its group has its turn. Of what could not be read the order is not known.
                Outcome::Delivered | Outcome::Filtered | Outcome::Dead(_) => {
                    left.add(&settlement.target, 0)
                }
            }
        }
        left
    }

    fn add(&mut self, target: &TargetName, wait_ms: i64) {
        match self.0.get_mut(target) {
            Some(earlier) => *earlier = wait_ms.min(*earlier),
            None => drop(self.0.insert(target.clone(), wait_ms)),
        }
    }

    /// It is not known what happened: all may be due.
    pub(super) fn at_once(mut self) -> Self {
        self.0.values_mut().for_each(|wait_ms| *wait_ms = 0);
        self
    }
}

impl Rounds {
    /// The clock is the one that the scripts follow, if they do not follow the server's.
    pub(super) fn new(shards: usize, clock: Option<Clock>) -> Self {
        let mut known = Vec::new();
        known.resize_with(shards, Known::default);
        Self {
            clock,
            start: Instant::now(),
            shards: known,
            claims: Mutex::default(),
            depths: Mutex::default(),
            expiries: Mutex::default(),
        }
    }

    fn now(&self) -> i64 {
        match &self.clock {
            Some(clock) => clock.now().as_millis(),
            None => millis(self.start.elapsed()),
        }
    }

    /// This gateway did something in a shard.
    pub(super) fn note(&self, shard: usize, left: &Left) {
        let now = self.now();
        let known = &self.shards[shard];
        known.is_changed.store(true, Ordering::Relaxed);
        let mut dues = locked(&known.dues);
        for (target, wait_ms) in &left.0 {
            // One that was never asked for is asked for anyway.
            if let Some(due) = dues.get_mut(target) {
                *due = now.saturating_add(*wait_ms).min(*due);
            }
        }
    }

    /// Anything may be due in any shard, as after a replay.
    pub(super) fn forget(&self) {
        for known in &self.shards {
            known.is_changed.store(true, Ordering::Relaxed);
            locked(&known.dues).clear();
        }
    }

    /// The shards to ask for these, those first where something has been due for longest.
    pub(super) fn to_claim(&self, wants: &[Want]) -> Vec<usize> {
        let now = self.now();
        let turn = {
            let mut turn = locked(&self.claims);
            (turn.not_before <= now).then(|| {
                turn.not_before = now + TURN_MS;
                turn.take(self.shards.len())
            })
        };
        let first_due = |shard: usize| wants.iter().map(|want| self.due(shard, want)).min();
        let shards = (0..self.shards.len()).filter_map(|shard| Some((first_due(shard)?, shard)));
        let due = shards.filter(|(due, shard)| *due <= now || turn == Some(*shard));
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        due.into_iter().map(|(_, shard)| shard).collect()
    }

    /// When the want's next delivery falls due; long ago when that is not known.
    fn due(&self, shard: usize, want: &Want) -> i64 {
        let dues = locked(&self.shards[shard].dues);
        dues.get(&want.target).copied().unwrap_or(i64::MIN)
    }

    /// Before a shard is asked: what is noted meanwhile stays. Returns when that was.
    pub(super) fn asking(&self, shard: usize, wants: &[Want]) -> i64 {
        let mut dues = locked(&self.shards[shard].dues);
        for want in wants {
            dues.insert(want.target.clone(), NEVER);
        }
        self.now()
    }

    /// What the shard answered, or that it failed.
    pub(super) fn answered(
        &self,
        shard: usize,
        asked_at: i64,
        wants: &[Want],
        next_due: Option<&[Option<Duration>]>,
    ) {
        let mut dues = locked(&self.shards[shard].dues);
        for (index, want) in wants.iter().enumerate() {
            let wait_ms = match next_due {
                Some(next_due) => next_due.get(index).copied().flatten().map(millis),
                None => Some(AGAIN_MS),
            };
            if let (Some(wait_ms), Some(due)) = (wait_ms, dues.get_mut(&want.target)) {
                *due = asked_at.saturating_add(wait_ms).min(*due);
            }
        }
    }

    /// This gateway claimed something in a shard.
    pub(super) fn changed(&self, shard: usize) {
        self.shards[shard].is_changed.store(true, Ordering::Relaxed);
    }

    /// How long until the next delivery of each want falls due in any shard.
    pub(super) fn next_due(&self, wants: &[Want]) -> Vec<Option<Duration>> {
        let now = self.now();
        let wait = |want: &Want| {
            let shards = 0..self.shards.len();
            let due = shards.map(|shard| self.due(shard, want)).min()?;
            let wait_ms = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
            (due != NEVER).then(|| Duration::from_millis(wait_ms))
        };
        wants.iter().map(wait).collect()
    }

    /// The shards to measure anew: where something changed, and the one whose turn it is.
    pub(super) fn to_measure(&self, targets: &[TargetName]) -> Vec<usize> {
        let now = self.now();
        let turn = locked(&self.depths).take(self.shards.len());
        let is_stale = |shard: usize| {
            let known = &self.shards[shard];
            let was_changed = known.is_changed.swap(false, Ordering::Relaxed);
            let dues = locked(&known.dues);
            let fell_due = |target| dues.get(target).is_some_and(|due| *due <= now);
            let measured = locked(&known.measured);
            let is_known = measured
                .as_ref()
                .is_some_and(|last| last.targets == targets);
            was_changed || !is_known || targets.iter().any(fell_due)
        };
        let shards = 0..self.shards.len();
        shards
            .filter(|&shard| is_stale(shard) || shard == turn)
            .collect()
    }

    /// What a shard answered, or that it failed.
    pub(super) fn measured(
        &self,
        shard: usize,
        targets: &[TargetName],
        depths: Option<Vec<Depth>>,
    ) {
        *locked(&self.shards[shard].measured) = depths.map(|depths| Measured {
            at: self.now(),
            targets: targets.to_vec(),
            depths,
        });
    }

    /// Of all shards together.
    pub(super) fn depths(&self, targets: &[TargetName]) -> Vec<Depth> {
        let now = self.now();
        let mut joined = vec![Depth::default(); targets.len()];
        for known in &self.shards {
            let measured = locked(&known.measured);
            let Some(measured) = &*measured else {
                continue;
            };
            let age = Duration::from_millis(u64::try_from(now - measured.at).unwrap_or(0));
            for (joined, depth) in joined.iter_mut().zip(&measured.depths) {
                joined.pending += depth.pending;
                joined.dead += depth.dead;
                if depth.oldest_due > Duration::ZERO {
                    joined.oldest_due = joined.oldest_due.max(depth.oldest_due + age);
                }
            }
        }
        joined
    }

    /// The shards to expire in: those that had more, and the next of the round.
    pub(super) fn to_expire(&self) -> Vec<usize> {
        let shards = self.shards.len();
        let mut turn = locked(&self.expiries);
        let mut chosen: Vec<_> = (0..EXPIRED_AT_ONCE.min(shards))
            .map(|_| turn.take(shards))
            .collect();
        for (shard, known) in self.shards.iter().enumerate() {
            let had_more = known.has_more_to_expire.load(Ordering::Relaxed);
            if had_more && !chosen.contains(&shard) {
                chosen.push(shard);
            }
        }
        chosen
    }

    /// With a turn that was given, anything may be due there.
    pub(super) fn expired(&self, shard: usize, more: bool, gave_turns: bool) {
        let known = &self.shards[shard];
        known.has_more_to_expire.store(more, Ordering::Relaxed);
        known.is_changed.store(true, Ordering::Relaxed);
        if gave_turns {
            locked(&known.dues).clear();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const SHARDS: usize = 8;
    const SECOND: Duration = Duration::from_secs(1);

    fn wants() -> [Want; 1] {
        [Want {
            target: "crm".into(),
            max: 1,
            lease: SECOND,
        }]
    }

    /// As the store does it; every shard answers `next_due`.
    fn ask(rounds: &Rounds, next_due: Option<Duration>) -> Vec<usize> {
        let asked = rounds.to_claim(&wants());
        for &shard in &asked {
            let at = rounds.asking(shard, &wants());
            rounds.answered(shard, at, &wants(), Some(&[next_due]));
        }
        asked
    }

    #[test]
    fn at_first_all_are_asked_and_then_each_in_its_turn() {
        let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let rounds = Rounds::new(SHARDS, Some(clock.clone()));
        assert_eq!(ask(&rounds, None).len(), SHARDS);
        assert_eq!(rounds.next_due(&wants()), [None]);
        let mut seen = Vec::new();
        for _ in 0..SHARDS {
            hand.set(clock.now().saturating_add(SECOND));
            let asked = ask(&rounds, None);
            assert_eq!(asked.len(), 1);
            assert!(ask(&rounds, None).is_empty(), "one turn a second");
            seen.extend(asked);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..SHARDS).collect::<Vec<_>>());
    }

    #[test]
    fn a_shard_is_asked_when_what_it_told_of_falls_due() {
        let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let rounds = Rounds::new(SHARDS, Some(clock.clone()));
        ask(&rounds, Some(SECOND / 2));
        assert_eq!(rounds.next_due(&wants()), [Some(SECOND / 2)]);
        assert!(rounds.to_claim(&wants()).is_empty());
        hand.set(clock.now().saturating_add(SECOND / 2));
        assert_eq!(rounds.next_due(&wants()), [Some(Duration::ZERO)]);
        assert_eq!(rounds.to_claim(&wants()).len(), SHARDS);
    }

    #[test]
    fn what_is_noted_while_a_shard_is_asked_stays() {
        let (clock, _hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let rounds = Rounds::new(SHARDS, Some(clock));
        ask(&rounds, None);
        let at = rounds.asking(3, &wants());
        let mut left = Left::default();
        left.add(&"crm".into(), 0);
        rounds.note(3, &left);
        rounds.answered(3, at, &wants(), Some(&[None]));
        assert_eq!(rounds.to_claim(&wants()), [3]);
    }

    #[test]
    fn a_shard_that_failed_is_asked_again_after_a_second() {
        let (clock, hand) = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let rounds = Rounds::new(SHARDS, Some(clock.clone()));
        ask(&rounds, None);
        let at = rounds.asking(5, &wants());
        rounds.answered(5, at, &wants(), None);
        assert!(rounds.to_claim(&wants()).is_empty());
        hand.set(clock.now().saturating_add(SECOND));
        assert!(rounds.to_claim(&wants()).contains(&5));
    }
}
