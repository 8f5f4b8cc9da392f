//! Replaying deliveries, and what is kept of replays by filter.

use redis::Value;
use uuid::Uuid;

use super::{
    super::{DeliveryName, Replayed, StoreError, replays::Replay},
    error::unexpected,
    scripts,
    shard::Keys,
};
use crate::clock::Timestamp;

/// Deliveries that one script call makes due again.
const REPLAYED_A_CALL: usize = 64;
/// Replays by filter that are kept; of those that have ended the oldest go first.
const REPLAYS_MAX: usize = 100;
/// Before its description: the revision, and when it ended; see `save_replay.lua`.
const HEAD_BYTES: usize = 16;

pub(super) async fn replay(
    keys: &Keys,
    deliveries: &[DeliveryName],
    unless_since: Option<Timestamp>,
) -> Result<Vec<Replayed>, StoreError> {
    let mut replayed = Vec::with_capacity(deliveries.len());
    for deliveries in deliveries.chunks(REPLAYED_A_CALL) {
        let mut call = keys.call(&keys.scripts.replay);
        call.arg(unless_since.map_or(String::new(), |since| since.as_millis().to_string()));
        for delivery in deliveries {
            call.arg(delivery.uid.as_bytes())
                .arg(delivery.target.as_bytes());
        }
        for answer in scripts::array(keys.run(&call).await?)? {
            replayed.push(match scripts::integer(answer)? {
                0 => Replayed::Due,
                1 => Replayed::Pending,
                2 => Replayed::Unknown,
                3 => Replayed::Since,
                _ => return Err(unexpected()),
            });
        }
    }
    if replayed.len() == deliveries.len() {
        Ok(replayed)
    } else {
        Err(unexpected())
    }
}

/// Oldest first.
pub(super) async fn replays(keys: &Keys) -> Result<Vec<Replay>, StoreError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(key(keys));
    let Value::Map(kept) = keys.connection.send(&command).await? else {
        return Err(unexpected());
    };
    let mut replays = Vec::with_capacity(kept.len());
    for (id, kept) in kept {
        let id = Uuid::from_slice(&scripts::bytes(id)?).map_err(|_| unexpected())?;
        replays.push(read(id, &scripts::bytes(kept)?).ok_or_else(unexpected)?);
    }
    replays.sort_by_key(|replay| (replay.created_at.as_millis(), replay.id));
    Ok(replays)
}

fn read(id: Uuid, kept: &[u8]) -> Option<Replay> {
    let (revision, _) = kept.split_first_chunk()?;
    Replay::from_json(id, u64::from_le_bytes(*revision), kept.get(HEAD_BYTES..)?)
}

pub(super) async fn save(keys: &Keys, replay: &Replay) -> Result<bool, StoreError> {
    let ended_ms = replay.ended_at.map_or(0, Timestamp::as_millis);
    let mut call = keys.call(&keys.scripts.save_replay);
    call.arg(replay.id.as_bytes())
        .arg(replay.revision)
        .arg(ended_ms)
        .arg(replay.to_json())
        .arg(REPLAYS_MAX);
    match scripts::integer(keys.run(&call).await?)? {
        0 => Ok(false),
        1 => Ok(true),
        2 => Err(StoreError::Full(format!(
            "{REPLAYS_MAX} replays have not ended; cancel one or wait"
        ))),
        _ => Err(unexpected()),
    }
}

pub(super) async fn forget(keys: &Keys, id: Uuid) -> Result<(), StoreError> {
    let mut command = redis::cmd("HDEL");
    command.arg(key(keys)).arg(id.as_bytes());
    keys.connection.send(&command).await.map(drop)
}

fn key(keys: &Keys) -> String {
    format!("{}replays", keys.prefix)
}
