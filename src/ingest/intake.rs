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
        let answers = self.store.accept_all(events).await;
        for (caller, answer) in callers.into_iter().zip(answers) {
            // A caller that has gone meanwhile needs no answer.
            drop(caller.send(answer));
        }
    }
}
