//! A target: an HTTP/1.1 server on loopback that does what its script says and remembers what came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::model::PATIENCE;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// When its last byte was there.
    pub(crate) at: Instant,
}

impl Request {
    /// The value of a header that must not stand twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "`{name}` stands more than once");
        value
    }
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    manner: Manner,
    delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Whole,
    /// Waits for [`Receiver::release`] first.
    Held,
    /// Nothing, until the other side closes or [`Receiver::end_hung`] does.
    Hang,
    /// The connection is reset without a response.
    Reset,
    /// The head of a response with a body, then a reset.
    ResetAfterHead,
    /// Says that it will write nothing, and waits until the other side closes.
    HalfClose,
    /// Bytes that are no HTTP, then closes the connection.
    Garbage,
    /// A byte of the body at a time, for ever.
    Drip,
    /// A body without end.
    Endless,
    /// Whole, then closes the connection without having said so.
    Close,
    /// Half of the body, then closes the connection.
    Cut,
}

/// How whoever sent the request has to take a [`Reply`], by the default of `retry_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Failed,
    /// Not to be tried again.
    Refused,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            manner: Manner::Whole,
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Begins only after this long.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn held() -> Self {
        Self::ok(Manner::Held)
    }

    pub(crate) fn hang() -> Self {
        Self::ok(Manner::Hang)
    }

    pub(crate) fn reset() -> Self {
        Self::ok(Manner::Reset)
    }

    pub(crate) fn reset_after_head() -> Self {
        Self::ok(Manner::ResetAfterHead).body("never sent")
    }

    pub(crate) fn half_close() -> Self {
        Self::ok(Manner::HalfClose)
    }

    pub(crate) fn garbage() -> Self {
        Self::ok(Manner::Garbage)
    }

    pub(crate) fn drip() -> Self {
        Self::ok(Manner::Drip)
    }

    pub(crate) fn endless() -> Self {
        Self::ok(Manner::Endless)
    }

    pub(crate) fn then_close() -> Self {
        Self::ok(Manner::Close)
    }

    pub(crate) fn cut(body: &str) -> Self {
        Self::ok(Manner::Cut).body(body)
    }

    fn ok(manner: Manner) -> Self {
        Self {
            manner,
            ..Self::status(200)
        }
    }

    /// Of one that is answered in time. A body without end does not matter: it is not read to its end.
    pub(crate) fn fate(&self) -> Fate {
        match (self.manner, self.status) {
            (Manner::Whole | Manner::Held | Manner::Close | Manner::Endless, status) => {
                match status {
                    200..300 => Fate::Delivered,
                    400 | 410 | 413 | 422 => Fate::Refused,
                    _ => Fate::Failed,
                }
            }
            _ => Fate::Failed,
        }
    }

    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    pub(crate) fn retry_after(&self) -> Option<&str> {
        // Of a response that does not come whole nothing counts.
        let whole = matches!(self.manner, Manner::Whole | Manner::Close);
        let mut headers = self.headers.iter().filter(|_| whole);
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        found.map(|(_, value)| value.as_str())
    }

    fn head(&self) -> String {
        let length = match self.manner {
            Manner::Drip | Manner::Endless => u64::MAX >> 1,
            _ => self.body.len() as u64,
        };
        let mut head = format!("HTTP/1.1 {} -\r\ncontent-length: {length}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }
}

type Script = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// See the module. Its connections end when it is dropped.
pub(crate) struct Receiver {
    port: Port,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    once: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Script>,
    log: watch::Sender<Log>,
    held: Semaphore,
    /// Counts the calls of [`Receiver::end_hung`].
    hung_ended: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    /// Whether requests are counted and not kept.
    forgetful: bool,
    requests: Vec<Request>,
    connections: usize,
    /// Connections that the other side closed.
    closed: usize,
    at_once: usize,
    most_at_once: usize,
}

impl Receiver {
    /// Answers everything with 200 until it is told otherwise.
    pub(crate) async fn start() -> Self {
        let receiver = Self::new(None);
        receiver.listen();
        receiver
    }

    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Self {
        let receiver = Self::new(Some(TlsAcceptor::from(Arc::new(config))));
        receiver.listen();
        receiver
    }

    /// Refuses connections until [`Self::listen`], and keeps no requests: its script sees them.
    pub(crate) fn refusing_and_forgetful() -> Self {
        let receiver = Self::new(None);
        receiver.state.log.send_modify(|log| log.forgetful = true);
        receiver
    }

    fn new(tls: Option<TlsAcceptor>) -> Self {
        let state = Arc::new(State {
            once: Mutex::default(),
            otherwise: Mutex::new(Box::new(|_| Reply::status(200))),
            log: watch::Sender::new(Log::default()),
            held: Semaphore::new(0),
            hung_ended: watch::Sender::new(0),
        });
        Self {
            port: Port::reserve(),
            tls,
            state,
            listening: Mutex::new(None),
        }
    }

    pub(crate) fn listen(&self) {
        let listener = self.port.listen();
        let listening = tokio::spawn(listen(listener, self.tls.clone(), self.state.clone()));
        *self.listening.lock().unwrap() = Some(listening);
    }

    /// Closes all connections and lets no more in, until [`Self::listen`].
    pub(crate) async fn refuse(&self) {
        let listening = self.listening.lock().unwrap().take();
        if let Some(listening) = listening {
            listening.abort();
            listening.await.ok();
        }
    }

    /// Closes the connections of all replies that hang.
    pub(crate) fn end_hung(&self) {
        self.state.hung_ended.send_modify(|times| *times += 1);
    }

    /// With the address as a literal.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/in", self.scheme(), self.port.address)
    }

    /// With `localhost` as the host.
    pub(crate) fn named_url(&self) -> String {
        let port = self.port.address.port();
        format!("{}://localhost:{port}/in", self.scheme())
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The next requests' replies, in order; later ones get what [`Receiver::always`] says.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.once.lock().unwrap().extend(replies);
    }

    pub(crate) fn always(&self, reply: Reply) {
        self.answer(move |_| reply.clone());
    }

    pub(crate) fn answer(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.state.otherwise.lock().unwrap() = Box::new(script);
    }

    /// Lets so many held replies go, now or when they come.
    pub(crate) fn release(&self, replies: usize) {
        self.state.held.add_permits(replies);
    }

    /// In order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.log.borrow().requests.clone()
    }

    pub(crate) async fn wait_for(&self, requests: usize) -> Vec<Request> {
        self.wait_until(|log| log.requests.len() >= requests).await;
        self.requests()
    }

    /// Waits until the other side has closed so many connections.
    pub(crate) async fn wait_for_closed(&self, connections: usize) {
        self.wait_until(|log| log.closed >= connections).await;
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.log.borrow().connections
    }

    /// The most requests that were ever unanswered at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.log.borrow().most_at_once
    }

    async fn wait_until(&self, condition: impl Fn(&Log) -> bool) {
        let mut log = self.state.log.subscribe();
        // The log is not looked at again while what was waited for is held: one who writes meanwhile waits for both.
        let in_time = tokio::time::timeout(PATIENCE, log.wait_for(condition)).await;
        assert!(
            in_time.is_ok(),
            "waited in vain; {} requests came",
            self.state.log.borrow().requests.len()
        );
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.lock().unwrap().take() {
            listening.abort();
        }
    }
}

