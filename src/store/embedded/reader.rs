//! Reading events back, off the writer thread.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{AttemptRecord, BodyDigest, DeliveryState, Event, EventKey, NewDelivery},
    store::{Claimed, DeliveryName, StoredDelivery, StoredEvent},
};

use super::{
    commits::SPREAD_MAX_MS,
    deliveries::{self, place_of, seq_of},
    failure::Failure,
    head,
    ledger::{Picked, received_ms},
    replaying::Replayable,
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
                Ok(Some(event)) => event,
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
                order: picked.order,
                replayed_at: picked.replayed_at,
            })
        })
        .collect()
}

pub(super) fn find(connection: &mut Connection, uid: Uuid) -> Result<Option<StoredEvent>, Failure> {
    // One snapshot, so that the event and its deliveries belong together.
    let snapshot = connection.transaction()?;
    let Some((seq, _)) = place(&snapshot, uid)? else {
        return Ok(None);
    };
    let Some(event) = event(&snapshot, seq)? else {
        return Ok(None);
    };
    let mut deliveries = states(&snapshot, seq, &event.deliveries)?;
    add_history(&snapshot, seq, &mut deliveries)?;
    Ok(Some(StoredEvent {
        event: Arc::new(event),
        deliveries,
    }))
}

/// The numbers of these deliveries, of those that are stored.
pub(super) fn resolve(
    connection: &Connection,
    names: &[DeliveryName],
) -> Result<Vec<Option<Replayable>>, Failure> {
    let resolve = |name: &DeliveryName| {
        let Some((seq, event)) = place(connection, name.uid)? else {
            return Ok(None);
        };
        // One that is damaged must not keep the others from being replayed.
        let Some(event) = event else {
            tracing::error!(seq, "a stored event cannot be read back");
            return Ok(None);
        };
        let ids = deliveries::ids(seq, event.deliveries.len());
        let found = ids
            .zip(event.deliveries)
            .find(|(_, delivery)| delivery.target == name.target);
        Ok(found.map(|(id, delivery)| Replayable {
            id,
            route: event.route,
            target: delivery.target,
            order: delivery.order,
        }))
    };
    names.iter().map(resolve).collect()
}

/// Looks through the events of the commits that can hold one of this uid's time. The event comes without its
/// body, and is `None` when its head is not whole.
fn place(connection: &Connection, uid: Uuid) -> rusqlite::Result<Option<(i64, Option<Event>)>> {
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
            return Ok(Some((row.get(0)?, head::decode(head))));
        }
    }
    Ok(None)
}

/// What becomes of its deliveries stands in rows of their own.
fn event(connection: &Connection, seq: i64) -> Result<Option<Event>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT head, body FROM events WHERE seq = ?1")?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let Some(event) = row.get_ref(0)?.as_blob().ok().and_then(head::decode) else {
        return Err(damaged(seq));
    };
    let body = Bytes::from(row.get::<_, Vec<u8>>(1)?);
    Ok(Some(Event { body, ..event }))
}

fn damaged(seq: i64) -> Failure {
    Failure::Other(format!("the head of event {seq} is damaged"))
}

/// No body has a digest of zeros, least of all an empty one.
fn unreadable() -> Event {
    Event {
        uid: Uuid::nil(),
        key: EventKey([0; 16]),
        route: "".into(),
        id: "".into(),
        event_type: None,
        credential: None,
        request_id: None,
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

/// Where an event's deliveries stand, each with its newest attempt. One that has no row was not attempted yet.
pub(super) fn states(
    connection: &Connection,
    seq: i64,
    deliveries: &[NewDelivery],
) -> rusqlite::Result<Vec<StoredDelivery>> {
    let pending = |delivery: &NewDelivery| StoredDelivery {
        target: delivery.target.clone(),
        state: DeliveryState::Pending,
        attempts: 0,
        history: Vec::new(),
        replayed_at: None,
    };
    let mut stored: Vec<_> = deliveries.iter().map(pending).collect();
    let mut statement = connection.prepare_cached(
        "SELECT started_ms, duration_ms, status, error, response_head, id, state, attempts,
         replayed_ms FROM deliveries NOT INDEXED WHERE id BETWEEN ?1 AND ?2",
    )?;
    let mut rows = statement.query(deliveries::range(seq, seq))?;
    while let Some(row) = rows.next()? {
        let place = usize::try_from(place_of(row.get(5)?)).ok();
        if let Some(delivery) = place.and_then(|place| stored.get_mut(place)) {
            delivery.state = state_of(row.get(6)?);
            delivery.attempts = row.get(7)?;
            let replayed_ms: Option<i64> = row.get(8)?;
            delivery.replayed_at = replayed_ms.map(Timestamp::from_millis);
            delivery.history = read_attempt(row)?.into_iter().collect();
        }
    }
    Ok(stored)
}

/// Adds the attempts before the newest to what [`states`] told.
pub(super) fn add_history(
    connection: &Connection,
    seq: i64,
    deliveries: &mut [StoredDelivery],
) -> rusqlite::Result<()> {
    let newest: Vec<_> = deliveries
        .iter_mut()
        .map(|delivery| std::mem::take(&mut delivery.history))
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT started_ms, duration_ms, status, error, NULL, delivery FROM attempts
         WHERE delivery BETWEEN ?1 AND ?2 ORDER BY delivery, number",
    )?;
    let mut rows = statement.query(deliveries::range(seq, seq))?;
    while let Some(row) = rows.next()? {
        let place = usize::try_from(place_of(row.get(5)?)).ok();
        if let Some(delivery) = place.and_then(|place| deliveries.get_mut(place)) {
            delivery.history.extend(read_attempt(row)?);
        }
    }
    for (delivery, newest) in deliveries.iter_mut().zip(newest) {
        delivery.history.extend(newest);
    }
    Ok(())
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Option<AttemptRecord>> {
    let Some(started_ms) = row.get::<_, Option<i64>>(0)? else {
        return Ok(None);
    };
    Ok(Some(AttemptRecord {
        started_at: Timestamp::from_millis(started_ms),
        duration: Duration::from_millis(row.get::<_, i64>(1)?.unsigned_abs()),
        status: row.get(2)?,
        error: row.get(3)?,
        response_head: Bytes::from(row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default()),
    }))
}
