//! A target's breaker, tied to its gate and to what shows it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::breaker::{Breaker, Change, Result};
use crate::{config::Target, metrics::TargetMetrics, store::handover::Gate};

pub(super) struct Circuit {
    breaker: Mutex<Breaker>,
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
            breaker: Mutex::new(breaker),
            gate: gate.clone(),
            metrics,
        })
    }

    pub(super) fn record(&self, result: Result) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn show(&self, open: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.circuit_open.set(open);
        }
    }
}
