//! Secrets that came in handshakes: a hash from the route to the millisecond when its secret came (8, little-endian)
//! and the secret.

use redis::Value;

use super::{
    super::{KeptSecret, StoreError},
    error::unexpected,
    scripts,
    shard::Keys,
};
use crate::{clock::Timestamp, config::Secret, event::RouteName};

/// False: the route has one.
pub(super) async fn keep(keys: &Keys, kept: &KeptSecret) -> Result<bool, StoreError> {
    let received_ms = kept.received_at.as_millis().to_le_bytes();
    let value = [&received_ms[..], kept.secret.expose()].concat();
    let mut command = redis::cmd("HSETNX");
    command.arg(key(keys)).arg(kept.route.as_bytes()).arg(value);
    let set = scripts::integer(keys.connection.send(&command).await?)?;
    Ok(set == 1)
}

/// By route.
pub(super) async fn kept(keys: &Keys) -> Result<Vec<KeptSecret>, StoreError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(key(keys));
    let Value::Map(kept) = keys.connection.send(&command).await? else {
        return Err(unexpected());
    };
    let mut secrets = Vec::with_capacity(kept.len());
    for (route, value) in kept {
        let (route, value) = (scripts::bytes(route)?, scripts::bytes(value)?);
        secrets.push(read(route, &value).ok_or_else(unexpected)?);
    }
    secrets.sort_by(|a, b| a.route.cmp(&b.route));
    Ok(secrets)
}

fn read(route: Vec<u8>, value: &[u8]) -> Option<KeptSecret> {
    let (received_ms, secret) = value.split_first_chunk()?;
    Some(KeptSecret {
        route: String::from_utf8(route).ok()?.into(),
        secret: Secret::new(secret),
        received_at: Timestamp::from_millis(i64::from_le_bytes(*received_ms)),
    })
}

/// False: the route has none.
pub(super) async fn forget(keys: &Keys, route: &RouteName) -> Result<bool, StoreError> {
    let mut command = redis::cmd("HDEL");
    command.arg(key(keys)).arg(route.as_bytes());
    let removed = scripts::integer(keys.connection.send(&command).await?)?;
    Ok(removed == 1)
}

fn key(keys: &Keys) -> String {
    format!("{}secrets", keys.prefix)
}
