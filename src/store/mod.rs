//! The store: where an accepted event is durable, and where its deliveries wait.
//!
//! `ingest` and `delivery` meet only here.

pub mod embedded;
pub mod handover;
pub mod listing;
pub mod metered;
pub mod orphans;
pub mod records;
pub mod redis;
pub mod replays;
pub mod spooled;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::Secret,
    event::{AttemptRecord, DeliveryState, Event, Order, Outcome, RouteName, TargetName},
};

use self::{
    listing::{Page, Query},
    orphans::Gone,
    records::{Record, RecordPage, RecordQuery},
    replays::Replay,
};

/// What every store keeps to. One suite, `tests/it/contract.rs`, runs it on each store and wrapper.
///
/// 1. Each operation is one atomic step: it happened whole, or it left nothing.
/// 2. `Ok` means durable, in the sense of the configured durability. `Err` means *unknown*: it may have happened.
/// 3. Operations may be called at once from any number of tasks and, where the store can be shared, gateways.
/// 4. A future that is dropped is safe: its operation happens whole or not at all.
/// 5. Every call ends within the store's own deadline.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Remembers the id and stores the event and all its deliveries, or, when the id of this route is
    /// remembered from less than its `dedupe_window` ago, changes nothing and says when that was.
    /// Deliveries that ask for a lease come into being claimed; the others are due at once. One with an order gets
    /// neither while an earlier one of its group is unsettled (or dead, when it holds): it is due when its turn comes.
    ///
    /// Many at once, because what crosses threads or a network costs as much for one event as for fifty. Each is
    /// a step of its own: some may be accepted, others be duplicates (of each other, too) or fail.
    /// Answers for each, in order.
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>>;

    /// [`Store::accept_all`] for one event.
    async fn accept(&self, event: Arc<Event>) -> Result<Acceptance, StoreError> {
        only(self.accept_all(vec![event]).await)
    }

    /// [`Store::accept_all`] for the events of one request, which are all of one route that says `together`: one atomic
    /// step for all of them. Each is accepted or a duplicate (of each other, too); answers for each, in order.
    /// More than [`TOGETHER_MAX`], or of more deliveries than [`TOGETHER_DELIVERIES_MAX`], or more than the store can take
    /// in one step, are an error and leave nothing.
    async fn accept_together(&self, events: Vec<Arc<Event>>)
    -> Result<Vec<Acceptance>, StoreError>;

    /// Claims, for each want, up to `max` of the target's due deliveries: of each route's those longest due first,
    /// and of the routes alternately, so that one with a backlog does not hold up another.
    /// A claimed delivery is nobody else's until its lease ends; then it is due again, unless settled.
    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError>;

    /// Ends a claim. When the lease was lost (it ended and another claimed the delivery, or the
    /// delivery is already settled), changes nothing and says so.
    /// `Delivered`, `Dead` and `Filtered` are final, until a replay, and give the turn to the next of its group (but
    /// for a dead letter that holds); `Filtered` counts no attempt; `Retry` makes it due again after its wait; `Released` at once.
    ///
    /// Many at once, each a step of its own. Answers for each, in order.
    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>>;

    /// [`Store::settle_all`] for one claim.
    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        only(self.settle_all(vec![settlement]).await)
    }

    /// For each target: how many deliveries are pending and dead, and how long the oldest has been past due.
    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError>;

    /// An event with the state of its deliveries; `None` when it is not (or no longer) stored.
    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError>;

    /// The events that match, a bounded number a call; their bodies are not read.
    async fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Makes settled deliveries due again at once, with no attempts counted; their attempts stay readable. One with
    /// an order waits for its turn again, at its old place. The event is unfinished again, and so does not expire.
    /// Of those that were replayed at or after `unless_since` nothing changes. Answers for each, in order.
    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError>;

    /// The replays by filter that are known, oldest first.
    async fn replays(&self) -> Result<Vec<Replay>, StoreError>;

    /// Keeps a replay, if the one that is kept under its id has the revision that it was read with (a new one: 0,
    /// and nothing is kept); the kept one then has the next revision. False: it was changed meanwhile.
    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError>;

    /// Forgets a replay.
    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError>;

    /// Keeps a secret that a provider gave in a handshake. False: the route has one already, and nothing changed.
    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError>;

    /// The secrets that were kept and not forgotten, by route.
    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError>;

    /// Forgets the route's secret, so that another may come. False: there is none.
    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError>;

    /// Keeps the records, and forgets the oldest beyond [`records::RECORDS_MAX`], and the oldest bodies beyond
    /// [`records::RECORD_BODIES_BYTES_MAX`]. One that is kept already stays as it is. They need not survive a crash,
    /// nor be kept all or none: nothing was promised. Costs those who accept events next to nothing.
    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// The record of a request; `None` when none is (or is no longer) kept.
    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError>;

    /// The records that match, a bounded number a call, newest first.
    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError>;

    /// Notes that an operator has paused the target, for all gateways and until it is resumed.
    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError>;

    /// False: no operator had paused it.
    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError>;

    /// The targets that an operator has paused, by name.
    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError>;

    /// Makes dead letters, with reason `target_removed`, of all pending deliveries whose target is gone; returns how many.
    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError>;

    /// Removes events that have been finished (every delivery delivered, dead or filtered) for `retention.age`, then the
    /// oldest finished ones while all stored bodies exceed `retention.bytes`; never an unfinished one.
    /// Forgets ids whose window has passed, and the records of requests that came longer than `retention.age` ago.
    /// Does a bounded piece of the work a call.
    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError>;

    /// Whether the store can take an event now.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Waits until the store can never answer again (a failed sync); the process must then exit.
    /// Never returns for a store that can recover.
    async fn failed(&self) -> String;

    /// Finishes what was begun and lets go of what the store holds. Calls after it fail.
    async fn close(&self);
}

