//! The embedded store on a database of format 3, which had no credentials, no filtered deliveries and no secrets.

use hookgate::{
    event::{DeadReason, DeliveryState, Event, Outcome},
    store::{
        Acceptance, Replayed,
        listing::{Filter, Query, StateFilter},
    },
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{
    embedded::{DATABASE, START, subject_in},
    secrets::{self, SECRET, secret},
    subject::{Subject, event, in_order},
};

const FORMAT_3: &str = "
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
  response_head BLOB,
  earlier INTEGER NOT NULL DEFAULT 0,
  replayed_ms INTEGER,
  turn BLOB
) STRICT;
CREATE INDEX dead ON deliveries (id, target) WHERE state >= 2;
CREATE TABLE ids (row INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE queues (
  id INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  route TEXT NOT NULL,
  UNIQUE (target, route)
) STRICT;
CREATE TABLE waiting (
  queue INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  id INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  replayed_ms INTEGER,
  turn BLOB,
  PRIMARY KEY (queue, due_ms, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE ordered (
  grp BLOB NOT NULL,
  id INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  holds INTEGER NOT NULL,
  PRIMARY KEY (grp, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  number INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE replays (
  id BLOB PRIMARY KEY,
  revision INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO targets VALUES (1, 't');
INSERT INTO queues VALUES (1, 1, 'route');
PRAGMA application_id = 1214998388;
PRAGMA user_version = 3;
";

/// Version 2 of an event's record; lengths are short enough for one byte each.
fn head(event: &Event) -> Vec<u8> {
    let mut head = vec![2];
    head.extend(event.uid.as_bytes());
    head.extend(event.key.0);
    head.extend(event.received_at.as_millis().to_le_bytes());
    let window_ms = u64::try_from(event.dedupe_window.as_millis()).unwrap();
    head.extend(window_ms.to_le_bytes());
    let mut bytes = |bytes: &[u8], more: u8| {
        head.push(u8::try_from(bytes.len()).unwrap() + more);
        head.extend(bytes);
    };
    bytes(&event.digest.0, 0);
    bytes(event.route.as_bytes(), 0);
    bytes(event.id.as_bytes(), 0);
    bytes(event.event_type.as_deref().unwrap().as_bytes(), 1);
    bytes(event.content_type.as_deref().unwrap().as_bytes(), 1);
    let [(name, value)] = &event.headers[..] else {
        panic!("{:?}", event.headers.len());
    };
    head.push(1);
    for text in [name, value] {
        head.push(u8::try_from(text.len()).unwrap());
        head.extend(text.as_bytes());
    }
    head.push(u8::from(event.together));
    head.push(u8::try_from(event.deliveries.len()).unwrap());
    for delivery in &event.deliveries {
        head.push(u8::try_from(delivery.target.len()).unwrap());
        head.extend(delivery.target.as_bytes());
        match delivery.order {
            None => head.push(0),
            Some(order) => {
                head.push(1 + u8::from(order.hold));
                head.extend(order.group.0);
            }
        }
    }
    head
}

/// Of one delivery each, to `t`: its number.
fn store(database: &Connection, seq: i64, event: &Event) -> i64 {
    let at = event.received_at.as_millis();
    let bytes = i64::try_from(event.body.len()).unwrap();
    let window_ms = i64::try_from(event.dedupe_window.as_millis()).unwrap();
    let id = [
        &event.key.0[..],
        &at.to_le_bytes(),
        &window_ms.to_le_bytes(),
        &event.digest.short(),
    ];
    let ids_row = ((at + window_ms) << 20) + seq;
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
            params![ids_row, id.concat()],
        ),
    ] {
        database.execute(sql, values).unwrap();
    }
    seq << 20
}

fn settled(database: &Connection, id: i64, state: i64) {
    let insert =
        "INSERT INTO deliveries VALUES (?1, 1, ?2, ?3, 1, ?3, 7, 503, NULL, x'', 0, NULL, NULL)";
    let row = params![id, state, START.as_millis()];
    database.execute(insert, row).unwrap();
}

/// One event waits in order, one is delivered and one dead.
fn old(directory: &TempDir) -> [Event; 3] {
    let database = Connection::open(directory.path().join(DATABASE)).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch("BEGIN").unwrap();
    database.execute_batch(FORMAT_3).unwrap();
    let events = ["waiting", "delivered", "dead"].map(|id| event(id, &["t"], START));
    let [waiting, delivered, dead] = events;
    let waiting = in_order(waiting, "k", true);
    let order = waiting.deliveries[0].order.unwrap();
    let id = store(&database, 1, &waiting);
    let turn = [&[1], &order.group.0[..]].concat();
    let at = START.as_millis();
    for (sql, values) in [
        (
            "INSERT INTO waiting VALUES (1, ?1, ?2, 0, NULL, ?3)",
            params![at, id, turn],
        ),
        (
            "INSERT INTO ordered VALUES (?1, ?2, 1, 0)",
            params![order.group.0, id],
        ),
    ] {
        database.execute(sql, values).unwrap();
    }
    let id = store(&database, 2, &delivered);
    settled(&database, id, 1);
    let id = store(&database, 3, &dead);
    settled(&database, id, 5);
    database.execute_batch("COMMIT").unwrap();
    database.close().unwrap();
    [waiting, delivered, dead]
}

async fn listed(subject: &Subject, state: StateFilter) -> Vec<String> {
    let query = Query {
        filter: Filter {
            state: Some(state),
            ..Filter::default()
        },
        newest_first: false,
        cursor: None,
        limit: 10,
    };
    let page = subject.store.list(&query).await.unwrap();
    let ids = page.events.iter().map(|event| event.id.to_string());
    ids.collect()
}

#[tokio::test]
async fn a_database_of_format_3_keeps_all_that_it_holds() {
    let directory = TempDir::new().unwrap();
    let [waiting, delivered, dead] = old(&directory);
    let subject = subject_in(directory.path(), START);
    let removed = DeliveryState::Dead(DeadReason::TargetRemoved);
    for (event, state) in [
        (&waiting, DeliveryState::Pending),
        (&delivered, DeliveryState::Delivered),
        (&dead, removed),
    ] {
        let again = subject.accept(event.clone()).await;
        let uid = event.uid;
        assert!(
            matches!(again, Acceptance::Duplicate { uid: first, same_body: true, .. } if first == uid),
            "{}: {again:?}",
            event.id
        );
        let stored = subject.get(uid).await;
        assert_eq!(stored.deliveries[0].state, state);
        let back = &stored.event;
        assert_eq!((&back.body, &back.headers), (&event.body, &event.headers));
        assert_eq!(back.together, event.together);
        assert_eq!(back.deliveries, event.deliveries);
        assert_eq!(back.credential, None, "nobody wrote it down then");
    }
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (1, 1));
    assert_eq!(listed(&subject, StateFilter::Dead).await, ["dead"]);

    // What it could not hold then.
    let claimed = subject.claim_one("t").await;
    assert_eq!(claimed.event.uid, waiting.uid);
    subject.settle(&claimed, Outcome::Filtered).await;
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.dead), (0, 1));
    assert_eq!(listed(&subject, StateFilter::Dead).await, ["dead"]);
    assert_eq!(listed(&subject, StateFilter::Filtered).await, ["waiting"]);
    assert_eq!(subject.replay(dead.uid, "t").await, Replayed::Due);
    assert_eq!(secrets::told(&subject).await, []);
    let kept = secret(&subject, "route", SECRET);
    assert!(subject.store.keep_secret(&kept).await.unwrap());
    subject.store.close().await;
}

/// A version of the program that knows nothing newer must not take what it cannot read for damage.
#[tokio::test]
async fn says_its_format_so_that_an_older_program_refuses_it() {
    let directory = TempDir::new().unwrap();
    old(&directory);
    let subject = subject_in(directory.path(), START);
    subject.store.close().await;
    let database = Connection::open(directory.path().join(DATABASE)).unwrap();
    let version: i64 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 5);
}
