//! Moving events from the spool to the primary, and finding out when that takes events again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    event::{AttemptRecord, DeadReason, Event, Outcome},
    metrics::Metrics,
    store::{
        Acceptance, Claimed, Retention, Settlement, Store, StoreError, Want, orphans::Orphans,
    },
};

use super::{
    Limits, Setup, entry,
    state::{State, is_ordered},
};

/// Bytes of the bodies that are in memory at one time to be moved, if one body is not more.
const BATCH_BYTES_MAX: usize = 64 << 20;
const BATCH_MAX: usize = 128;
/// Bodies of one call: so few that a store keeps the call whole, and with it the order of the events.
const CALL_BYTES_MAX: usize = 512 << 10;
/// Nobody else claims here, and a claim that has lapsed is as good until somebody does. So the shortest will do, and
/// what was claimed by a call that failed is claimed again in its order.
const LEASE: Duration = Duration::from_millis(1);
/// Between looks at a primary that is away: doubled from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long an event is passed over that the primary did not take although it is there: doubled each time.
const FIRST_ASIDE: Duration = Duration::from_secs(1);
const LONGEST_ASIDE: Duration = Duration::from_secs(60);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Of so many events that were moved, their entries are removed without waiting for that.
const EXPIRE_AFTER: usize = 256;
/// Bodies that have been moved are of no use; so many may stay until their age is that of the retention.
const KEPT_BYTES: u64 = 16 << 20;

pub(super) struct Mover {
    primary: Arc<dyn Store>,
    spool: Arc<dyn Store>,
    state: Arc<State>,
    orphans: Arc<Orphans>,
    metrics: Arc<Metrics>,
    clock: Clock,
    limits: Arc<ArcSwap<Limits>>,
    stop: CancellationToken,
    /// Events of one call: one after a failure, to try whether the primary takes it, then more.
    call_max: usize,
    /// Claimed and not moved, in order.
    carried: Vec<Carried>,
    /// Moved, or given up; the spool is to be told.
    unsettled: Vec<Settlement>,
    /// Moved since the spool was last empty.
    moved: u64,
    settled: usize,
    expired_at: Instant,
}

struct Carried {
    claimed: Claimed,
    event: Arc<Event>,
}

/// What a turn has found.
enum Next {
    /// There may be more to move.
    More,
    /// Nothing is due for so long.
    Nothing(Duration),
}

/// Events that are claimed at one time.
fn batch_max(body_max: usize) -> usize {
    (BATCH_BYTES_MAX / body_max.max(1)).clamp(1, BATCH_MAX)
}

/// How many events a spool holds.
pub(super) async fn waiting(spool: &dyn Store) -> Result<u64, StoreError> {
    let depth = spool.depth(&[entry::waits_for()]).await?;
    Ok(depth.first().map_or(0, |depth| depth.pending))
}

impl Mover {
    pub(super) fn new(setup: Setup, state: Arc<State>, stop: CancellationToken) -> Self {
        Self {
            primary: setup.primary,
            spool: setup.spool,
            state,
            orphans: setup.orphans,
            metrics: setup.metrics,
            clock: setup.clock,
            limits: setup.limits,
            stop,
            call_max: 1,
            carried: Vec::new(),
            unsettled: Vec::new(),
            moved: 0,
            settled: 0,
            expired_at: Instant::now(),
        }
    }

