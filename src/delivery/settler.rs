//! Settles what the couriers have brought to its end: in one call whatever has come together while the store was
//! at the ones before.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::log::AttemptLog;
use crate::{
    event::Outcome,
    metrics::Metrics,
    store::{
        Claimed, Settled, Settlement, Store, StoreError,
        handover::{Lanes, Presence},
    },
};

/// Settlements in one call.
const BATCH_MAX: usize = 512;
/// The waits between tries to settle while the store is away.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A delivery that is over, until the store knows.
pub(super) struct Ended {
    pub(super) claimed: Claimed,
    pub(super) settlement: Settlement,
    /// Until then the target's deliveries are not all settled.
    pub(super) _presence: Arc<Presence>,
    /// Bounds how many of a target's deliveries are here.
    pub(super) _unsettled: Option<OwnedSemaphorePermit>,
}

/// Where couriers leave what is over. What waits here is bounded by the targets' permits and lanes.
pub(super) type Settlements = mpsc::UnboundedSender<Ended>;

#[derive(Clone)]
pub(super) struct Settler {
    pub(super) store: Arc<dyn Store>,
    /// Its target may have another lane by now than the one that the delivery came from, or none.
    pub(super) lanes: Arc<Lanes>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Arc<AttemptLog>,
    pub(super) tasks: TaskTracker,
    /// Stop trying.
    pub(super) abort: CancellationToken,
}

impl Settler {
    /// Runs until every [`Settlements`] is dropped.
    pub(super) async fn run(self, mut queue: mpsc::UnboundedReceiver<Ended>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            // Everybody's settlements come here: a panic must end this batch's alone.
            let settled = AssertUnwindSafe(self.settle(std::mem::take(&mut batch)));
            if settled.catch_unwind().await.is_err() {
                tracing::error!("settling deliveries panicked; they fall due again");
            }
        }
    }

    async fn settle(&self, batch: Vec<Ended>) {
        let settlements = batch.iter().map(|ended| ended.settlement.clone());
        let answers = self.store.settle_all(settlements.collect()).await;
        for (ended, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(settled) => self.settled(&ended, Some(settled)),
                // By itself, so that it holds up no other.
                Err(error) => {
                    let settler = self.clone();
                    self.tasks
                        .spawn(async move { settler.try_again(ended, error).await });
                }
            }
        }
    }

    /// Until the lease ends or the gateway stops; then it falls due again by itself.
    async fn try_again(&self, ended: Ended, mut error: StoreError) {
        let ends = ended.claimed.lease.ends;
        let mut wait = RETRY_FIRST;
        loop {
            let no_time = Instant::now() + wait >= ends;
            if no_time || self.abort.is_cancelled() {
                tracing::warn!(
                    target_name = %ended.settlement.target,
                    event = %ended.settlement.uid,
                    %error,
                    "could not settle a delivery; it falls due again"
                );
                return self.settled(&ended, None);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.abort.cancelled() => {}
            }
            wait = (wait * 2).min(RETRY_MAX);
            match self.store.settle(ended.settlement.clone()).await {
                Ok(settled) => return self.settled(&ended, Some(settled)),
                Err(again) => error = again,
            }
        }
    }

    /// `None`: the store never answered.
    fn settled(&self, ended: &Ended, settled: Option<Settled>) {
        self.log.attempt(&ended.claimed, &ended.settlement, settled);
        if settled != Some(Settled::Done) {
            return;
        }
        let target = &ended.claimed.target;
        if passes_turn(&ended.settlement) {
            self.lanes.pass_turn(target);
        }
        match ended.settlement.outcome {
            Outcome::Retry(wait) => self.lanes.due_again_in(target, wait),
            Outcome::Released => self.lanes.due_again_in(target, Duration::ZERO),
            Outcome::Dead(reason) => {
                let event = &ended.claimed.event;
                self.metrics.pair(&event.route, target).dead_letter(reason);
            }
            Outcome::Filtered => {
                let event = &ended.claimed.event;
                self.metrics.pair(&event.route, target).filtered.inc();
            }
            Outcome::Delivered => {}
        }
    }
}

/// Whether the next of its group is due with this.
fn passes_turn(settlement: &Settlement) -> bool {
    match (&settlement.outcome, settlement.order) {
        (Outcome::Delivered | Outcome::Filtered, Some(_)) => true,
        (Outcome::Dead(_), Some(order)) => !order.hold,
        _ => false,
    }
}
