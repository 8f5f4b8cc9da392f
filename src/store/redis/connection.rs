//! One connection, kept: many calls share it, each with a deadline, and it is replaced when it is lost.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{OpenError, StoreError},
    DEADLINE, Options, error, format,
    scripts::Call,
    settings, shard,
};
use crate::config::{Durability, RedisUrl};

/// For TCP, TLS and the greeting together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The first wait between attempts to connect; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(800);
/// Commands that may wait in the client for the socket; the crate's default of 50 throttles a busy gateway.
const PIPELINE_BUFFER: usize = 4096;

pub(super) struct Connection {
    link: Arc<watch::Sender<Link>>,
}

/// Where the connection stands.
#[derive(Clone)]
enum Link {
    Up {
        connection: MultiplexedConnection,
        /// Counts the connections, so that a late failure of an old one does not end its successor.
        generation: u64,
    },
    /// Lost just now; calls wait for what the first attempt brings.
    Connecting {
        generation: u64,
    },
    /// The last attempt failed: calls fail at once, since waiting would only fill the queues.
    Down {
        why: String,
        generation: u64,
    },
    Closed,
}

impl Connection {
    /// Connects, checks the server, and starts the task that replaces a lost connection until `stop`.
    pub(super) async fn open(
        server: Server,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, OpenError> {
        let link = Arc::new(watch::Sender::new(Link::Connecting { generation: 0 }));
        let connection = server.connect(&link, 0).await.map_err(OpenError)?;
        link.send_replace(Link::Up {
            connection,
            generation: 0,
        });
        tasks.spawn(keep(server, link.clone(), stop));
        Ok(Self { link })
    }

    /// Runs a script, loading it when Redis does not (or no longer) know it.
    pub(super) async fn run(&self, call: &Call<'_>) -> Result<Value, StoreError> {
        self.within_deadline(async |connection| {
            match call.command.query_async(connection).await {
                // Redis knew no such script, so nothing ran: the second try is the first.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    call.script.load_async(connection).await?;
                    call.command.query_async(connection).await
                }
                result => result,
            }
        })
        .await
    }

    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.within_deadline(async |connection| command.query_async(connection).await)
            .await
    }

    async fn within_deadline(
        &self,
        act: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    ) -> Result<Value, StoreError> {
        let deadline = Instant::now() + DEADLINE;
        let late = |_| StoreError::Deadline(DEADLINE);
        let (mut connection, generation) =
            timeout_at(deadline, self.up()).await.map_err(late)??;
        match timeout_at(deadline, act(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error::is_lost(&error) {
                    replace(&self.link, generation);
                }
                Err(error::store_error(&error))
            }
            // A server that stopped answering may be gone without a word; only a new connection finds out.
            Err(elapsed) => {
                replace(&self.link, generation);
                Err(late(elapsed))
            }
        }
    }

    /// The connection, once it is known whether there is one.
    async fn up(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut link = self.link.subscribe();
        let known = link
            .wait_for(|link| !matches!(link, Link::Connecting { .. }))
            .await;
        match known.as_deref() {
            Ok(Link::Up {
                connection,
                generation,
            }) => Ok((connection.clone(), *generation)),
            Ok(Link::Down { why, .. }) => Err(StoreError::Unavailable(why.clone())),
            _ => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }
}

/// Marks a connection as lost, unless it was replaced already.
fn replace(link: &watch::Sender<Link>, lost: u64) {
    link.send_if_modified(|link| match link {
        Link::Up { generation, .. } if *generation == lost => {
            *link = Link::Connecting { generation: lost };
            true
        }
        _ => false,
    });
}

/// Replaces the connection whenever it is lost, for as long as it takes.
async fn keep(server: Server, link: Arc<watch::Sender<Link>>, stop: CancellationToken) {
    let mut watched = link.subscribe();
    let keeping = async {
        while let Some(generation) = next_generation(&mut watched).await {
            let connection = reconnect(&server, &link, generation).await;
            tracing::info!(server = %server.address, "connected to Redis again");
            link.send_replace(Link::Up {
                connection,
                generation,
            });
        }
    };
    tokio::select! {
        () = keeping => {}
        () = stop.cancelled() => {}
    }
    link.send_replace(Link::Closed);
}

