//! Faults that need a hand inside: a full disk, a failed statement, a failed sync, a growing log.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Embedded, GROUP_MAX, deliveries,
    failure::Failure,
    head,
    ledger::{Answer, Arrival, Ask, Ledger},
    schema::Home,
    syncer::Syncing,
    writer::{self, Message, Request, Writer},
};
use crate::{
    clock::{Clock, Timestamp},
    config::Durability,
    event::{BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup, Outcome, event_uid},
    metrics::{Labels, Metrics},
    store::{Acceptance, Retention, Settled, Settlement, Store, StoreError, Want},
};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LONG: Duration = Duration::from_secs(3600);

pub(super) fn event(id: &str, body_bytes: usize, lease: Option<Duration>) -> Arc<Event> {
    let key = EventKey::new("route", id);
    let body = Bytes::from(vec![b'x'; body_bytes]);
    let target = "t".into();
    Arc::new(Event {
        uid: event_uid(key, NOW),
        key,
        route: "route".into(),
        id: id.into(),
        event_type: None,
        credential: None,
        request_id: None,
        received_at: NOW,
        dedupe_window: LONG,
        content_type: None,
        headers: Vec::new(),
        digest: BodyDigest::of(&body),
        body,
        deliveries: vec![NewDelivery {
            target,
            lease,
            order: None,
        }],
        together: false,
    })
}

pub(super) fn accept(event: Arc<Event>) -> Ask {
    let head = head::encode(&event);
    Ask::Accept(vec![Arrival { event, head }])
}

fn start(directory: &TempDir, prepare: impl FnOnce(&rusqlite::Connection)) -> Embedded {
    let home = Home::lock(directory.path()).unwrap();
    let connection = home.writer(Durability::Memory).unwrap();
    prepare(&connection);
    let (clock, _hand) = Clock::manual(NOW);
    Embedded::start(home, connection, Durability::Memory, clock, metrics()).unwrap()
}

pub(super) fn metrics() -> Arc<Metrics> {
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    Arc::new(Metrics::new(&labels).unwrap())
}

