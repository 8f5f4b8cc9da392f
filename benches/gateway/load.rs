//! The client: signed requests made beforehand, over TLS, in a closed or an open loop.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{
    HandshakeKind,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Result, body::order};

pub(crate) const SECRET: &str = "a-benchmark-secret-of-32-bytes!!";
/// What stands before an event's id in its body.
const BEFORE_ID: &str = r#"{"id":"evt_"#;

type Stream = TlsStream<TcpStream>;

/// Names an event: no two of a run have the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Id {
    pub(crate) turn: u32,
    pub(crate) number: usize,
}

impl Id {
    /// Reads it from a body of this module.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let text = body.get(BEFORE_ID.len()..BEFORE_ID.len() + 17)?;
        let (turn, number) = std::str::from_utf8(text).ok()?.split_once('_')?;
        Some(Self {
            turn: u32::from_str_radix(turn, 16).ok()?,
            number: usize::from_str_radix(number, 16).ok()?,
        })
    }
}

/// The requests of one turn. Connection `c` sends the events `c`, `c + connections`, and so on.
pub(crate) struct Batch {
    pub(crate) turn: u32,
    pub(crate) events: usize,
    lanes: Vec<Vec<Bytes>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) events: usize,
    pub(crate) connections: usize,
    pub(crate) body_bytes: usize,
    /// Events go round them in turn.
    pub(crate) routes: usize,
}

