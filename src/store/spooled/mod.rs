//! A store wrapper that takes events into a local spool while the primary store cannot take them, and moves them
//! there when it can.
//!
//! ```text
//!  accept ──▶ primary ──(away, full, late)──▶ spool ──▶ mover ──▶ primary
//!  all else ──▶ primary
//! ```
//!
//! The spool is a store of its own, with its own promise and its own memory of ids; `entry.rs` says how an event lies
//! in it. What the primary may have stored in spite of its answer is found to be a duplicate of itself when it is moved.
//!
//! Order: while the spool holds anything, events with an ordered delivery go through it, behind those that were accepted
//! before. Others go to the primary as soon as it takes events again.

mod entry;
mod mover;
mod state;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    Acceptance, Claims, DeliveryName, Depth, Expired, KeptSecret, Replayed, Retention, Settled,
    Settlement, Store, StoreError, StoredEvent, Want, check_together,
    listing::{Page, Query},
    only,
    orphans::{Gone, Orphans},
    records::{Record, RecordPage, RecordQuery},
    replays::Replay,
};
use crate::{
    clock::{Clock, Timestamp},
    event::{Event, RouteName, TargetName},
    metrics::Metrics,
};

use self::{
    mover::Mover,
    state::{State, View},
};

/// What a [`Spooled`] is made from.
pub struct Setup {
    /// Where events belong. Those that are moved enter by the same way as others.
    pub primary: Arc<dyn Store>,
    pub spool: Arc<dyn Store>,
    pub limits: Arc<ArcSwap<Limits>>,
    /// Told when [`Store::retire_targets`] is to be called again: see [`Orphans`].
    pub orphans: Arc<Orphans>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
}

/// What the configuration says of the spool and may say otherwise while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the largest body that the spool may hold: it bounds what is moved at one time.
    pub body_max: usize,
    /// How long the spool keeps its dead letters.
    pub retention: Duration,
}

/// See the module.
pub struct Spooled {
    primary: Arc<dyn Store>,
    spool: Arc<dyn Store>,
    state: Arc<State>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Spooled {
    /// Begins to move what an earlier run left. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn start(setup: Setup) -> Result<Self, StoreError> {
        let left = mover::waiting(&*setup.spool).await?;
        if left > 0 {
            tracing::info!(events = left, "the spool holds events of an earlier run");
        }
        setup.metrics.spool.set_events(left);
        let state = Arc::new(State::new(left > 0));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let spooled = Self {
            primary: setup.primary.clone(),
            spool: setup.spool.clone(),
            state: state.clone(),
            metrics: setup.metrics.clone(),
            tasks,
            stop: stop.clone(),
        };
        let mover = Mover::new(setup, state, stop);
        spooled.tasks.spawn(mover.run());
        Ok(spooled)
    }

    async fn accept_in_primary(&self, events: Vec<Placed>, seen: View, answers: &mut Answers) {
        if events.is_empty() {
            return;
        }
        let asked = events.iter().map(|(_, event)| event.clone()).collect();
        let answered = self.primary.accept_all(asked).await;
        for ((place, event), answer) in events.into_iter().zip(answered) {
            match answer {
                Err(error) if is_away(&error) => {
                    self.state.lost(seen, &error);
                    answers.left.push((place, event));
                }
                answer => answers.given.push((place, answer)),
            }
        }
    }

    async fn accept_in_spool(&self, answers: &mut Answers) {
        if answers.left.is_empty() {
            return;
        }
        // Dropped before anybody has an answer: who sends an event after it finds the spool not empty.
        let _report = self.state.report();
        let events = std::mem::take(&mut answers.left);
        let entries = events
            .iter()
            .map(|(_, event)| Arc::new(entry::pack(event)))
            .collect();
        let answered = self.spool.accept_all(entries).await;
        for ((place, event), answer) in events.into_iter().zip(answered) {
            let answer = answer.map(|acceptance| self.spooled(acceptance, &event));
            answers.given.push((place, answer.map_err(of_spool)));
        }
    }

    /// The answer for an event whose entry the spool took, or knows.
    fn spooled(&self, acceptance: Acceptance, event: &Event) -> Acceptance {
        match acceptance {
            Acceptance::Accepted { .. } => {
                self.metrics.spool.accepted.inc();
                Acceptance::Accepted {
                    leases: vec![None; event.deliveries.len()],
                }
            }
            duplicate => duplicate,
        }
    }
}

