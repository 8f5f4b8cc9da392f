//! The public listeners: sockets, TLS, limits, deadlines. They hand each request to [`ingest::receive`].

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Request};
use actix_rt::net::TcpStream;
use actix_server::{Server, ServerHandle};
use actix_service::{ServiceFactoryExt as _, fn_service};
use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config,
    ingest::{self, Desk, Gate},
    metrics::Metrics,
};

mod bare;
mod caller;
mod connection;
mod draining;
mod slots;
pub mod tls;

use caller::Caller;
use connection::{Connection, Stream, Timeouts};
use draining::Draining;
use slots::Slots;
use tls::Identity;

/// The longest that a closing connection may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const BACKLOG: i32 = 4096;
/// Stands in an error for the address of a socket that has lost it.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The bound sockets, not yet serving.
pub struct Sockets {
    pub public: TcpListener,
    pub plain: Option<TcpListener>,
}

impl Sockets {
    /// Takes the ports; nobody is let in before [`listen`](Self::listen).
    pub fn bind(server: &config::Server) -> Result<Self, BindError> {
        Ok(Self {
            public: reserve(server.listen)?,
            plain: server.plain_listen.map(reserve).transpose()?,
        })
    }

    pub fn listen(&self) -> Result<(), BindError> {
        self.plain.iter().chain([&self.public]).try_for_each(listen)
    }

    /// The public address and the plain one: what port 0 became.
    pub fn addresses(&self) -> io::Result<(SocketAddr, Option<SocketAddr>)> {
        let plain = self
            .plain
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;
        Ok((self.public.local_addr()?, plain))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {}", next_step(source))]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the process that uses the port (`ss -ltnp` tells which), or change `listen`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has the address: change `listen`, e.g. to 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 takes CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=): change `listen`, or grant it"
        }
        _ => "change `listen`",
    }
}

/// Binds one address and listens on it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let socket = reserve(address)?;
    listen(&socket)?;
    Ok(socket)
}

/// Binds one address: a port that another process listens on is found out, and connections are refused until
/// [`listen`], so that a gateway that does not start has let nobody in.
pub fn reserve(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|source| BindError { address, source })
}

/// Lets connections in on a [reserved](reserve) address. Of two processes that reserved it, one gets it.
pub fn listen(socket: &TcpListener) -> Result<(), BindError> {
    let address = socket.local_addr().unwrap_or(UNKNOWN);
    let listening = socket2::SockRef::from(socket).listen(BACKLOG);
    listening.map_err(|source| BindError { address, source })
}

/// The running public listeners.
pub struct Listener {
    handle: ServerHandle,
    served: tokio::task::JoinHandle<io::Result<()>>,
    gate: Arc<Gate>,
    /// Cancelled: idle connections close.
    draining: CancellationToken,
}

/// What the listeners need to serve.
pub struct Serving {
    pub gate: Arc<Gate>,
    /// The one that new connections are shaken with.
    pub identity: Arc<ArcSwap<Identity>>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
}

impl Listener {
    /// Serves on threads of its own; must be called within a tokio runtime.
    pub fn start(sockets: Sockets, server: &config::Server, serving: Serving) -> io::Result<Self> {
        let Serving {
            gate,
            identity,
            metrics,
            clock,
        } = serving;
        let draining = CancellationToken::new();
        let shared = Shared {
            gate: gate.clone(),
            identity,
            clock,
            timeouts: Timeouts {
                head: server.head_timeout,
                idle: server.idle_timeout,
            },
            slots: Slots::new(server.max_connections_per_ip, metrics.connections.clone()),
            draining: draining.clone(),
        };
        let mut builder = Server::build()
            .workers(server.workers)
            .max_concurrent_connections(server.max_connections.div_ceil(server.workers))
            .shutdown_timeout(server.shutdown_grace.as_secs_f64().ceil() as u64)
            .disable_signals();
        if let Some(plain) = sockets.plain {
            let shared = shared.clone();
            builder = builder.listen("plain", plain, move || service(shared.clone(), false))?;
        }
        builder = builder.listen("public", sockets.public, move || {
            service(shared.clone(), true)
        })?;
        let running = builder.run();
        Ok(Self {
            handle: running.handle(),
            served: tokio::spawn(running),
            gate,
            draining,
        })
    }

