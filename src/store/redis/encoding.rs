//! How remembered ids, states and attempts are written as bytes; events are in `record.rs`.
//!
//! The facts of an attempt are JSON with a version, so that a newer Hookgate reads what an older one stored.
//! States are packed by the scripts, see `deliveries.lua`.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::Value;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{StoreError, StoredDelivery, StoredEvent, listing::EventSummary},
    record, scripts,
};
use crate::{
    clock::Timestamp,
    event::{AttemptRecord, DeadReason, DeliveryState, EventKey, TargetName},
};

const VERSION: u8 = 1;
/// The response's head and the error text that are kept of an attempt; the scripts give lengths two bytes.
const HEAD_MAX: usize = 1024;
const ERROR_MAX: usize = 512;
/// Longer durations mean this one, which Redis still takes as an expiry.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Whole milliseconds, at most a hundred years.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.min(LONGEST).as_millis()).unwrap_or(i64::MAX)
}

/// The end of a lease that was asked for at `since`.
pub(super) fn ends(since: Instant, lease: Duration) -> Instant {
    since + lease.min(LONGEST)
}

/// Where an id is remembered: its bucket (2), of which there are 2^15, and its field there (12).
pub(super) fn place_of_id(key: EventKey) -> [u8; 14] {
    let mut place = [0; 14];
    place.copy_from_slice(&key.0[..14]);
    place[0] &= 0x7f;
    place
}

/// The minute since 1970 that an event's uid begins with.
pub(super) fn log_minute(received_at: Timestamp) -> u32 {
    u32::try_from(received_at.as_millis() / 60_000).unwrap_or(0)
}

/// What is kept of a remembered id, but for the minute when it is forgotten: six bytes of time and four of the body's
/// digest.
pub(super) struct Remembered {
    pub(super) received_at: Timestamp,
    pub(super) digest: [u8; 4],
}

impl Remembered {
    pub(super) fn to_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let millis = u64::try_from(self.received_at.as_millis()).unwrap_or(0);
        bytes[..6].copy_from_slice(&millis.to_le_bytes()[..6]);
        bytes[6..].copy_from_slice(&self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (millis, digest) = bytes.split_first_chunk::<6>()?;
        let [a, b, c, d, e, f] = *millis;
        Some(Self {
            received_at: Timestamp::from_millis(i64::from_le_bytes([a, b, c, d, e, f, 0, 0])),
            digest: digest.try_into().ok()?,
        })
    }
}

/// As a state tells it: 0, never.
pub(super) fn replayed_at(millis: i64) -> Option<Timestamp> {
    (millis != 0).then_some(Timestamp::from_millis(millis))
}

/// An attempt without the head of its response.
#[derive(Serialize, Deserialize)]
struct Facts<'a> {
    v: u8,
    started_ms: i64,
    took_us: u64,
    status: Option<u16>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

/// An attempt as the scripts keep it in a history: the bytes of its facts (2), those of the head of its response
/// (2), the facts, the head.
pub(super) fn attempt(attempt: &AttemptRecord) -> Result<Vec<u8>, StoreError> {
    let facts = Facts {
        v: VERSION,
        started_ms: attempt.started_at.as_millis(),
        took_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
        status: attempt.status,
        error: attempt
            .error
            .as_deref()
            .map(|error| error[..error.floor_char_boundary(ERROR_MAX)].into()),
    };
    let facts = serde_json::to_vec(&facts).map_err(|_| unwritable())?;
    let head = &attempt.response_head[..attempt.response_head.len().min(HEAD_MAX)];
    let bytes = |part: &[u8]| u16::try_from(part.len()).map_err(|_| unwritable());
    Ok([
        &bytes(&facts)?.to_le_bytes()[..],
        &bytes(head)?.to_le_bytes(),
        &facts,
        head,
    ]
    .concat())
}

fn unwritable() -> StoreError {
    StoreError::Unavailable("an attempt cannot be written".into())
}

/// The state's number in the scripts.
pub(super) const fn status(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Dead(DeadReason::Refused) => 2,
        DeliveryState::Dead(DeadReason::GaveUp) => 3,
        DeliveryState::Dead(DeadReason::Corrupt) => 4,
        DeliveryState::Dead(DeadReason::TargetRemoved) => 5,
        DeliveryState::Dead(DeadReason::ExpressionFailed) => 6,
        DeliveryState::Filtered => 7,
    }
}

fn state(number: u8) -> Option<DeliveryState> {
    let dead = DeadReason::ALL.into_iter().map(DeliveryState::Dead);
    [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Filtered,
    ]
    .into_iter()
    .chain(dead)
    .find(|state| status(*state) == number)
}

/// An event as `get.lua` gives it; `None` when there is none.
pub(super) fn stored_event(uid: Uuid, reply: Value) -> Result<Option<StoredEvent>, StoreError> {
    let mut values = scripts::array(reply)?.into_iter();
    let Some(record) = values.next().map(optional).transpose()?.flatten() else {
        return Ok(None);
    };
    let states: Vec<_> = values.map(optional).collect::<Result<_, _>>()?;
    let event = record::event(uid, record).ok_or_else(unreadable)?;
    let targets = event.deliveries.iter().map(|delivery| &delivery.target);
    let deliveries = stored_deliveries(targets, &states).ok_or_else(unreadable)?;
    Ok(Some(StoredEvent {
        event: Arc::new(event),
        deliveries,
    }))
}

