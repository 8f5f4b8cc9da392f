//! One target's worker: takes from its lane what its limits allow, each delivery in a task of its own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::courier::{Courier, Parcel};
use crate::store::handover::Queued;

/// For each attempt that may be under way, so many deliveries may be on their way from lane to settlement:
/// the settlements are not waited for with an attempt's slot, but they are bounded too.
const UNSETTLED_PER_SLOT: usize = 4;

pub(super) struct Worker {
    courier: Arc<Courier>,
    queue: mpsc::Receiver<Queued>,
    /// True while the target is paused or its circuit is open.
    shut: watch::Receiver<bool>,
    permits: Permits,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Permits {
    /// Attempts under way.
    slots: Arc<Semaphore>,
    /// Deliveries begun and not settled.
    unsettled: Arc<Semaphore>,
}

/// What the attempt and the settlement of one delivery take up.
struct Permit {
    slot: OwnedSemaphorePermit,
    unsettled: OwnedSemaphorePermit,
}

impl Permits {
    /// `None` never happens: the semaphores are not closed.
    async fn take(self) -> Option<Permit> {
        Some(Permit {
            unsettled: self.unsettled.acquire_owned().await.ok()?,
            slot: self.slots.acquire_owned().await.ok()?,
        })
    }
}

impl Worker {
    pub(super) fn new(
        courier: Arc<Courier>,
        queue: mpsc::Receiver<Queued>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let concurrency = courier
            .target
            .concurrency
            .clamp(1, Semaphore::MAX_PERMITS / 8);
        Self {
            shut: courier.gate.shut(),
            courier,
            queue,
            permits: Permits {
                slots: Arc::new(Semaphore::new(concurrency)),
                unsettled: Arc::new(Semaphore::new(concurrency * UNSETTLED_PER_SLOT)),
            },
            tasks,
            stop,
        }
    }

    /// Runs until the stop signal; then gives back what it had not begun.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if *self.shut.borrow_and_update() {
                self.give_back().await;
            } else if let Some((queued, permit)) = self.next().await {
                self.begin(queued, permit);
            }
        }
        self.release_rest().await;
    }

    /// The next delivery and what it needs; `None` when the gateway stops or the lane is shut.
    async fn next(&mut self) -> Option<(Queued, Permit)> {
        let permits = self.permits.clone();
        let next = async {
            let permit = permits.take().await?;
            Some((self.queue.recv().await?, permit))
        };
        // Nothing is lost when a signal wins: `recv` is the last step and safe to cancel.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            _ = self.shut.changed() => None,
            next = next => next,
        }
    }

    /// Of a lane that is shut: what comes out goes back to the store, whether or not there is a slot for it; but for
    /// the one that an open circuit lets through.
    async fn give_back(&mut self) {
        let queued = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            _ = self.shut.changed() => return,
            queued = self.queue.recv() => queued,
        };
        let Some(queued) = queued else {
            return;
        };
        if !queued.admission.is_trial() || self.courier.gate.is_paused() {
            return self.release(queued);
        }
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            permit = self.permits.clone().take() => permit,
        };
        match permit {
            Some(permit) => self.begin(queued, permit),
            None => self.release(queued),
        }
    }

    fn begin(&self, queued: Queued, permit: Permit) {
        let Queued {
            claimed,
            origin,
            mut admission,
        } = queued;
        let courier = self.courier.clone();
        let parcel = Parcel {
            claimed,
            unsettled: Some(permit.unsettled),
        };
        // What has expressions may not be sent at all: its token is taken when it is.
        let mut begins = || courier.evaluates(&parcel.claimed) || admission.begin();
        if courier.too_late(&parcel.claimed) || !begins() {
            return courier.release(parcel);
        }
        courier.gate.wake_if_worthwhile();
        self.tasks.spawn(async move {
            courier.carry(parcel, origin, admission, permit.slot).await;
        });
    }

    fn release(&self, queued: Queued) {
        self.courier.release(Parcel {
            claimed: queued.claimed,
            unsettled: None,
        });
    }

    /// A closed lane takes nothing new; `recv` still yields what is in it, and what comes through
    /// places that were reserved before, and ends after the last of those.
    async fn release_rest(&mut self) {
        self.queue.close();
        while let Some(queued) = self.queue.recv().await {
            self.release(queued);
        }
    }
}
