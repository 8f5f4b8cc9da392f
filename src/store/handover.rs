//! A store wrapper that hands what this gateway can deliver at once to its dispatcher, in memory.
//!
//! An event whose target has a free place in its lane is accepted *already claimed* and goes straight
//! to the worker: the happy path neither reads the store back nor polls. The store is what makes that
//! safe: a claim that is not settled falls due again.

mod admission;
mod lane;
mod lanes;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::Notify};
use uuid::Uuid;

pub use admission::Admission;
pub use lane::{Circuit, Gate, Lane, LaneSpec, Origin, Queued, Seat};
pub use lanes::{Gates, Lanes, Presence};

use super::{
    Acceptance, Claimed, Claims, DeliveryName, Depth, Expired, KeptSecret, Lease, Replayed,
    Retention, Settled, Settlement, Store, StoreError, StoredEvent, Want,
    listing::{Page, Query},
    only,
    orphans::Gone,
    records::{Record, RecordPage, RecordQuery},
    replays::Replay,
};
use crate::{
    clock::Timestamp,
    event::{Event, RouteName, TargetName},
};

/// See the module.
pub struct Handover {
    inner: Arc<dyn Store>,
    lanes: Arc<Lanes>,
    runtime: Handle,
    replay_begun: Arc<Notify>,
}

impl Handover {
    /// Without lanes at first. `runtime` finishes the acceptances whose callers went away; it must outlive the wrapper's use.
    pub fn new(inner: Arc<dyn Store>, runtime: Handle) -> Self {
        Self {
            inner,
            lanes: Arc::default(),
            runtime,
            replay_begun: Arc::default(),
        }
    }

    pub fn lanes(&self) -> Arc<Lanes> {
        self.lanes.clone()
    }

    /// Told when a replay by filter begins here: the other gateways find it when they look.
    pub fn replay_begun(&self) -> Arc<Notify> {
        self.replay_begun.clone()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Handover {
    /// Safe to drop: once polled, the acceptance runs to its end and hands over, whoever waits for it.
    async fn accept_all(&self, mut events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let places = self.take_all_places(&mut events);
        let (inner, lanes) = (self.inner.clone(), self.lanes.clone());
        let whole = async move {
            let answers = inner.accept_all(events.clone()).await;
            for ((event, places), answer) in events.iter().zip(places).zip(&answers) {
                hand_over(&lanes, event, places, answer.as_ref().ok());
            }
            answers
        };
        self.to_the_end(whole).await
    }

    async fn accept(&self, event: Arc<Event>) -> Result<Acceptance, StoreError> {
        only(self.accept_all(vec![event]).await)
    }

    /// Safe to drop, as [`Store::accept_all`] is.
    async fn accept_together(
        &self,
        mut events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let places = self.take_all_places(&mut events);
        let (inner, lanes) = (self.inner.clone(), self.lanes.clone());
        let whole = async move {
            let answer = inner.accept_together(events.clone()).await;
            let acceptances = answer.as_deref().unwrap_or_default();
            for (n, (event, places)) in events.iter().zip(places).enumerate() {
                hand_over(&lanes, event, places, acceptances.get(n));
            }
            answer
        };
        self.to_the_end(whole).await
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        self.inner.claim(wants).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        self.inner.settle_all(settlements).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.inner.settle(settlement).await
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        self.inner.depth(targets).await
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        self.inner.get(uid).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        let answers = self.inner.replay(deliveries, unless_since).await;
        // An unknown result may mean that they are due.
        for (index, delivery) in deliveries.iter().enumerate() {
            let due = |answers: &Vec<Replayed>| answers.get(index) == Some(&Replayed::Due);
            if answers.as_ref().map_or(true, due) {
                self.lanes.left_in_store(&delivery.target);
            }
        }
        answers
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        self.inner.replays().await
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        let saved = self.inner.save_replay(replay).await?;
        if saved && replay.revision == 0 {
            self.replay_begun.notify_one();
        }
        Ok(saved)
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        self.inner.forget_replay(id).await
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        self.inner.keep_secret(kept).await
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        self.inner.kept_secrets().await
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        self.inner.forget_secret(route).await
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.inner.keep_records(records).await
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        self.inner.record(request_id).await
    }

    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        self.inner.records(query).await
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        self.inner.pause_target(target).await
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        self.inner.resume_target(target).await
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        self.inner.paused_targets().await
    }

    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        self.inner.retire_targets(gone).await
    }

    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        self.inner.expire(retention).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.inner.ready().await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What a target's lane has for one delivery.
enum Place {
    /// There is no lane, or no room in it, or older deliveries go first.
    InStore,
    /// For so long it is to be claimed.
    Taken(Duration, Seat),
}

impl Place {
    fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(..))
    }
}

