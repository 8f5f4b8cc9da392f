//! One thread's way to the store: the events of one turn of its event loop go there in one call, because to wake
//! another thread and to be woken by it cost a system call each, whether for one event or for fifty.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    clock::Timestamp,
    event::Event,
    metrics::RouteMetrics,
    store::{Acceptance, Store, StoreError},
};

pub(super) struct Intake {
    store: Arc<dyn Store>,
    /// The events of this turn.
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    event: Arc<Event>,
    metrics: Arc<RouteMetrics>,
    answer: oneshot::Sender<Result<Acceptance, StoreError>>,
}

impl Intake {
    pub(super) fn new(store: Arc<dyn Store>) -> Rc<Self> {
        Rc::new(Self {
            store,
            waiting: RefCell::default(),
        })
    }

    /// Must be called within a `LocalSet`. When the caller goes away before this turn ends nothing happens;
    /// afterwards the acceptance runs to its end, and is counted in the route's `metrics`.
    pub(super) async fn accept(
        self: &Rc<Self>,
        event: Event,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Acceptance, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting {
            event: Arc::new(event),
            metrics,
            answer,
        });
        if self.waiting.borrow().len() == 1 {
            // It runs after the tasks that are ready now, whose events it takes too.
            actix_rt::spawn(self.clone().hand_in());
        }
        let stopped = || StoreError::Unavailable("the gateway stops".to_owned());
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// [`Intake::accept`] for the events of one request, all in one step; in a call of its own. Once begun, the
    /// acceptance runs to its end, and each event is counted.
    pub(super) async fn accept_together(
        &self,
        events: Vec<Event>,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let store = self.store.clone();
        let accepting = actix_rt::spawn(async move {
            let received: Vec<_> = events.iter().map(|event| event.received_at).collect();
            let events = events.into_iter().map(Arc::new).collect();
            let acceptances = store.accept_together(events).await?;
            for (received_at, acceptance) in received.into_iter().zip(&acceptances) {
                count(&metrics, received_at, acceptance);
            }
            Ok(acceptances)
        });
        let stopped = |_| StoreError::Unavailable("the gateway stops".to_owned());
        accepting.await.map_err(stopped)?
    }

    async fn hand_in(self: Rc<Self>) {
        let mut waiting = self.waiting.take();
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut events = Vec::with_capacity(waiting.len());
        let mut callers = Vec::with_capacity(waiting.len());
        for one in waiting {
            callers.push((one.event.received_at, one.metrics, one.answer));
            events.push(one.event);
        }
        if events.is_empty() {
            return;
        }
        let answers = self.store.accept_all(events).await;
        for ((received_at, metrics, caller), answer) in callers.into_iter().zip(answers) {
            if let Ok(acceptance) = &answer {
                count(&metrics, received_at, acceptance);
            }
            // A caller that has gone meanwhile needs no answer.
            drop(caller.send(answer));
        }
    }
}