/// An event as `describe.lua` gives it; `None` when there is none, or none that can be read.
pub(super) fn summary(uid: Uuid, reply: Value) -> Result<Option<EventSummary>, StoreError> {
    let Some(values) = scripts::optional(reply).map(scripts::array).transpose()? else {
        return Ok(None);
    };
    let mut values = values.into_iter();
    let Some(front) = values.next().map(scripts::bytes).transpose()? else {
        return Ok(None);
    };
    let states: Vec<_> = values.map(optional).collect::<Result<_, _>>()?;
    Ok(
        record::description(uid, front).and_then(|(event, body_bytes)| {
            let targets = event.deliveries.iter().map(|delivery| &delivery.target);
            Some(EventSummary {
                uid,
                deliveries: stored_deliveries(targets, &states)?,
                route: event.route,
                id: event.id,
                event_type: event.event_type,
                credential: event.credential,
                request_id: event.request_id,
                received_at: event.received_at,
                body_bytes,
            })
        }),
    )
}

fn unreadable() -> StoreError {
    StoreError::Unavailable("a stored event cannot be read back".into())
}

fn stored_deliveries<'a>(
    targets: impl ExactSizeIterator<Item = &'a TargetName>,
    states: &[Option<Vec<u8>>],
) -> Option<Vec<StoredDelivery>> {
    if states.len() != targets.len() {
        return None;
    }
    let deliveries = targets.zip(states);
    deliveries
        .map(|(target, packed)| stored_delivery(target, packed.as_deref()))
        .collect()
}

fn optional(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        value => scripts::bytes(value).map(Some),
    }
}

/// What `deliveries.lua` adds to the status of a state that tells more.
const EXTENDED: u8 = 128;
/// Place, group and kind of order: only the scripts need them.
const ORDER_BYTES: usize = 8 + 16 + 1;

/// One delivery, from its state as `deliveries.lua` packs it. No state: never claimed from the store, never settled.
fn stored_delivery(target: &TargetName, packed: Option<&[u8]>) -> Option<StoredDelivery> {
    let packed = packed.unwrap_or(&[0; 9]);
    let (&number, rest) = packed.split_first()?;
    let (attempts, rest) = rest.split_first_chunk()?;
    let (_generation, mut rest) = rest.split_first_chunk::<4>()?;
    let mut replayed_ms = 0;
    if number >= EXTENDED {
        let (millis, others) = rest.split_first_chunk()?;
        replayed_ms = i64::from_le_bytes(*millis);
        (_, rest) = others.split_at_checked(ORDER_BYTES)?;
    }
    Some(StoredDelivery {
        target: target.clone(),
        state: state(number % EXTENDED)?,
        attempts: u32::from_le_bytes(*attempts),
        history: history(rest)?,
        replayed_at: replayed_at(replayed_ms),
    })
}

fn history(mut packed: &[u8]) -> Option<Vec<AttemptRecord>> {
    let mut attempts = Vec::new();
    while !packed.is_empty() {
        let (facts_bytes, rest) = packed.split_first_chunk()?;
        let (head_bytes, rest) = rest.split_first_chunk()?;
        let (facts, rest) = rest.split_at_checked(u16::from_le_bytes(*facts_bytes).into())?;
        let (head, rest) = rest.split_at_checked(u16::from_le_bytes(*head_bytes).into())?;
        let facts: Facts<'_> = serde_json::from_slice(facts).ok()?;
        attempts.push(AttemptRecord {
            started_at: Timestamp::from_millis(facts.started_ms),
            duration: Duration::from_micros(facts.took_us),
            status: facts.status,
            error: facts.error.map(Cow::into_owned),
            response_head: Bytes::copy_from_slice(head),
        });
        packed = rest;
    }
    Some(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_number() {
        let dead = DeadReason::ALL.into_iter().map(DeliveryState::Dead);
        let all: Vec<_> = [
            DeliveryState::Pending,
            DeliveryState::Delivered,
            DeliveryState::Filtered,
        ]
        .into_iter()
        .chain(dead)
        .collect();
        assert_eq!(all.len(), 8);
        for expected in all {
            assert_eq!(state(status(expected)), Some(expected));
        }
        assert_eq!(state(8), None);
    }

    #[test]
    fn a_remembered_id_comes_back() {
        let remembered = Remembered {
            received_at: Timestamp::from_millis(1_790_000_000_123),
            digest: [1, 2, 3, 4],
        };
        let back = Remembered::from_bytes(&remembered.to_bytes()).unwrap();
        assert_eq!(back.received_at, remembered.received_at);
        assert_eq!(back.digest, remembered.digest);
        assert!(Remembered::from_bytes(&[0; 9]).is_none());
        assert!(Remembered::from_bytes(&[0; 11]).is_none());
    }

    #[test]
    fn a_damaged_state_is_refused_and_never_guessed() {
        let target: Arc<str> = "crm".into();
        assert!(stored_delivery(&target, None).is_some());
        assert!(stored_delivery(&target, Some(&[])).is_none());
        assert!(stored_delivery(&target, Some(&[9; 9])).is_none());
        assert!(stored_delivery(&target, Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7])).is_none());
        assert!(stored_delivery(&target, Some(&[EXTENDED; 9 + 8 + ORDER_BYTES - 1])).is_none());
    }
}