impl Batch {
    pub(crate) fn new(turn: u32, shape: Shape) -> Self {
        let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
        let one = |number: usize| {
            let route = number % shape.routes;
            let start = format!(r#"{BEFORE_ID}{turn:08x}_{number:08x}","#);
            let body = order(&start, shape.body_bytes);
            assert_eq!(body.len(), shape.body_bytes);
            let signature = hex::encode(key.clone().chain_update(&body).finalize().into_bytes());
            Bytes::from(format!(
                "POST /hooks/{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
        };
        let lane = |connection| (connection..shape.events).step_by(shape.connections);
        Self {
            turn,
            events: shape.events,
            lanes: (0..shape.connections)
                .map(|connection| lane(connection).map(one).collect())
                .collect(),
        }
    }
}

/// Trusts this certificate alone; each connector resumes its own sessions, or none.
pub(crate) fn connector(certificate_pem: &str, resume: bool) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate_pem.as_bytes())?)?;
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = match resume {
        true => Resumption::in_memory_sessions(8),
        false => Resumption::disabled(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(address: SocketAddr, connector: &TlsConnector) -> Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(connector.connect(name, tcp).await?)
}

/// A connection for each lane of the batch, spread over the servers.
pub(crate) async fn connections(
    addresses: &[SocketAddr],
    connectors: &[TlsConnector],
    batch: &Batch,
) -> Result<Vec<Stream>> {
    let mut streams = Vec::new();
    for lane in 0..batch.lanes.len() {
        let address = addresses[lane % addresses.len()];
        streams.push(connect(address, &connectors[lane % connectors.len()]).await?);
    }
    Ok(streams)
}

/// Each connection sends its next request when it has the answer to the last one.
pub(crate) async fn closed_loop(streams: Vec<Stream>, batch: &Batch) -> Result<()> {
    let drive = |(mut stream, requests): (Stream, Vec<Bytes>)| async move {
        let mut buffer = Vec::with_capacity(4096);
        for request in &requests {
            exchange(&mut stream, request, &mut buffer).await?;
        }
        Ok(())
    };
    let lanes = streams.into_iter().zip(batch.lanes.iter().cloned());
    all(lanes.map(drive)).await.map(drop)
}

/// Each request has a connection of its own. Returns which share of the handshakes resumed a session.
pub(crate) async fn new_connections(
    address: SocketAddr,
    connectors: &[TlsConnector],
    batch: &Batch,
) -> Result<f64> {
    let drive = |(connector, requests): (TlsConnector, Vec<Bytes>)| async move {
        let mut buffer = Vec::with_capacity(4096);
        let mut resumed = 0;
        for request in &requests {
            let mut stream = connect(address, &connector).await?;
            exchange(&mut stream, request, &mut buffer).await?;
            let kind = stream.get_ref().1.handshake_kind();
            resumed += usize::from(kind == Some(HandshakeKind::Resumed));
            stream.shutdown().await?;
        }
        Ok(resumed)
    };
    let lanes = connectors.iter().cloned().zip(batch.lanes.iter().cloned());
    let resumed: usize = all(lanes.map(drive)).await?.into_iter().sum();
    Ok(resumed as f64 / batch.events as f64)
}

/// What an open loop came to.
pub(crate) struct Open {
    /// From the time at which each request was due, in nanoseconds.
    pub(crate) answers: Histogram<u64>,
    began: Instant,
    interval: Duration,
}

impl Open {
    /// When a request was due.
    pub(crate) fn due(&self, number: usize) -> Instant {
        due(self.began, self.interval, number)
    }
}

/// Requests are due at fixed intervals, whatever the answers do: one that waits for its connection waits on the clock.
pub(crate) async fn open_loop(
    streams: Vec<Stream>,
    batch: &Batch,
    per_second: f64,
) -> Result<Open> {
    let mut lines = Vec::new();
    let mut drives = Vec::new();
    for (stream, requests) in streams.into_iter().zip(batch.lanes.iter().cloned()) {
        let (line, schedule) = mpsc::unbounded_channel();
        lines.push(line);
        drives.push(drive_scheduled(stream, requests, schedule));
    }
    let interval = Duration::from_secs_f64(1.0 / per_second);
    let began = Instant::now() + Duration::from_millis(20);
    let events = batch.events;
    // A thread, since tokio's timers have a grain of a millisecond.
    let pace = tokio::task::spawn_blocking(move || -> Result<()> {
        // Else the kernel may let each sleep end 50 µs late.
        nix::sys::prctl::set_timerslack(1)?;
        for number in 0..events {
            let due = due(began, interval, number);
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            let line: &mpsc::UnboundedSender<Instant> = &lines[number % lines.len()];
            if line.send(due).is_err() {
                // The connection has failed and tells why itself.
                break;
            }
        }
        Ok(())
    });
    let mut answers = histogram();
    for lane in all(drives.into_iter()).await? {
        answers.add(lane)?;
    }
    pace.await??;
    Ok(Open {
        answers,
        began,
        interval,
    })
}

fn due(began: Instant, interval: Duration, number: usize) -> Instant {
    began + interval.mul_f64(number as f64)
}

async fn drive_scheduled(
    mut stream: Stream,
    requests: Vec<Bytes>,
    mut schedule: mpsc::UnboundedReceiver<Instant>,
) -> Result<Histogram<u64>> {
    let mut answers = histogram();
    let mut buffer = Vec::with_capacity(4096);
    for request in &requests {
        let Some(due) = schedule.recv().await else {
            break;
        };
        exchange(&mut stream, request, &mut buffer).await?;
        record(&mut answers, due.elapsed());
    }
    Ok(answers)
}

/// Nanoseconds up to minutes, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000_000, 3).expect("fixed bounds")
}

pub(crate) fn record(histogram: &mut Histogram<u64>, taken: Duration) {
    histogram.saturating_record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
}

/// Runs all at once, until the end or the first fault.
async fn all<T: Send + 'static>(
    futures: impl Iterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let mut tasks = tokio::task::JoinSet::new();
    for future in futures {
        tasks.spawn(future);
    }
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result??);
    }
    Ok(results)
}

async fn exchange(stream: &mut Stream, request: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    buffer.clear();
    while !is_whole(buffer) {
        if stream.read_buf(buffer).await? == 0 {
            let text = String::from_utf8_lossy(buffer);
            return Err(format!("the server closed the connection: {text}").into());
        }
    }
    match buffer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!("refused:\n{}", String::from_utf8_lossy(buffer)).into()),
    }
}

/// Whether a response with a `Content-Length` has arrived to its end.
fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else {
        return false;
    };
    let length = content_length(&response[..head + 4]);
    length.is_some_and(|length| response.len() >= head + 4 + length)
}

/// From the head of a message.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    let value = std::str::from_utf8(&line[NAME.len()..]).ok()?;
    value.trim().parse().ok()
}