/// Here, where it is known, and not where it is answered: the caller may have gone.
fn count(metrics: &RouteMetrics, received_at: Timestamp, acceptance: &Acceptance) {
    match acceptance {
        Acceptance::Accepted { .. } => metrics.accepted.inc(),
        Acceptance::Duplicate {
            first_received_at,
            same_body,
            ..
        } => {
            metrics.duplicate.inc();
            let age = received_at.since(*first_received_at);
            metrics.duplicate_age.observe(age.as_secs_f64());
            if !same_body {
                metrics.conflicting_duplicates.inc();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Mutex};

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::{
        event::{BodyDigest, EventKey, TargetName, event_uid},
        metrics::{Labels, Metrics},
        store::{
            Claims, DeliveryName, Depth, Expired, Replayed, Retention, Settled, Settlement,
            StoredEvent, Want,
            listing::{Page, Query},
            orphans::Gone,
            records::{Record, RecordPage, RecordQuery},
            replays::Replay,
        },
    };

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Notes what comes in which call, and answers each event with its own uid.
    #[derive(Default)]
    struct Noting(Mutex<Vec<Vec<Uuid>>>);

    #[async_trait]
    impl Store for Noting {
        async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
            let uids: Vec<_> = events.iter().map(|event| event.uid).collect();
            self.0.lock().unwrap().push(uids.clone());
            let answer = |uid| {
                Ok(Acceptance::Duplicate {
                    uid,
                    first_received_at: NOW,
                    same_body: true,
                })
            };
            uids.into_iter().map(answer).collect()
        }

        async fn accept_together(
            &self,
            events: Vec<Arc<Event>>,
        ) -> Result<Vec<Acceptance>, StoreError> {
            self.accept_all(events).await.into_iter().collect()
        }

        async fn keep_secret(&self, _: &crate::store::KeptSecret) -> Result<bool, StoreError> {
            pending().await
        }

        async fn kept_secrets(&self) -> Result<Vec<crate::store::KeptSecret>, StoreError> {
            pending().await
        }

        async fn forget_secret(&self, _: &crate::event::RouteName) -> Result<bool, StoreError> {
            pending().await
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
            pending().await
        }

        async fn expire(&self, _: Retention) -> Result<Expired, StoreError> {
            pending().await
        }

        async fn ready(&self) -> Result<(), StoreError> {
            pending().await
        }

        async fn failed(&self) -> String {
            pending().await
        }

        async fn close(&self) {}
    }

    fn event(id: &str) -> Event {
        let key = EventKey::new("route", id);
        Event {
            uid: event_uid(key, NOW),
            key,
            route: "route".into(),
            id: id.into(),
            event_type: None,
            credential: None,
            request_id: None,
            received_at: NOW,
            dedupe_window: std::time::Duration::from_secs(60),
            content_type: None,
            headers: Vec::new(),
            digest: BodyDigest::of(b""),
            body: Bytes::new(),
            deliveries: Vec::new(),
            together: false,
        }
    }

    fn series() -> Arc<RouteMetrics> {
        let labels = Labels {
            routes: &[],
            targets: &[],
            reasons: &[],
        };
        Metrics::new(&labels).unwrap().unrouted
    }

    #[test]
    fn the_events_of_one_turn_go_in_one_call_and_each_caller_gets_its_own_answer() {
        let store = Arc::new(Noting::default());
        let runtime = actix_rt::Runtime::new().unwrap();
        runtime.block_on(async {
            let intake = Intake::new(store.clone());
            let series = series();
            let accept = |id: &str| {
                let (intake, event, series) = (intake.clone(), event(id), series.clone());
                async move { intake.accept(event, series).await }
            };
            // Polled once and dropped: nothing happens.
            assert!(accept("gone").now_or_never().is_none());
            let turn = ["a", "b", "c"].map(|id| actix_rt::spawn(accept(id)));
            for (id, answer) in ["a", "b", "c"].iter().zip(turn) {
                let answer = answer.await.unwrap().unwrap();
                let own = event(id).uid;
                assert!(
                    matches!(answer, Acceptance::Duplicate { uid, .. } if uid == own),
                    "{id}"
                );
            }
            assert_eq!(series.duplicate.get(), 3);
            // Gone after its turn: counted all the same.
            let mut late = Box::pin(accept("late"));
            assert!((&mut late).now_or_never().is_none());
            let mut turns = 0;
            while store.0.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
                turns += 1;
                assert!(turns < 1000, "never handed in");
            }
            drop(late);
            assert_eq!(series.duplicate.get(), 4);
        });
        let calls = store.0.lock().unwrap();
        assert_eq!(*calls, [uids(&["a", "b", "c"]), uids(&["late"])]);
    }

    fn uids(ids: &[&str]) -> Vec<Uuid> {
        ids.iter().map(|id| event(id).uid).collect()
    }

    #[test]
    fn the_events_of_one_request_go_in_one_call_and_are_counted_whether_or_not_the_caller_waits() {
        let store = Arc::new(Noting::default());
        let runtime = actix_rt::Runtime::new().unwrap();
        runtime.block_on(async {
            let intake = Intake::new(store.clone());
            let series = series();
            let events = || ["a", "b", "c"].map(event).into();
            let answers = intake.accept_together(events(), series.clone()).await;
            let answered: Vec<_> = answers
                .unwrap()
                .into_iter()
                .map(|answer| match answer {
                    Acceptance::Duplicate { uid, .. } => uid,
                    Acceptance::Accepted { .. } => panic!("not what the store said"),
                })
                .collect();
            assert_eq!(answered, uids(&["a", "b", "c"]));
            assert_eq!(series.duplicate.get(), 3);
            let mut gone = Box::pin(intake.accept_together(events(), series.clone()));
            assert!((&mut gone).now_or_never().is_none());
            drop(gone);
            let mut turns = 0;
            while series.duplicate.get() < 6 {
                tokio::task::yield_now().await;
                turns += 1;
                assert!(turns < 1000, "never counted");
            }
        });
        let calls = store.0.lock().unwrap();
        assert_eq!(*calls, [uids(&["a", "b", "c"]), uids(&["a", "b", "c"])]);
    }
}
