//! The request path in process, for counting its instructions: from a request's head and body to its answer,
//! without sockets, TLS and HTTP parsing.
//!
//! `benches/callgrind` runs this under valgrind. By itself it only says that the path works:
//! `cargo bench --bench instructions -- --store null|embedded --body string|order --requests N`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly and speaks to people"
)]

#[path = "../common/mod.rs"]
mod common;

use std::{net::SocketAddr, path::Path, sync::Arc};

use actix_http::{
    Method, Payload, RequestHead, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookgate::{
    clock::Clock,
    config::{Config, Durability},
    ingest::{Desk, Gate, receive, rejection::Reason},
    metrics::{Labels, Metrics, RouteLabels},
    store::{
        Store,
        embedded::{Embedded, Options},
        handover::Handover,
        metered::Metered,
    },
};
use sha2::Sha256;

use common::{Null, config};

const SECRET: &str = "a-benchmark-secret-of-32-bytes!!";
const BODY_BYTES: usize = 1024;
/// Requests that are served at once, as by a gateway that is kept busy.
const AT_ONCE: usize = 64;

struct Request {
    head: RequestHead,
    payload: Payload,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let requests = value("--requests").map_or(1000, |number| number.parse().unwrap());
    let store = value("--store").unwrap_or("null");
    tell_code_path();
    let directory = tempfile::tempdir().unwrap();
    // What each of the gateway's serving threads runs.
    let runtime = actix_rt::Runtime::new().unwrap();
    let requests = prepare_requests(requests, value("--body").unwrap_or("string"));
    runtime.block_on(async {
        let config = config(directory.path(), &proof());
        let metrics = Arc::new(metrics(&config));
        let inner = open(store, directory.path(), &metrics);
        let metered = Arc::new(Metered::new(inner.clone(), metrics.clone()));
        // As in the gateway, but no target has a lane: deliveries stay in the store.
        let store = Handover::new(metered, tokio::runtime::Handle::current());
        let gate = Gate::new(&config, Arc::new(store), Clock::system(), &metrics);
        drive(&Arc::new(gate).desk(), requests).await;
        inner.close().await;
    });
}

/// Which SHA-256 the processor, or what valgrind makes of it, gets.
fn tell_code_path() {
    #[cfg(target_arch = "x86_64")]
    println!(
        "sha-ni {}, avx2 {}, avx512f {}",
        std::is_x86_feature_detected!("sha"),
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("avx512f")
    );
}

/// In groups, since the embedded store takes all that waits into one transaction.
async fn drive(desk: &Desk, requests: Vec<Request>) {
    let mut requests = requests.into_iter();
    loop {
        let group: Vec<_> = requests.by_ref().take(AT_ONCE).collect();
        if group.is_empty() {
            return;
        }
        // Boxed, so that it keeps a name of its own in the machine code.
        join_all(
            group
                .into_iter()
                .map(|request| serve(desk, request).boxed_local()),
        )
        .await;
    }
}

async fn serve(desk: &Desk, request: Request) {
    let answer = receive(desk, None, &request.head, request.payload).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    // The server keeps heads for other requests; freeing this one is not the path's work.
    std::mem::forget(request.head);
}

fn open(name: &str, directory: &Path, metrics: &Arc<Metrics>) -> Arc<dyn Store> {
    match name {
        "null" => Arc::new(Null),
        "embedded" => {
            let options = Options {
                directory: directory.join("data"),
                durability: Durability::Memory,
            };
            Arc::new(Embedded::open(options, Clock::system(), metrics.clone()).unwrap())
        }
        other => panic!("--store {other}: not null or embedded"),
    }
}

fn proof() -> String {
    format!(
        r#"verify = {{ hmac = {{ header = "X-Signature", algorithm = "sha256", encoding = "hex" }}, secrets = [{{ value = "{SECRET}" }}] }}"#
    )
}

fn metrics(config: &Config) -> Metrics {
    let routes: Vec<_> = config
        .routes
        .iter()
        .map(|route| RouteLabels {
            name: route.name.clone(),
            credentials: vec!["secrets[0]".to_owned()],
            credentials_end: Vec::new(),
            handshakes: Vec::new(),
            targets: vec!["sink".into()],
        })
        .collect();
    let targets: Vec<_> = config.targets.keys().cloned().collect();
    let reasons: Vec<_> = Reason::all().map(Reason::as_str).collect();
    Metrics::new(&Labels {
        routes: &routes,
        targets: &targets,
        reasons: &reasons,
    })
    .unwrap()
}

/// What a caller does; `benches/callgrind` leaves out this function by its name.
#[inline(never)]
fn prepare_requests(number: usize, shape: &str) -> Vec<Request> {
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let data = match shape {
        // The least that the JSON reader can have to do, as in the bench `gateway`.
        "string" => String::new(),
        "order" => {
            let line = r#"{"sku":"A-1042-B","quantity":3,"price":19.95,"tax":null,"gift":false,"tags":["new","summer"]}"#;
            format!(r#""lines":[{}],"#, [line; 9].join(","))
        }
        other => panic!("--body {other}: not string or order"),
    };
    (0..number)
        .map(|number| request(&key, number, &data))
        .collect()
}

fn request(key: &Hmac<Sha256>, number: usize, data: &str) -> Request {
    let start = format!(r#"{{"id":"evt_{number}","type":"order.created",{data}"data":""#);
    let filler = "x".repeat(BODY_BYTES - start.len() - 2);
    let body = Bytes::from(format!("{start}{filler}\"}}"));
    let signature = hex::encode(key.clone().chain_update(&body).finalize().into_bytes());
    let mut head = RequestHead::default();
    head.method = Method::POST;
    head.uri = Uri::from_static("/hooks/bench");
    head.peer_addr = Some(SocketAddr::from(([127, 0, 0, 1], 50_000)));
    let headers = [
        ("host", "localhost".to_owned()),
        ("user-agent", "bench/1.0".to_owned()),
        ("accept", "*/*".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("content-length", body.len().to_string()),
        ("x-signature", signature),
    ];
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).unwrap();
        head.headers.insert(HeaderName::from_static(name), value);
    }
    Request {
        head,
        payload: Payload::from(body),
    }
}
