//! One target's bounded queue in memory, between the store and the target's worker.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc, watch};

use super::admission::{Admission, Admits, Limits};
use crate::{config::Rate, event::TargetName, store::Claimed};

/// What a lane is made from.
#[derive(Clone, Debug)]
pub struct LaneSpec {
    pub target: TargetName,
    /// Claimed deliveries that may wait in memory; at least 1 is made.
    pub capacity: usize,
    /// How long a delivery is claimed for when it enters the lane.
    pub lease: Duration,
    /// Attempts that may begin; no more deliveries than these are in the lane.
    pub rate: Option<Rate>,
    /// Nothing enters, its deliveries wait in the store, for as long as there is this lane.
    pub paused_by_file: bool,
    /// The same until [`Gate::set_paused_by_operator`].
    pub paused_by_operator: bool,
}

/// The worker's end of a target's lane.
pub struct Lane {
    pub gate: Arc<Gate>,
    pub queue: mpsc::Receiver<Queued>,
}

/// A delivery in a lane.
#[derive(Debug)]
pub struct Queued {
    pub claimed: Claimed,
    pub origin: Origin,
    pub admission: Admission,
}

/// Where the event's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Never left this process.
    Memory,
    /// Read back from the store: the body must be checked against its digest.
    Store,
}

/// A place in a lane; given back when dropped unused.
#[derive(Debug)]
pub struct Seat {
    /// Dropped first: who is woken by the admission's end finds the place free.
    place: mpsc::OwnedPermit<Queued>,
    admission: Admission,
}

impl Seat {
    pub fn send(self, claimed: Claimed, origin: Origin) {
        self.place.send(Queued {
            claimed,
            origin,
            admission: self.admission,
        });
    }
}

#[cfg(test)]
impl Seat {
    pub(super) fn admission(&mut self) -> &mut Admission {
        &mut self.admission
    }
}

/// How a target's circuit breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    Closed,
    /// Nothing is sent before this.
    Open(Instant),
    /// One delivery may be tried.
    HalfOpen,
}

/// The entrance to a lane, and what the dispatcher must know of it.
#[derive(Debug)]
pub struct Gate {
    target: TargetName,
    lease: Duration,
    sender: mpsc::Sender<Queued>,
    limits: Limits,
    paused_by_file: bool,
    paused_by_operator: AtomicBool,
    /// True while what waits in the lane is to go back to the store.
    shut: watch::Sender<bool>,
    /// Zero: none. Else a count of reports that due deliveries wait in the store. Only the dispatcher
    /// clears it, and only when no report came since it began to look.
    backlog: AtomicU64,
    /// The earliest retry that was settled since the dispatcher last looked.
    retry_due: Mutex<Option<Instant>>,
    /// An ordered delivery was settled since the dispatcher last looked: the next of its group is due.
    turn_passed: AtomicBool,
    wake: Arc<Notify>,
}

/// Makes a lane; `wake` is what the dispatcher sleeps on, one for all lanes.
pub(super) fn lane(spec: LaneSpec, wake: Arc<Notify>) -> Lane {
    let (sender, queue) = mpsc::channel(spec.capacity.max(1));
    let paused = spec.paused_by_file || spec.paused_by_operator;
    let gate = Gate {
        target: spec.target,
        lease: spec.lease,
        sender,
        limits: Limits::new(spec.rate, paused),
        paused_by_file: spec.paused_by_file,
        paused_by_operator: spec.paused_by_operator.into(),
        shut: watch::Sender::new(paused),
        backlog: AtomicU64::new(0),
        retry_due: Mutex::new(None),
        turn_passed: AtomicBool::new(false),
        wake,
    };
    Lane {
        gate: Arc::new(gate),
        queue,
    }
}

impl Gate {
    pub fn target(&self) -> &TargetName {
        &self.target
    }

    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What the dispatcher sleeps on.
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place for a new event; `None` when the lane is full, closed or admits nothing, or older deliveries wait.
    pub(super) fn seat_for_new(self: &Arc<Self>) -> Option<Seat> {
        if self.backlog() != 0 {
            return None;
        }
        self.seat()
    }

    /// Up to `max` places for deliveries from the store.
    pub fn seats(self: &Arc<Self>, max: usize) -> Vec<Seat> {
        std::iter::from_fn(|| self.seat()).take(max).collect()
    }

    fn seat(self: &Arc<Self>) -> Option<Seat> {
        let place = self.sender.clone().try_reserve_owned().ok()?;
        let admission = Admission::ask(self)?;
        Some(Seat { place, admission })
    }

    /// Places that are neither taken nor reserved.
    pub fn free(&self) -> usize {
        self.sender.capacity()
    }

    /// When it lets a delivery in, as far as that is not for want of room. `None`: not before something happens of
    /// which the dispatcher is told.
    pub fn admits_from(&self, now: Instant) -> Option<Instant> {
        match self.limits.admits(now) {
            _ if self.sender.is_closed() => None,
            Admits::Now => Some(now),
            Admits::From(at) => Some(at),
            Admits::Nothing => None,
        }
    }