/// A port of 127.0.0.1 that nobody else can take, whether or not anybody listens on it now.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// Bound and never listening.
    _bound: TcpSocket,
}

const BACKLOG: u32 = 1024;

impl Port {
    pub(crate) fn reserve() -> Self {
        let bound = Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            address: bound.local_addr().unwrap(),
            _bound: bound,
        }
    }

    pub(crate) fn listen(&self) -> TcpListener {
        Self::bind(self.address).listen(BACKLOG).unwrap()
    }

    fn bind(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }
}

/// So that the end of the connection is a reset.
pub(crate) fn reset_at_end(socket: &impl std::os::fd::AsFd) {
    let socket = socket2::SockRef::from(socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        state.log.send_modify(|log| log.connections += 1);
        connections.spawn(connection(stream, tls.clone(), state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let stream = stream.into_std().unwrap();
    let socket = stream.try_clone().unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    let ended = match tls {
        None => serve(stream, &state).await,
        Some(tls) => match tls.accept(stream).into_fallible().await {
            Ok(stream) => serve(stream, &state).await,
            Err((error, stream)) => {
                leave(stream).await;
                Err(error)
            }
        },
    };
    match ended {
        Ok(Ended::Reset) => reset_at_end(&socket),
        Ok(Ended::Closed) => {}
        Ok(Ended::ByPeer) | Err(_) => state.log.send_modify(|log| log.closed += 1),
    }
}

enum Ended {
    Reset,
    Closed,
    ByPeer,
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    state: &State,
) -> io::Result<Ended> {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await? {
        // Before the reply is chosen, so that no end of hanging that comes after the choice is missed.
        let hung_ended = state.hung_ended.subscribe();
        let next = state.once.lock().unwrap().pop_front();
        let reply = next.unwrap_or_else(|| (state.otherwise.lock().unwrap())(&request));
        state.log.send_modify(|log| {
            if !log.forgetful {
                log.requests.push(request);
            }
            log.at_once += 1;
            log.most_at_once = log.most_at_once.max(log.at_once);
        });
        // Fewer before the answer goes out: the next request can come before this task goes on.
        let answered = || state.log.send_modify(|log| log.at_once -= 1);
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        match reply.manner {
            Manner::Hang => {
                let ended = hang(&mut stream, hung_ended).await;
                answered();
                return ended;
            }
            Manner::HalfClose => {
                stream.shutdown().await?;
                let ended = hang(&mut stream, hung_ended).await;
                answered();
                return ended;
            }
            Manner::Reset => {
                answered();
                return Ok(Ended::Reset);
            }
            Manner::Garbage => {
                answered();
                send(&mut stream, b"\x00\xff no HTTP \r\n\r\n").await?;
                return Ok(Ended::Closed);
            }
            Manner::Held => state.held.acquire().await.unwrap().forget(),
            _ => {}
        }
        answered();
        send(&mut stream, reply.head().as_bytes()).await?;
        match reply.manner {
            Manner::Drip => loop {
                send(&mut stream, b".").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            },
            Manner::Endless => loop {
                send(&mut stream, &[b'.'; 4096]).await?;
            },
            Manner::ResetAfterHead => return Ok(Ended::Reset),
            Manner::Cut => {
                let half = reply.body.len() / 2;
                send(&mut stream, &reply.body[..half]).await?;
                return Ok(Ended::Closed);
            }
            _ => send(&mut stream, &reply.body).await?,
        }
        if reply.manner == Manner::Close {
            return Ok(Ended::Closed);
        }
    }
    Ok(Ended::ByPeer)
}

/// Closes so that the other side can read what it was told: a reset, for bytes left unread, might overtake it.
async fn leave(mut stream: TcpStream) {
    stream.shutdown().await.ok();
    let mut sink = tokio::io::sink();
    let rest = tokio::io::copy(&mut stream, &mut sink);
    tokio::time::timeout(PATIENCE, rest).await.ok();
}

/// Flushes too: a TLS stream may keep what it was given, e.g. when the task has read much and has to yield.
async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn hang(
    stream: &mut (impl AsyncRead + Unpin),
    mut ended: watch::Receiver<u64>,
) -> io::Result<Ended> {
    let mut byte = [0];
    tokio::select! {
        closed = stream.read(&mut byte) => closed.map(|_| Ended::ByPeer),
        _ = ended.changed() => Ok(Ended::Closed),
    }
}

/// The next request, whole; `None` when the other side closed the connection.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let mut request = parse(&head);
    let length = request
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let end = head_end + 4 + length;
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer[head_end + 4..end].to_vec();
    request.at = Instant::now();
    buffer.drain(..end);
    Ok(Some(request))
}

fn parse(head: &str) -> Request {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let headers = lines.map(|line| line.split_once(':').unwrap());
    Request {
        method: first.next().unwrap().to_owned(),
        path: first.next().unwrap().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Vec::new(),
        at: Instant::now(),
    }
}
