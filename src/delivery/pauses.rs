//! Targets that an operator has paused: the store tells all gateways.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    event::TargetName,
    metrics::Metrics,
    store::{
        Store, StoreError,
        handover::{Gate, Lanes},
    },
};

/// How often the store is asked: an operator may have asked another gateway.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// ... and while it has never told: nothing is sent until then.
const LOOK_FIRST: Duration = Duration::from_millis(250);

/// `None` before the store has told: then every target counts as paused.
pub(super) type Paused = Option<HashSet<TargetName>>;

pub(super) struct Pauses {
    store: Arc<dyn Store>,
    lanes: Arc<Lanes>,
    metrics: Arc<Metrics>,
    paused: Mutex<Paused>,
    /// Held from before the store is asked until what it says is done, so that of two answers the later one stays.
    reading: tokio::sync::Mutex<()>,
}

impl Pauses {
    pub(super) fn new(
        store: Arc<dyn Store>,
        lanes: Arc<Lanes>,
        metrics: Arc<Metrics>,
        paused: Option<Vec<TargetName>>,
    ) -> Self {
        Self {
            store,
            lanes,
            metrics,
            paused: Mutex::new(paused.map(HashSet::from_iter)),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Until the stop signal.
    pub(super) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut known = self.paused().is_some();
        loop {
            let wait = match known {
                true => LOOK_EVERY,
                false => LOOK_FIRST,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match self.read().await {
                Ok(()) => known = true,
                Err(error) => {
                    tracing::debug!(%error, "could not read which targets are paused");
                }
            }
        }
    }

    /// Asks the store, and does as it says.
    pub(super) async fn read(&self) -> Result<(), StoreError> {
        let _later_waits = self.reading.lock().await;
        let told = self.store.paused_targets().await?;
        let mut paused = self.paused();
        *paused = Some(HashSet::from_iter(told));
        for gate in self.lanes.gates().values() {
            gate.set_paused_by_operator(counts(&paused, gate.target()));
            self.show(gate);
        }
        Ok(())
    }

    /// Held while lanes are made and put where they are read, so that none misses what is told meanwhile.
    pub(super) fn paused(&self) -> MutexGuard<'_, Paused> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, gate: &Gate) {
        if let Some(metrics) = self.metrics.target(gate.target()) {
            metrics.paused.set(i64::from(gate.is_paused()));
        }
    }
}

pub(super) fn counts(paused: &Paused, target: &TargetName) -> bool {
    paused.as_ref().is_none_or(|paused| paused.contains(target))
}
