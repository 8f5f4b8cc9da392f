//! A store wrapper that measures every operation.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{Event, RouteName, TargetName},
    metrics::Metrics,
};

use super::{
    Acceptance, Claims, DeliveryName, Depth, Expired, KeptSecret, Replayed, Retention, Settled,
    Settlement, Store, StoreError, StoredEvent, Want,
    listing::{Page, Query},
    only,
    orphans::Gone,
    records::{Record, RecordPage, RecordQuery},
    replays::Replay,
};

/// Passes everything on, and keeps `metrics.store`.
pub struct Metered {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Metered {
    pub fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = call.await;
        self.note(operation, began.elapsed(), &result);
        result
    }

    /// What says nothing of whether events can be taken: a store may keep it elsewhere.
    async fn measure_aside<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = call.await;
        let store = &self.metrics.store;
        store.observe(operation, began.elapsed(), result.is_err());
        result
    }

    /// Each counts as an operation of its own.
    fn note_all<T>(
        &self,
        operation: &'static str,
        took: Duration,
        answers: &[Result<T, StoreError>],
    ) {
        for answer in answers {
            self.note(operation, took, answer);
        }
    }

    fn note<T>(&self, operation: &'static str, took: Duration, result: &Result<T, StoreError>) {
        let store = &self.metrics.store;
        store.observe(operation, took, result.is_err());
        match result {
            Ok(_) => store.up.set(1),
            Err(StoreError::Unavailable(_) | StoreError::Deadline(_) | StoreError::Failed(_)) => {
                store.up.set(0)
            }
            // It answers, and settles: it only takes no more. Or the question was wrong.
            Err(StoreError::Full(_) | StoreError::BadCursor) => {}
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Metered {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let began = Instant::now();
        let answers = self.inner.accept_all(events).await;
        self.note_all("accept", began.elapsed(), &answers);
        answers
    }

    async fn accept(&self, event: Arc<Event>) -> Result<Acceptance, StoreError> {
        only(self.accept_all(vec![event]).await)
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        self.measure("accept", self.inner.accept_together(events))
            .await
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        self.measure("claim", self.inner.claim(wants)).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        let began = Instant::now();
        let answers = self.inner.settle_all(settlements).await;
        self.note_all("settle", began.elapsed(), &answers);
        answers
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        only(self.settle_all(vec![settlement]).await)
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        self.measure("depth", self.inner.depth(targets)).await
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        self.measure("get", self.inner.get(uid)).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.measure("list", self.inner.list(query)).await
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        self.measure("replay", self.inner.replay(deliveries, unless_since))
            .await
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        self.measure("replays", self.inner.replays()).await
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        self.measure("save_replay", self.inner.save_replay(replay))
            .await
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        self.measure("forget_replay", self.inner.forget_replay(id))
            .await
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        self.measure("keep_secret", self.inner.keep_secret(kept))
            .await
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        self.measure("kept_secrets", self.inner.kept_secrets())
            .await
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        self.measure("forget_secret", self.inner.forget_secret(route))
            .await
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.measure_aside("keep_records", self.inner.keep_records(records))
            .await
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        self.measure_aside("record", self.inner.record(request_id))
            .await
    }

    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        self.measure_aside("records", self.inner.records(query))
            .await
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        self.measure("pause_target", self.inner.pause_target(target))
            .await
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        self.measure("resume_target", self.inner.resume_target(target))
            .await
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        self.measure("paused_targets", self.inner.paused_targets())
            .await
    }

    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        self.measure("retire_targets", self.inner.retire_targets(gone))
            .await
    }

    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        self.measure("expire", self.inner.expire(retention)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.measure("ready", self.inner.ready()).await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
