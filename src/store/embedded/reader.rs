//! Reading events back, off the writer thread.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, BodyDigest, Event, EventKey},
    store::{Claimed, StoredDelivery, StoredEvent},
};

use super::{
    failure::Failure,
    ledger::{DELIVERIES_MAX, Picked, received_ms},
    targets::state_of,
};

const EVENT: &str =
    "SELECT uid, key, route, id, type, received_ms, window_ms, content_type, headers,
    digest, body FROM events WHERE seq = ?1";

/// The events of what was picked. What cannot be read back comes with an empty body, and so does not
/// match its digest: whoever delivers it makes it a dead letter.
pub(super) fn claimed(
    connection: &Connection,
    picked: Vec<Picked>,
) -> Result<Vec<Claimed>, Failure> {
    picked
        .into_iter()
        .map(|picked| {
            let event = match event(connection, picked.delivery / DELIVERIES_MAX) {
                Ok(Some(event)) => event,
                Ok(None) => unreadable(),
                Err(error) => match Failure::from(error) {
                    Failure::Other(message) => {
                        tracing::error!(error = %message, "a stored event cannot be read back");
                        unreadable()
                    }
                    failure => return Err(failure),
                },
            };
            Ok(Claimed {
                event: Arc::new(event),
                target: picked.target,
                attempts: picked.attempts,
                lease: picked.lease,
            })
        })
        .collect()
}

pub(super) fn find(connection: &mut Connection, uid: Uuid) -> Result<Option<StoredEvent>, Failure> {
    // One snapshot, so that the event and its deliveries belong together.
    let snapshot = connection.transaction()?;
    let seq: Option<i64> = snapshot
        .prepare_cached(
            "SELECT seq FROM events INDEXED BY events_by_time WHERE received_ms = ?1 AND uid = ?2",
        )?
        .query_row((received_ms(uid), uid.as_bytes().as_slice()), |row| {
            row.get(0)
        })
        .optional()?;
    let Some(seq) = seq else { return Ok(None) };
    let Some(event) = event(&snapshot, seq)? else {
        return Ok(None);
    };
    Ok(Some(StoredEvent {
        event: Arc::new(event),
        deliveries: deliveries(&snapshot, seq)?,
    }))
}

fn event(connection: &Connection, seq: i64) -> rusqlite::Result<Option<Event>> {
    connection
        .prepare_cached(EVENT)?
        .query_row([seq], read_event)
        .optional()
}

/// `deliveries` is left empty: what becomes of them stands in their own rows.
fn read_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let text = |column| row.get::<_, Option<String>>(column);
    let headers = serde_json::from_str::<Vec<(String, String)>>(row.get_ref(8)?.as_str()?);
    let headers = headers.unwrap_or_default().into_iter();
    Ok(Event {
        uid: Uuid::from_bytes(row.get(0)?),
        key: EventKey(row.get(1)?),
        route: row.get::<_, String>(2)?.into(),
        id: row.get::<_, String>(3)?.into(),
        event_type: text(4)?.map(Into::into),
        received_at: Timestamp::from_millis(row.get(5)?),
        dedupe_window: Duration::from_millis(row.get::<_, i64>(6)?.unsigned_abs()),
        content_type: text(7)?.map(Into::into),
        headers: headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        digest: BodyDigest(row.get(9)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(10)?),
        deliveries: Vec::new(),
    })
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
        digest: BodyDigest([0; 32]),
        deliveries: Vec::new(),
    }
}

fn deliveries(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<StoredDelivery>> {
    let first = seq * DELIVERIES_MAX;
    connection
        .prepare_cached(
            "SELECT t.name, d.state, d.attempts, d.started_ms, d.duration_ms, d.status, d.error, d.response_head
             FROM deliveries AS d NOT INDEXED JOIN targets AS t ON t.id = d.target
             WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id",
        )?
        .query_map((first, first + DELIVERIES_MAX - 1), |row| {
            Ok(StoredDelivery {
                target: row.get::<_, String>(0)?.into(),
                state: state_of(row.get(1)?),
                attempts: row.get(2)?,
                last_attempt: read_attempt(row)?,
            })
        })?
        .collect()
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
