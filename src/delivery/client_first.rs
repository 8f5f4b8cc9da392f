//! A connection on which the client speaks first, as HTTP/1.1 has it: nothing is read before something was written.
//!
//! A target may end a connection before the request is on it: in TLS 1.3 the client has done with the handshake before
//! the target has looked at its certificate. If the end is read first, hyper drops the cause or, when the request is just
//! being handed to the connection, never answers it (hyper#4122). Read after the request, the end is the answer to it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::Sleep;

pub(super) struct ClientFirst<S> {
    stream: S,
    /// Nothing is read until it ends or the client has written.
    silence: Option<Pin<Box<Sleep>>>,
}

impl<S> ClientFirst<S> {
    /// After `silence` an unused connection is read all the same, lest its end be missed.
    pub(super) fn new(stream: S, silence: Duration) -> Self {
        Self {
            stream,
            silence: Some(Box::pin(tokio::time::sleep(silence))),
        }
    }

    fn speak(&mut self, context: &Context<'_>) {
        if self.silence.take().is_some() {
            // The reader was put off; it is the same task.
            context.waker().wake_by_ref();
        }
    }
}

impl<S: Read + Unpin> ClientFirst<S> {
    /// Puts what the target has said in the place of a failed write: it says why, and then closes.
    fn explain<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Err(_))) {
            let mut unread = [0];
            let mut buffer = ReadBuf::new(&mut unread);
            let read = Pin::new(&mut self.stream).poll_read(context, buffer.unfilled());
            if let Poll::Ready(Err(said)) = read {
                return Poll::Ready(Err(said));
            }
        }
        written
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

impl<S: Read + Write + Unpin> Write for ClientFirst<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.speak(context);
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.explain(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.explain(context, flushed)
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.explain(context, written)
    }
}

impl<S: Connection> Connection for ClientFirst<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use hyper::client::conn::http1;

    use super::*;

    /// Has been refused by the other side, which reads what comes all the same, or has gone.
    struct Refused {
        is_gone: bool,
    }

    impl Read for Refused {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("refused")))
        }
    }

    impl Write for Refused {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(match self.is_gone {
                true => Err(io::ErrorKind::BrokenPipe.into()),
                false => Ok(bytes.len()),
            })
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_end_before_the_request_is_the_answer_to_it() {
        for is_gone in [false, true] {
            let stream = ClientFirst::new(Refused { is_gone }, Duration::MAX);
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            sender.ready().await.unwrap();
            let request = Request::new(Full::<Bytes>::from("{}"));
            let error = sender.send_request(request).await.unwrap_err();
            assert_eq!(error.source().unwrap().to_string(), "refused");
            connection.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn the_end_of_an_unused_connection_is_seen() {
        let stream = ClientFirst::new(Refused { is_gone: false }, Duration::ZERO);
        let (_sender, connection) = http1::handshake::<_, Full<Bytes>>(stream).await.unwrap();
        let error = connection.await.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "refused");
    }
}
