//! Targets as cheap as they can be: they answer 200 at once and note which event came when.

use std::{
    net::SocketAddr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{Result, load::Id};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How long the last event may be on its way.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Which events of one turn have come to which target.
pub(crate) struct Tally {
    turn: u32,
    began: Instant,
    events: usize,
    /// Of each target in turn: nanoseconds after `began` at which the event came first, 0 before.
    arrivals: Vec<AtomicU64>,
    missing: AtomicUsize,
    complete: Notify,
}

impl Tally {
    fn new(turn: u32, events: usize, targets: usize) -> Self {
        let arrivals = || AtomicU64::new(0);
        Self {
            turn,
            began: Instant::now(),
            events,
            arrivals: std::iter::repeat_with(arrivals)
                .take(events * targets)
                .collect(),
            missing: AtomicUsize::new(events * targets),
            complete: Notify::new(),
        }
    }

    fn note(&self, target: usize, id: Id) {
        if id.turn != self.turn || id.number >= self.events {
            return;
        }
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let place = &self.arrivals[target * self.events + id.number];
        let first = place.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() && self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete.notify_one();
        }
    }

    /// Waits until every event has come to every target.
    pub(crate) async fn complete(&self) -> Result<()> {
        if self.arrivals.is_empty() {
            return Ok(());
        }
        let complete = self.complete.notified();
        if tokio::time::timeout(ARRIVAL_MAX, complete).await.is_ok() {
            return Ok(());
        }
        let missing = self.missing.load(Ordering::Acquire);
        let all = self.arrivals.len();
        Err(format!("{missing} of {all} deliveries never arrived").into())
    }

    /// When event `number` came first to the first target.
    pub(crate) fn arrival(&self, number: usize) -> Instant {
        self.began + Duration::from_nanos(self.arrivals[number].load(Ordering::Relaxed))
    }
}

/// The targets of one contestant.
pub(crate) struct Receivers {
    pub(crate) addresses: Vec<SocketAddr>,
    current: Arc<RwLock<Arc<Tally>>>,
}

impl Receivers {
    pub(crate) async fn start(targets: usize) -> Result<Self> {
        let current = Arc::new(RwLock::new(Arc::new(Tally::new(0, 0, 0))));
        let mut addresses = Vec::new();
        for target in 0..targets {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            tokio::spawn(listen(listener, target, current.clone()));
        }
        Ok(Self { addresses, current })
    }

    /// From now on, the events of this turn are noted.
    pub(crate) fn expect(&self, turn: u32, events: usize) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(turn, events, self.addresses.len()));
        *self.current.write().expect("no panic") = tally.clone();
        tally
    }
}

async fn listen(listener: TcpListener, target: usize, current: Arc<RwLock<Arc<Tally>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let current = current.clone();
        tokio::spawn(async move {
            // The other end may go whenever its turn is over.
            drop(receive(stream, target, &current).await);
        });
    }
}

async fn receive(
    mut stream: TcpStream,
    target: usize,
    current: &RwLock<Arc<Tally>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some((head, length)) = whole(&buffer) {
            let id = Id::of(&buffer[head..head + length]);
            if let Some(id) = id {
                current.read().expect("no panic").note(target, id);
            }
            buffer.drain(..head + length);
            stream.write_all(ANSWER).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The length of the head and of the body, once both are there.
fn whole(request: &[u8]) -> Option<(usize, usize)> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let length = crate::load::content_length(&request[..head])?;
    (request.len() >= head + length).then_some((head, length))
}
