//! Accepted events a second over HTTPS, on each store, beside a bare handler that only reads the body and answers 200.
//!
//! `cargo bench --bench gateway` (`-- --quick` for a short run, `-- --only embedded` for a profile). All contestants take turns in one run on the same cores, with
//! the same TLS, the same client and the same bytes: 1 KiB JSON bodies with distinct ids, signed beforehand with
//! HMAC-SHA256, over keep-alive connections. The figure to quote is the ratio; a machine's mood moves the rest.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark may fail loudly and speaks to people"
)]

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookgate::{app::App, clock::Clock, config::Config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const SECRET: &str = "a-benchmark-secret-of-32-bytes!!";
const BODY_BYTES: usize = 1024;

struct Plan {
    rounds: usize,
    events: usize,
    connections: usize,
    /// Only the contestants whose names hold this.
    only: String,
}

impl Plan {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str, default: usize| {
            let at = arguments.iter().position(|argument| argument == name);
            at.and_then(|at| arguments.get(at + 1)?.parse().ok())
                .unwrap_or(default)
        };
        let only = arguments.iter().position(|argument| argument == "--only");
        let quick = arguments.iter().any(|argument| argument == "--quick");
        Self {
            rounds: value("--rounds", if quick { 3 } else { 7 }),
            events: value("--events", if quick { 10_000 } else { 40_000 }),
            connections: value("--connections", 128),
            only: only
                .and_then(|at| arguments.get(at + 1).cloned())
                .unwrap_or_default(),
        }
    }
}

/// One server under test, already running.
struct Contestant {
    name: &'static str,
    address: SocketAddr,
    connector: TlsConnector,
    /// Events a second, one figure a round.
    rates: Vec<f64>,
}

fn main() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .unwrap();
    let plan = Plan::from_arguments();
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let redis = Redis::start(directory.path());
    let load = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut contestants = vec![runtime.block_on(bare(directory.path()))];
    let mut apps = Vec::new();
    let urls = [
        ("embedded", "file:data".to_owned()),
        ("redis", format!("redis://127.0.0.1:{}/", redis.port)),
    ];
    for (name, url) in urls {
        let (app, contestant) = runtime.block_on(gateway(name, &url, directory.path()));
        apps.push(app);
        contestants.push(contestant);
    }
    contestants.retain(|contestant| contestant.name.contains(&plan.only));
    for round in 0..=plan.rounds {
        let requests = requests(round, &plan);
        for contestant in &mut contestants {
            let rate = load.block_on(measure(contestant, &requests));
            eprintln!(
                "round {round}/{}: {:<9} {rate:>8.0} events/s",
                plan.rounds, contestant.name
            );
            // The first round warms up.
            if round > 0 {
                contestant.rates.push(rate);
            }
        }
    }
    report(&plan, &contestants);
    for app in apps {
        runtime.block_on(app.stop());
    }
}

fn report(plan: &Plan, contestants: &[Contestant]) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "accepted events/s",
        "min",
        "median",
        "max",
        "ratio to bare (median of rounds)",
    ]);
    let bare = &contestants[0];
    for contestant in contestants {
        let ratios = contestant
            .rates
            .iter()
            .zip(&bare.rates)
            .map(|(ours, bare)| ours / bare);
        let (low, middle, high) = spread(contestant.rates.clone());
        let (least, ratio, most) = spread(ratios.collect());
        table.add_row([
            contestant.name.to_owned(),
            format!("{low:.0}"),
            format!("{middle:.0}"),
            format!("{high:.0}"),
            format!("{ratio:.2} ({least:.2}–{most:.2})"),
        ]);
    }
    println!(
        "\n{table}\n{} rounds of {} events, {} connections, {BODY_BYTES}-byte bodies, durability = always, one paused target",
        plan.rounds, plan.events, plan.connections
    );
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}

/// A handler that reads the body and answers 200, over the same TLS.
async fn bare(directory: &Path) -> Contestant {
    use actix_web::{App, HttpResponse, HttpServer, web};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(directory.join("tls.crt"), &certificate).unwrap();
    std::fs::write(directory.join("tls.key"), &key).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handler = |body: web::Bytes| async move {
        HttpResponse::Ok().body(format!("{{\"bytes\":{}}}", body.len()))
    };
    let server = HttpServer::new(move || App::new().route("/hooks/bench", web::post().to(handler)))
        .disable_signals()
        .listen_rustls_0_23(listener, tls)
        .unwrap()
        .run();
    tokio::spawn(server);
    Contestant {
        name: "bare",
        address,
        connector: connector(&certificate),
        rates: Vec::new(),
    }
}