/// An event and its place among those that were asked about.
type Placed = (usize, Arc<Event>);

#[derive(Default)]
struct Answers {
    given: Vec<(usize, Result<Acceptance, StoreError>)>,
    /// For the spool.
    left: Vec<Placed>,
}

impl Answers {
    fn in_order(mut self) -> Vec<Result<Acceptance, StoreError>> {
        self.given.sort_unstable_by_key(|(place, _)| *place);
        self.given.into_iter().map(|(_, answer)| answer).collect()
    }
}

/// Whether the primary may take the event later.
fn is_away(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) | StoreError::Deadline(_) | StoreError::Full(_) => true,
        StoreError::Failed(_) | StoreError::BadCursor => false,
    }
}

/// The primary's own trouble was told when it began.
fn of_spool(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("also the spool: {why}")),
        StoreError::Full(why) => StoreError::Full(format!("also the spool: {why}")),
        error => error,
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Spooled {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let seen = self.state.view();
        let mut answers = Answers::default();
        let (direct, left) = events
            .into_iter()
            .enumerate()
            .partition(|(_, event)| seen.takes(event));
        answers.left = left;
        self.accept_in_primary(direct, seen, &mut answers).await;
        self.accept_in_spool(&mut answers).await;
        answers.in_order()
    }

    async fn accept(&self, event: Arc<Event>) -> Result<Acceptance, StoreError> {
        only(self.accept_all(vec![event]).await)
    }

    /// Whole in one of the two.
    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        check_together(&events)?;
        let seen = self.state.view();
        if events.iter().all(|event| seen.takes(event)) {
            match self.primary.accept_together(events.clone()).await {
                Err(error) if is_away(&error) => self.state.lost(seen, &error),
                answer => return answer,
            }
        }
        // As in `accept_in_spool`.
        let _report = self.state.report();
        let entries = events.iter().map(|event| Arc::new(entry::pack(event)));
        let answered = self.spool.accept_together(entries.collect()).await;
        let acceptances = answered.map_err(of_spool)?.into_iter().zip(&events);
        Ok(acceptances
            .map(|(acceptance, event)| self.spooled(acceptance, event))
            .collect())
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        self.primary.claim(wants).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        self.primary.settle_all(settlements).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.primary.settle(settlement).await
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        self.primary.depth(targets).await
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        self.primary.get(uid).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.primary.list(query).await
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        self.primary.replay(deliveries, unless_since).await
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        self.primary.replays().await
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        self.primary.save_replay(replay).await
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        self.primary.forget_replay(id).await
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        self.primary.keep_secret(kept).await
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        self.primary.kept_secrets().await
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        self.primary.forget_secret(route).await
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.primary.keep_records(records).await
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        self.primary.record(request_id).await
    }

    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        self.primary.records(query).await
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        self.primary.pause_target(target).await
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        self.primary.resume_target(target).await
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        self.primary.paused_targets().await
    }

    /// In the primary now, if it is there. What the spool holds may be for targets that are gone too: once it is empty,
    /// [`Setup::orphans`] is told, and this is to be called again, with the targets that there are by then.
    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let seen = self.state.view();
        if seen.holds() {
            self.state.retire_later(gone);
        }
        match self.primary.retire_targets(gone).await {
            Err(error) if is_away(&error) && !self.stop.is_cancelled() => {
                self.state.lost(seen, &error);
                self.state.retire_later(gone);
                Ok(0)
            }
            retired => retired,
        }
    }

    /// Of the primary; the mover sees to the spool.
    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        self.primary.expire(retention).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let seen = self.state.view();
        if seen.is_up() {
            match self.primary.ready().await {
                Err(error) if is_away(&error) => {
                    self.state.lost(seen, &error);
                    self.state.wake.notify_one();
                }
                ready => return ready,
            }
        }
        self.spool.ready().await.map_err(of_spool)
    }

    async fn failed(&self) -> String {
        tokio::select! {
            message = self.primary.failed() => message,
            message = self.spool.failed() => format!("the spool: {message}"),
        }
    }

    /// What is not moved stays in the spool for the next run.
    async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.primary.close().await;
        self.spool.close().await;
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
