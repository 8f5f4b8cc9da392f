//! A target's breaker, tied to its gate and to what shows it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::breaker::{Breaker, Change, Result};
use crate::{config::Target, metrics::TargetMetrics, store::handover::Gate};

pub(super) struct Circuit {
    /// `None` once the target has another lane, or none.
    breaker: Mutex<Option<Breaker>>,
    gate: Arc<Gate>,
    metrics: Option<Arc<TargetMetrics>>,
}

impl Circuit {
    /// `None` for a target whose breaker is off.
    pub(super) fn new(
        target: &Target,
        gate: &Arc<Gate>,
        metrics: Option<Arc<TargetMetrics>>,
    ) -> Option<Self> {
        let breaker = Breaker::new(target.breaker?, Instant::now());
        Some(Self {
            breaker: Mutex::new(Some(breaker)),
            gate: gate.clone(),
            metrics,
        })
    }

    pub(super) fn record(&self, result: Result) {
        let mut breaker = self.breaker();
        let Some(breaker) = breaker.as_mut() else {
            return;
        };
        // The gate changes under the lock, so that two changes reach it in their order.
        match breaker.record(result, Instant::now()) {
            None => {}
            Some(Change::Opened { until }) => {
                self.gate.open_circuit(until);
                self.show(1);
                tracing::warn!(
                    target_name = %self.gate.target(),
                    rest = ?until.saturating_duration_since(Instant::now()),
                    "circuit opened: too many attempts failed; deliveries wait"
                );
            }
            Some(Change::StaysOpen { until }) => self.gate.open_circuit(until),
            Some(Change::Closed) => {
                self.gate.close_circuit();
                self.show(0);
                tracing::info!(target_name = %self.gate.target(), "circuit closed: the target answers again");
            }
        }
    }

    /// What attempts come to that are still under way says nothing about what comes after this.
    pub(super) fn retire(&self) {
        *self.breaker() = None;
    }

    fn breaker(&self) -> MutexGuard<'_, Option<Breaker>> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.circuit_open.set(open);
        }
    }
}
