//! A connection on which a test writes the very bytes it wants: partial heads, bad chunks, two framings.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rustls::{SupportedProtocolVersion, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    PATIENCE,
    client::{Reply, SERVER_NAME, tls_config},
};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection, TLS or plain.
pub struct Raw {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl Raw {
    /// TLS, trusting only `certificate_pem`; panics when the handshake fails.
    pub async fn tls(address: SocketAddr, certificate_pem: &str) -> Self {
        Self::try_tls(address, certificate_pem, rustls::ALL_VERSIONS)
            .await
            .expect("a TLS handshake")
    }

    /// `Err` when the gateway refuses the connection or the handshake.
    pub async fn try_tls(
        address: SocketAddr,
        certificate_pem: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Self> {
        let connector = TlsConnector::from(Arc::new(tls_config(certificate_pem, versions)));
        let name = ServerName::try_from(SERVER_NAME).expect("a server name");
        let handshake = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            connector.connect(name, tcp).await
        };
        let stream = tokio::time::timeout(PATIENCE, handshake).await??;
        Ok(Self::over(stream))
    }

    pub async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a connection"))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: BytesMut::new(),
        }
    }

    /// Writes and flushes. The other side may have closed: that is for a later read to tell.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if self.stream.write_all(bytes.as_ref()).await.is_ok() {
            self.stream.flush().await.ok();
        }
    }

    /// Says that nothing more will be written; reading goes on.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// The next response, an interim `100 Continue` too; `None` when the connection is closed before a whole one.
    /// Panics when nothing comes for [`PATIENCE`].
    pub async fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = take_reply(&mut self.buffer) {
                return Some(reply);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads until the gateway closes, and returns all that came before; panics when it stays open for [`PATIENCE`].
    pub async fn closed(&mut self) -> Bytes {
        while self.fill().await {}
        self.buffer.split().freeze()
    }

    /// Reads once into the buffer; false when the gateway has closed, in good order or not.
    async fn fill(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
        match read.await {
            Ok(Ok(count)) => count > 0,
            Ok(Err(_)) => false,
            Err(_) => panic!(
                "still open, and silent, after {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }
}

/// Takes a whole response off the front, when one is there.
fn take_reply(buffer: &mut BytesMut) -> Option<Reply> {
    let head_end = find(buffer, b"\r\n\r\n")? + 4;
    let (status, headers) = parse_head(&buffer[..head_end]);
    let rest = &buffer[head_end..];
    let (body, used) = if status.is_informational() || status == StatusCode::NO_CONTENT {
        (Bytes::new(), 0)
    } else if headers.contains_key("transfer-encoding") {
        unchunk(rest)?
    } else {
        let length = headers.get("content-length").map_or(0, |value| {
            let text = value.to_str().expect("a length in ASCII");
            text.parse().expect("a length")
        });
        (Bytes::copy_from_slice(rest.get(..length)?), length)
    };
    buffer.advance(head_end + used);
    Some(Reply {
        status,
        headers,
        body,
    })
}

fn parse_head(head: &[u8]) -> (StatusCode, HeaderMap) {
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3))
        .unwrap_or_else(|| panic!("no status line: {head:?}"));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header line");
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
            HeaderValue::from_str(value.trim()).expect("a header value"),
        );
    }
    (status.parse().expect("a status"), headers)
}

/// The body and the bytes that it took; `None` when it is not whole yet.
fn unchunk(rest: &[u8]) -> Option<(Bytes, usize)> {
    let (mut body, mut at) = (BytesMut::new(), 0);
    loop {
        let line = find(&rest[at..], b"\r\n")?;
        let size = std::str::from_utf8(&rest[at..at + line]).expect("a chunk size");
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        at += line + 2;
        let chunk = rest.get(at..at + size)?;
        rest.get(at + size..at + size + 2)?;
        body.extend_from_slice(chunk);
        at += size + 2;
        if size == 0 {
            return Some((body.freeze(), at));
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
