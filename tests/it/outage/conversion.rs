//! A Redis that an older version wrote is taken over whole.

use std::{sync::Arc, time::Duration};

use hookgate::{
    event::{AttemptRecord, DeliveryState, Event, NewDelivery, Order, OrderGroup, Outcome},
    store::{
        Acceptance, Settled, Store as _,
        listing::{Filter, Query, StateFilter},
    },
};
use redis::{Cmd, ConnectionInfo};

use super::{TARGET, event, open, want};
use crate::support::redis::{RedisServer, command};

const PREFIX: &str = "hookgate:{0}:";
const MINUTE_MS: i64 = 60_000;

/// An older version's Redis, as it wrote the keys.
struct Older {
    connection: redis::Connection,
}

impl Older {
    fn new(database: &ConnectionInfo) -> Self {
        let client = redis::Client::open(database.clone()).unwrap();
        let mut older = Self {
            connection: client.get_connection().unwrap(),
        };
        older.write("SET", b"format", &[b"2"]);
        older
    }

    fn write(&mut self, command: &str, key: &[u8], arguments: &[&[u8]]) {
        let mut command = Cmd::new().arg(command).to_owned();
        command.arg([PREFIX.as_bytes(), key].concat());
        for argument in arguments {
            command.arg(*argument);
        }
        command.exec(&mut self.connection).unwrap();
    }

    /// With its id, and, for each target, due then; its last half or quarter of a millisecond is part of it.
    fn accept(&mut self, event: &Event, due: &[&str]) {
        let uid = event.uid.as_bytes();
        for (delivery, due) in event.deliveries.iter().zip(due) {
            let key = format!("due:{}", delivery.target);
            self.write("ZADD", key.as_bytes(), &[due.as_bytes(), uid]);
            self.write("SADD", b"targets", &[delivery.target.as_bytes()]);
        }
        self.write("SET", &[b"event:", &uid[..]].concat(), &[&record(event)]);
        let received = event.received_at.as_millis().to_le_bytes();
        let kept = [&received[..], &event.digest.short()].concat();
        self.write("SET", &[b"id:", &event.key.0[..]].concat(), &[&kept]);
        let minute = (event.received_at.as_millis() / MINUTE_MS + 60).to_string();
        let forgettable = [&event.key.0[..], &received].concat();
        self.write("RPUSH", format!("ids:{minute}").as_bytes(), &[&forgettable]);
        self.write("ZADD", b"minutes", &[minute.as_bytes(), minute.as_bytes()]);
        let bytes = event.body.len().to_string();
        self.write("INCRBY", b"bytes", &[bytes.as_bytes()]);
    }

    fn finish(&mut self, event: &Event, status: u8, at: &str) {
        let uid = event.uid.as_bytes();
        let target = event.deliveries[0].target.as_bytes();
        self.write("ZREM", &[b"due:", target].concat(), &[uid]);
        let state = [
            &[status][..],
            &1_u32.to_le_bytes(),
            &2_u32.to_le_bytes(),
            &attempt(),
        ]
        .concat();
        self.write("SET", &[b"state:", &uid[..], target].concat(), &[&state]);
        self.write("ZADD", b"finished", &[at.as_bytes(), uid]);
        if status > 1 {
            self.write("ZADD", &[b"dead:", target].concat(), &[at.as_bytes(), uid]);
        }
    }
}

/// In version 1.
fn record(event: &Event) -> Vec<u8> {
    let mut front = vec![1];
    front.extend_from_slice(&[0; 4]);
    front.extend_from_slice(&u32::try_from(event.body.len()).unwrap().to_le_bytes());
    front.extend_from_slice(&u16::try_from(event.deliveries.len()).unwrap().to_le_bytes());
    for delivery in &event.deliveries {
        front.extend_from_slice(&u16::try_from(delivery.target.len()).unwrap().to_le_bytes());
        front.extend_from_slice(delivery.target.as_bytes());
    }
    front.extend_from_slice(&event.key.0);
    front.extend_from_slice(&event.digest.0);
    front.extend_from_slice(&event.received_at.as_millis().to_le_bytes());
    let window = i64::try_from(event.dedupe_window.as_millis()).unwrap();
    front.extend_from_slice(&window.to_le_bytes());
    let text = |front: &mut Vec<u8>, text: &str| {
        front.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
        front.extend_from_slice(text.as_bytes());
    };
    text(&mut front, &event.route);
    text(&mut front, &event.id);
    for optional in [&event.event_type, &event.content_type] {
        front.push(optional.is_some().into());
        if let Some(value) = optional {
            text(&mut front, value);
        }
    }
    front.extend_from_slice(&u32::try_from(event.headers.len()).unwrap().to_le_bytes());
    for (name, value) in &event.headers {
        text(&mut front, name);
        text(&mut front, value);
    }
    let bytes = u32::try_from(front.len()).unwrap().to_le_bytes();
    front[1..5].copy_from_slice(&bytes);
    [&front[..], &event.body].concat()
}

