//! Which layout of keys a Redis holds: one that this program does not read must be told at the start, since every
//! claim would fail later.

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, aio::MultiplexedConnection};

use super::error::{self, Fault};

/// The layout that `common.lua` tells of.
const FORMAT: &str = "4";
/// What `convert.lua` makes that of, and what it notes until it is done.
const CONVERTED: [&str; 3] = ["2", "2 to 3", "3"];

/// Notes the format, and the number of shards, in a shard that holds nothing of Hookgate's yet. Returns whether what it
/// holds has to be converted first.
/// With another number an event would be looked for where it does not stand, and a known id taken for a new one.
pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    shards: u16,
) -> Result<bool, Fault> {
    let noted = read(connection, prefix)
        .await
        .map_err(|error| away(&error))?;
    noted.judge(shards).map_err(Fault::Unfit)?;
    let written = write(connection, prefix, &noted, shards).await;
    written.map_err(|error| away(&error))?;
    Ok(noted.is_older())
}

fn away(error: &RedisError) -> Fault {
    Fault::Away(format!("cannot use Redis: {}", error::text(error)))
}

/// What a shard holds.
struct Noted {
    is_used: bool,
    format: Option<String>,
    shards: Option<String>,
}

impl Noted {
    fn is_older(&self) -> bool {
        self.format
            .as_deref()
            .is_some_and(|format| CONVERTED.contains(&format))
    }

    fn judge(&self, shards: u16) -> Result<(), String> {
        match self.format.as_deref() {
            Some(FORMAT) => {}
            Some(_) if self.is_older() => {}
            None if !self.is_used => {}
            other => {
                return Err(format!(
                    "Redis holds events in format {}, and this version of hookgate reads format {FORMAT}; run the \
                     version of hookgate that wrote them, or use another Redis or database",
                    other.unwrap_or("1 (before 0.1.0)")
                ));
            }
        }
        // Before it was noted there was one.
        let noted = match &self.shards {
            None if self.is_used => "1",
            None => return Ok(()),
            Some(noted) => noted,
        };
        if noted == shards.to_string() {
            return Ok(());
        }
        Err(format!(
            "Redis holds events in {noted} shards, and `store.shards` is {shards}; set it to {noted}, or use another \
             Redis or database: with another number neither events nor remembered ids would be found"
        ))
    }
}

async fn read(connection: &mut MultiplexedConnection, prefix: &str) -> RedisResult<Noted> {
    Ok(Noted {
        // Older layouts had this set, and what was converted still has the key. Asked first: whoever made it has
        // noted the format before.
        is_used: ask(connection, "EXISTS", prefix, "targets").await?,
        format: ask(connection, "GET", prefix, "format").await?,
        shards: ask(connection, "GET", prefix, "shards").await?,
    })
}

async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &str,
    prefix: &str,
    key: &str,
) -> RedisResult<T> {
    let mut command = redis::cmd(command);
    command.arg(format!("{prefix}{key}"));
    command.query_async(connection).await
}

async fn write(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    noted: &Noted,
    shards: u16,
) -> RedisResult<()> {
    if noted.shards.is_none() {
        set(prefix, "shards", &shards.to_string())
            .query_async::<()>(connection)
            .await?;
    }
    if noted.format.is_none() {
        set(prefix, "format", FORMAT)
            .query_async::<()>(connection)
            .await?;
    }
    Ok(())
}

fn set(prefix: &str, key: &str, value: &str) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(format!("{prefix}{key}")).arg(value);
    command
}
