//! One of the parts that the events are spread over: everything below a prefix of keys, and what leads there.
//!
//! An event stands whole in one shard, and so do its deliveries; nothing is ever asked of two shards in one call.

use std::{sync::Arc, time::Duration};

use redis::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    super::{
        Claims, Depth, Expired, Retention, Settlement, StoreError, StoredEvent, Want, orphans::Gone,
    },
    EXPIRED_A_CALL, RETIRED_A_CALL,
    accept::Accept,
    batch::Queue,
    claim,
    connection::Connection,
    encoding,
    error::unexpected,
    scripts::{self, Call, Script, Scripts},
    settle::Settle,
};
use crate::{
    event::{Event, TargetName},
    metrics::Metrics,
};

/// How many bits of a token are the delivery's generation; the shard stands above them.
const GENERATION_BITS: u32 = 32;

/// A shard's keys, and the connection to the server that has them.
pub(super) struct Keys {
    number: u16,
    /// What every key begins with.
    pub(super) prefix: String,
    pub(super) connection: Connection,
    pub(super) scripts: Arc<Scripts>,
}

impl Keys {
    pub(super) fn new(number: u16, connection: Connection, scripts: Arc<Scripts>) -> Self {
        Self {
            number,
            prefix: prefix(number),
            connection,
            scripts,
        }
    }

    pub(super) fn call<'a>(&self, script: &'a Script) -> Call<'a> {
        script.call(&self.prefix)
    }

    pub(super) async fn run(&self, call: &Call<'_>) -> Result<Value, StoreError> {
        self.connection.run(call).await
    }

    /// The token of a delivery of this shard. It grows with the generation.
    pub(super) fn token(&self, generation: i64) -> i64 {
        i64::from(self.number) << GENERATION_BITS | generation
    }
}

/// What every key of a shard begins with. The braces put all of them in one slot of a cluster.
pub(super) fn prefix(number: u16) -> String {
    format!("hookgate:{{{number}}}:")
}

/// The delivery's generation, as the scripts know it.
pub(super) fn generation(token: i64) -> i64 {
    token & ((1 << GENERATION_BITS) - 1)
}

/// Which shard gave this token, if one of ours did.
pub(super) fn of_token(token: i64) -> Option<usize> {
    usize::try_from(token >> GENERATION_BITS).ok()
}

/// Where a new event goes, of so many shards: with the others of its route where their order counts.
pub(super) fn of_event(event: &Event, shards: usize) -> usize {
    if event.together {
        place(xxh3_64(event.route.as_bytes()), shards)
    } else {
        of_uid(event.uid, shards)
    }
}

/// Where the event of this uid stands, unless its route is kept together.
pub(super) fn of_uid(uid: Uuid, shards: usize) -> usize {
    // The key's: see `event_uid`.
    let [.., a, b, c, d] = *uid.as_bytes();
    place(u64::from(u32::from_be_bytes([a, b, c, d])), shards)
}

fn place(hash: u64, shards: usize) -> usize {
    usize::try_from(hash % shards.max(1) as u64).unwrap_or(0)
}

/// A shard as the store works with it.
pub(super) struct Shard {
    pub(super) keys: Arc<Keys>,
    pub(super) accepts: Queue<Accept>,
    pub(super) settlements: Queue<Settle>,
}

impl Shard {
    pub(super) fn start(
        keys: Keys,
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let keys = Arc::new(keys);
        let accept = Accept::new(keys.clone(), metrics);
        let settle = Settle::new(keys.clone());
        Self {
            accepts: Queue::start(accept, tasks, stop.clone()),
            settlements: Queue::start(settle, tasks, stop.clone()),
            keys,
        }
    }

    /// With the settlements of what was claimed but cannot be decoded.
    pub(super) async fn claim(
        &self,
        wants: &[Want],
    ) -> Result<(Claims, Vec<Settlement>), StoreError> {
        let reply = claim::claim(&self.keys, wants).await?;
        tell_orphans(reply.orphans);
        Ok((reply.claims, reply.unreadable))
    }