fn attempt() -> Vec<u8> {
    let facts = br#"{"v":1,"started_ms":1790000000000,"took_us":7,"status":503,"error":null}"#;
    let lengths = [
        u16::try_from(facts.len()).unwrap().to_le_bytes(),
        2_u16.to_le_bytes(),
    ];
    [&lengths.concat()[..], facts, b"no"].concat()
}

fn delivered(claimed: &hookgate::store::Claimed) -> hookgate::store::Settlement {
    claimed.settlement(Outcome::Delivered, None::<AttemptRecord>)
}

#[tokio::test]
async fn what_format_2_holds_is_converted_whole() {
    let database = RedisServer::shared().fresh_database();
    let mut older = Older::new(&database);
    // More than one piece of each kind.
    for number in 0..900 {
        older.accept(&event(&format!("many {number}")), &["1790000000000"]);
    }
    let mut both = event("both");
    both.deliveries.push(NewDelivery::to("other".into()));
    older.accept(&both, &["1790000000001", "1790000000002"]);
    // Claimed when it was accepted, for a hundred years.
    older.accept(&event("claimed"), &["4945000000000.75"]);
    for (id, status) in [("delivered", 1), ("dead", 3)] {
        older.accept(&event(id), &["1790000000000"]);
        older.finish(&event(id), status, "1790000000005");
    }

    // Two gateways begin at once; a third finds it done.
    let (store, second) = tokio::join!(open(database.clone()), open(database.clone()));
    let third = open(database.clone()).await;
    let depth = third.depth(&[TARGET.into(), "other".into()]).await.unwrap();
    assert_eq!((depth[0].pending, depth[0].dead), (902, 1));
    assert_eq!((depth[1].pending, depth[1].dead), (1, 0));

    for id in ["many 7", "both", "claimed", "delivered", "dead"] {
        let again = store.accept(Arc::new(event(id))).await.unwrap();
        let uid = event(id).uid;
        let is_known = matches!(again, Acceptance::Duplicate { uid: first, same_body: true, .. } if first == uid);
        assert!(is_known, "{id}: {again:?}");
    }
    let dead = second.get(event("dead").uid).await.unwrap().unwrap();
    assert!(matches!(dead.deliveries[0].state, DeliveryState::Dead(_)));
    assert_eq!(dead.deliveries[0].history[0].status, Some(503));

    let mut query = Query {
        filter: Filter::default(),
        newest_first: false,
        cursor: None,
        limit: 400,
    };
    let mut listed = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        listed.extend(page.events.into_iter().map(|event| event.id));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 904);
    query.filter.state = Some(StateFilter::Dead);
    let page = store.list(&query).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(&*page.events[0].id, "dead");

    let mut claimed = 0;
    loop {
        let claims = store.claim(&want(1000, super::PATIENCE)).await.unwrap();
        if claims.claimed.is_empty() {
            assert!(claims.next_due[0] > Some(Duration::ZERO), "the claimed one");
            break;
        }
        claimed += claims.claimed.len();
        for answer in store
            .settle_all(claims.claimed.iter().map(delivered).collect())
            .await
        {
            assert_eq!(answer.unwrap(), Settled::Done);
        }
    }
    assert_eq!(claimed, 901);

    // A gateway of the older version that still runs accepts nothing more.
    let kind = command(&database, &["TYPE", "hookgate:{0}:targets"]);
    assert_eq!(kind, redis::Value::SimpleString("string".into()));
    for keys in [
        "*:id:*",
        "*:minutes",
        "*:olddead:*",
        "*:unsorted",
        "*:converting",
    ] {
        let left = command(&database, &["KEYS", keys]);
        assert_eq!(left, redis::Value::Array(Vec::new()), "{keys}");
    }
}

