//! A target that remembers every event that it was sent.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use hookgate::event::BodyDigest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use uuid::Uuid;

const BACKLOG: u32 = 1024;

/// One delivery as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Hookgate's id.
    pub uid: Uuid,
    /// The provider's id.
    pub id: String,
    pub digest: BodyDigest,
}

/// See the module. It answers 200, unless it is [held](Self::hold) or [refuses](Self::refusing).
pub struct Sink {
    name: &'static str,
    address: SocketAddr,
    /// Bound and not listening: connections are refused, and nobody else can take the port.
    refusing: Option<TcpSocket>,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

struct State {
    log: Mutex<Arrivals>,
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Arrivals {
    all: Vec<Arrival>,
    ids: HashSet<String>,
}

impl Sink {
    pub async fn start(name: &'static str) -> Self {
        let mut sink = Self::refusing(name);
        sink.listen();
        sink
    }

    /// Refuses connections until [`Self::listen`].
    pub fn refusing(name: &'static str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(any).expect("a free port");
        Self {
            name,
            address: socket.local_addr().expect("an address"),
            refusing: Some(socket),
            state: Arc::new(State {
                log: Mutex::default(),
                held: watch::Sender::new(false),
            }),
            listening: None,
        }
    }

    pub fn listen(&mut self) {
        let socket = self.refusing.take().expect("a sink that refuses");
        let listener = socket.listen(BACKLOG).expect("a socket that can listen");
        self.listening = Some(tokio::spawn(listen(listener, self.state.clone())));
    }

    /// From now on arrivals are remembered and never answered.
    pub fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// Closes the connections of what is held, and answers what comes from now on.
    pub fn release(&self) {
        self.state.held.send_replace(false);
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state.log().all.clone()
    }

    /// How often an event arrived, by the provider's id.
    pub fn count(&self, id: &str) -> usize {
        let log = self.state.log();
        log.all.iter().filter(|arrival| arrival.id == id).count()
    }

    /// Leaves only those that have not arrived.
    pub fn retain_missing(&self, ids: &mut Vec<&str>) {
        let log = self.state.log();
        ids.retain(|id| !log.ids.contains(*id));
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl State {
    fn log(&self) -> MutexGuard<'_, Arrivals> {
        self.log.lock().expect("no holder of the log panics")
    }

    fn note(&self, arrival: Arrival) {
        let mut log = self.log();
        log.ids.insert(arrival.id.clone());
        log.all.push(arrival);
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        connections.spawn(serve(stream, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Until the gateway closes the connection, in good order or by being killed.
async fn serve(mut stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(arrival) = read(&mut stream, &mut buffer).await? {
        state.note(arrival);
        let mut held = state.held.subscribe();
        if *held.borrow_and_update() {
            held.wait_for(|held| !held).await.ok();
            return Ok(());
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await?;
    }
    Ok(())
}

/// The next request; `None` when the connection ended before a whole one: such a one is not delivered.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Arrival>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).expect("a head in UTF-8");
    let length: usize = header(&head, "content-length").parse().expect("a length");
    let (start, end) = (head_end + 4, head_end + 4 + length);
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let arrival = Arrival {
        uid: header(&head, "hookgate-event").parse().expect("a UUID"),
        id: header(&head, "hookgate-event-id").to_owned(),
        digest: BodyDigest::of(&buffer[start..end]),
    };
    buffer.drain(..end);
    Ok(Some(arrival))
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.unwrap_or_else(|| panic!("no {name} in {head:?}"));
    value.trim()
}
