//! One target's bounded queue in memory, between the store and the target's worker.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc};

use crate::{event::TargetName, store::Claimed};

/// What a lane is made from.
#[derive(Clone, Debug)]
pub struct LaneSpec {
    pub target: TargetName,
    /// Claimed deliveries that may wait in memory; at least 1 is made.
    pub capacity: usize,
    /// How long a delivery is claimed for when it enters the lane.
    pub lease: Duration,
    /// False for a paused target: nothing enters, its deliveries wait in the store.
    pub open: bool,
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
pub type Seat = mpsc::OwnedPermit<Queued>;

/// The entrance to a lane, and what the dispatcher must know of it.
pub struct Gate {
    target: TargetName,
    lease: Duration,
    open: bool,
    sender: mpsc::Sender<Queued>,
    /// Zero: none. Else a count of reports that due deliveries wait in the store. Only the dispatcher
    /// clears it, and only when no report came since it began to look.
    backlog: AtomicU64,
    /// The earliest retry that was settled since the dispatcher last looked.
    retry_due: Mutex<Option<Instant>>,
    wake: Arc<Notify>,
}

/// Makes a lane; `wake` is what the dispatcher sleeps on, one for all lanes.
pub(super) fn lane(spec: LaneSpec, wake: Arc<Notify>) -> Lane {
    let (sender, queue) = mpsc::channel(spec.capacity.max(1));
    let gate = Gate {
        target: spec.target,
        lease: spec.lease,
        open: spec.open,
        sender,
        backlog: AtomicU64::new(0),
        retry_due: Mutex::new(None),
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

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What the dispatcher sleeps on.
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// A place for a new event; `None` when the lane is full, closed, paused, or older deliveries wait.
    pub(super) fn seat_for_new(&self) -> Option<Seat> {
        if !self.open || self.backlog() != 0 {
            return None;
        }
        self.sender.clone().try_reserve_owned().ok()
    }

    /// Up to `max` places for deliveries from the store.
    pub fn seats(&self, max: usize) -> Vec<Seat> {
        std::iter::from_fn(|| self.sender.clone().try_reserve_owned().ok())
            .take(max)
            .collect()
    }

    /// Places that are neither taken nor reserved.
    pub fn free(&self) -> usize {
        self.sender.capacity()
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

    /// An event was stored whose delivery found no place here.
    pub(super) fn left_in_store(&self) {
        if self.open {
            self.mark_backlog();
            self.wake_if_worthwhile();
        }
    }

    /// Wakes the dispatcher when the store holds due deliveries and half of the lane is free for them.
    pub fn wake_if_worthwhile(&self) {
        if self.backlog() != 0 && self.half_free() {
            self.wake.notify_one();
        }
    }

    /// A delivery was settled that falls due again after `wait`.
    pub fn due_again_in(&self, wait: Duration) {
        let Some(at) = Instant::now().checked_add(wait) else {
            return;
        };
        let mut due = self
            .retry_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if due.is_none_or(|earlier| at < earlier) {
            *due = Some(at);
            self.wake.notify_one();
        }
    }

    /// The earliest moment told by [`Gate::due_again_in`]; it stays until [`Gate::take_retry_due`].
    pub fn retry_due(&self) -> Option<Instant> {
        *self
            .retry_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the earliest retry: the store is asked now and will tell.
    pub fn take_retry_due(&self) {
        *self
            .retry_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}