    /// Answers 503 to what still comes, closes idle connections, waits for what is in flight.
    pub async fn stop(self) {
        self.gate.drain();
        self.draining.cancel();
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.served.await {
            tracing::error!(%error, "the public listener ended with an error");
        }
    }
}

/// What every connection shares.
#[derive(Clone)]
struct Shared {
    gate: Arc<Gate>,
    identity: Arc<ArcSwap<Identity>>,
    clock: Clock,
    timeouts: Timeouts,
    slots: Arc<Slots>,
    draining: CancellationToken,
}

/// From an accepted socket to HTTP/1.1. Our own stream stands between TLS and the HTTP layer, because the
/// layer's own timers cover only the first request's head.
fn service(
    shared: Shared,
    with_tls: bool,
) -> impl actix_service::ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()>
{
    let desk = Rc::new(shared.gate.desk());
    let judging = Rc::new(shared.clone());
    fn_service(move |socket: TcpStream| open(shared.clone(), with_tls, socket)).and_then(
        HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(connection.phase());
                if let Some(caller) = connection.caller() {
                    data.insert(caller);
                }
            })
            .h1(fn_service(move |request: Request| {
                let (desk, shared) = (desk.clone(), judging.clone());
                async move { Ok::<_, Infallible>(serve(&desk, &shared, request).await) }
            }))
            .map_err(|error| tracing::debug!(%error, "connection ended"))
            .map_init_err(|()| ()),
    )
}

/// A slot, then the TLS handshake, within the head's deadline.
async fn open(
    shared: Shared,
    with_tls: bool,
    socket: TcpStream,
) -> Result<(Connection, Option<SocketAddr>), ()> {
    let peer = socket.peer_addr().map_err(drop)?;
    let is_proxy = shared.gate.is_trusted_proxy(peer.ip());
    let slot = shared.slots.take(peer.ip(), is_proxy).ok_or(())?;
    socket.set_nodelay(true).map_err(drop)?;
    let (stream, caller) = match with_tls {
        false => (Stream::Plain { io: socket }, None),
        true => {
            let identity = shared.identity.load_full();
            let acceptor = TlsAcceptor::from(identity.config.clone());
            let handshake = tokio::time::timeout(shared.timeouts.head, acceptor.accept(socket));
            let io = handshake.await.map_err(drop)?.map_err(|error| {
                tracing::debug!(%error, %peer, "TLS handshake failed");
            })?;
            let caller = Caller::new(io.get_ref().1.peer_certificates(), identity);
            (Stream::Tls { io }, caller)
        }
    };
    let gate = shared.gate;
    let draining = Draining::new(gate.clone(), shared.draining);
    let refuse = Box::new(move |reason| gate.refuse_connection(reason, Some(peer.ip())));
    let connection = Connection::new(stream, caller, shared.timeouts, draining, slot, refuse);
    Ok((connection, Some(peer)))
}

async fn serve(
    desk: &Desk,
    shared: &Shared,
    mut request: Request,
) -> actix_http::Response<bytes::Bytes> {
    let phase = request.conn_data::<Rc<connection::PhaseCell>>().cloned();
    let _serving = phase.map(connection::Serving::begin);
    let caller = request.conn_data::<Rc<Caller>>().cloned();
    let certificate = caller.as_ref().and_then(|caller| {
        let identity = shared.identity.load_full();
        caller.certificate(&identity, shared.clock.now())
    });
    let payload = request.take_payload();
    let mut response = ingest::receive(desk, certificate, request.head(), payload).await;
    let is_disowned = caller.is_some() && certificate.is_none();
    if desk.is_draining() || is_disowned {
        response
            .head_mut()
            .set_connection_type(actix_http::ConnectionType::Close);
    }
    response
}
