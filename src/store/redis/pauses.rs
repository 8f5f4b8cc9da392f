//! Targets that an operator has paused: a set.

use redis::{Cmd, Value};

use super::{super::StoreError, error::unexpected, scripts, shard::Keys};
use crate::event::TargetName;

pub(super) async fn pause(keys: &Keys, target: &TargetName) -> Result<(), StoreError> {
    let command = of_set(keys, "SADD").arg(target.as_bytes()).to_owned();
    keys.connection.send(&command).await.map(drop)
}

/// False: it was not paused.
pub(super) async fn resume(keys: &Keys, target: &TargetName) -> Result<bool, StoreError> {
    let command = of_set(keys, "SREM").arg(target.as_bytes()).to_owned();
    let removed = scripts::integer(keys.connection.send(&command).await?)?;
    Ok(removed == 1)
}

/// By name.
pub(super) async fn paused(keys: &Keys) -> Result<Vec<TargetName>, StoreError> {
    let (Value::Set(members) | Value::Array(members)) =
        keys.connection.send(&of_set(keys, "SMEMBERS")).await?
    else {
        return Err(unexpected());
    };
    let mut targets = Vec::with_capacity(members.len());
    for member in members {
        let name = String::from_utf8(scripts::bytes(member)?).map_err(|_| unexpected())?;
        targets.push(TargetName::from(name));
    }
    targets.sort();
    Ok(targets)
}

fn of_set(keys: &Keys, command: &str) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(format!("{}paused", keys.prefix));
    command
}