    pub(super) async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        let mut depths = vec![Depth::default(); targets.len()];
        let mut open: Vec<_> = (0..targets.len())
            .map(|index| (index, Vec::new()))
            .collect();
        // Again for targets with very many routes.
        while !open.is_empty() {
            let mut call = self.keys.call(&self.keys.scripts.depth);
            for (index, after) in &open {
                call.arg(targets[*index].as_bytes()).arg(after);
            }
            let rows = scripts::array(self.keys.run(&call).await?)?;
            let mut further = Vec::new();
            for ((index, _), row) in open.into_iter().zip(rows) {
                if let Some(after) = add_depth(&mut depths[index], row)? {
                    further.push((index, after));
                }
            }
            open = further;
        }
        Ok(depths)
    }

    pub(super) async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        let mut call = self.keys.call(&self.keys.scripts.get);
        call.arg(uid.as_bytes());
        encoding::stored_event(uid, self.keys.run(&call).await?)
    }

    pub(super) async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let mut call = self.keys.call(&self.keys.scripts.retire);
        let (which, targets) = match gone {
            Gone::These(targets) => ("these", targets),
            Gone::AllBut(targets) => ("all_but", targets),
        };
        call.arg(RETIRED_A_CALL).arg(which);
        for target in targets {
            call.arg(target.as_bytes());
        }
        let mut retired = 0;
        loop {
            let [count, orphans, more] = scripts::integers(self.keys.run(&call).await?)?;
            retired += u64::try_from(count).map_err(|_| unexpected())?;
            tell_orphans(orphans);
            if more == 0 {
                return Ok(retired);
            }
        }
    }

    /// And whether a delivery has its turn by that.
    pub(super) async fn expire(&self, retention: Retention) -> Result<(Expired, bool), StoreError> {
        let mut call = self.keys.call(&self.keys.scripts.expire);
        call.arg(encoding::millis(retention.age))
            .arg(retention.bytes)
            .arg(EXPIRED_A_CALL);
        let [events, ids, more, turns] = scripts::integers(self.keys.run(&call).await?)?;
        let expired = Expired {
            events: u64::try_from(events).map_err(|_| unexpected())?,
            ids: u64::try_from(ids).map_err(|_| unexpected())?,
            more: more != 0,
        };
        Ok((expired, turns > 0))
    }

    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        // A write: a read-only replica, a full memory and a failing disk refuse it as they would an event.
        let mut command = redis::cmd("SET");
        command.arg(format!("{}alive", self.keys.prefix)).arg(1);
        self.keys.connection.send(&command).await.map(drop)
    }
}

/// Returns the route after which to go on.
fn add_depth(depth: &mut Depth, row: Value) -> Result<Option<Vec<u8>>, StoreError> {
    let [pending, dead, oldest_ms, after] = scripts::row(row)?;
    let count = |value| scripts::integer(value).map(|count| u64::try_from(count).unwrap_or(0));
    depth.pending += count(pending)?;
    depth.dead = count(dead)?;
    let oldest = Duration::from_millis(count(oldest_ms)?);
    depth.oldest_due = depth.oldest_due.max(oldest);
    scripts::optional(after).map(scripts::bytes).transpose()
}

/// A script removed deliveries that waited without an event: it can only come from a loss inside Redis.
fn tell_orphans(orphans: i64) {
    if orphans > 0 {
        tracing::error!(
            deliveries = orphans,
            "Redis holds no event for waiting deliveries; they were removed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        event::{EventKey, event_uid},
    };

    #[test]
    fn a_uid_leads_to_the_shard_of_its_event_and_the_shards_fill_evenly() {
        let mut filled = [0; 6];
        for number in 0..6000 {
            let key = EventKey::new("route", &number.to_string());
            let uid = event_uid(key, Timestamp::from_millis(number));
            let again = event_uid(key, Timestamp::from_millis(number + 1000));
            assert_eq!(of_uid(uid, 6), of_uid(again, 6), "of the key alone");
            filled[of_uid(uid, 6)] += 1;
        }
        assert!(filled.iter().all(|&events| events > 800), "{filled:?}");
    }

    #[test]
    fn a_token_tells_its_shard_and_grows_with_the_generation() {
        for number in [0_u16, 1, 255] {
            let token = i64::from(number) << GENERATION_BITS | 7;
            assert_eq!(of_token(token), Some(usize::from(number)));
            assert_eq!(generation(token), 7);
        }
    }

    #[test]
    fn prefixes_are_one_slot_each() {
        assert_eq!(prefix(0), "hookgate:{0}:");
        assert_eq!(prefix(12), "hookgate:{12}:");
    }
}
