//! The Redis store: one Lua script an operation, every key of a call in one slot.
//!
//! Time comes from Redis, so that gateways whose clocks differ agree on leases; only the dedupe window is
//! measured by the events' own `received_at`. `common.lua` says how the data is laid out.

mod accept;
mod batch;
mod claim;
mod connection;
mod encoding;
mod error;
mod format;
mod record;
mod scripts;
mod settings;
mod settle;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{ConnectionInfo, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    accept::{Accept, Arrival},
    batch::Queue,
    connection::Connection,
    error::unexpected,
    scripts::{PREFIX, Scripts},
    settle::Settle,
};
use super::{
    Acceptance, Claims, DeliveryName, Depth, Expired, OpenError, Replayed, Retention, Settled,
    Settlement, Store, StoreError, StoredEvent, Want,
    listing::{Page, Query},
    replays::Replay,
};
use crate::{
    clock::Clock,
    config::Durability,
    event::{Event, TargetName},
    metrics::Metrics,
};

/// How long a call may take, waiting for its turn and for a reconnect included.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Deliveries that one call of the retire script settles.
const RETIRED_A_CALL: usize = 500;
/// Events that one call of [`Store::expire`] removes.
const EXPIRED_A_CALL: usize = 200;

/// Events in Redis or Valkey, shared by any number of gateways.
pub struct RedisStore {
    connection: Arc<Connection>,
    scripts: Arc<Scripts>,
    accepts: Queue<Accept>,
    settlements: Queue<Settle>,
    /// The queues' workers and the calls that they sent.
    calls: TaskTracker,
    stop_queues: CancellationToken,
    keeper: TaskTracker,
    stop_connection: CancellationToken,
}

impl RedisStore {
    /// Connects, and checks that the server's version and settings keep `durability`.
    ///
    /// Fails with one line that names what is wrong and what to do about it: the server cannot be reached, it is
    /// older than 7.0, it may evict, it does not persist as promised, or its settings may not be read.
    pub async fn open(
        connection: ConnectionInfo,
        durability: Durability,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        Self::open_with(connection, durability, metrics, None).await
    }

    /// As [`Self::open`], but leases and due times follow `clock` and not the server's time: for gateways that
    /// all share that clock, as in a test that moves it.
    pub async fn open_with_clock(
        connection: ConnectionInfo,
        durability: Durability,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::open_with(connection, durability, metrics, Some(clock)).await
    }

    async fn open_with(
        connection: ConnectionInfo,
        durability: Durability,
        metrics: Arc<Metrics>,
        clock: Option<Clock>,
    ) -> Result<Self, OpenError> {
        let (calls, keeper) = (TaskTracker::new(), TaskTracker::new());
        let (stop_queues, stop_connection) = (CancellationToken::new(), CancellationToken::new());
        let connection =
            Connection::open(connection, durability, &keeper, stop_connection.clone()).await?;
        format::check(&connection).await?;
        let connection = Arc::new(connection);
        let scripts = Arc::new(Scripts::new(clock));
        let accept = Accept::new(connection.clone(), scripts.clone(), metrics);
        let settle = Settle::new(connection.clone(), scripts.clone());
        Ok(Self {
            accepts: Queue::start(accept, &calls, stop_queues.clone()),
            settlements: Queue::start(settle, &calls, stop_queues.clone()),
            connection,
            scripts,
            calls,
            stop_queues,
            keeper,
            stop_connection,
        })
    }

    /// Makes dead letters of claimed deliveries whose event cannot be read back.
    async fn bury(&self, unreadable: Vec<Settlement>) {
        let settlements = unreadable.into_iter().map(|settlement| {
            tracing::error!(
                event = %settlement.uid,
                target = %settlement.target,
                "a stored event cannot be read back; its delivery becomes a dead letter"
            );
            self.settle(settlement)
        });
        // Where this fails the lease ends, and whoever claims the delivery next comes back here.
        drop(join_all(settlements).await);
    }

    /// A script removed deliveries that waited without an event: it can only come from a loss inside Redis.
    fn tell_orphans(&self, orphans: i64) {
        if orphans > 0 {
            tracing::error!(
                deliveries = orphans,
                "Redis holds no event for waiting deliveries; they were removed"
            );
        }
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.stop_queues.cancel();
        self.stop_connection.cancel();
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        self.accepts
            .ask(events.into_iter().map(Arrival::new).collect())
            .await
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        let reply = claim::claim(&self.connection, &self.scripts, wants).await?;
        self.tell_orphans(reply.orphans);
        self.bury(reply.unreadable).await;
        Ok(reply.claims)
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        self.settlements.ask(settlements).await
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        let mut call = self.scripts.depth.call();
        for target in targets {
            call.arg(target.as_bytes());
        }
        let rows = scripts::array(self.connection.run(&call).await?)?;
        rows.into_iter().map(depth).collect()
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        let mut call = self.scripts.get.call();
        call.arg(uid.as_bytes());
        encoding::stored_event(uid, self.connection.run(&call).await?)
    }

    async fn list(&self, _query: &Query) -> Result<Page, StoreError> {
        Err(StoreError::Unavailable("not yet".into()))
    }

    async fn replay(&self, _deliveries: &[DeliveryName]) -> Result<Vec<Replayed>, StoreError> {
        Err(StoreError::Unavailable("not yet".into()))
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        Err(StoreError::Unavailable("not yet".into()))
    }

    async fn save_replay(&self, _replay: &Replay) -> Result<bool, StoreError> {
        Err(StoreError::Unavailable("not yet".into()))
    }

    async fn forget_replay(&self, _id: Uuid) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("not yet".into()))
    }

    async fn retire_targets(&self, known: &[TargetName]) -> Result<u64, StoreError> {
        let mut call = self.scripts.retire.call();
        call.arg(RETIRED_A_CALL);
        for target in known {
            call.arg(target.as_bytes());
        }
        let mut retired = 0;
        loop {
            let [count, orphans, more] = scripts::integers(self.connection.run(&call).await?)?;
            retired += u64::try_from(count).map_err(|_| unexpected())?;
            self.tell_orphans(orphans);
            if more == 0 {
                return Ok(retired);
            }
        }
    }

    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        let mut call = self.scripts.expire.call();
        call.arg(encoding::millis(retention.age))
            .arg(retention.bytes)
            .arg(EXPIRED_A_CALL);
        let [events, ids, more] = scripts::integers(self.connection.run(&call).await?)?;
        Ok(Expired {
            events: u64::try_from(events).map_err(|_| unexpected())?,
            ids: u64::try_from(ids).map_err(|_| unexpected())?,
            more: more != 0,
        })
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // A write: a read-only replica, a full memory and a failing disk refuse it as they would an event.
        let mut command = redis::cmd("SET");
        command.arg(format!("{PREFIX}alive")).arg(1);
        self.connection.send(&command).await.map(drop)
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }

    async fn close(&self) {
        // The connection stays until everything that waited has had its answer.
        for (stop, tasks) in [
            (&self.stop_queues, &self.calls),
            (&self.stop_connection, &self.keeper),
        ] {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }
}

fn depth(row: Value) -> Result<Depth, StoreError> {
    let [pending, dead, oldest_ms] =
        scripts::integers(row)?.map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Depth {
        pending,
        dead,
        oldest_due: Duration::from_millis(oldest_ms),
    })
}
