//! A store that takes everything but duplicates, and keeps it only to be looked at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{BodyDigest, Event, EventKey, RouteName, TargetName, event_uid},
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
pub(in crate::cli) struct Recorder(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    offered: Vec<Offered>,
    /// Of each event that was accepted last: when, and its body.
    ids: HashMap<EventKey, (Timestamp, BodyDigest)>,
    /// That came in handshakes.
    secrets: Vec<KeptSecret>,
}

/// An event that was to be accepted.
pub(in crate::cli) struct Offered {
    pub(in crate::cli) event: Arc<Event>,
    pub(in crate::cli) is_duplicate: bool,
}

impl Recorder {
    /// What came since they were taken before, in its order.
    pub(super) fn take_offered(&self) -> Vec<Offered> {
        std::mem::take(&mut self.kept().offered)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Store::accept_all`] has it.
    fn take(&self, event: Arc<Event>) -> Acceptance {
        let mut kept = self.kept();
        let first = kept.ids.get(&event.key).copied();
        let is_remembered =
            |at: Timestamp| at.saturating_add(event.dedupe_window) > event.received_at;
        let acceptance = match first.filter(|(at, _)| is_remembered(*at)) {
            Some((first_received_at, digest)) => Acceptance::Duplicate {
                uid: event_uid(event.key, first_received_at),
                first_received_at,
                same_body: digest == event.digest,
            },
            None => {
                let seen = (event.received_at, event.digest);
                kept.ids.insert(event.key, seen);
                Acceptance::Accepted {
                    leases: event.deliveries.iter().map(|_| None).collect(),
                }
            }
        };
        kept.offered.push(Offered {
            is_duplicate: matches!(acceptance, Acceptance::Duplicate { .. }),
            event,
        });
        acceptance
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

    async fn keep_secret(&self, new: &KeptSecret) -> Result<bool, StoreError> {
        let secrets = &mut self.kept().secrets;
        let is_first = secrets.iter().all(|kept| kept.route != new.route);
        if is_first {
            secrets.push(new.clone());
        }
        Ok(is_first)
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        Ok(self.kept().secrets.clone())
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