impl Handover {
    /// Those of each event's deliveries, which ask for a lease where there is a place.
    fn take_all_places(&self, events: &mut [Arc<Event>]) -> Vec<Vec<Place>> {
        let gates = self.lanes.load();
        let take = |event: &mut Arc<Event>| {
            let places = take_places(&gates, event);
            if places.iter().any(Place::is_taken) {
                ask_leases(Arc::make_mut(event), &places);
            }
            places
        };
        events.iter_mut().map(take).collect()
    }

    async fn to_the_end<T: Send + 'static>(
        &self,
        whole: impl Future<Output = T> + Send + 'static,
    ) -> T {
        ToTheEnd {
            future: Some(Box::pin(whole)),
            runtime: &self.runtime,
        }
        .await
    }
}

fn take_places(gates: &Gates, event: &Event) -> Vec<Place> {
    let place = |gate: &Arc<Gate>| Some(Place::Taken(gate.lease(), gate.seat_for_new()?));
    event
        .deliveries
        .iter()
        .map(|delivery| gates.get(&delivery.target).and_then(place))
        .map(|place| place.unwrap_or(Place::InStore))
        .collect()
}

fn ask_leases(event: &mut Event, places: &[Place]) {
    for (delivery, place) in event.deliveries.iter_mut().zip(places) {
        delivery.lease = match place {
            Place::Taken(lease, _) => Some(*lease),
            Place::InStore => None,
        };
    }
}

/// A duplicate gives its places back. An unknown result gives them back too, and as the event may be
/// stored, the dispatcher is told to look.
fn hand_over(
    lanes: &Lanes,
    event: &Arc<Event>,
    places: Vec<Place>,
    acceptance: Option<&Acceptance>,
) {
    let leases: &[Option<Lease>] = match acceptance {
        Some(Acceptance::Duplicate { .. }) => return,
        Some(Acceptance::Accepted { leases }) => leases,
        None => &[],
    };
    for ((index, place), delivery) in places.into_iter().enumerate().zip(&event.deliveries) {
        match (place, leases.get(index).copied().flatten()) {
            (Place::Taken(_, seat), Some(lease)) => {
                let claimed = Claimed {
                    event: event.clone(),
                    target: delivery.target.clone(),
                    attempts: 0,
                    lease,
                    order: delivery.order,
                    replayed_at: None,
                };
                seat.send(claimed, Origin::Memory);
            }
            // It waits for its turn: nothing is due that was not.
            (Place::Taken(_, seat), None) if acceptance.is_some() && delivery.order.is_some() => {
                drop(seat);
            }
            (Place::Taken(_, seat), None) => {
                drop(seat);
                lanes.left_in_store(&delivery.target);
            }
            // Not to the lane that was looked at: it may have been replaced or removed meanwhile.
            (Place::InStore, _) => lanes.left_in_store(&delivery.target),
        }
    }
}

/// Moves the future to the runtime when it is dropped unfinished: the client that hung up must not
/// leave a stored event whose claim nobody works on.
struct ToTheEnd<'a, T: Send + 'static> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    runtime: &'a Handle,
}

impl<T: Send + 'static> Future for ToTheEnd<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled, so that one that panicked is not polled again by `drop`.
        let Some(mut future) = self.future.take() else {
            return Poll::Pending;
        };
        let poll = future.as_mut().poll(context);
        if poll.is_pending() {
            self.future = Some(future);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<'_, T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            drop(self.runtime.spawn(future));
        }
    }
}
