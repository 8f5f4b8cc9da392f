//! Syncs that begin and end by hand: what is answered, and when.

use std::{sync::mpsc as std_mpsc, thread::JoinHandle, time::Duration};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::{
    failure::Failure,
    fault_tests::{NOW, accept, event, metrics},
    ledger::{Answer, Ledger},
    schema::Home,
    syncer::Syncing,
    writer::{self, Message, Request, Writer},
};
use crate::{
    clock::Clock,
    config::Durability,
    store::{Acceptance, StoreError},
};

/// A writer whose every sync says that it has begun, and ends as it is told.
struct ByHand {
    requests: mpsc::Sender<Message>,
    begun: std_mpsc::Receiver<()>,
    end: std_mpsc::Sender<Result<(), Failure>>,
    fate: writer::Fate,
    thread: JoinHandle<()>,
    _directory: TempDir,
}

/// How long any wait may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

type Answered = oneshot::Receiver<Result<Answer, StoreError>>;

impl ByHand {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let home = Home::lock(directory.path()).unwrap();
        let connection = home.writer(Durability::Always).unwrap();
        let (clock, _hand) = Clock::manual(NOW);
        let ledger = Ledger::load(connection, clock).unwrap();
        let (requests, queue) = mpsc::channel(16);
        let (begin, begun) = std_mpsc::channel();
        let (end, ended) = std_mpsc::channel();
        let syncing = Syncing::EachCommit(Box::new(move || {
            begin.send(()).unwrap();
            ended.recv().unwrap()
        }));
        let (fate, side) = (writer::Fate::default(), home.side().unwrap());
        let seen = fate.clone();
        let writer = Writer::new(ledger, home, side, syncing, metrics(), fate, &requests).unwrap();
        Self {
            requests,
            begun,
            end,
            fate: seen,
            thread: writer.spawn(queue).unwrap(),
            _directory: directory,
        }
    }

    fn begins(&self) {
        self.begun.recv_timeout(PATIENCE).unwrap();
    }

    fn accept(&self, id: &str) -> Answered {
        let (reply, answer) = oneshot::channel();
        let ask = accept(event(id, 10, None));
        let request = Message::Request(Request { ask, reply });
        self.requests.try_send(request).ok().unwrap();
        answer
    }
}

fn is_unanswered(answered: &mut Answered) -> bool {
    matches!(
        answered.try_recv(),
        Err(oneshot::error::TryRecvError::Empty)
    )
}

fn acceptance(answered: Answered) -> Acceptance {
    match answered.blocking_recv().unwrap().unwrap() {
        Answer::Accepted(mut acceptances) => acceptances.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_answered_before_its_sync_not_even_a_duplicate() {
    let by_hand = ByHand::start();
    let mut first = by_hand.accept("a");
    by_hand.begins();
    assert!(is_unanswered(&mut first));
    // It sees the first, which is committed and not yet durable.
    let (mut repeat, mut second) = (by_hand.accept("a"), by_hand.accept("b"));
    by_hand.end.send(Ok(())).unwrap();
    assert!(matches!(acceptance(first), Acceptance::Accepted { .. }));
    by_hand.begins();
    assert!(is_unanswered(&mut repeat) && is_unanswered(&mut second));
    // What only repeats what is being synced writes nothing, and waits for a sync all the same.
    let mut again = by_hand.accept("b");
    by_hand.end.send(Ok(())).unwrap();
    assert!(matches!(acceptance(repeat), Acceptance::Duplicate { .. }));
    assert!(matches!(acceptance(second), Acceptance::Accepted { .. }));
    by_hand.begins();
    assert!(is_unanswered(&mut again));
    by_hand.end.send(Ok(())).unwrap();
    assert!(matches!(acceptance(again), Acceptance::Duplicate { .. }));
    drop(by_hand.requests);
    by_hand.thread.join().unwrap();
}

#[test]
fn a_sync_that_fails_answers_nobody_then_or_later() {
    let by_hand = ByHand::start();
    let first = by_hand.accept("a");
    by_hand.begins();
    let second = by_hand.accept("b");
    let unlucky = Failure::Other("no such luck".to_owned());
    by_hand.end.send(Err(unlucky)).unwrap();
    let failed = |answered: Answered| {
        let error = answered.blocking_recv().unwrap().unwrap_err();
        assert!(
            matches!(&error, StoreError::Failed(m) if m == "no such luck"),
            "{error}"
        );
    };
    failed(first);
    failed(second);
    failed(by_hand.accept("c"));
    assert!(by_hand.fate.borrow().is_some());
    drop(by_hand.requests);
    by_hand.thread.join().unwrap();
}