/// In version 2, of format 3 as it was before credentials were kept: the route before the targets.
fn record_2(event: &Event) -> Vec<u8> {
    let mut front = vec![2];
    front.extend_from_slice(&[0; 4]);
    front.extend_from_slice(&u32::try_from(event.body.len()).unwrap().to_le_bytes());
    front.extend_from_slice(&u16::try_from(event.deliveries.len()).unwrap().to_le_bytes());
    let short = |front: &mut Vec<u8>, text: &str| {
        front.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
        front.extend_from_slice(text.as_bytes());
    };
    short(&mut front, &event.route);
    for delivery in &event.deliveries {
        short(&mut front, &delivery.target);
        let order = delivery.order.unwrap();
        front.push(1 + u8::from(order.hold));
        front.extend_from_slice(&order.group.0);
    }
    // From the key to the end of the window it is as in version 1.
    let rest = record(event);
    let targets: usize = event.deliveries.iter().map(|d| 2 + d.target.len()).sum();
    let at = 11 + targets;
    front.extend_from_slice(&rest[at..at + 48]);
    front.extend_from_slice(&rest[at + 48 + 4 + event.route.len()..]);
    let bytes = u32::try_from(front.len() - event.body.len()).unwrap();
    front[1..5].copy_from_slice(&bytes.to_le_bytes());
    front
}

#[tokio::test]
async fn an_event_of_format_3_without_a_credential_is_read() {
    let database = RedisServer::shared().fresh_database();
    let mut old = event("old");
    let order = Order {
        group: OrderGroup::new("github", TARGET, "key"),
        hold: true,
    };
    old.deliveries[0].order = Some(order);
    old.credential = Some("secret#1".into());
    let store = open(database.clone()).await;
    store.accept(Arc::new(old.clone())).await.unwrap();
    store.close().await;
    let client = redis::Client::open(database.clone()).unwrap();
    let mut older = Older {
        connection: client.get_connection().unwrap(),
    };
    let key = [b"event:", &old.uid.as_bytes()[..]].concat();
    older.write("SET", &key, &[&record_2(&old)]);

    let store = open(database).await;
    let stored = store.get(old.uid).await.unwrap().unwrap().event;
    assert_eq!(stored.credential, None, "nobody wrote it down then");
    assert_eq!((&stored.id, &stored.body), (&old.id, &old.body));
    assert_eq!(stored.headers, old.headers);
    let mut new = event("new");
    new.credential = Some("secret#2".into());
    new.deliveries[0].order = Some(order);
    store.accept(Arc::new(new.clone())).await.unwrap();
    for (event, credential) in [(&old, None), (&new, Some("secret#2"))] {
        let claims = store.claim(&want(10, super::PATIENCE)).await.unwrap();
        let [claimed] = &claims.claimed[..] else {
            panic!("{claims:?}");
        };
        assert_eq!(claimed.event.uid, event.uid);
        assert_eq!(claimed.event.credential.as_deref(), credential);
        let settled = store.settle(delivered(claimed)).await.unwrap();
        assert_eq!(settled, Settled::Done);
    }
    let mut expired = 0;
    while expired < 2 {
        expired += store.expire(super::NOTHING_KEPT).await.unwrap().events;
    }
    assert!(store.get(old.uid).await.unwrap().is_none());
}

/// The older version forgot such a target.
#[tokio::test]
async fn dead_letters_of_a_target_that_was_gone_are_converted() {
    let database = RedisServer::shared().fresh_database();
    let mut older = Older::new(&database);
    let gone = event("gone");
    older.accept(&gone, &["1790000000000"]);
    older.finish(&gone, 5, "1790000000005");
    older.write("SREM", b"targets", &[TARGET.as_bytes()]);
    older.accept(
        &Event {
            deliveries: vec![NewDelivery::to("other".into())],
            ..event("there")
        },
        &["1790000000000"],
    );
    let store = open(database.clone()).await;
    let query = Query {
        filter: Filter {
            state: Some(StateFilter::Dead),
            since: Some(gone.received_at),
            ..Filter::default()
        },
        newest_first: true,
        cursor: None,
        limit: 10,
    };
    let page = store.list(&query).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.events[0].uid, gone.uid);
    let depth = store.depth(&[TARGET.into()]).await.unwrap();
    assert_eq!((depth[0].pending, depth[0].dead), (0, 1));
}
