//! A store that takes everything and keeps it only to be looked at.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{Event, RouteName, TargetName},
    store::{
        Acceptance, Claims, DeliveryName, Depth, Expired, KeptSecret, Replayed, Retention, Settled,
        Settlement, Store, StoreError, StoredEvent, Want,
        listing::{Page, Query},
        orphans::Gone,
        records::{Record, RecordPage, RecordQuery},
        replays::Replay,
    },
};

#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Arc<Event>>>);

impl Recorder {
    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn take(&self, event: Arc<Event>) -> Acceptance {
        let leases = event.deliveries.iter().map(|_| None).collect();
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        Acceptance::Accepted { leases }
    }
}

fn nothing<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("nothing is kept here".to_owned()))
}

#[async_trait]
impl Store for Recorder {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        events
            .into_iter()
            .map(|event| Ok(self.take(event)))
            .collect()
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        Ok(events.into_iter().map(|event| self.take(event)).collect())
    }

    async fn claim(&self, _wants: &[Want]) -> Result<Claims, StoreError> {
        nothing()
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        settlements.iter().map(|_| nothing()).collect()
    }

    async fn depth(&self, _targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        nothing()
    }

    async fn get(&self, _uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        nothing()
    }

    async fn list(&self, _query: &Query) -> Result<Page, StoreError> {
        nothing()
    }

    async fn replay(
        &self,
        _deliveries: &[DeliveryName],
        _unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        nothing()
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        nothing()
    }

    async fn save_replay(&self, _replay: &Replay) -> Result<bool, StoreError> {
        nothing()
    }

    async fn forget_replay(&self, _id: Uuid) -> Result<(), StoreError> {
        nothing()
    }

    async fn keep_secret(&self, _kept: &KeptSecret) -> Result<bool, StoreError> {
        nothing()
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        Ok(Vec::new())
    }

    async fn forget_secret(&self, _route: &RouteName) -> Result<bool, StoreError> {
        nothing()
    }

    async fn keep_records(&self, _records: Vec<Record>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn record(&self, _request_id: &str) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }

    async fn records(&self, _query: &RecordQuery) -> Result<RecordPage, StoreError> {
        Ok(RecordPage::default())
    }

    async fn pause_target(&self, _target: &TargetName) -> Result<(), StoreError> {
        Ok(())
    }

    async fn resume_target(&self, _target: &TargetName) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        Ok(Vec::new())
    }

    async fn retire_targets(&self, _gone: &Gone) -> Result<u64, StoreError> {
        nothing()
    }

    async fn expire(&self, _retention: Retention) -> Result<Expired, StoreError> {
        nothing()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }

    async fn close(&self) {}
}