/// Events that one request may bring: they are one step, which others wait for.
pub const TOGETHER_MAX: usize = 1_000;
/// Deliveries that they may have, all in all.
pub const TOGETHER_DELIVERIES_MAX: usize = 32_000;

pub(crate) fn check_together(events: &[Arc<Event>]) -> Result<(), StoreError> {
    let deliveries = events.iter().map(|event| event.deliveries.len()).sum();
    for (what, count, max) in [
        ("events", events.len(), TOGETHER_MAX),
        ("deliveries", deliveries, TOGETHER_DELIVERIES_MAX),
    ] {
        if count > max {
            let text = format!("more than {max} {what} in one request");
            return Err(StoreError::Unavailable(text));
        }
    }
    Ok(())
}

/// The answer to the only one that was asked.
pub(crate) fn only<T>(answers: Vec<Result<T, StoreError>>) -> Result<T, StoreError> {
    let unanswered = || Err(StoreError::Unavailable("no answer".to_owned()));
    answers.into_iter().next().unwrap_or_else(unanswered)
}

/// The answer to [`Store::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored. For each of the event's deliveries, in order: its lease, where one was asked for.
    Accepted { leases: Vec<Option<Lease>> },
    Duplicate {
        /// The uid of the event that was accepted first.
        uid: Uuid,
        first_received_at: Timestamp,
        /// False when the repeated id came with another body.
        same_body: bool,
    },
}

/// A claim's token and end. A later claim of the same delivery always has a greater token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub token: i64,
    /// When it ends, by this process's monotonic clock, at the latest moment that is safe to assume.
    pub ends: Instant,
}

/// A secret that came with a provider's handshake and signs what the provider sends from then on.
#[derive(Clone, Debug)]
pub struct KeptSecret {
    pub route: RouteName,
    pub secret: Secret,
    pub received_at: Timestamp,
}

/// How many deliveries of a target a caller can take.
#[derive(Clone, Debug)]
pub struct Want {
    pub target: TargetName,
    /// Zero: claim nothing, only tell when the next is due.
    pub max: usize,
    pub lease: Duration,
}

/// The answer to [`Store::claim`].
#[derive(Debug, Default)]
pub struct Claims {
    pub claimed: Vec<Claimed>,
    /// For each want, in order: how long until the target's next delivery (waiting, or claimed and then lapsed)
    /// falls due; zero when more are due now; `None` when there is none.
    pub next_due: Vec<Option<Duration>>,
}

/// A delivery that is this caller's until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub event: Arc<Event>,
    pub target: TargetName,
    /// Attempts made and settled before this one, since the last replay.
    pub attempts: u32,
    pub lease: Lease,
    pub order: Option<Order>,
    /// When it was last replayed.
    pub replayed_at: Option<Timestamp>,
}

impl Claimed {
    /// What ends this claim.
    pub fn settlement(&self, outcome: Outcome, attempt: Option<AttemptRecord>) -> Settlement {
        Settlement {
            uid: self.event.uid,
            route: self.event.route.clone(),
            target: self.target.clone(),
            order: self.order,
            token: self.lease.token,
            outcome,
            attempt,
        }
    }
}

/// The end of a claim.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub uid: Uuid,
    pub route: RouteName,
    pub target: TargetName,
    /// As the claim told.
    pub order: Option<Order>,
    /// The claim that is ended.
    pub token: i64,
    pub outcome: Outcome,
    /// What happened; `None` for `Released` and `Filtered`.
    pub attempt: Option<AttemptRecord>,
}

/// The answer to [`Store::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Done,
    /// The lease was lost; nothing changed.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub pending: u64,
    pub dead: u64,
    /// How long the oldest past-due, unclaimed delivery has been waiting; zero when none is past due.
    pub oldest_due: Duration,
}

/// An event as [`Store::get`] tells it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<StoredDelivery>,
}

#[derive(Clone, Debug)]
pub struct StoredDelivery {
    pub target: TargetName,
    pub state: DeliveryState,
    /// Made since the last replay.
    pub attempts: u32,
    /// Every attempt, oldest first, those before a replay too; of very many, the newest [`HISTORY_MAX`].
    /// A store may keep the response's head of the newest one only.
    pub history: Vec<AttemptRecord>,
    /// When it was last replayed.
    pub replayed_at: Option<Timestamp>,
}

impl StoredDelivery {
    pub fn last_attempt(&self) -> Option<&AttemptRecord> {
        self.history.last()
    }
}

/// Attempts of one delivery that stay readable: more than any policy's default makes.
pub const HISTORY_MAX: usize = 256;

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryName {
    pub uid: Uuid,
    pub target: TargetName,
}

/// The answer to [`Store::replay`] for one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Due again.
    Due,
    /// Pending already: nothing changed.
    Pending,
    /// Replayed since: nothing changed.
    Since,
    /// Not, or no longer, stored.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// From the settlement of an event's last delivery.
    pub age: Duration,
    /// Of stored bodies.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub events: u64,
    pub ids: u64,
    /// More is to be removed now: call again.
    pub more: bool,
}

/// Why an operation has no known result. The caller answers 503 and may try again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    #[error("the store did not answer within {0:?}")]
    Deadline(Duration),
    #[error("the store is full: {0}")]
    Full(String),
    /// It can never answer again; see [`Store::failed`].
    #[error("the store has failed: {0}")]
    Failed(String),
    /// The caller's fault: it comes from another list.
    #[error("the cursor is not one that a page of this list ended with")]
    BadCursor,
}

/// Why a store cannot be opened. Each message names the thing and the next step.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);
