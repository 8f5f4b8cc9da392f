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
mod change;
mod circuit;
mod client;
mod client_first;
mod courier;
mod dispatcher;
mod expressions;
mod housekeeping;
mod log;
mod outcome;
mod pauses;
mod redaction;
mod replaying;
mod request;
mod settler;
mod unit;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderName;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use client::Roots;
use dispatcher::Dispatcher;
pub use expressions::{Line, Lines, Prepared as Rehearsed, rehearse};
use housekeeping::Housekeeping;
use log::AttemptLog;
use pauses::Pauses;
use replaying::Replaying;
use settler::{Ended, Settlements, Settler};
pub use unit::Prepared;
use unit::Unit;

use crate::{
    clock::Clock,
    config::Target,
    event::TargetName,
    expression::{Pool, Workers},
    metrics::Metrics,
    outbound::{NameService, Names, NamesFault},
    store::{Retention, Store, StoreError, handover::Lanes},
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

/// What delivery works with.
pub struct Setup {
    pub targets: Vec<Arc<Target>>,
    /// What is evaluated before deliveries are sent.
    pub lines: Lines,
    pub workers: Workers,
    pub store: Arc<dyn Store>,
    /// Of the hand-over that the store is or wraps: see [`crate::store::handover::Handover::lanes`].
    pub lanes: Arc<Lanes>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub retention: Retention,
    pub roots: Roots,
    pub names: Names,
    /// See [`crate::store::handover::Handover::replay_begun`].
    pub replay_begun: Arc<Notify>,
    /// Where attempts are traced to.
    pub tracer: Tracer,
    /// The targets that an operator has paused, as the store told. `None`: it could not; until it does, nothing is sent.
    pub paused: Option<Vec<TargetName>>,
}

/// Deliveries under way. Dropped without [`Delivery::stop`], it goes on until its runtime ends.
pub struct Delivery {
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
    lanes: Arc<Lanes>,
    metrics: Arc<Metrics>,
    clock: Clock,
    tracer: Tracer,
    roots: Roots,
    names: Arc<NameService>,
    pool: Arc<Pool>,
    store: Arc<dyn Store>,
    pauses: Arc<Pauses>,
    retention: Arc<ArcSwap<Retention>>,
    /// `None` once it is stopped.
    running: Mutex<Option<Running>>,
}

/// What changes with the configuration.
struct Running {
    units: HashMap<TargetName, Unit>,
    settlements: Settlements,
}

/// Targets that are no more, and still have their lanes: see [`Delivery::apply`].
#[must_use = "their deliveries go on until `Delivery::remove`"]
#[derive(Default)]
pub struct Removed(Vec<Unit>);

/// Why deliveries cannot begin, or not as they are to be now. Never holds a secret.
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
}

impl Delivery {
    /// Begins deliveries on the current tokio runtime, which must be a multi-threaded one of their own.
    pub fn start(setup: Setup) -> Result<Self, DeliveryError> {
        let (settlements, ended) = mpsc::unbounded_channel();
        let pauses = Pauses::new(
            setup.store.clone(),
            setup.lanes.clone(),
            setup.metrics.clone(),
            setup.paused,
        );
        let delivery = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            lanes: setup.lanes,
            metrics: setup.metrics,
            clock: setup.clock,
            tracer: setup.tracer,
            roots: setup.roots,
            names: NameService::new(&setup.names)?,
            pool: Arc::new(Pool::new(setup.workers)),
            store: setup.store,
            pauses: Arc::new(pauses),
            retention: Arc::new(ArcSwap::from_pointee(setup.retention)),
            running: Mutex::new(Some(Running {
                units: HashMap::new(),
                settlements,
            })),
        };
        // All that can fail comes before the first task.
        let prepared = delivery.prepare(&setup.targets, &setup.lines)?;
        delivery.remove(delivery.apply(prepared));
        // Not before the lanes are there: a replay passes over targets that nobody delivers to.
        delivery.spawn_common(ended, setup.replay_begun);
        Ok(delivery)
    }

    /// What all targets share.
    fn spawn_common(&self, ended: mpsc::UnboundedReceiver<Ended>, replay_begun: Arc<Notify>) {
        let settler = Settler {
            store: self.store.clone(),
            lanes: self.lanes.clone(),
            metrics: self.metrics.clone(),
            log: Arc::new(AttemptLog::new()),
            tasks: self.tasks.clone(),
            abort: self.abort.clone(),
        };
        self.tasks.spawn(settler.run(ended));
        let (store, lanes) = (self.store.clone(), self.lanes.clone());
        let dispatcher = Dispatcher::new(store, lanes, self.stop.clone());
        self.tasks.spawn(dispatcher.run());
        let replaying = Replaying {
            store: self.store.clone(),
            clock: self.clock.clone(),
            lanes: self.lanes.clone(),
            begun: replay_begun,
            stop: self.stop.clone(),
        };
        self.tasks.spawn(replaying.run());
        let housekeeping = Housekeeping {
            lanes: self.lanes.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            retention: self.retention.clone(),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(housekeeping.run());
        let pauses = self.pauses.clone();
        self.tasks.spawn(pauses.follow(self.stop.clone()));
    }

    /// For what is removed from now on.
    pub fn set_retention(&self, retention: Retention) {
        self.retention.store(Arc::new(retention));
    }

    /// Begins no more attempts and gives back what was claimed and not begun; waits up to `grace` for the
    /// attempts under way, then cuts them off (they count as failed and are tried again) and takes at most
    /// two seconds more to settle them.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        // The settler ends when nobody can leave it anything any more.
        *self.running() = None;
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

    /// Begins no more attempts at this target, in no gateway: its deliveries wait in the store until
    /// [`Delivery::resume`]. False for a name that no target has.
    pub async fn pause(&self, target: &str) -> Result<bool, StoreError> {
        let Some(gate) = self.lanes.gate(target) else {
            return Ok(false);
        };
        self.store.pause_target(gate.target()).await?;
        self.pauses.read().await?;
        Ok(true)
    }

    /// Takes back what an operator has paused; a target whose file says `paused` stays so. False: no operator had.
    pub async fn resume(&self, target: &str) -> Result<bool, StoreError> {
        let resumed = self.store.resume_target(&target.into()).await?;
        self.pauses.read().await?;
        Ok(resumed)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