async fn gateway(name: &'static str, store: &str, directory: &Path) -> (App, Contestant) {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        max_connections_per_ip = 4096
        [server.tls]
        certificate = "tls.crt"
        private_key = "tls.key"
        [admin]
        listen = "127.0.0.1:0"
        [store]
        url = "{store}"
        durability = "always"
        [targets.sink]
        url = "http://127.0.0.1:9/"
        allow_private = true
        paused = true
        [routes.bench]
        path = "/hooks/bench"
        verify = {{ hmac = {{ header = "X-Signature", algorithm = "sha256", encoding = "hex" }}, secrets = [{{ value = "{SECRET}" }}] }}
        event_id = {{ json = "/id" }}
        event_type = {{ json = "/type" }}
        deliver = ["sink"]
        "#
    );
    let config = Config::parse(&text, "bench.toml", directory, &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    let app = App::start(config, Clock::system())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let connector = connector(app.certificate_pem());
    let contestant = Contestant {
        name,
        address: app.public_addr(),
        connector,
        rates: Vec::new(),
    };
    (app, contestant)
}

fn connector(certificate_pem: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Whole requests, for each connection in turn, with ids that no round repeats.
fn requests(round: usize, plan: &Plan) -> Vec<Vec<Bytes>> {
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let one = |connection: usize, number: usize| {
        let start = format!(
            r#"{{"id":"evt_{round}_{connection}_{number}","type":"order.created","data":""#
        );
        let filler = "x".repeat(BODY_BYTES - start.len() - 2);
        let body = format!("{start}{filler}\"}}");
        let signature = hex::encode(key.clone().chain_update(&body).finalize().into_bytes());
        Bytes::from(format!(
            "POST /hooks/bench HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let each = plan.events / plan.connections;
    (0..plan.connections)
        .map(|connection| (0..each).map(|number| one(connection, number)).collect())
        .collect()
}

/// Events a second in a closed loop; connections are made before the clock starts.
async fn measure(contestant: &Contestant, requests: &[Vec<Bytes>]) -> f64 {
    let mut streams = Vec::new();
    for _ in requests {
        let tcp = TcpStream::connect(contestant.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        streams.push(contestant.connector.connect(name, tcp).await.unwrap());
    }
    let began = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .zip(requests)
        .map(|(stream, requests)| tokio::spawn(drive(stream, requests.clone())))
        .collect();
    let mut events = 0;
    for task in tasks {
        events += task.await.unwrap();
    }
    events as f64 / began.elapsed().as_secs_f64()
}

async fn drive(mut stream: TlsStream<TcpStream>, requests: Vec<Bytes>) -> usize {
    let mut buffer = vec![0; 4096];
    for request in &requests {
        stream.write_all(request).await.unwrap();
        stream.flush().await.unwrap();
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(
                read > 0,
                "the server closed: {}",
                String::from_utf8_lossy(&buffer[..filled])
            );
            filled += read;
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..filled])
        );
    }
    requests.len()
}

/// Whether a response with a `Content-Length` has arrived to its end.
fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&response[..head]).unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    response.len() >= head + 4 + length.expect("a content-length")
}

/// A real server with what `durability = "always"` needs, on a free port.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // What is shipped, but for where it runs.
        let shipped = include_str!("../deploy/redis.conf").lines();
        let elsewhere = |line: &&str| {
            !["bind ", "dir ", "maxmemory "]
                .iter()
                .any(|key| line.starts_with(key))
        };
        let mut lines: Vec<&str> = shipped.filter(elsewhere).collect();
        let own = format!("bind 127.0.0.1\ndir {}", directory.display());
        lines.push(&own);
        let settings = directory.join("redis.conf");
        std::fs::write(&settings, lines.join("\n")).unwrap();
        let child = Command::new("redis-server")
            .arg(settings)
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server; run `make setup` to install it");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server did not start");
            std::thread::yield_now();
        }
        Self { child, port }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is only a benchmark's: whether it was still there does not matter.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
