//! How remembered ids, states and attempts are written as bytes; events are in `record.rs`.
//!
//! The facts of an attempt are JSON with a version, so that a newer Hookgate reads what an older one stored.
//! States are packed by the scripts, see `common.lua`.

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
    super::{StoreError, StoredDelivery, StoredEvent},
    record, scripts,
};
use crate::{
    clock::Timestamp,
    event::{AttemptRecord, DeadReason, DeliveryState},
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

/// What is kept of a remembered id: eight bytes of time and four of the body's digest.
pub(super) struct Remembered {
    pub(super) received_at: Timestamp,
    pub(super) digest: [u8; 4],
}

impl Remembered {
    pub(super) fn to_bytes(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.received_at.as_millis().to_le_bytes());
        bytes[8..].copy_from_slice(&self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (millis, digest) = bytes.split_first_chunk()?;
        Some(Self {
            received_at: Timestamp::from_millis(i64::from_le_bytes(*millis)),
            digest: digest.try_into().ok()?,
        })
    }
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
    }
}

fn state(number: u8) -> Option<DeliveryState> {
    let dead = DeadReason::ALL.into_iter().map(DeliveryState::Dead);
    [DeliveryState::Pending, DeliveryState::Delivered]
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
    let unreadable = || StoreError::Unavailable("a stored event cannot be read back".into());
    let event = record::event(uid, record).ok_or_else(unreadable)?;
    if states.len() != event.deliveries.len() {
        return Err(unreadable());
    }
    let deliveries = event.deliveries.iter().zip(&states);
    let deliveries = deliveries
        .map(|(delivery, packed)| stored_delivery(&delivery.target, packed.as_deref()))
        .collect::<Option<_>>()
        .ok_or_else(unreadable)?;
    Ok(Some(StoredEvent {
        event: Arc::new(event),
        deliveries,
    }))
}

fn optional(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        value => scripts::bytes(value).map(Some),
    }
}

/// One delivery, from its state as the scripts pack it: a byte of status, four of attempts, four of
/// generation, then the history. No state: never claimed from the store, never settled.
fn stored_delivery(target: &Arc<str>, packed: Option<&[u8]>) -> Option<StoredDelivery> {
    let packed = packed.unwrap_or(&[0; 9]);
    let (&number, rest) = packed.split_first()?;
    let (attempts, rest) = rest.split_first_chunk()?;
    let (_generation, history) = rest.split_first_chunk::<4>()?;
    Some(StoredDelivery {
        target: target.clone(),
        state: state(number)?,
        attempts: u32::from_le_bytes(*attempts),
        history: last_attempt(history)?.into_iter().collect(),
        replayed_at: None,
    })
}

/// The newest attempt of a history; `Some(None)` when it is empty.
fn last_attempt(mut history: &[u8]) -> Option<Option<AttemptRecord>> {
    let mut last = None;
    while !history.is_empty() {
        let (facts_bytes, rest) = history.split_first_chunk()?;
        let (head_bytes, rest) = rest.split_first_chunk()?;
        let (facts, rest) = rest.split_at_checked(u16::from_le_bytes(*facts_bytes).into())?;
        let (head, rest) = rest.split_at_checked(u16::from_le_bytes(*head_bytes).into())?;
        last = Some((facts, head));
        history = rest;
    }
    let Some((facts, head)) = last else {
        return Some(None);
    };
    let facts: Facts<'_> = serde_json::from_slice(facts).ok()?;
    Some(Some(AttemptRecord {
        started_at: Timestamp::from_millis(facts.started_ms),
        duration: Duration::from_micros(facts.took_us),
        status: facts.status,
        error: facts.error.map(Cow::into_owned),
        response_head: Bytes::copy_from_slice(head),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_number() {
        let dead = DeadReason::ALL.into_iter().map(DeliveryState::Dead);
        let all: Vec<_> = [DeliveryState::Pending, DeliveryState::Delivered]
            .into_iter()
            .chain(dead)
            .collect();
        assert_eq!(all.len(), 6);
        for expected in all {
            assert_eq!(state(status(expected)), Some(expected));
        }
        assert_eq!(state(6), None);
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
        assert!(Remembered::from_bytes(&[0; 11]).is_none());
        assert!(Remembered::from_bytes(&[0; 13]).is_none());
    }

    #[test]
    fn a_damaged_state_is_refused_and_never_guessed() {
        let target: Arc<str> = "crm".into();
        assert!(stored_delivery(&target, None).is_some());
        assert!(stored_delivery(&target, Some(&[])).is_none());
        assert!(stored_delivery(&target, Some(&[9; 9])).is_none());
        assert!(stored_delivery(&target, Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7])).is_none());
    }
}
