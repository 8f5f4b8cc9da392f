//! A primary store in memory that goes away, loses answers and refuses as a test tells it to.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hookgate::{
    clock::Timestamp,
    event::{Event, EventKey, RouteName, TargetName},
    store::{
        Acceptance, Claims, DeliveryName, Depth, Expired, KeptSecret, Replayed, Retention, Settled,
        Settlement, Store, StoreError, StoredEvent, Want,
        listing::{Page, Query},
        orphans::Gone,
        records::{Record, RecordPage, RecordQuery},
        replays::Replay,
    },
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    Away,
    /// Answers, and takes no event.
    Full,
    /// Stores, and its answers are lost.
    Mute,
    /// Refuses the event with this id, and only that.
    Never(String),
    /// Goes away after so many more calls of `accept_all`.
    Falters(usize),
}

pub(super) struct Primary(Mutex<Inner>);

struct Inner {
    mode: Mode,
    /// In order of acceptance.
    accepted: Vec<Event>,
    first: HashMap<EventKey, usize>,
    retired: Vec<Gone>,
    probes: usize,
    requests: usize,
}

impl Primary {
    pub(super) fn new(mode: Mode) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            mode,
            accepted: Vec::new(),
            first: HashMap::new(),
            retired: Vec::new(),
            probes: 0,
            requests: 0,
        })))
    }

    pub(super) fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    pub(super) fn mode(&self) -> Mode {
        self.0.lock().unwrap().mode.clone()
    }

    pub(super) fn accepted(&self) -> Vec<Event> {
        self.0.lock().unwrap().accepted.clone()
    }

    /// What `retire_targets` was told is gone, call by call.
    pub(super) fn retired(&self) -> Vec<Gone> {
        self.0.lock().unwrap().retired.clone()
    }

    /// Calls of `accept_together`.
    pub(super) fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// Calls of `ready`.
    pub(super) fn probes(&self) -> usize {
        self.0.lock().unwrap().probes
    }
}

impl Inner {
    fn here(&self) -> Result<(), StoreError> {
        match self.mode {
            Mode::Away => Err(StoreError::Unavailable("away".into())),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, event: &Event) -> Result<Acceptance, StoreError> {
        self.here()?;
        match &self.mode {
            Mode::Full => return Err(StoreError::Full("no room".into())),
            Mode::Never(id) if **id == *event.id => {
                return Err(StoreError::Unavailable("never this one".into()));
            }
            _ => {}
        }
        let acceptance = match self.first.get(&event.key) {
            Some(&first) => {
                let first = &self.accepted[first];
                Acceptance::Duplicate {
                    uid: first.uid,
                    first_received_at: first.received_at,
                    same_body: first.digest == event.digest,
                }
            }
            None => {
                self.first.insert(event.key, self.accepted.len());
                self.accepted.push(event.clone());
                let leases = vec![None; event.deliveries.len()];
                Acceptance::Accepted { leases }
            }
        };
        match self.mode {
            Mode::Mute => Err(StoreError::Deadline(Duration::from_secs(2))),
            _ => Ok(acceptance),
        }
    }
}

#[async_trait]
impl Store for Primary {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let mut inner = self.0.lock().unwrap();
        match &mut inner.mode {
            Mode::Falters(0) => inner.mode = Mode::Away,
            Mode::Falters(calls) => *calls -= 1,
            _ => {}
        }
        events.iter().map(|event| inner.accept(event)).collect()
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

    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let mut inner = self.0.lock().unwrap();
        inner.here()?;
        inner.retired.push(gone.clone());
        Ok(1)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let mut inner = self.0.lock().unwrap();
        inner.probes += 1;
        inner.here()
    }

    async fn failed(&self) -> String {
        pending().await
    }

    async fn close(&self) {}

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let mut inner = self.0.lock().unwrap();
        inner.requests += 1;
        events.iter().map(|event| inner.accept(event)).collect()
    }

    async fn keep_secret(&self, _: &KeptSecret) -> Result<bool, StoreError> {
        self.0.lock().unwrap().here().map(|()| true)
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        self.0.lock().unwrap().here().map(|()| Vec::new())
    }

    async fn forget_secret(&self, _: &RouteName) -> Result<bool, StoreError> {
        self.0.lock().unwrap().here().map(|()| true)
    }

    async fn claim(&self, _: &[Want]) -> Result<Claims, StoreError> {
        pending().await
    }

    async fn settle_all(&self, _: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        pending().await
    }

    async fn depth(&self, _: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        pending().await
    }

    async fn get(&self, _: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        pending().await
    }

    async fn list(&self, _: &Query) -> Result<Page, StoreError> {
        pending().await
    }

    async fn replay(
        &self,
        _: &[DeliveryName],
        _: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        pending().await
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        pending().await
    }

    async fn save_replay(&self, _: &Replay) -> Result<bool, StoreError> {
        pending().await
    }

    async fn forget_replay(&self, _: Uuid) -> Result<(), StoreError> {
        pending().await
    }

    async fn expire(&self, _: Retention) -> Result<Expired, StoreError> {
        pending().await
    }
}
