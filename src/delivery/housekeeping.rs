//! The slow work beside the deliveries: how much waits, and what may be forgotten.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    store::{Retention, Store, handover::Lanes},
};

const DEPTH_EVERY: Duration = Duration::from_secs(5);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Housekeeping {
    pub(super) store: Arc<dyn Store>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) retention: Arc<ArcSwap<Retention>>,
    pub(super) stop: CancellationToken,
}

impl Housekeeping {
    /// Both at once, then each at its pace, until the stop signal.
    pub(super) async fn run(self) {
        let mut depth = interval(DEPTH_EVERY);
        let mut expire = interval(EXPIRE_EVERY);
        depth.set_missed_tick_behavior(MissedTickBehavior::Delay);
        expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = depth.tick() => self.measure().await,
                _ = expire.tick() => self.expire().await,
            }
        }
    }

    async fn measure(&self) {
        let targets = self.lanes.names();
        let depths = match self.store.depth(&targets).await {
            Ok(depths) => depths,
            Err(error) => {
                tracing::debug!(%error, "could not measure the queues");
                return;
            }
        };
        for (target, depth) in targets.iter().zip(depths) {
            if let Some(metrics) = self.metrics.target(target) {
                metrics
                    .pending
                    .set(i64::try_from(depth.pending).unwrap_or(i64::MAX));
                metrics.oldest_due.set(depth.oldest_due.as_secs_f64());
            }
        }
    }

    async fn expire(&self) {
        while !self.stop.is_cancelled() {
            match self.store.expire(**self.retention.load()).await {
                Ok(expired) if expired.more => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "could not remove expired events");
                    return;
                }
            }
        }
    }
}