    /// Until the stop signal; a turn that has begun is finished.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let before = self.moved;
            let (wait, wakes) = match self.turn().await {
                Ok(Next::More) => {
                    failures = 0;
                    continue;
                }
                Ok(Next::Nothing(wait)) => {
                    failures = 0;
                    (wait, true)
                }
                // Not to be woken by every event that comes meanwhile.
                Err(error) => {
                    tracing::debug!(%error, "events of the spool are not moved now");
                    if self.moved > before {
                        failures = 0;
                    }
                    failures += 1;
                    let wait = doubled(FIRST_WAIT, failures - 1, LONGEST_WAIT);
                    (wait, false)
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.state.wake.notified(), if wakes => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn turn(&mut self) -> Result<Next, StoreError> {
        self.settle().await?;
        self.expire().await;
        let seen = self.state.reports();
        let mut next = Next::More;
        if self.carried.is_empty() {
            next = self.claim().await?;
        }
        let waiting = waiting(&*self.spool).await?;
        self.metrics.spool.set_events(waiting);
        if !self.state.view().is_up() {
            self.primary.ready().await?;
        }
        let moved = self.move_carried().await?;
        // Not because it says so, but because it took an event, where there was one.
        if moved || waiting == 0 {
            self.state.regained();
        }
        if waiting == 0 {
            self.emptied(seen);
        }
        Ok(next)
    }

    async fn claim(&mut self) -> Result<Next, StoreError> {
        let want = Want {
            target: entry::waits_for(),
            max: batch_max(self.limits.load().body_max),
            lease: LEASE,
        };
        let claims = self.spool.claim(&[want]).await?;
        if claims.claimed.is_empty() {
            let due = claims.next_due.into_iter().flatten().min();
            return Ok(Next::Nothing(
                due.map_or(EXPIRE_EVERY, |due| due.clamp(FIRST_WAIT, EXPIRE_EVERY)),
            ));
        }
        for claimed in claims.claimed {
            match entry::unpack(&claimed.event) {
                Some(event) => self.carried.push(Carried {
                    event: Arc::new(event),
                    claimed,
                }),
                None => self.bury(&claimed),
            }
        }
        Ok(Next::More)
    }

    /// One call after the other, in order. False when there was nothing to move.
    async fn move_carried(&mut self) -> Result<bool, StoreError> {
        let some = !self.carried.is_empty();
        while !self.carried.is_empty() && !self.stop.is_cancelled() {
            let rest = self.carried.split_off(self.call_len());
            let call = std::mem::replace(&mut self.carried, rest);
            let events = call.iter().map(|one| one.event.clone()).collect();
            let answers = self.primary.accept_all(events).await;
            let is_one = call.len() == 1;
            let mut failed = Vec::new();
            let mut why = None;
            for (one, answer) in call.into_iter().zip(answers) {
                match answer {
                    Ok(acceptance) => self.moved(&one, &acceptance),
                    Err(error) if is_one && !is_ordered(&one.event) => {
                        self.put_aside(&one, &error);
                        why = Some(error);
                    }
                    Err(error) => {
                        failed.push(one);
                        why = Some(error);
                    }
                }
            }
            self.carried.splice(..0, failed);
            if let Some(error) = why {
                self.call_max = 1;
                self.settle().await?;
                return Err(error);
            }
            self.call_max = (self.call_max * 2).min(BATCH_MAX);
        }
        self.settle().await?;
        Ok(some)
    }

    /// At least one.
    fn call_len(&self) -> usize {
        let mut bytes = 0;
        let fitting = self.carried.iter().take(self.call_max).take_while(|one| {
            bytes += one.event.body.len();
            bytes <= CALL_BYTES_MAX
        });
        fitting.count().max(1).min(self.carried.len())
    }

    fn moved(&mut self, one: &Carried, acceptance: &Acceptance) {
        let spool = &self.metrics.spool;
        match acceptance {
            // An earlier call had stored it, whatever its answer was.
            Acceptance::Duplicate { uid, .. } if *uid == one.event.uid => {
                spool.moved_accepted.inc();
            }
            Acceptance::Accepted { .. } => spool.moved_accepted.inc(),
            Acceptance::Duplicate { uid, .. } => {
                spool.moved_duplicate.inc();
                tracing::debug!(
                    event = %one.event.uid,
                    first = %uid,
                    route = %one.event.route,
                    "an event of the spool is a duplicate: it was answered as accepted twice, and is delivered once"
                );
            }
        }
        self.moved += 1;
        let attempt = self.attempt(None);
        let settlement = one.claimed.settlement(Outcome::Delivered, Some(attempt));
        self.unsettled.push(settlement);
    }

    /// So that what the primary never takes does not hold up the others. An ordered one is not passed over.
    fn put_aside(&mut self, one: &Carried, error: &StoreError) {
        tracing::debug!(event = %one.event.uid, %error, "an event of the spool is put aside");
        let attempt = self.attempt(Some(error.to_string()));
        let wait = doubled(FIRST_ASIDE, one.claimed.attempts, LONGEST_ASIDE);
        let outcome = Outcome::Retry(wait);
        self.unsettled
            .push(one.claimed.settlement(outcome, Some(attempt)));
    }

    fn bury(&mut self, claimed: &Claimed) {
        tracing::error!(
            event = %claimed.event.uid,
            route = %claimed.event.route,
            "an event of the spool is damaged; it becomes a dead letter there"
        );
        self.metrics.spool.moved_corrupt.inc();
        let attempt = self.attempt(Some("the stored event is damaged".to_owned()));
        let outcome = Outcome::Dead(DeadReason::Corrupt);
        self.unsettled
            .push(claimed.settlement(outcome, Some(attempt)));
    }

    fn attempt(&self, error: Option<String>) -> AttemptRecord {
        AttemptRecord {
            started_at: self.clock.now(),
            duration: Duration::ZERO,
            status: None,
            error,
            response_head: Bytes::new(),
        }
    }

    /// What could not be settled is settled in the next turn: moved again it would only be a duplicate of itself.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.unsettled.is_empty() {
            return Ok(());
        }
        let answers = self.spool.settle_all(self.unsettled.clone()).await;
        let asked = std::mem::take(&mut self.unsettled);
        self.settled += asked.len();
        let mut why = None;
        for (settlement, answer) in asked.into_iter().zip(answers) {
            if let Err(error) = answer {
                self.unsettled.push(settlement);
                why = Some(error);
            }
        }
        why.map_or(Ok(()), Err)
    }

    /// One piece of the work a turn.
    async fn expire(&mut self) {
        if self.settled < EXPIRE_AFTER && self.expired_at.elapsed() < EXPIRE_EVERY {
            return;
        }
        let kept = Retention {
            age: self.limits.load().retention,
            bytes: KEPT_BYTES,
        };
        match self.spool.expire(kept).await {
            Ok(expired) if expired.more => return,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not remove moved events from the spool"),
        }
        self.settled = 0;
        self.expired_at = Instant::now();
    }

    fn emptied(&mut self, seen: u64) {
        self.state.emptied(seen);
        if self.moved > 0 {
            tracing::info!(events = self.moved, "all events of the spool are moved");
            self.moved = 0;
        }
        // No event of the spool is for a target that is gone any more.
        let due = self.state.take_retire_due();
        if !due.is_empty() {
            self.orphans.tell(due);
        }
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}