/// Waits until the connection is lost; returns the number of its successor.
async fn next_generation(watched: &mut watch::Receiver<Link>) -> Option<u64> {
    let lost = watched
        .wait_for(|link| !matches!(link, Link::Up { .. }))
        .await;
    match *lost.ok()? {
        Link::Connecting { generation } | Link::Down { generation, .. } => Some(generation + 1),
        Link::Up { .. } | Link::Closed => None,
    }
}

async fn reconnect(
    server: &Server,
    link: &Arc<watch::Sender<Link>>,
    generation: u64,
) -> MultiplexedConnection {
    for failures in 0u32.. {
        match server.connect(link, generation).await {
            Ok(connection) => return connection,
            Err(why) => {
                if failures == 0 {
                    tracing::warn!(reason = %why, "the connection to Redis is lost");
                }
                link.send_replace(Link::Down { why, generation });
            }
        }
        let random = rand::random();
        tokio::time::sleep(wait(failures, random)).await;
    }
    std::future::pending().await
}

/// The wait after so many failures: between half of it and the whole, so that gateways do not march in step.
fn wait(failures: u32, random: f64) -> Duration {
    let whole = FIRST_WAIT
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_WAIT);
    whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// What a connection leads to, and what it must keep.
pub(super) struct Server {
    client: Client,
    /// Host and port: no user, no password.
    address: String,
    durability: Durability,
    /// What the shard's keys begin with.
    prefix: String,
    shards: u16,
}

impl Server {
    /// For the shard of this number.
    pub(super) fn new(options: &Options, number: u16) -> Result<Self, OpenError> {
        let RedisUrl::Server(info) = options.servers.clone();
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let redis = info.redis_settings().clone();
        let info = info
            .set_tcp_settings(tcp)
            .set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3));
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(|error| OpenError(lost(&address, &error)))?;
        Ok(Self {
            client,
            address,
            durability: options.durability,
            prefix: shard::prefix(number),
            shards: options.shards,
        })
    }

    /// A connection to a server that keeps the durability: asked of every connection, because after a restart
    /// or a fail-over it may be another server.
    async fn connect(
        &self,
        link: &Arc<watch::Sender<Link>>,
        generation: u64,
    ) -> Result<MultiplexedConnection, String> {
        let connecting = async {
            let config = config(Arc::downgrade(link), generation);
            let connecting = self
                .client
                .get_multiplexed_async_connection_with_config(&config);
            let mut connection = connecting
                .await
                .map_err(|error| lost(&self.address, &error))?;
            settings::check(&mut connection, &self.address, self.durability).await?;
            format::check(&mut connection, &self.prefix, self.shards).await?;
            Ok(connection)
        };
        match timeout(DEADLINE, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(format!(
                "cannot reach Redis at {}: no answer in time",
                self.address
            )),
        }
    }
}

/// With it a connection says itself that it is lost.
fn config(link: Weak<watch::Sender<Link>>, generation: u64) -> AsyncConnectionConfig {
    let on_push = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        if push.kind == PushKind::Disconnection
            && let Some(link) = link.upgrade()
        {
            replace(&link, generation);
        }
        Ok(())
    };
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        // Each call has a deadline of its own, which also covers the wait for a connection.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
        .set_push_sender(on_push)
}

fn lost(address: &str, error: &RedisError) -> String {
    format!("cannot reach Redis at {address}: {}", error::text(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_under_a_second() {
        assert_eq!(wait(0, 1.0), FIRST_WAIT);
        assert_eq!(wait(0, 0.0), FIRST_WAIT / 2);
        assert_eq!(wait(1, 1.0), FIRST_WAIT * 2);
        assert_eq!(wait(u32::MAX, 1.0), LONGEST_WAIT);
    }
}
