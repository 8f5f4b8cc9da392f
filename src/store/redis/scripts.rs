//! The scripts, how they are called, and how their replies are taken apart.

use std::{collections::HashMap, io::Write as _, sync::Arc};

use redis::{Cmd, RedisWrite as _, ToRedisArgs, Value};
use uuid::Uuid;

use super::{super::StoreError, error::unexpected};
use crate::clock::Clock;

/// A script's text: its flags, what all share, and its own parts.
///
/// Without flags Redis refuses it, before it begins, on a read-only replica, over `maxmemory` and when the
/// disk fails. What only moves or frees things says `allow-oom`: a full store must still drain.
macro_rules! script {
    ($clock:expr, $flags:literal, $($file:literal),+) => {
        Script {
            script: redis::Script::new(concat!(
                "#!lua",
                $flags,
                "\n",
                include_str!("common.lua"),
                $(include_str!($file)),+
            )),
            clock: $clock.clone(),
        }
    };
    ($clock:expr, deliveries, $flags:literal, $file:literal) => {
        script!($clock, $flags, "record.lua", "deliveries.lua", $file)
    };
}

pub(super) struct Scripts {
    pub(super) accept: Script,
    pub(super) claim: Script,
    pub(super) settle: Script,
    pub(super) depth: Script,
    pub(super) get: Script,
    pub(super) log: Script,
    pub(super) dead: Script,
    pub(super) describe: Script,
    pub(super) replay: Script,
    pub(super) save_replay: Script,
    pub(super) keep_records: Script,
    pub(super) retire: Script,
    pub(super) expire: Script,
}

impl Scripts {
    /// With a clock, its time counts instead of the server's.
    pub(super) fn new(clock: Option<Clock>) -> Self {
        Self {
            accept: script!(clock, deliveries, "", "accept.lua"),
            claim: script!(clock, deliveries, " flags=allow-oom", "claim.lua"),
            settle: script!(clock, deliveries, " flags=allow-oom", "settle.lua"),
            depth: script!(clock, " flags=no-writes", "depth.lua"),
            get: script!(clock, " flags=no-writes", "record.lua", "get.lua"),
            log: script!(clock, " flags=no-writes", "log.lua"),
            dead: script!(clock, " flags=no-writes", "dead.lua"),
            describe: script!(clock, " flags=no-writes", "record.lua", "describe.lua"),
            replay: script!(clock, deliveries, " flags=allow-oom", "replay.lua"),
            save_replay: script!(clock, " flags=allow-oom", "save_replay.lua"),
            // Not over `maxmemory`: what is left is for events.
            keep_records: script!(clock, "", "keep_records.lua"),
            retire: script!(clock, deliveries, " flags=allow-oom", "retire.lua"),
            expire: script!(clock, deliveries, " flags=allow-oom", "expire.lua"),
        }
    }
}

/// What makes format 3 of format 2.
pub(super) fn convert() -> redis::Script {
    let clock: Option<Clock> = None;
    let script = script!(clock, deliveries, " flags=allow-oom", "convert.lua");
    script.script
}

pub(super) struct Script {
    script: redis::Script,
    clock: Option<Clock>,
}

impl Script {
    /// On the shard whose keys begin so.
    pub(super) fn call(&self, prefix: &str) -> Call<'_> {
        self.call_with(prefix, 8, 128)
    }

    /// As [`Self::call`], with room for so many arguments and all their bytes.
    pub(super) fn call_with(&self, prefix: &str, arguments: usize, bytes: usize) -> Call<'_> {
        let mut command = Cmd::with_capacity(arguments + 5, bytes + 128);
        command.arg("EVALSHA");
        let clock = self.clock.as_ref();
        let now = clock.map_or_else(String::new, |clock| clock.now().as_millis().to_string());
        command
            .arg(self.script.get_hash())
            .arg(1)
            .arg(prefix)
            .arg(now);
        Call {
            script: &self.script,
            command,
        }
    }
}

/// A script with its arguments; may be sent any number of times.
pub(super) struct Call<'a> {
    pub(super) script: &'a redis::Script,
    pub(super) command: Cmd,
}

impl Call<'_> {
    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// One argument from two parts.
    pub(super) fn joined(&mut self, first: &[u8], second: &[u8]) -> Result<(), StoreError> {
        let mut argument = self.command.writer_for_next_arg();
        let written = argument
            .write_all(first)
            .and_then(|()| argument.write_all(second));
        written.map_err(|_| unexpected())
    }
}

/// The routes and targets that a call names, each once, for scripts that take their numbers.
#[derive(Default)]
pub(super) struct Names {
    /// Each name after its length in two bytes.
    pub(super) packed: Vec<u8>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Names {
    /// From 1.
    pub(super) fn number(&mut self, name: &Arc<str>) -> Result<u16, StoreError> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = u16::try_from(self.numbers.len() + 1).map_err(|_| unexpected())?;
        let bytes = u16::try_from(name.len()).map_err(|_| unexpected())?;
        self.packed.extend_from_slice(&bytes.to_le_bytes());
        self.packed.extend_from_slice(name.as_bytes());
        self.numbers.insert(name.clone(), number);
        Ok(number)
    }
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(unexpected()),
    }
}

/// An array of exactly `N` values.
pub(super) fn row<const N: usize>(value: Value) -> Result<[Value; N], StoreError> {
    array(value)?.try_into().map_err(|_| unexpected())
}

/// An array of exactly `N` integers.
pub(super) fn integers<const N: usize>(value: Value) -> Result<[i64; N], StoreError> {
    let values = array(value)?.into_iter().map(integer);
    let values: Vec<i64> = values.collect::<Result<_, _>>()?;
    values.try_into().map_err(|_| unexpected())
}

pub(super) fn integer(value: Value) -> Result<i64, StoreError> {
    match value {
        Value::Int(integer) => Ok(integer),
        _ => Err(unexpected()),
    }
}

/// What a script numbers from 1, as an index.
pub(super) fn index(value: Value) -> Result<usize, StoreError> {
    let number = usize::try_from(integer(value)?).ok();
    number
        .and_then(|number| number.checked_sub(1))
        .ok_or_else(unexpected)
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unexpected()),
    }
}

/// What is `false` in a script is absent.
pub(super) fn optional(value: Value) -> Option<Value> {
    (value != Value::Nil).then_some(value)
}

/// Uids that a script tells as one string.
pub(super) fn uids(value: Value) -> Result<Vec<Uuid>, StoreError> {
    let bytes = bytes(value)?;
    let uids = bytes.chunks(16).map(Uuid::from_slice);
    uids.collect::<Result<_, _>>().map_err(|_| unexpected())
}
