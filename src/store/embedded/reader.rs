//! Reading events back, off the writer thread.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, BodyDigest, DeliveryState, Event, EventKey, TargetName},
    store::{Claimed, StoredDelivery, StoredEvent},
};

use super::{
    commits::SPREAD_MAX_MS,
    deliveries::{place_of, seq_of},
    failure::Failure,
    head,
    ledger::{Picked, received_ms},
    targets::state_of,
};

/// The events of what was picked. What cannot be read back comes with an empty body, and so does not
/// match its digest: whoever delivers it makes it a dead letter.
pub(super) fn claimed(
    connection: &Connection,
    picked: Vec<Picked>,
) -> Result<Vec<Claimed>, Failure> {
    picked
        .into_iter()
        .map(|picked| {
            let event = match event(connection, seq_of(picked.delivery)) {
                Ok(Some((event, _targets))) => event,
                Ok(None) => unreadable(),
                Err(Failure::Other(message)) => {
                    tracing::error!(error = %message, "a stored event cannot be read back");
                    unreadable()
                }
                Err(failure) => return Err(failure),
            };
            Ok(Claimed {
                event: Arc::new(event),
                target: picked.target,
                attempts: picked.attempts,
                lease: picked.lease,
                order: None,
                replayed_at: None,
            })
        })
        .collect()
}

pub(super) fn find(connection: &mut Connection, uid: Uuid) -> Result<Option<StoredEvent>, Failure> {
    // One snapshot, so that the event and its deliveries belong together.
    let snapshot = connection.transaction()?;
    let Some(seq) = seq(&snapshot, uid)? else {
        return Ok(None);
    };
    let Some((event, targets)) = event(&snapshot, seq)? else {
        return Ok(None);
    };
    Ok(Some(StoredEvent {
        event: Arc::new(event),
        deliveries: deliveries(&snapshot, seq, targets)?,
    }))
}

/// Looks through the events of the commits that can hold one of this uid's time.
fn seq(connection: &Connection, uid: Uuid) -> rusqlite::Result<Option<i64>> {
    let received_ms = received_ms(uid);
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.head FROM commits AS c
         CROSS JOIN events AS e ON e.seq BETWEEN c.first_seq AND c.last_seq
         WHERE c.max_ms BETWEEN ?1 AND ?2 AND c.min_ms <= ?1",
    )?;
    let mut rows = statement.query((received_ms, received_ms + SPREAD_MAX_MS))?;
    while let Some(row) = rows.next()? {
        let head = row.get_ref(1)?.as_blob()?;
        if head::uid(head) == Some(uid) {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

/// An event and its targets. Its `deliveries` are left empty: what becomes of them stands in rows of
/// their own.
fn event(connection: &Connection, seq: i64) -> Result<Option<(Event, Vec<TargetName>)>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT head, body FROM events WHERE seq = ?1")?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let Some((event, targets)) = row.get_ref(0)?.as_blob().ok().and_then(head::decode) else {
        return Err(Failure::Other(format!(
            "the head of event {seq} is damaged"
        )));
    };
    let body = Bytes::from(row.get::<_, Vec<u8>>(1)?);
    Ok(Some((Event { body, ..event }, targets)))
}

/// No body has a digest of zeros, least of all an empty one.
fn unreadable() -> Event {
    Event {
        uid: Uuid::nil(),
        key: EventKey([0; 16]),
        route: "".into(),
        id: "".into(),
        event_type: None,
        received_at: Timestamp::from_millis(0),
        dedupe_window: Duration::ZERO,
        content_type: None,
        headers: Vec::new(),
        body: Bytes::new(),
        digest: BodyDigest([0; _]),
        deliveries: Vec::new(),
        together: false,
    }
}

/// A delivery that has no row was not attempted yet.
fn deliveries(
    connection: &Connection,
    seq: i64,
    targets: Vec<TargetName>,
) -> rusqlite::Result<Vec<StoredDelivery>> {
    let mut stored: Vec<_> = targets
        .into_iter()
        .map(|target| StoredDelivery {
            target,
            state: DeliveryState::Pending,
            attempts: 0,
            history: Vec::new(),
            replayed_at: None,
        })
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT id, state, attempts, started_ms, duration_ms, status, error, response_head
         FROM deliveries NOT INDEXED WHERE id BETWEEN ?1 AND ?2",
    )?;
    let mut rows = statement.query(super::deliveries::range(seq, seq))?;
    while let Some(row) = rows.next()? {
        let place = usize::try_from(place_of(row.get(0)?)).ok();
        if let Some(delivery) = place.and_then(|place| stored.get_mut(place)) {
            delivery.state = state_of(row.get(1)?);
            delivery.attempts = row.get(2)?;
            delivery.history = read_attempt(row)?.into_iter().collect();
        }
    }
    Ok(stored)
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Option<AttemptRecord>> {
    let Some(started_ms) = row.get::<_, Option<i64>>(3)? else {
        return Ok(None);
    };
    Ok(Some(AttemptRecord {
        started_at: Timestamp::from_millis(started_ms),
        duration: Duration::from_millis(row.get::<_, i64>(4)?.unsigned_abs()),
        status: row.get(5)?,
        error: row.get(6)?,
        response_head: Bytes::from(row.get::<_, Option<Vec<u8>>>(7)?.unwrap_or_default()),
    }))
}
