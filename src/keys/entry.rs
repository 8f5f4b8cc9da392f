//! What is known of one address, and what to do about it: told the time, and nothing else.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Found, KeyFault};
use crate::clock::Timestamp;

/// How long keys are believed, when whoever gives them out does not say …
const TTL: Duration = Duration::from_secs(15 * 60);
/// … and when he does, at least and at most.
const TTL_MIN: Duration = Duration::from_secs(60);
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long keys are served on while their address fails.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// An address that failed is asked again after this long.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(10);
/// That there is no such key is believed for this long …
const ABSENT_TTL: Duration = Duration::from_secs(60);
/// … and keys that lack a token's are asked for again after this long.
const UNKNOWN_AFTER: Duration = Duration::from_secs(60);

/// Requests that wait for one fetch; more are told at once that there is no key.
const WAITERS_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Entry {
    /// Whether a request chose the address.
    pub(super) is_named: bool,
    kept: Option<Kept>,
    /// When the last fetch ended, and what came of it.
    last: Option<(Timestamp, Outcome)>,
    fetching: Option<Fetching>,
    used_at: Timestamp,
}

/// A fetch that is under way, until its sender is dropped.
#[derive(Debug)]
struct Fetching {
    ended: watch::Receiver<()>,
    places: Arc<Semaphore>,
}

/// A place among those who wait for a fetch.
pub(super) struct Waiting {
    ended: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    /// Until the fetch has ended, well or not.
    pub(super) async fn ended(mut self) {
        while self.ended.changed().await.is_ok() {}
    }
}

#[derive(Debug)]
struct Kept {
    found: Arc<Found>,
    fresh_until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    Absent,
    Failed,
}

/// What to do for a request.
#[derive(Debug)]
pub(super) enum Step {
    Use(Arc<Found>),
    /// It has been failing: nobody waits for it again.
    UseAndFetch(Arc<Found>),
    /// And wait.
    Fetch,
    Fail(KeyFault),
}

impl Entry {
    pub(super) fn new(is_named: bool) -> Self {
        Self {
            is_named,
            kept: None,
            last: None,
            fetching: None,
            used_at: Timestamp::from_millis(0),
        }
    }

    pub(super) fn found(&self) -> Option<Arc<Found>> {
        self.kept.as_ref().map(|kept| kept.found.clone())
    }

    pub(super) fn is_being_fetched(&self) -> bool {
        // Closed: it has ended, and be it by a panic.
        let under_way = |fetching: &Fetching| fetching.ended.has_changed().is_ok();
        self.fetching.as_ref().is_some_and(under_way)
    }

    /// A place among those who wait for the fetch that is under way, if there is one left.
    pub(super) fn wait(&self) -> Result<Waiting, KeyFault> {
        let place = self.fetching.as_ref().and_then(|fetching| {
            Some(Waiting {
                ended: fetching.ended.clone(),
                _place: fetching.places.clone().try_acquire_owned().ok()?,
            })
        });
        place.ok_or(unavailable(RETRY_AFTER))
    }

    /// What goes first is worth least: failures, then what was used longest ago.
    pub(super) fn worth(&self) -> (bool, Timestamp) {
        (self.kept.is_some(), self.used_at)
    }

    /// The fetch lasts until the sender is dropped.
    pub(super) fn begin(&mut self) -> watch::Sender<()> {
        let (sender, ended) = watch::channel(());
        self.fetching = Some(Fetching {
            ended,
            places: Arc::new(Semaphore::new(WAITERS_MAX)),
        });
        sender
    }

    /// `Ok(None)`: there is no such key.
    pub(super) fn end(
        &mut self,
        outcome: Result<Option<(Arc<Found>, Option<Duration>)>, ()>,
        now: Timestamp,
    ) {
        self.fetching = None;
        let outcome = match outcome {
            Ok(Some((found, max_age))) => {
                let ttl = max_age.unwrap_or(TTL).clamp(TTL_MIN, TTL_MAX);
                self.kept = Some(Kept {
                    found,
                    fresh_until: now.saturating_add(ttl),
                });
                Outcome::Found
            }
            Ok(None) => {
                self.kept = None;
                Outcome::Absent
            }
            Err(()) => Outcome::Failed,
        };
        self.last = Some((now, outcome));
        self.used_at = self.used_at.max(now);
    }

    pub(super) fn step(&mut self, now: Timestamp, fits: impl Fn(&Found) -> bool) -> Step {
        self.used_at = now;
        let (tried_at, outcome) = match self.last {
            None => return Step::Fetch,
            Some(last) => last,
        };
        let wait = match outcome {
            Outcome::Found => UNKNOWN_AFTER,
            Outcome::Absent => ABSENT_TTL,
            Outcome::Failed => RETRY_AFTER,
        };
        let left = wait.saturating_sub(now.since(tried_at));
        let may_fetch = left.is_zero();
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.serves(now)) else {
            return match outcome {
                _ if may_fetch => Step::Fetch,
                Outcome::Absent => Step::Fail(KeyFault::Absent),
                Outcome::Found | Outcome::Failed => Step::Fail(unavailable(left)),
            };
        };
        let found = kept.found.clone();
        match (fits(&found), now < kept.fresh_until) {
            (true, true) => Step::Use(found),
            // A key that was taken back is to be taken back at once, as long as its owner can be asked.
            (_, false) if outcome != Outcome::Failed => Step::Fetch,
            (true, false) if may_fetch => Step::UseAndFetch(found),
            (true, false) => Step::Use(found),
            (false, _) if may_fetch => Step::Fetch,
            (false, _) if outcome == Outcome::Failed => Step::Fail(unavailable(left)),
            // The owner was asked a moment ago: the token is of no key of his.
            (false, _) => Step::Use(found),
        }
    }
}

impl Kept {
    fn serves(&self, now: Timestamp) -> bool {
        now < self.fresh_until.saturating_add(STALE_MAX)
    }
}

pub(super) fn unavailable(retry_after: Duration) -> KeyFault {
    KeyFault::Unavailable { retry_after }
}
