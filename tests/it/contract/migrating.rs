//! The embedded store on a database of format 2, which version 0.1.0 wrote.

use std::{collections::BTreeSet, path::Path, time::Duration};

use hookgate::{
    clock::Timestamp,
    event::{DeadReason, DeliveryState, Event, Outcome},
    store::{Acceptance, Replayed, Settled},
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{
    embedded::{DATABASE, START, open, subject_in},
    subject::{LONG, WINDOW, event, on_route},
};

const FORMAT_2: &str = "
CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE commits (
  max_ms INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  min_ms INTEGER NOT NULL,
  body_bytes INTEGER NOT NULL,
  PRIMARY KEY (max_ms, first_seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE waiting (
  target INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  id INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  PRIMARY KEY (target, due_ms, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  state INTEGER NOT NULL,
  settled_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  started_ms INTEGER,
  duration_ms INTEGER,
  status INTEGER,
  error TEXT,
  response_head BLOB
) STRICT;
CREATE INDEX dead ON deliveries (target) WHERE state >= 2;
CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  started_ms INTEGER,
  duration_ms INTEGER,
  status INTEGER,
  error TEXT,
  response_head BLOB,
  PRIMARY KEY (delivery, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE ids (row INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
PRAGMA application_id = 1214998388;
PRAGMA user_version = 2;
";

/// A database as 0.1.0 left it.
struct Old {
    database: Connection,
    next_seq: i64,
}

impl Old {
    fn new(directory: &Path, targets: &[&str]) -> Self {
        let database = Connection::open(directory.join(DATABASE)).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch("BEGIN").unwrap();
        database.execute_batch(FORMAT_2).unwrap();
        for (id, name) in (1..).zip(targets) {
            let insert = "INSERT INTO targets VALUES (?1, ?2)";
            database.execute(insert, params![id, name]).unwrap();
        }
        Self {
            database,
            next_seq: 1,
        }
    }

    /// Stores an event without its deliveries; returns their ids.
    fn store(&mut self, event: &Event) -> Vec<i64> {
        let seq = self.next_seq;
        self.next_seq += 1;
        let at = event.received_at.as_millis();
        let bytes = i64::try_from(event.body.len()).unwrap();
        for (sql, values) in [
            (
                "INSERT INTO events VALUES (?1, ?2, ?3)",
                params![seq, head(event), &event.body[..]],
            ),
            (
                "INSERT INTO commits VALUES (?2, ?1, ?1, ?2, ?3)",
                params![seq, at, bytes],
            ),
            (
                "INSERT INTO ids VALUES (?1, ?2)",
                params![ids_row(event) + seq, remembered(event)],
            ),
        ] {
            self.database
                .prepare_cached(sql)
                .unwrap()
                .execute(values)
                .unwrap();
        }
        let number = i64::try_from(event.deliveries.len()).unwrap();
        (0..number)
            .map(|place| (seq << 20) | ((number - 1) << 10) | place)
            .collect()
    }

    fn wait(&self, target: i64, due: Timestamp, id: i64, attempts: u32) {
        let insert = "INSERT INTO waiting VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.database.prepare_cached(insert).unwrap();
        insert
            .execute(params![target, due.as_millis(), id, attempts])
            .unwrap();
    }

    /// What 0.1.0 wrote for attempts with these statuses, one a second.
    fn attempt(&self, target: i64, id: i64, state: i64, statuses: &[u16]) {
        for (n, status) in (1..).zip(statuses) {
            let at = START.as_millis() + n * 1000;
            let row = params![
                id,
                target,
                state,
                at,
                n,
                at,
                7,
                status,
                None::<&str>,
                b"head"
            ];
            let newest = "INSERT OR REPLACE INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            self.database.execute(newest, row).unwrap();
            if *status != 200 {
                let row = params![id, n % 32, at, 7, status, None::<&str>, b"head"];
                let failed = "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                self.database.execute(failed, row).unwrap();
            }
        }
    }

    fn close(self) {
        self.database.execute_batch("COMMIT").unwrap();
        self.database.close().unwrap();
    }
}

/// Version 1 of an event's record; lengths are short enough for one byte each.
fn head(event: &Event) -> Vec<u8> {
    let mut head = vec![1];
    head.extend(event.uid.as_bytes());
    head.extend(event.key.0);
    head.extend(event.received_at.as_millis().to_le_bytes());
    let window_ms = u64::try_from(event.dedupe_window.as_millis()).unwrap();
    head.extend(window_ms.to_le_bytes());
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let mut bytes = |bytes: &[u8]| {
        head.push(length(bytes));
        head.extend(bytes);
    };
    bytes(&event.digest.0);
    bytes(event.route.as_bytes());
    bytes(event.id.as_bytes());
    for text in [&event.event_type, &event.content_type] {
        let text = text.as_deref().unwrap();
        head.push(length(text.as_bytes()) + 1);
        head.extend(text.as_bytes());
    }
    head.push(u8::try_from(event.headers.len()).unwrap());
    for text in event.headers.iter().flat_map(|(name, value)| [name, value]) {
        head.push(length(text.as_bytes()));
        head.extend(text.as_bytes());
    }
    head.push(u8::try_from(event.deliveries.len()).unwrap());
    for delivery in &event.deliveries {
        head.push(length(delivery.target.as_bytes()));
        head.extend(delivery.target.as_bytes());
    }
    head
}

fn ids_row(event: &Event) -> i64 {
    event
        .received_at
        .saturating_add(event.dedupe_window)
        .as_millis()
        << 20
}

fn remembered(event: &Event) -> Vec<u8> {
    let window_ms = u64::try_from(event.dedupe_window.as_millis()).unwrap();
    [
        &event.key.0[..],
        &event.received_at.as_millis().to_le_bytes(),
        &window_ms.to_le_bytes(),
        &event.digest.short(),
    ]
    .concat()
}

#[tokio::test]
async fn a_database_of_format_2_keeps_all_that_it_holds() {
    let directory = TempDir::new().unwrap();
    let mut old = Old::new(directory.path(), &["t", "u"]);
    let fresh = on_route(event("fresh", &["t", "u"], START), "a");
    let ids = old.store(&fresh);
    old.wait(1, START, ids[0], 0);
    old.wait(2, START, ids[1], 0);
    let retried = on_route(event("retried", &["t"], START), "b");
    let ids = old.store(&retried);
    old.attempt(1, ids[0], 0, &[500; 40]);
    old.wait(1, START.saturating_add(LONG), ids[0], 40);
    let delivered = on_route(event("delivered", &["t"], START), "b");
    let ids = old.store(&delivered);
    old.attempt(1, ids[0], 1, &[501, 502, 200]);
    let dead = on_route(event("dead", &["u"], START), "b");
    let ids = old.store(&dead);
    old.attempt(2, ids[0], 3, &[503, 504]);
    old.close();

    let subject = subject_in(directory.path(), START);
    for event in [&fresh, &retried, &delivered, &dead] {
        let again = subject.accept(event.clone()).await;
        let uid = event.uid;
        assert!(
            matches!(again, Acceptance::Duplicate { uid: first, same_body: true, .. } if first == uid),
            "{}: {again:?}",
            event.id
        );
    }
    let (t, u) = (subject.depth("t").await, subject.depth("u").await);
    assert_eq!((t.pending, t.dead, u.pending, u.dead), (2, 0, 1, 1));

    let told = async |event: &Event| {
        let stored = subject.get(event.uid).await;
        assert_eq!(stored.event.body, event.body);
        let delivery = &stored.deliveries[0];
        let history = delivery.history.iter();
        let statuses: Vec<_> = history.map(|attempt| attempt.status.unwrap()).collect();
        (delivery.state, delivery.attempts, statuses)
    };
    let pending = DeliveryState::Pending;
    assert_eq!(told(&fresh).await, (pending, 0, vec![]));
    assert_eq!(told(&retried).await, (pending, 40, vec![500; 32]));
    let all = vec![501, 502, 200];
    assert_eq!(told(&delivered).await, (DeliveryState::Delivered, 3, all));
    let gave_up = DeliveryState::Dead(DeadReason::GaveUp);
    assert_eq!(told(&dead).await, (gave_up, 2, vec![503, 504]));
    let starts: Vec<_> = subject.get(retried.uid).await.deliveries[0]
        .history
        .iter()
        .map(|attempt| (attempt.started_at.as_millis() - START.as_millis()) / 1000)
        .collect();
    assert_eq!(starts, (9..=40).collect::<Vec<_>>());

    for (target, after, expected) in [
        ("t", Duration::ZERO, &fresh),
        ("u", Duration::ZERO, &fresh),
        ("t", LONG, &retried),
    ] {
        subject.advance(after);
        let claimed = subject.claim_one(target).await;
        assert_eq!(claimed.event.uid, expected.uid);
        assert_eq!(claimed.event.body, expected.body);
        let settled = subject.settle(&claimed, Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
    assert_eq!(subject.replay(dead.uid, "u").await, Replayed::Due);
    assert_eq!(subject.claim_one("u").await.event.uid, dead.uid);
    subject.store.close().await;
}

#[tokio::test]
async fn an_event_of_format_2_that_cannot_be_read_holds_up_nothing() {
    let directory = TempDir::new().unwrap();
    let mut old = Old::new(directory.path(), &["t"]);
    for id in ["gone", "cut", "whole"] {
        let ids = old.store(&event(id, &["t"], START));
        old.wait(1, START, ids[0], 0);
    }
    let database = &old.database;
    database
        .execute("DELETE FROM events WHERE seq = 1", [])
        .unwrap();
    let cut = "UPDATE events SET head = substr(head, 1, 40) WHERE seq = 2";
    database.execute(cut, []).unwrap();
    old.close();

    let subject = subject_in(directory.path(), START);
    assert_eq!(subject.depth("t").await.pending, 3);
    let claimed = subject.claim("t", 10).await;
    assert_eq!(claimed.len(), 3);
    for claimed in &claimed {
        let whole = &*claimed.event.id == "whole";
        let outcome = match whole {
            true => Outcome::Delivered,
            false => Outcome::Dead(DeadReason::Corrupt),
        };
        assert_eq!(subject.settle(claimed, outcome).await, Settled::Done);
    }
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (0, 2));
}

/// Of several routes, and none twice or lost.
#[tokio::test]
async fn a_backlog_of_format_2_is_delivered_whole() {
    const WAITING: usize = 20_000;
    let directory = TempDir::new().unwrap();
    let mut old = Old::new(directory.path(), &["t"]);
    for n in 0..WAITING {
        let event = on_route(event(&n.to_string(), &["t"], START), &(n % 7).to_string());
        let ids = old.store(&event);
        old.wait(1, START, ids[0], 0);
    }
    old.close();
    let subject = subject_in(directory.path(), START);
    assert_eq!(subject.depth("t").await.pending, WAITING as u64);
    let mut seen = BTreeSet::new();
    loop {
        let claimed = subject.claim("t", 5_000).await;
        if claimed.is_empty() {
            break;
        }
        for claimed in claimed {
            assert!(seen.insert(claimed.event.uid), "twice");
        }
    }
    assert_eq!(seen.len(), WAITING);
    assert_eq!(subject.expire(WINDOW, 0).await, 0);
}

#[test]
fn a_store_that_was_brought_to_the_new_format_is_as_a_new_one() {
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Old::new(old.path(), &[]).close();
    let (clock, _hand) = hookgate::clock::Clock::manual(START);
    let schema = |directory: &Path| -> BTreeSet<String> {
        drop(open(directory, &clock, hookgate::config::Durability::Always).unwrap());
        let lock = std::fs::File::open(directory.join("lock")).unwrap();
        lock.lock().unwrap();
        let database = Connection::open(directory.join(DATABASE)).unwrap();
        let columns =
            "SELECT s.type || ' ' || s.name || ' ' || ifnull(c.name || ' ' || c.type || c.pk, ifnull(s.sql, ''))
            FROM sqlite_schema AS s LEFT JOIN pragma_table_xinfo(s.name) AS c";
        let mut statement = database.prepare(columns).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(schema(old.path()), schema(new.path()));
}
