//! Delivery: from the store to the targets.
//!
//! ```text
//!  new events ──▶ store::handover ──▶ ┌──────┐
//!                                     │ lane │ ──▶ worker ──▶ courier: attempt ─▶ outcome ──▶ settler
//!  due again ───▶ dispatcher (claim) ▶└──────┘     (one of each for every target)         (one for all)
//! ```
//!
//! Each target has its own lane, worker, concurrency and client: one that hangs holds up no other.

mod attempt;
mod breaker;
mod circuit;
mod client;
mod client_first;
mod courier;
mod dispatcher;
mod expressions;
mod housekeeping;
mod log;
mod outcome;
mod redaction;
mod replaying;
mod request;
mod settler;
mod worker;

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderName;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use circuit::Circuit;
pub use client::Roots;
use courier::Courier;
use dispatcher::Dispatcher;
use expressions::Expressions;
pub use expressions::{Line, Lines};
use housekeeping::Housekeeping;
use log::AttemptLog;
use replaying::Replaying;
use request::Template;
use settler::{Settlements, Settler};
use worker::Worker;

use crate::{
    clock::Clock,
    config::Target,
    event::TargetName,
    expression::{Pool, Workers},
    metrics::Metrics,
    outbound::{AddressGuard, NameService, Names, NamesFault},
    store::{
        Retention, Store,
        handover::{Gate, Lane, LaneSpec},
    },
    trace::Tracer,
};

/// How long a claimed delivery may wait in its lane.
const QUEUE_ALLOWANCE: Duration = Duration::from_secs(10);
/// What a claim has left after the longest attempt, for settling it.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Claimed deliveries a lane holds, for each attempt that may be under way. More than two, because an event
/// holds its place from before it is stored: places must outnumber the events of one durable commit.
const LANE_PER_SLOT: usize = 4;
/// What a stop takes at most beyond its grace, to settle what was cut off.
const SETTLE_AFTER_ABORT: Duration = Duration::from_secs(2);

/// How long a target's deliveries are claimed for: longer than the attempt's deadline, by the time in
/// the lane and a margin to settle. An attempt only begins while deadline and margin are left, so that
/// no claim ends under a running attempt.
pub fn lease_for(target: &Target) -> Duration {
    target
        .timeout
        .saturating_add(QUEUE_ALLOWANCE)
        .saturating_add(LEASE_MARGIN)
}

/// The lanes that [`crate::store::handover::handover`] makes for these targets.
/// Where a target's deliveries have expressions, those are evaluated under the claim too.
pub fn lane_specs(targets: &[Arc<Target>], lines: &Lines) -> Vec<LaneSpec> {
    targets
        .iter()
        .map(|target| LaneSpec {
            target: target.name.clone(),
            capacity: target.concurrency.saturating_mul(LANE_PER_SLOT),
            lease: lease_for(target).saturating_add(lines.allowance(&target.name)),
            rate: target.rate,
            paused: target.paused,
        })
        .collect()
}

/// What delivery works with.
pub struct Setup {
    pub targets: Vec<Arc<Target>>,
    /// What is evaluated before deliveries are sent.
    pub lines: Lines,
    pub workers: Workers,
    pub store: Arc<dyn Store>,
    /// One for every target; see [`lane_specs`].
    pub lanes: Vec<Lane>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub retention: Retention,
    pub roots: Roots,
    pub names: Names,
    /// See [`crate::store::handover::Handover::replay_begun`].
    pub replay_begun: Arc<Notify>,
    /// Where attempts are traced to.
    pub tracer: Tracer,
}

/// Deliveries under way. Dropped without [`Delivery::stop`], it goes on until its runtime ends.
pub struct Delivery {
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
    gates: HashMap<TargetName, Arc<Gate>>,
    metrics: Arc<Metrics>,
}

/// Why deliveries cannot begin. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("target `{target}`: its url cannot be used: {reason}")]
    Url { target: TargetName, reason: String },
    #[error("target `{target}`: the header `{header}` cannot be set: {reason}")]
    Header {
        target: TargetName,
        header: HeaderName,
        reason: &'static str,
    },
    #[error(
        "target `{target}` is https, but the system has no certificate authorities to prove it by \
         (install the ca-certificates package): {reason}"
    )]
    NoRoots { target: TargetName, reason: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error(transparent)]
    Names(#[from] NamesFault),
    #[error("target `{0}` has no lane")]
    NoLane(TargetName),
}

