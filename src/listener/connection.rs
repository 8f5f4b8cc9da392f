//! One connection's stream: where the deadlines are kept that the HTTP layer does not keep.
//!
//! A connection is *idle*, in a *head*, or *busy* with a request. Idle and head have deadlines; the body
//! and the store have their own. A timer is armed only when the socket has nothing to give, and is not moved
//! for every request: when it rings early, it is set again.

use std::{
    cell::Cell,
    future::Future as _,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix_rt::net::TcpStream;
use bytes::{Buf as _, Bytes};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;

use crate::ingest::rejection::Reason;

use super::{bare::bare_refusal, caller::Caller, draining::Draining, slots::Slot};

#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From a head's first byte to its last.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
}

/// How long a peer may leave what we write unread, unless `idle_timeout` is shorter.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long, and how much, is read and dropped after a refusal, so that the peer gets to read the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
}

/// The phase and when it began, shared by the stream and the request being served.
#[derive(Debug)]
pub(super) struct PhaseCell {
    phase: Cell<Phase>,
    since: Cell<Instant>,
}

impl PhaseCell {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }
}

/// A request being served; the connection is idle again when it is dropped.
pub(super) struct Serving(Rc<PhaseCell>);

impl Serving {
    pub(super) fn begin(phase: Rc<PhaseCell>) -> Self {
        phase.phase.set(Phase::Busy);
        Self(phase)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

pin_project! {
    /// With TLS or without.
    #[project = StreamProj]
    pub(super) enum Stream {
        Plain { #[pin] io: TcpStream },
        Tls { #[pin] io: TlsStream<TcpStream> },
    }
}

/// Makes the answer to bytes that never became a request, logging and counting it.
pub(super) type Refuse = Box<dyn Fn(Reason) -> Vec<u8>>;

pub(super) struct Connection {
    /// `None` once it is given to the task that lingers.
    stream: Option<Stream>,
    caller: Option<Rc<Caller>>,
    phase: Rc<PhaseCell>,
    timeouts: Timeouts,
    timer: Pin<Box<Sleep>>,
    draining: Draining,
    write_blocked_since: Option<Instant>,
    /// Our own answer in place of the HTTP layer's bare one; goes out before anything else.
    refusal: Bytes,
    refused: bool,
    refuse: Refuse,
    slot: Option<Slot>,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        caller: Option<Caller>,
        timeouts: Timeouts,
        draining: Draining,
        slot: Slot,
        refuse: Refuse,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream: Some(stream),
            caller: caller.map(Rc::new),
            phase: Rc::new(PhaseCell {
                phase: Cell::new(Phase::Idle),
                since: Cell::new(now),
            }),
            timeouts,
            timer: Box::pin(sleep_until((now + timeouts.head).into())),
            draining,
            write_blocked_since: None,
            refusal: Bytes::new(),
            refused: false,
            refuse,
            slot: Some(slot),
        }
    }

    pub(super) fn phase(&self) -> Rc<PhaseCell> {
        self.phase.clone()
    }

    /// Who has shown a certificate in the handshake.
    pub(super) fn caller(&self) -> Option<Rc<Caller>> {
        self.caller.clone()
    }

    fn io(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn deadline(&self) -> Option<Instant> {
        let since = self.phase.since.get();
        let reading = match self.phase.phase.get() {
            Phase::Idle => Some(since + self.timeouts.idle),
            Phase::Head => Some(since + self.timeouts.head),
            Phase::Busy => None,
        };
        let writing = self
            .write_blocked_since
            .map(|since| since + WRITE_TIMEOUT.min(self.timeouts.idle));
        [reading, writing].into_iter().flatten().min()
    }

    /// Ready when the deadline has passed. Registers for it otherwise.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline() else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// What to do when the peer has sent nothing: close in time, and at once while the gateway stops.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_deadline(cx).is_ready() {
            if self.phase.phase.get() == Phase::Head {
                self.refuse(Reason::SlowRequest);
            }
            // Reads as the end of the stream: the HTTP layer then shuts down, which sends the refusal.
            return Poll::Ready(Ok(()));
        }
        if self.draining.poll(cx) && self.phase.phase.get() == Phase::Idle {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn refuse(&mut self, reason: Reason) {
        if !self.refused {
            self.refused = true;
            self.refusal = (self.refuse)(reason).into();
        }
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.refusal.has_remaining() {
            let refusal = self.refusal.clone();
            let written = ready!(self.io()?.poll_write(cx, &refusal))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps a blocked write to its deadline.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.write_blocked_since.take().is_some() {
                // Reading has waited for this.
                cx.waker().wake_by_ref();
            }
            return written;
        }
        self.write_blocked_since.get_or_insert_with(Instant::now);
        match self.poll_deadline(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.write_blocked_since.is_some() {
            // Who does not read its answers is not read from either: else requests pile up that
            // cannot be answered.
            return self.poll_silence(cx);
        }
        let before = buf.filled().len();
        match self.io()?.poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before && self.phase.phase.get() == Phase::Idle {
                    self.phase.enter(Phase::Head);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_silence(cx),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let buf = match bare_refusal(buf) {
            Some((0, reason)) => {
                self.refuse(reason);
                return Poll::Ready(Ok(buf.len()));
            }
            // First what is ours; the layer then comes again with the rest.
            Some((bare, _)) => &buf[..bare],
            None => buf,
        };
        let written = self.io()?.poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_refusal(cx);
        if ready!(self.watch(cx, sent)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let flushed = self.io()?.poll_flush(cx);
        let flushed = self.watch(cx, flushed);
        // After an answer nothing is read until the peer sends again: the idle deadline is armed here.
        if self.phase.phase.get() == Phase::Idle && self.poll_deadline(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_refusal(cx);
        ready!(self.watch(cx, sent))?;
        let shut = self.io()?.poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

/// After a refusal the HTTP layer drops the connection with the peer's bytes still unread, and the kernel would
/// then reset it before the peer reads the answer. So the stream is closed politely by a task of its own.
impl Drop for Connection {
    fn drop(&mut self) {
        if !self.refused {
            return;
        }
        let (Some(stream), Ok(runtime)) =
            (self.stream.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (slot, rest) = (self.slot.take(), self.refusal.clone());
        runtime.spawn(async move {
            // Whether the peer reads to the end is its own affair.
            drop(tokio::time::timeout(LINGER, linger(stream, rest)).await);
            drop(slot);
        });
    }
}

async fn linger(mut stream: Stream, rest: Bytes) -> io::Result<()> {
    stream.write_all(&rest).await?;
    stream.shutdown().await?;
    let mut dropped = [0; 4096];
    let mut left = LINGER_BYTES;
    loop {
        match stream.read(&mut dropped).await? {
            0 => return Ok(()),
            n => left = left.checked_sub(n).ok_or(io::ErrorKind::Other)?,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProj::Plain { io } => io.poll_read(cx, buf),
            StreamProj::Tls { io } => io.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            StreamProj::Plain { io } => io.poll_write(cx, buf),
            StreamProj::Tls { io } => io.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProj::Plain { io } => io.poll_flush(cx),
            StreamProj::Tls { io } => io.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProj::Plain { io } => io.poll_shutdown(cx),
            StreamProj::Tls { io } => io.poll_shutdown(cx),
        }
    }
}
