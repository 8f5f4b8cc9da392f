//! One connection, kept: many calls share it, each with a deadline, and it is replaced when it is lost or leads to
//! the wrong server.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, ProtocolVersion, PushInfo,
    PushKind, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{OpenError, StoreError},
    DEADLINE, Options, convert,
    error::{self, Fault},
    format,
    locator::{Locator, Nodes},
    scripts::Call,
    settings, shard,
};
use crate::config::Durability;

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
        let connection = server.connect(&link, 0).await;
        let connection = connection.map_err(|fault| {
            OpenError(match fault {
                Fault::Away(why) => {
                    format!("{why}; start Redis, or set `store.url` to where it is")
                }
                Fault::Unfit(why) => why,
            })
        })?;
        link.send_replace(Link::Up {
            connection,
            generation: 0,
        });
        tasks.spawn(keep(server, link.clone(), stop));
        Ok(Self { link })
    }

    /// As [`Self::open`], but tries only once, and leaves the rest to that task, as well as converting; until it has
    /// done so, calls fail. An error is what would not pass by itself.
    pub(super) async fn open_lazily(
        server: Server,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, OpenError> {
        let link = Arc::new(watch::Sender::new(Link::Connecting { generation: 0 }));
        match server.connect_in_time(&link, 0).await {
            Ok((connection, false)) => drop(link.send_replace(Link::Up {
                connection,
                generation: 0,
            })),
            Ok((_, true)) | Err(Fault::Away(_)) => {}
            Err(Fault::Unfit(why)) => return Err(OpenError(why)),
        }
        tasks.spawn(keep(server, link.clone(), stop));
        Ok(Self { link })
    }

    /// Runs a script, loading it when Redis does not (or no longer) know it.
    pub(super) async fn run(&self, call: &Call<'_>) -> Result<Value, StoreError> {
        self.within_deadline(Request::Script(call)).await
    }

    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.within_deadline(Request::Command(command)).await
    }

    async fn within_deadline(&self, request: Request<'_>) -> Result<Value, StoreError> {
        let deadline = Instant::now() + DEADLINE;
        let result = match self.attempt(request, deadline).await? {
            // Another node has the slot, so nothing ran: the second try is the first.
            Err(error) if error::is_moved(&error) => self.attempt(request, deadline).await?,
            result => result,
        };
        result.map_err(|error| error::store_error(&error))
    }

    /// What the server said, or why it could not be asked.
    async fn attempt(
        &self,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<RedisResult<Value>, StoreError> {
        let late = |_| StoreError::Deadline(DEADLINE);
        let (mut connection, generation) =
            timeout_at(deadline, self.up()).await.map_err(late)??;
        match timeout_at(deadline, request.send(&mut connection)).await {
            Ok(result) => {
                if result.as_ref().is_err_and(error::must_reconnect) {
                    replace(&self.link, generation);
                }
                Ok(result)
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

#[derive(Clone, Copy)]
enum Request<'a> {
    Script(&'a Call<'a>),
    Command(&'a Cmd),
}

impl Request<'_> {
    async fn send(self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        let call = match self {
            Request::Command(command) => return command.query_async(connection).await,
            Request::Script(call) => call,
        };
        match call.command.query_async(connection).await {
            // Redis knew no such script, so nothing ran: the second try is the first.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call.script.load_async(connection).await?;
                call.command.query_async(connection).await
            }
            result => result,
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
        // Connections that were lost again at once: a server answers, but is not fit to be used.
        let mut short_lived = 0;
        while let Some(generation) = next_generation(&mut watched).await {
            if short_lived > 1 {
                tokio::time::sleep(wait(short_lived, rand::random())).await;
            }
            let connection = reconnect(&server, &link, generation).await;
            tracing::info!(servers = %server.servers, "connected to Redis");
            let since = Instant::now();
            link.send_replace(Link::Up {
                connection,
                generation,
            });
            lost(&mut watched).await;
            let was_short = since.elapsed() < LONGEST_WAIT;
            short_lived = if was_short { short_lived + 1 } else { 0 };
        }
    };
    tokio::select! {
        () = keeping => {}
        () = stop.cancelled() => {}
    }
    link.send_replace(Link::Closed);
}

/// Waits until there is no connection.
async fn lost(watched: &mut watch::Receiver<Link>) {
    let is_lost = |link: &Link| !matches!(link, Link::Up { .. });
    // An error says that nobody is left to use it.
    drop(watched.wait_for(is_lost).await);
}

/// Waits until there is no connection; returns the number of the next.
async fn next_generation(watched: &mut watch::Receiver<Link>) -> Option<u64> {
    lost(watched).await;
    match *watched.borrow() {
        Link::Connecting { generation } | Link::Down { generation, .. } => Some(generation + 1),
        Link::Up { .. } | Link::Closed => None,
    }
}

async fn reconnect(
    server: &Server,
    link: &Arc<watch::Sender<Link>>,
    generation: u64,
) -> MultiplexedConnection {
    let mut told = None;
    for failures in 0u32.. {
        match server.connect(link, generation).await {
            Ok(connection) => return connection,
            Err(fault) => {
                let why = fault.into_text();
                // Again when the reason has become another.
                if told.as_ref() != Some(&why) {
                    tracing::warn!(reason = %why, "there is no connection to Redis");
                    told = Some(why.clone());
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
    locator: Locator,
    /// For logs: no user, no password.
    servers: String,
    durability: Durability,
    /// What the shard's keys begin with.
    prefix: String,
    shards: u16,
}

impl Server {
    /// For the shard of this number.
    pub(super) fn new(options: &Options, number: u16, nodes: &Arc<Nodes>) -> Self {
        Self {
            locator: Locator::new(&options.servers, &number.to_string(), nodes),
            servers: format!("{:?}", options.servers),
            durability: options.durability,
            prefix: shard::prefix(number),
            shards: options.shards,
        }
    }

    /// A connection to a server that keeps the durability: asked of every connection, because after a restart
    /// or a fail-over it may be another server.
    async fn connect(
        &self,
        link: &Arc<watch::Sender<Link>>,
        generation: u64,
    ) -> Result<MultiplexedConnection, Fault> {
        let (mut connection, is_older) = self.connect_in_time(link, generation).await?;
        if is_older {
            let converted = convert::run(&mut connection, &self.prefix).await;
            converted.map_err(|error| {
                let error = error::text(&error);
                Fault::Away(format!(
                    "cannot convert what an older version stored in Redis: {error}"
                ))
            })?;
        }
        Ok(connection)
    }

    /// With whether what is stored has to be converted before use.
    async fn connect_in_time(
        &self,
        link: &Arc<watch::Sender<Link>>,
        generation: u64,
    ) -> Result<(MultiplexedConnection, bool), Fault> {
        let checked = timeout(DEADLINE, self.connect_and_check(link, generation)).await;
        checked.unwrap_or_else(|_| {
            let servers = &self.servers;
            let why = format!("cannot reach Redis ({servers}): no answer in time");
            Err(Fault::Away(why))
        })
    }

    async fn connect_and_check(
        &self,
        link: &Arc<watch::Sender<Link>>,
        generation: u64,
    ) -> Result<(MultiplexedConnection, bool), Fault> {
        let info = self.locator.locate().await.map_err(Fault::Away)?;
        let address = info.addr().to_string();
        let mut connection = greet(info, &config(Arc::downgrade(link), generation))
            .await
            .map_err(|error| {
                let error = error::text(&error);
                Fault::Away(format!("cannot reach Redis at {address}: {error}"))
            })?;
        settings::check(&mut connection, &address, self.durability).await?;
        let is_older = format::check(&mut connection, &self.prefix, self.shards).await?;
        Ok((connection, is_older))
    }
}

async fn greet(
    info: ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    // The library's name is of no use to the server, and would be one more command to permit.
    let redis = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info
        .set_tcp_settings(tcp)
        .set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3));
    let client = Client::open(info)?;
    client
        .get_multiplexed_async_connection_with_config(config)
        .await
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
