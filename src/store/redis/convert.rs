//! From formats 2 and 3 of the keys to format 4, when a gateway connects to a Redis that an older version wrote.

use std::time::{Duration, Instant};

use redis::{RedisResult, aio::MultiplexedConnection};

use super::scripts;

/// Between two lines about how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Converts a shard in pieces that are too small to hold up Redis, until nothing is left to convert. A crash leaves it
/// where the next gateway goes on; several at once share the work.
pub(super) async fn run(connection: &mut MultiplexedConnection, prefix: &str) -> RedisResult<()> {
    let script = scripts::convert();
    tracing::info!("Redis holds events in an older format; converting them to format 4");
    let (mut moved, mut told) = (0_u64, Instant::now());
    loop {
        let mut call = script.key(prefix);
        let piece: i64 = call.arg("").invoke_async(connection).await?;
        let Ok(piece) = u64::try_from(piece) else {
            tracing::info!(entries = moved, "Redis holds format 4 now");
            return Ok(());
        };
        moved += piece;
        if told.elapsed() >= PROGRESS {
            tracing::info!(entries = moved, "still converting to format 4");
            told = Instant::now();
        }
    }
}
