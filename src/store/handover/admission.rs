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

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use tokio::sync::Notify;

    use super::*;
    use crate::store::handover::lane::{Lane, LaneSpec, lane};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A lane for ten; with a rate of so many an hour.
    fn lane_of(tokens: Option<u32>) -> Lane {
        let rate = |tokens| Rate {
            limit: NonZeroU32::new(tokens).unwrap(),
            period: HOUR,
            burst: NonZeroU32::new(tokens).unwrap(),
        };
        let spec = LaneSpec {
            target: "crm".into(),
            capacity: 10,
            lease: HOUR,
            rate: tokens.map(rate),
            paused_by_file: false,
            paused_by_operator: false,
        };
        lane(spec, Arc::new(Notify::new()))
    }

    fn admits_now(gate: &Gate) -> bool {
        let now = Instant::now();
        gate.admits_from(now).is_some_and(|from| from <= now)
    }

    #[test]
    fn without_limits_only_room_counts() {
        let gate = lane_of(None).gate;
        assert!(!admits_now(&gate), "nobody takes from it any more");
        let lane = lane_of(None);
        assert!(admits_now(&lane.gate));
        assert_eq!(lane.gate.seats(20).len(), 10);
    }

    #[test]
    fn a_paused_gate_admits_nobody() {
        let lane = lane_of(None);
        lane.gate.set_paused_by_operator(true);
        assert_eq!(lane.gate.admits_from(Instant::now()), None);
        assert!(lane.gate.seats(1).is_empty() && lane.gate.seat_for_new().is_none());
        lane.gate.set_paused_by_operator(false);
        assert_eq!(lane.gate.seats(1).len(), 1);
        assert!(lane.gate.seat_for_new().is_none(), "what waited goes first");
        lane.gate.clear_backlog(lane.gate.backlog());
        assert!(lane.gate.seat_for_new().is_some());
    }

    #[test]
    fn an_open_circuit_admits_nobody_and_then_one() {
        let lane = lane_of(None);
        let until = Instant::now() + HOUR;
        lane.gate.open_circuit(until);
        assert_eq!(lane.gate.admits_from(Instant::now()), Some(until));
        assert!(lane.gate.seats(1).is_empty());

        lane.gate.open_circuit(Instant::now());
        let mut trial = lane.gate.seats(10);
        assert_eq!(trial.len(), 1);
        assert!(trial[0].admission().is_trial());
        assert_eq!(lane.gate.admits_from(Instant::now()), None);
        // Given back unused, another may be tried; while one is out, a longer rest changes nothing about it.
        drop(trial);
        let trial = lane.gate.seats(10);
        lane.gate.open_circuit(until);
        drop(trial);
        assert_eq!(lane.gate.admits_from(Instant::now()), Some(until));
        lane.gate.close_circuit();
        assert_eq!(lane.gate.seats(10).len(), 10);
    }

    #[test]
    fn as_many_are_admitted_as_there_are_tokens() {
        let lane = lane_of(Some(3));
        let mut seats = lane.gate.seats(10);
        assert_eq!(seats.len(), 3);
        assert_eq!(
            lane.gate.admits_from(Instant::now()),
            None,
            "all are spoken for"
        );
        seats.pop();
        assert!(admits_now(&lane.gate), "one was given back");
        for mut seat in seats {
            assert!(seat.admission().begin());
        }
        assert_eq!(lane.gate.seats(10).len(), 1);
        let mut last = lane.gate.seats(10).pop().unwrap();
        assert!(last.admission().begin());
        drop(last);
        let from = lane.gate.admits_from(Instant::now()).unwrap();
        assert!(from > Instant::now() + HOUR / 6, "the next token");
        assert!(lane.gate.seats(10).is_empty());
    }
}