impl Delivery {
    /// Begins deliveries on the current tokio runtime, which must be a multi-threaded one of their own.
    pub fn start(mut setup: Setup) -> Result<Self, DeliveryError> {
        let lanes = std::mem::take(&mut setup.lanes);
        let gates: Vec<_> = lanes.iter().map(|lane| lane.gate.clone()).collect();
        let by_name = |gate: &Arc<Gate>| (gate.target().clone(), gate.clone());
        let delivery = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            gates: gates.iter().map(by_name).collect(),
            metrics: setup.metrics.clone(),
        };
        // All that can fail comes before the first task.
        let (settlements, ended) = mpsc::unbounded_channel();
        let workers = delivery.workers(&setup, lanes, &settlements)?;
        for target in &setup.targets {
            announce(target, &setup.metrics);
        }
        for worker in workers {
            delivery.tasks.spawn(worker.run());
        }
        let settler = Settler {
            store: setup.store.clone(),
            metrics: setup.metrics.clone(),
            log: Arc::new(AttemptLog::new()),
            tasks: delivery.tasks.clone(),
            abort: delivery.abort.clone(),
        };
        delivery.tasks.spawn(settler.run(ended));
        let dispatcher = Dispatcher::new(
            setup.store.clone(),
            gates.into_iter(),
            delivery.stop.clone(),
        );
        delivery.tasks.spawn(dispatcher.run());
        let replaying = Replaying {
            store: setup.store.clone(),
            clock: setup.clock,
            targets: names(&setup.targets),
            begun: setup.replay_begun,
            stop: delivery.stop.clone(),
        };
        delivery.tasks.spawn(replaying.run());
        let housekeeping = Housekeeping {
            targets: names(&setup.targets),
            store: setup.store,
            metrics: setup.metrics,
            retention: setup.retention,
            stop: delivery.stop.clone(),
        };
        delivery.tasks.spawn(housekeeping.run());
        Ok(delivery)
    }

    /// Begins no more attempts and gives back what was claimed and not begun; waits up to `grace` for the
    /// attempts under way, then cuts them off (they count as failed and are tried again) and takes at most
    /// two seconds more to settle them.
    pub async fn stop(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(
            tasks = self.tasks.len(),
            "cutting off deliveries at the end of the grace"
        );
        self.abort.cancel();
        let settled = tokio::time::timeout(SETTLE_AFTER_ABORT, self.tasks.wait()).await;
        if settled.is_err() {
            tracing::warn!(
                tasks = self.tasks.len(),
                "left deliveries unsettled; they fall due again"
            );
        }
    }

    /// Begins no more attempts at this target: its deliveries wait in the store. False for a name that no target has.
    /// Lasts until [`Delivery::resume`], or the end of the process.
    pub fn pause(&self, target: &str) -> bool {
        self.set_paused(target, true)
    }

    /// False for a name that no target has.
    pub fn resume(&self, target: &str) -> bool {
        self.set_paused(target, false)
    }

    fn set_paused(&self, target: &str, paused: bool) -> bool {
        let Some(gate) = self.gates.get(target) else {
            return false;
        };
        if paused {
            gate.pause();
        } else {
            gate.resume();
        }
        if let Some(metrics) = self.metrics.target(target) {
            metrics.paused.set(i64::from(paused));
        }
        true
    }

    fn workers(
        &self,
        setup: &Setup,
        lanes: Vec<Lane>,
        settlements: &Settlements,
    ) -> Result<Vec<Worker>, DeliveryError> {
        let roots = client::shared_roots(&setup.roots, &setup.targets)?;
        let names = NameService::new(&setup.names)?;
        let pool = Arc::new(Pool::new(setup.workers.clone()));
        let mut lanes: HashMap<_, _> = lanes
            .into_iter()
            .map(|lane| (lane.gate.target().clone(), lane))
            .collect();
        setup
            .targets
            .iter()
            .map(|target| {
                let lane = lanes
                    .remove(&target.name)
                    .ok_or_else(|| DeliveryError::NoLane(target.name.clone()))?;
                let client = client::client(target, roots.clone(), names.clone())?;
                let expressions = Expressions::new(&setup.lines, &target.name, pool.clone());
                self.worker(
                    setup,
                    target,
                    lane,
                    client,
                    expressions,
                    settlements.clone(),
                )
            })
            .collect()
    }

    fn worker(
        &self,
        setup: &Setup,
        target: &Arc<Target>,
        lane: Lane,
        client: client::HttpClient,
        expressions: Expressions,
        settlements: Settlements,
    ) -> Result<Worker, DeliveryError> {
        let target_metrics = setup.metrics.target(&target.name);
        let courier = Courier {
            circuit: Circuit::new(target, &lane.gate, target_metrics.clone()),
            target: target.clone(),
            client,
            template: Template::new(target.clone())?,
            expressions,
            gate: lane.gate,
            settlements,
            metrics: setup.metrics.clone(),
            target_metrics,
            clock: setup.clock.clone(),
            tracer: setup.tracer.clone(),
            abort: self.abort.clone(),
        };
        let courier = Arc::new(courier);
        Ok(Worker::new(
            courier,
            lane.queue,
            self.tasks.clone(),
            self.stop.clone(),
        ))
    }
}

fn names(targets: &[Arc<Target>]) -> Vec<TargetName> {
    targets.iter().map(|target| target.name.clone()).collect()
}

/// Shows a pause in the metrics, and warns of an address that every connection will be refused to.
fn announce(target: &Target, metrics: &Metrics) {
    if let Some(metrics) = metrics.target(&target.name) {
        metrics.paused.set(i64::from(target.paused));
    }
    let guard = AddressGuard {
        place: format!("under [targets.{}]", target.name).into(),
        allow_private: target.allow_private,
    };
    let host = target.url.host_str().unwrap_or_default();
    if let Err(error) = guard.check_literal(host) {
        tracing::warn!(target_name = %target.name, %error, "this target cannot be connected to");
    }
}