    /// Whether its deliveries are counted against a rate: then they come in few at a time.
    pub fn is_rated(&self) -> bool {
        self.limits.is_rated()
    }

    /// Whether so much is free that a claim is worth its round trip. Never once the worker has stopped.
    pub fn half_free(&self) -> bool {
        !self.sender.is_closed() && self.free() * 2 >= self.sender.max_capacity()
    }

    /// The count of reports to give to [`Gate::clear_backlog`]; zero when there is no backlog.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::SeqCst)
    }

    /// Due deliveries wait in the store: until they are taken, new events do not overtake them.
    pub fn mark_backlog(&self) {
        self.backlog.fetch_add(1, Ordering::SeqCst);
    }

    /// The store had nothing more due when it was asked after `seen` was read.
    pub fn clear_backlog(&self, seen: u64) {
        // A failed exchange means a report came meanwhile: it stands.
        let _stands = self
            .backlog
            .compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The store holds due deliveries for this target, of which the dispatcher does not know.
    pub fn left_in_store(&self) {
        // The first report is told in any case, so that the dispatcher sleeps until the gate admits again.
        let first = self.backlog.fetch_add(1, Ordering::SeqCst) == 0;
        if first || (self.half_free() && self.limits.admits(Instant::now()) == Admits::Now) {
            self.wake.notify_one();
        }
    }

    /// Wakes the dispatcher when the store holds due deliveries and half of the lane is free for them; when the gate
    /// admits them only later, so that it sleeps until then.
    pub fn wake_if_worthwhile(&self) {
        let admits = || self.limits.admits(Instant::now()) != Admits::Nothing;
        if self.backlog() != 0 && self.half_free() && admits() {
            self.wake.notify_one();
        }
    }

    /// A delivery was settled that falls due again after `wait`.
    pub fn due_again_in(&self, wait: Duration) {
        let Some(at) = Instant::now().checked_add(wait) else {
            return;
        };
        let mut due = self.lock_retry_due();
        if due.is_none_or(|earlier| at < earlier) {
            *due = Some(at);
            self.wake.notify_one();
        }
    }

    /// The earliest moment told by [`Gate::due_again_in`]; it stays until [`Gate::take_retry_due`].
    pub fn retry_due(&self) -> Option<Instant> {
        *self.lock_retry_due()
    }

    /// Forgets the earliest retry and the passed turn: the store is asked now and will tell.
    pub fn take_retry_due(&self) {
        *self.lock_retry_due() = None;
        self.turn_passed.store(false, Ordering::SeqCst);
    }

    /// An ordered delivery was settled: the next of its group, if there is one, is due now.
    pub fn pass_turn(&self) {
        if !self.turn_passed.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    pub fn turn_passed(&self) -> bool {
        self.turn_passed.load(Ordering::SeqCst)
    }

    /// While it is paused nothing is let in. Attempts under way end as they would. Told by one at a time.
    pub fn set_paused_by_operator(&self, by_operator: bool) {
        if self.paused_by_operator.swap(by_operator, Ordering::SeqCst) == by_operator
            || self.paused_by_file
        {
            return;
        }
        self.limits.set_paused(by_operator);
        match by_operator {
            true => self.tell_worker(),
            false => self.reopened(),
        }
    }

    pub fn is_paused_by_operator(&self) -> bool {
        self.paused_by_operator.load(Ordering::SeqCst)
    }

    /// By whomever.
    pub fn is_paused(&self) -> bool {
        self.limits.is_paused()
    }

    /// Lets nothing in until `until`, and then one delivery at a time, until [`Gate::close_circuit`].
    pub fn open_circuit(&self, until: Instant) {
        self.limits.open_circuit(until);
        // What comes back from the lane goes before new events.
        self.mark_backlog();
        self.tell_worker();
        self.wake.notify_one();
    }

    pub fn close_circuit(&self) {
        self.limits.close_circuit();
        self.reopened();
    }

    pub fn circuit(&self, now: Instant) -> Circuit {
        match self.limits.rest() {
            None => Circuit::Closed,
            Some(until) if now < until => Circuit::Open(until),
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// For the worker: true while what waits in the lane is to go back to the store, but for a trial.
    pub fn shut(&self) -> watch::Receiver<bool> {
        self.shut.subscribe()
    }

    fn tell_worker(&self) {
        self.shut.send_if_modified(|shut| {
            let now = self.limits.is_paused() || self.limits.rest().is_some();
            std::mem::replace(shut, now) != now
        });
    }

    /// What waited in the store meanwhile goes before new events.
    fn reopened(&self) {
        self.mark_backlog();
        self.tell_worker();
        self.wake.notify_one();
    }

    fn lock_retry_due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.retry_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
