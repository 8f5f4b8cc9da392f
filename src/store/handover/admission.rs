//! Who may enter a lane, whatever room there is: nobody while the target is paused or its circuit is open, one
//! when the circuit is tried, as many as there are tokens where it has a rate, else everybody.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::lane::Gate;
use crate::{config::Rate, rate::RateLimiter};

/// What a gate's limits say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admits {
    Now,
    From(Instant),
    /// Not before something happens: a resumption, the end of a trial, the begin of an attempt.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Limits {
    paused: AtomicBool,
    /// Whether `rest` is set: asked for every event, without a lock.
    resting: AtomicBool,
    rest: Mutex<Option<Rest>>,
    rate: Option<Rated>,
}

/// The target's circuit is open.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// The one delivery that may be tried after it is admitted and not over.
    trial_out: bool,
}

/// Tokens are taken when attempts begin. Whoever is admitted has one in sight, so that nothing waits in the lane for
/// a token while its lease runs out.
#[derive(Debug)]
struct Rated {
    limiter: RateLimiter,
    /// Admitted, and no token taken yet.
    ahead: AtomicUsize,
}

impl Rated {
    /// One less is ahead. True when that was all that there can be: then the gate admitted nothing, and does again.
    fn pass(&self) -> bool {
        self.ahead.fetch_sub(1, Ordering::SeqCst) >= self.limiter.most()
    }
}

impl Limits {
    pub(super) fn new(rate: Option<Rate>, paused: bool) -> Self {
        let rated = |rate| Rated {
            limiter: RateLimiter::new(rate, Instant::now()),
            ahead: AtomicUsize::new(0),
        };
        Self {
            paused: AtomicBool::new(paused),
            resting: AtomicBool::new(false),
            rest: Mutex::new(None),
            rate: rate.map(rated),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    pub(super) fn is_rated(&self) -> bool {
        self.rate.is_some()
    }

    /// Until when the target rests.
    pub(super) fn rest(&self) -> Option<Instant> {
        if !self.resting.load(Ordering::SeqCst) {
            return None;
        }
        self.lock().map(|rest| rest.until)
    }

    /// A trial that is out stays so: its end is told by its admission.
    pub(super) fn open_circuit(&self, until: Instant) {
        let mut rest = self.lock();
        let trial_out = rest.is_some_and(|rest| rest.trial_out);
        *rest = Some(Rest { until, trial_out });
        self.resting.store(true, Ordering::SeqCst);
    }

    pub(super) fn close_circuit(&self) {
        let mut rest = self.lock();
        *rest = None;
        self.resting.store(false, Ordering::SeqCst);
    }

    pub(super) fn admits(&self, now: Instant) -> Admits {
        if self.is_paused() {
            return Admits::Nothing;
        }
        let rested = match self.resting.load(Ordering::SeqCst).then(|| *self.lock()) {
            Some(Some(rest)) if rest.trial_out => return Admits::Nothing,
            Some(Some(rest)) => rest.until,
            _ => now,
        };
        let token = match &self.rate {
            None => Some(now),
            Some(rated) => {
                let ahead = rated.ahead.load(Ordering::SeqCst);
                rated.limiter.when(ahead.saturating_add(1), now)
            }
        };
        match token.map(|token| token.max(rested)) {
            None => Admits::Nothing,
            Some(at) if at <= now => Admits::Now,
            Some(at) => Admits::From(at),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be in a lane and to make an attempt; kept to the end of that, given back when dropped.
#[derive(Debug, Default)]
pub struct Admission {
    /// The gate whose limits it counts against; `None` where there are none.
    gate: Option<Arc<Gate>>,
    trial: bool,
    /// Whether it has a token in sight.
    ahead: bool,
}

impl Admission {
    pub(super) fn ask(gate: &Arc<Gate>) -> Option<Self> {
        let limits = gate.limits();
        if limits.is_paused() {
            return None;
        }
        let resting = limits.resting.load(Ordering::SeqCst);
        if !resting && limits.rate.is_none() {
            return Some(Self::default());
        }
        // From here on a refusal drops it, which undoes what was done.
        let mut admission = Self {
            gate: Some(gate.clone()),
            ..Self::default()
        };
        let now = Instant::now();
        if resting && let Some(rest) = limits.lock().as_mut() {
            if rest.trial_out || now < rest.until {
                return None;
            }
            rest.trial_out = true;
            admission.trial = true;
        }
        if let Some(rated) = &limits.rate {
            let tokens = rated.limiter.tokens(now);
            let more = |ahead: usize| (ahead < tokens).then_some(ahead + 1);
            rated
                .ahead
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
                .ok()?;
            admission.ahead = true;
        }
        Some(admission)
    }

    /// Whether it is the one that an open circuit lets through.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// Takes the token that was in sight; false if it is not there.
    pub fn begin(&mut self) -> bool {
        let Some(gate) = &self.gate else {
            return true;
        };
        let Some(rated) = &gate.limits().rate else {
            return true;
        };
        let taken = rated.limiter.take(Instant::now()).is_ok();
        if std::mem::take(&mut self.ahead) && rated.pass() {
            gate.wake().notify_one();
        }
        taken
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(gate) = &self.gate else {
            return;
        };
        let limits = gate.limits();
        if self.trial {
            if let Some(rest) = limits.lock().as_mut() {
                rest.trial_out = false;
            }
            gate.wake().notify_one();
        }
        if self.ahead
            && let Some(rated) = &limits.rate
        {
            match rated.pass() {
                true => gate.wake().notify_one(),
                false => gate.wake_if_worthwhile(),
            }
        }
    }
}
