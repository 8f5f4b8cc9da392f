//! Claiming: one script call for all targets.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::Value;
use uuid::Uuid;

use super::{
    super::{Claimed, Claims, Lease, Settlement, StoreError, Want},
    encoding,
    error::unexpected,
    record, scripts,
    shard::Keys,
};
use crate::event::{DeadReason, Outcome};

/// Bytes of records that one call returns, about: it stops claiming after the one that exceeds them.
const RECORDS_MAX: usize = 4 * 1024 * 1024;
/// Deliveries of one target that one call claims.
const CLAIMED_MAX: usize = 1000;

pub(super) struct Reply {
    pub(super) claims: Claims,
    /// What was claimed but cannot be decoded: to be settled as dead.
    pub(super) unreadable: Vec<Settlement>,
    /// Deliveries without an event, removed by the call.
    pub(super) orphans: i64,
}

pub(super) async fn claim(keys: &Keys, wants: &[Want]) -> Result<Reply, StoreError> {
    let since = Instant::now();
    let mut call = keys.call(&keys.scripts.claim);
    call.arg(RECORDS_MAX);
    for want in wants {
        call.arg(want.target.as_bytes())
            .arg(want.max.min(CLAIMED_MAX))
            .arg(encoding::millis(want.lease));
    }
    let [claimed, next_due, orphans] = scripts::row(keys.run(&call).await?)?;
    let mut reply = Reply {
        claims: Claims::default(),
        unreadable: Vec::new(),
        orphans: scripts::integer(orphans)?,
    };
    for value in scripts::array(next_due)? {
        reply.claims.next_due.push(wait(value)?);
    }
    for row in scripts::array(claimed)? {
        let row = Row::read(row, keys)?;
        let want = wants.get(row.want).ok_or_else(unexpected)?;
        row.add_to(&mut reply, want, since)?;
    }
    Ok(reply)
}

fn wait(value: Value) -> Result<Option<Duration>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        Value::Int(ms) => Ok(Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))),
        _ => Err(unexpected()),
    }
}

/// One claimed delivery as the script returns it.
struct Row {
    want: usize,
    uid: Uuid,
    record: Vec<u8>,
    attempts: i64,
    token: i64,
    route: Vec<u8>,
    replayed_ms: i64,
}

impl Row {
    fn read(value: Value, keys: &Keys) -> Result<Self, StoreError> {
        let [want, uid, record, attempts, generation, route, replayed_ms] = scripts::row(value)?;
        Ok(Self {
            want: usize::try_from(scripts::integer(want)?).map_err(|_| unexpected())?,
            uid: Uuid::from_slice(&scripts::bytes(uid)?).map_err(|_| unexpected())?,
            record: scripts::bytes(record)?,
            attempts: scripts::integer(attempts)?,
            token: keys.token(scripts::integer(generation)?),
            route: scripts::bytes(route)?,
            replayed_ms: scripts::integer(replayed_ms)?,
        })
    }

    fn add_to(self, reply: &mut Reply, want: &Want, since: Instant) -> Result<(), StoreError> {
        match record::event(self.uid, self.record) {
            Some(event) => reply.claims.claimed.push(Claimed {
                order: event
                    .deliveries
                    .iter()
                    .find(|delivery| delivery.target == want.target)
                    .and_then(|delivery| delivery.order),
                event: Arc::new(event),
                target: want.target.clone(),
                attempts: u32::try_from(self.attempts).map_err(|_| unexpected())?,
                lease: Lease {
                    token: self.token,
                    ends: encoding::ends(since, want.lease),
                },
                replayed_at: encoding::replayed_at(self.replayed_ms),
            }),
            None => reply.unreadable.push(Settlement {
                uid: self.uid,
                route: str::from_utf8(&self.route)
                    .map_err(|_| unexpected())?
                    .into(),
                target: want.target.clone(),
                // Its state knows it.
                order: None,
                token: self.token,
                outcome: Outcome::Dead(DeadReason::Corrupt),
                attempt: None,
            }),
        }
        Ok(())
    }
}
