//! A connection on which the client speaks first, as HTTP/1.1 has it: nothing is read before something was written.
//!
//! A target may end a connection before the request is on it: in TLS 1.3 the client has done with the handshake before
//! the target has looked at its certificate. Was the end read first, then hyper drops the request with the cause, or, if
//! it was being handed over at that moment, never answers it (hyper#4122). Read after the request, the end is its answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::Sleep;

/// A connection that waits unused in the pool is read after this long, lest its end be missed.
const SILENCE_MAX: Duration = Duration::from_secs(1);

pub(super) struct ClientFirst<S> {
    stream: S,
    /// Nothing is read until it ends or the client has written.
    silence: Option<Pin<Box<Sleep>>>,
}

impl<S> ClientFirst<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            silence: Some(Box::pin(tokio::time::sleep(SILENCE_MAX))),
        }
    }

    fn speak(&mut self, context: &Context<'_>) {
        if self.silence.take().is_some() {
            // The reader was put off; it is the same task.
            context.waker().wake_by_ref();
        }
    }
}

impl<S: Read + Unpin> Read for ClientFirst<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(silence) = &mut self.silence {
            ready!(silence.as_mut().poll(context));
            self.silence = None;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for ClientFirst<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.speak(context);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.speak(context);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

impl<S: Connection> Connection for ClientFirst<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
