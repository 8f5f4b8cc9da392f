//! One thread's way to the store: the events of one turn of its event loop go there in one call, because to wake
//! another thread and to be woken by it cost a system call each, whether for one event or for fifty.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    event::Event,
    store::{Acceptance, Store, StoreError},
};

pub(super) struct Intake {
    store: Arc<dyn Store>,
    /// The events of this turn.
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    event: Arc<Event>,
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
    /// afterwards the acceptance runs to its end.
    pub(super) async fn accept(self: &Rc<Self>, event: Event) -> Result<Acceptance, StoreError> {
        let (answer, answered) = oneshot::channel();
        let event = Arc::new(event);
        self.waiting.borrow_mut().push(Waiting { event, answer });
        if self.waiting.borrow().len() == 1 {
            // It runs after the tasks that are ready now, whose events it takes too.
            actix_rt::spawn(self.clone().hand_in());
        }
        let stopped = || StoreError::Unavailable("the gateway stops".to_owned());
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn hand_in(self: Rc<Self>) {
        let mut waiting = self.waiting.take();
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let (events, callers): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|waiting| (waiting.event, waiting.answer))
            .unzip();
        if events.is_empty() {
            return;
        }
        let answers = self.store.accept_all(events).await;
        for (caller, answer) in callers.into_iter().zip(answers) {
            // A caller that has gone meanwhile needs no answer.
            drop(caller.send(answer));
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
        clock::Timestamp,
        event::{BodyDigest, EventKey, TargetName, event_uid},
        store::{Claims, Depth, Expired, Retention, Settled, Settlement, StoredEvent, Want},
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

        async fn retire_targets(&self, _: &[TargetName]) -> Result<u64, StoreError> {
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
            received_at: NOW,
            dedupe_window: std::time::Duration::from_secs(60),
            content_type: None,
            headers: Vec::new(),
            digest: BodyDigest::of(b""),
            body: Bytes::new(),
            deliveries: Vec::new(),
        }
    }

    #[test]
    fn the_events_of_one_turn_go_in_one_call_and_each_caller_gets_its_own_answer() {
        let store = Arc::new(Noting::default());
        let runtime = actix_rt::Runtime::new().unwrap();
        runtime.block_on(async {
            let intake = Intake::new(store.clone());
            // Polled once and dropped: nothing happens.
            assert!(intake.accept(event("gone")).now_or_never().is_none());
            let turn = ["a", "b", "c"].map(|id| {
                let intake = intake.clone();
                actix_rt::spawn(async move { intake.accept(event(id)).await })
            });
            for (id, answer) in ["a", "b", "c"].iter().zip(turn) {
                let answer = answer.await.unwrap().unwrap();
                let own = event(id).uid;
                assert!(
                    matches!(answer, Acceptance::Duplicate { uid, .. } if uid == own),
                    "{id}"
                );
            }
            intake.accept(event("later")).await.unwrap();
        });
        let uids = |ids: &[&str]| ids.iter().map(|id| event(id).uid).collect::<Vec<_>>();
        let calls = store.0.lock().unwrap();
        assert_eq!(*calls, [uids(&["a", "b", "c"]), uids(&["later"])]);
    }
}