fn delivered(event: &Event, acceptance: &Acceptance) -> Settlement {
    let Acceptance::Accepted { leases } = acceptance else {
        panic!("{acceptance:?}");
    };
    Settlement {
        uid: event.uid,
        target: "t".into(),
        token: leases[0].unwrap().token,
        outcome: Outcome::Delivered,
        attempt: None,
        order: None,
        route: "a".into(),
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_but_settles_expires_and_recovers() {
    let directory = TempDir::new().unwrap();
    let store = start(&directory, |connection| {
        connection
            .pragma_update(None, "max_page_count", 200)
            .unwrap();
    });
    let mut settlements = Vec::new();
    let refused = loop {
        let event = event(&settlements.len().to_string(), 10_000, Some(LONG));
        match store.accept(event.clone()).await {
            Ok(acceptance) => settlements.push(delivered(&event, &acceptance)),
            Err(StoreError::Full(_)) => break event,
            Err(error) => panic!("{error}"),
        }
        assert!(settlements.len() < 1000, "never full");
    };
    assert!(settlements.len() > 10);
    assert!(store.get(refused.uid).await.unwrap().is_none());
    assert_eq!(
        store.depth(&["t".into()]).await.unwrap()[0].pending,
        settlements.len() as u64
    );

    for settlement in settlements {
        assert_eq!(store.settle(settlement).await.unwrap(), Settled::Done);
    }
    let retention = Retention {
        age: LONG,
        bytes: 0,
    };
    assert!(store.expire(retention).await.unwrap().events > 10);
    // The sender's retry is new: a refused event leaves no id behind.
    let retried = store.accept(refused).await.unwrap();
    assert!(matches!(retried, Acceptance::Accepted { .. }));
}

/// Neither rows nor ids, however much of the request found room.
#[tokio::test]
async fn a_request_that_finds_no_room_for_its_last_event_leaves_none() {
    let directory = TempDir::new().unwrap();
    let store = start(&directory, |connection| {
        connection
            .pragma_update(None, "max_page_count", 200)
            .unwrap();
    });
    let request = |ids: std::ops::Range<u32>| -> Vec<_> {
        ids.map(|n| event(&n.to_string(), 10_000, Some(LONG)))
            .collect()
    };
    let refused = store.accept_together(request(0..300)).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    for event in request(0..300) {
        assert!(store.get(event.uid).await.unwrap().is_none());
    }
    assert_eq!(store.depth(&["t".into()]).await.unwrap()[0].pending, 0);
    for acceptance in store.accept_together(request(0..50)).await.unwrap() {
        assert!(
            matches!(acceptance, Acceptance::Accepted { .. }),
            "no id stays behind"
        );
    }
}

#[tokio::test]
async fn an_event_that_finds_no_room_takes_no_settlement_down_with_it() {
    let directory = TempDir::new().unwrap();
    let home = Home::lock(directory.path()).unwrap();
    let connection = home.writer(Durability::Memory).unwrap();
    connection
        .pragma_update(None, "max_page_count", 100)
        .unwrap();
    let (clock, _hand) = Clock::manual(NOW);
    let mut ledger = Ledger::load(connection, clock).unwrap();
    let accept = |id: &str| accept(event(id, 10_000, Some(LONG)));
    let mut first = ledger.run([accept("first")].iter()).unwrap();
    let Some(Answer::Accepted(acceptances)) = first.answers.pop() else {
        panic!("nothing accepted");
    };
    while ledger
        .run([accept(&ledger.next_seq.to_string())].iter())
        .is_ok()
    {}

    let settle = Ask::Settle(vec![delivered(
        &event("first", 10_000, None),
        &acceptances[0],
    )]);
    let (requests, queue) = mpsc::channel(2);
    let send = |ask| {
        let (reply, answer) = oneshot::channel();
        requests
            .try_send(Message::Request(Request { ask, reply }))
            .unwrap();
        answer
    };
    let (accepted, settled) = (send(accept("too much")), send(settle));
    let (fate, side) = (Arc::new(watch::Sender::new(None)), home.side().unwrap());
    // Both wait before the writer begins, so that they are one batch.
    let never = Syncing::Never;
    let writer = Writer::new(ledger, home, side, never, metrics(), fate, &requests).unwrap();
    let thread = writer.spawn(queue).unwrap();
    assert!(matches!(accepted.await.unwrap(), Err(StoreError::Full(_))));
    let settled = settled.await.unwrap();
    assert!(
        matches!(&settled, Ok(Answer::Settled(settled)) if *settled == [Settled::Done]),
        "{settled:?}"
    );
    drop(requests);
    thread.join().unwrap();
}

#[test]
fn a_failed_batch_leaves_nothing_in_memory_either() {
    let directory = TempDir::new().unwrap();
    let home = Home::lock(directory.path()).unwrap();
    let (clock, _hand) = Clock::manual(NOW);
    let connection = home.writer(Durability::Memory).unwrap();
    let mut ledger = Ledger::load(connection, clock).unwrap();
    // Where the second event's delivery will want to wait.
    let second = deliveries::ids(2, 1).next().unwrap();
    let in_the_way = "INSERT INTO waiting (queue, due_ms, id, attempts) VALUES (1, ?1, ?2, 0)";
    ledger
        .connection
        .execute(in_the_way, (NOW.as_millis(), second))
        .unwrap();

    let accept = |id, lease| accept(event(id, 10, lease));
    let want = Want {
        target: "t".into(),
        max: 10,
        lease: LONG,
    };
    let claim = Ask::Claim(vec![want]);
    let batch = [
        accept("a", None),
        claim,
        accept("a", None),
        accept("b", Some(LONG)),
    ];
    let failure = ledger.run(batch.iter()).err().unwrap();
    assert!(matches!(failure, Failure::Other(_)), "{failure:?}");
    assert!(ledger.targets.names().is_empty());
    let first = deliveries::ids(1, 1).next().unwrap();
    assert!(!ledger.claims.is_held(first, Instant::now()));
    assert_eq!(ledger.targets.counts.body_bytes, 0);
    let rows: i64 = ledger
        .connection
        .query_row(
            "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM commits)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 0);

    ledger
        .connection
        .execute("DELETE FROM waiting", [])
        .unwrap();
    let committed = ledger.run(batch.iter()).unwrap();
    assert_eq!((committed.events, committed.body_bytes), (2, 20));
    let picked = |answer: &Answer| matches!(answer, Answer::Picked(p) if p.picked.len() == 1);
    assert!(picked(&committed.answers[1]), "{:?}", committed.answers);
    // A repeat within the batch is told apart from the first.
    let repeat = &committed.answers[2];
    assert!(matches!(
        repeat,
        Answer::Accepted(of) if matches!(of[..], [Acceptance::Duplicate { .. }])
    ));
}

/// Whose turn it is stands in the table, and what can be claimed in memory: both go back.
#[test]
fn a_failed_batch_gives_no_turn_on() {
    let directory = TempDir::new().unwrap();
    let home = Home::lock(directory.path()).unwrap();
    let (clock, _hand) = Clock::manual(NOW);
    let connection = home.writer(Durability::Memory).unwrap();
    let mut ledger = Ledger::load(connection, clock).unwrap();
    let ordered = |id: &str| {
        let mut event = (*event(id, 10, Some(LONG))).clone();
        let group = OrderGroup::new("route", "t", "k");
        event.deliveries[0].order = Some(Order { group, hold: false });
        Arc::new(event)
    };
    let first = ordered("first");
    let arrivals = [accept(first.clone()), accept(ordered("second"))];
    let mut accepted = ledger.run(arrivals.iter()).unwrap().answers;
    let leases = |answer: Option<Answer>| match answer {
        Some(Answer::Accepted(mut acceptances)) => match acceptances.pop() {
            Some(Acceptance::Accepted { leases }) => leases,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(leases(accepted.pop()), [None]);
    let lease = leases(accepted.pop())[0].unwrap();
    let leases = vec![Some(lease)];
    let settle = Ask::Settle(vec![delivered(&first, &Acceptance::Accepted { leases })]);
    let claim = Ask::Claim(vec![Want {
        target: "t".into(),
        max: 10,
        lease: LONG,
    }]);
    let picked = |answers: &[Answer]| match answers.last() {
        Some(Answer::Picked(picks)) => (picks.picked.len(), picks.next_due[0]),
        other => panic!("{other:?}"),
    };

    // Where the third event's delivery will want to wait.
    let third = deliveries::ids(3, 1).next().unwrap();
    let in_the_way = "INSERT INTO waiting (queue, due_ms, id, attempts) VALUES (1, ?1, ?2, 0)";
    let row = (NOW.as_millis(), third);
    ledger.connection.execute(in_the_way, row).unwrap();
    let batch = [settle, claim, accept(event("third", 10, None))];
    ledger.run(batch.iter()).err().unwrap();
    ledger
        .connection
        .execute("DELETE FROM waiting WHERE id = ?1", [third])
        .unwrap();

    let [settle, claim, _] = batch;
    let (claimed, next_due) = picked(&ledger.run([&claim].into_iter()).unwrap().answers);
    assert_eq!(claimed, 0, "the first is still claimed");
    assert!(next_due.unwrap() > LONG / 2);
    let answers = ledger.run([&settle, &claim].into_iter()).unwrap().answers;
    assert!(matches!(&answers[0], Answer::Settled(of) if *of == [Settled::Done]));
    assert_eq!(picked(&answers).0, 1, "the second");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_answered_any_more() {
    let directory = TempDir::new().unwrap();
    let store = start(&directory, |_| {});
    store.accept(event("a", 10, None)).await.unwrap();
    writer::fail(&store.fate, "disk I/O error".to_owned());
    writer::fail(&store.fate, "a later one".to_owned());
    let error = store.accept(event("b", 10, None)).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(m) if m == "disk I/O error"));
    assert!(matches!(store.ready().await, Err(StoreError::Failed(_))));
    assert_eq!(store.failed().await, "disk I/O error");
}

#[tokio::test]
async fn the_log_is_moved_beside_the_commits_as_it_grows() {
    let directory = TempDir::new().unwrap();
    let store = start(&directory, |_| {});
    for n in 0..40 {
        let event = event(&n.to_string(), 1 << 20, None);
        store.accept(event).await.unwrap();
    }
    // Only a checkpoint makes the database itself grow.
    let database = directory.path().join("hookgate.db");
    let moved = async {
        while std::fs::metadata(&database).unwrap().len() < 12 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), moved)
        .await
        .unwrap();
}

/// One after the other, each could take the whole deadline of a call.
#[tokio::test]
async fn the_groups_of_one_call_wait_together() {
    let (requests, mut queue) = mpsc::channel(8);
    let store = Embedded {
        requests,
        reader: Arc::default(),
        records: Arc::default(),
        clock: Clock::system(),
        inspector: Arc::default(),
        fate: Arc::new(watch::Sender::new(None)),
        writer: Mutex::default(),
    };
    let mut queued = || std::iter::from_fn(|| queue.try_recv().ok()).count();
    let events = (0..=GROUP_MAX).map(|n| event(&n.to_string(), 0, None));
    let accepted = store.accept_all(events.collect()).now_or_never();
    assert!(accepted.is_none(), "nobody answers");
    assert_eq!(queued(), 2);
    let settlement = Settlement {
        uid: event("a", 0, None).uid,
        target: "t".into(),
        token: 1,
        outcome: Outcome::Released,
        attempt: None,
        order: None,
        route: "a".into(),
    };
    let settled = store
        .settle_all(vec![settlement; GROUP_MAX + 1])
        .now_or_never();
    assert!(settled.is_none(), "nobody answers");
    assert_eq!(queued(), 2);
}
