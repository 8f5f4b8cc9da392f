//! A TCP proxy that harms what passes through it, as a network does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::receiver::{Port, reset_at_end};

/// What is done to connections, those that are open and those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    None,
    /// Everything comes so much later, in both directions.
    Latency(Duration),
    /// At most so many bytes a second, in each direction.
    Bandwidth(u32),
    /// Written in pieces of so many bytes.
    Slice(usize),
    /// Nothing passes; what was sent meanwhile passes afterwards.
    Stall,
    /// Open connections are closed, and new ones are accepted and closed at once.
    Cut,
    /// The same, by a reset.
    Reset,
    /// Each connection is closed as soon as so many more bytes have come back from behind: in mid-reply.
    CutReplyAfter(u64),
    /// Open connections are closed, and nobody listens.
    Refuse,
}

/// Between whoever connects to [`Proxy::address`] and what stands behind. Ends when it is dropped.
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    listening: std::sync::Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    behind: SocketAddr,
    harm: watch::Sender<Harm>,
    /// Bytes that went to what stands behind, and that came back.
    sent: AtomicU64,
    received: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    pub async fn start(behind: SocketAddr) -> Self {
        let proxy = Self {
            port: Port::reserve(),
            shared: Arc::new(Shared {
                behind,
                harm: watch::Sender::new(Harm::None),
                sent: AtomicU64::new(0),
                received: AtomicU64::new(0),
                connections: AtomicU64::new(0),
            }),
            listening: std::sync::Mutex::new(None),
        };
        proxy.listen();
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// From now on, for open connections too.
    pub async fn set(&self, harm: Harm) {
        self.shared.harm.send_replace(harm);
        let listening = self.listening.lock().unwrap().take();
        match (harm, listening) {
            (Harm::Refuse, Some(listening)) => {
                listening.abort();
                listening.await.ok();
            }
            (Harm::Refuse, None) => {}
            (_, None) => self.listen(),
            (_, listening) => *self.listening.lock().unwrap() = listening,
        }
    }

    /// Bytes that went to what stands behind, and that came back.
    pub fn bytes(&self) -> (u64, u64) {
        let count = |bytes: &AtomicU64| bytes.load(Ordering::SeqCst);
        (count(&self.shared.sent), count(&self.shared.received))
    }

    /// Accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    fn listen(&self) {
        let listening = tokio::spawn(listen(self.port.listen(), self.shared.clone()));
        *self.listening.lock().unwrap() = Some(listening);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.lock().unwrap().take() {
            listening.abort();
        }
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((front, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(connection(front, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut front: TcpStream, shared: Arc<Shared>) {
    front.set_nodelay(true).ok();
    let mut harm = shared.harm.subscribe();
    let ended = harm.wait_for(|harm| matches!(harm, Harm::Cut | Harm::Reset));
    tokio::pin!(ended);
    let reset = tokio::select! {
        biased;
        harm = &mut ended => harm.is_ok_and(|harm| *harm == Harm::Reset),
        _ = pass(&mut front, &shared) => false,
    };
    if reset {
        reset_at_end(&front);
    }
}

async fn pass(front: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let mut behind = TcpStream::connect(shared.behind).await?;
    behind.set_nodelay(true)?;
    let (from_front, to_front) = front.split();
    let (from_behind, to_behind) = behind.split();
    let there = Way {
        harm: shared.harm.subscribe(),
        count: &shared.sent,
        is_reply: false,
    };
    let back = Way {
        harm: shared.harm.subscribe(),
        count: &shared.received,
        is_reply: true,
    };
    // The first end of either ends both.
    tokio::select! {
        ended = there.copy(from_front, to_behind) => ended,
        ended = back.copy(from_behind, to_front) => ended,
    }
}

/// One direction of a connection.
struct Way<'a> {
    harm: watch::Receiver<Harm>,
    count: &'a AtomicU64,
    is_reply: bool,
}

impl Way<'_> {
    async fn copy(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        // Since the replies are to be cut.
        let mut passed = 0;
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let harm = *self.harm.borrow_and_update();
                let mut piece = rest.len();
                match harm {
                    Harm::Stall => {
                        // Its end is not an error: the proxy is gone then.
                        self.harm.wait_for(|harm| *harm != Harm::Stall).await.ok();
                        continue;
                    }
                    Harm::Latency(latency) => tokio::time::sleep(latency).await,
                    Harm::Bandwidth(bytes) => {
                        piece = piece.min(bytes as usize / 20 + 1);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Harm::Slice(bytes) => piece = piece.min(bytes),
                    Harm::CutReplyAfter(bytes) if self.is_reply => {
                        let left = bytes.saturating_sub(passed);
                        piece = piece.min(usize::try_from(left).unwrap_or(piece));
                        passed += piece as u64;
                    }
                    _ => passed = 0,
                }
                to.write_all(&rest[..piece]).await?;
                self.count.fetch_add(piece as u64, Ordering::SeqCst);
                rest = &rest[piece..];
                if matches!(harm, Harm::CutReplyAfter(bytes) if self.is_reply && passed >= bytes) {
                    return Ok(());
                }
                if matches!(harm, Harm::Slice(_)) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}
