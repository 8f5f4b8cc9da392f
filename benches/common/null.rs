//! A store that accepts everything at once and keeps nothing.

use std::sync::Arc;

use async_trait::async_trait;
use hookgate::{
    clock::Timestamp,
    event::{Event, TargetName},
    store::{
        Acceptance, Claims, DeliveryName, Depth, Expired, Replayed, Retention, Settled, Settlement,
        Store, StoreError, StoredEvent, Want,
        listing::{Page, Query},
        orphans::Gone,
        records::{Record, RecordPage, RecordQuery},
        replays::Replay,
    },
};
use uuid::Uuid;

pub(crate) struct Null;

#[async_trait]
impl Store for Null {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let accepted = |event: &Arc<Event>| {
            let leases = vec![None; event.deliveries.len()];
            Ok(Acceptance::Accepted { leases })
        };
        events.iter().map(accepted).collect()
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        Ok(vec![
            Acceptance::Accepted { leases: Vec::new() };
            events.len()
        ])
    }

    async fn keep_secret(&self, kept: &hookgate::store::KeptSecret) -> Result<bool, StoreError> {
        Ok(kept.secret.expose().is_empty())
    }

    async fn kept_secrets(&self) -> Result<Vec<hookgate::store::KeptSecret>, StoreError> {
        Ok(Vec::new())
    }

    async fn forget_secret(&self, route: &hookgate::event::RouteName) -> Result<bool, StoreError> {
        Ok(route.is_empty())
    }

    async fn claim(&self, _: &[Want]) -> Result<Claims, StoreError> {
        Ok(Claims::default())
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        settlements.iter().map(|_| Ok(Settled::Lost)).collect()
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        Ok(vec![Depth::default(); targets.len()])
    }

    async fn get(&self, _: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: &Query) -> Result<Page, StoreError> {
        Ok(Page::default())
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        _: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        Ok(vec![Replayed::Unknown; deliveries.len()])
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        Ok(Vec::new())
    }

    async fn save_replay(&self, _: &Replay) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn forget_replay(&self, _: Uuid) -> Result<(), StoreError> {
        Ok(())
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

    async fn retire_targets(&self, _: &Gone) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn expire(&self, _: Retention) -> Result<Expired, StoreError> {
        Ok(Expired::default())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }

    async fn close(&self) {}
}
