//! One target's worker: takes from its lane what its limits allow, each delivery in a task of its own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::courier::{Courier, Parcel};
use crate::store::handover::Queued;

/// For each attempt that may be under way, so many deliveries may be on their way from lane to settlement:
/// the settlements are not waited for with an attempt's slot, but they are bounded too.
const UNSETTLED_PER_SLOT: usize = 4;

pub(super) struct Worker {
    courier: Arc<Courier>,
    queue: mpsc::Receiver<Queued>,
    /// Attempts under way.
    slots: Arc<Semaphore>,
    /// Deliveries begun and not settled.
    unsettled: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Next {
    queued: Queued,
    slot: OwnedSemaphorePermit,
    unsettled: OwnedSemaphorePermit,
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
            courier,
            queue,
            slots: Arc::new(Semaphore::new(concurrency)),
            unsettled: Arc::new(Semaphore::new(concurrency * UNSETTLED_PER_SLOT)),
            tasks,
            stop,
        }
    }

    /// Runs until the stop signal; then gives back what it had not begun.
    pub(super) async fn run(mut self) {
        while let Some(next) = self.next().await {
            self.courier.gate.wake_if_worthwhile();
            let courier = self.courier.clone();
            let Queued { claimed, origin } = next.queued;
            let parcel = Parcel {
                claimed,
                unsettled: Some(next.unsettled),
            };
            self.tasks
                .spawn(async move { courier.carry(parcel, origin, next.slot).await });
        }
        self.release_rest().await;
    }

    /// `None` when the gateway stops.
    async fn next(&mut self) -> Option<Next> {
        let next = async {
            let unsettled = self.unsettled.clone().acquire_owned().await.ok()?;
            let slot = self.slots.clone().acquire_owned().await.ok()?;
            let queued = self.queue.recv().await?;
            Some(Next {
                queued,
                slot,
                unsettled,
            })
        };
        // Nothing is lost when the signal wins: `recv` is the last step and safe to cancel.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            next = next => next,
        }
    }

    /// A closed lane takes nothing new; `recv` still yields what is in it, and what comes through
    /// places that were reserved before, and ends after the last of those.
    async fn release_rest(&mut self) {
        self.queue.close();
        while let Some(queued) = self.queue.recv().await {
            self.courier.release(Parcel {
                claimed: queued.claimed,
                unsettled: None,
            });
        }
    }
}
