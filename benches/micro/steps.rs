//! The steps of a request that need no store, over bodies of several sizes.

use std::{hint::black_box, net::SocketAddr, path::Path, sync::Arc};

use actix_http::{
    Method, Payload, RequestHead, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, async_executor::AsyncExecutor};
use hookgate::{
    clock::Clock,
    config::{Config, Pointer, Verifier, Verify},
    event::{BodyDigest, EventKey, event_uid},
    ingest::{self, Gate, json::Plan},
    metrics::{Labels, Metrics},
    providers::preset,
    signature::{self, Headers, KeyedScheme, Message, Repeated, Signing, Validity},
};

use sha2::{Digest as _, Sha256};

use crate::{
    SIZES,
    common::{Null, config},
};

/// 32 bytes, and also what base64 takes.
const SECRET: &str = "YS1iZW5jaG1hcmstc2VjcmV0LW9mLTMyLWJ5dGVzISE=";

/// `Scheme::verify`: one secret, a right signature.
pub(crate) fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    let now = Clock::system().now();
    for provider in ["github", "stripe", "slack", "standard-webhooks"] {
        let scheme = &preset(provider).unwrap().schemes()[0];
        let secrets = [scheme
            .keyed_secret("bench", SECRET.as_bytes(), Validity::default())
            .unwrap()];
        let keyed = [KeyedScheme {
            scheme: scheme.clone(),
            secrets: secrets.to_vec(),
        }];
        for size in SIZES {
            let body = order(size);
            let signed = scheme.sign(&secrets[0], &Signing::new("evt_1", now, &body));
            let headers = Pairs(signed.unwrap().headers);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(provider, size), |bencher| {
                bencher.iter(|| {
                    signature::verify(&keyed, &Message::new(&headers, black_box(&body)), now)
                        .unwrap()
                });
            });
        }
    }
    group.finish();
}

/// `Plan::scan`: the one pass over the body, with three pointers.
pub(crate) fn validate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    let pointers = ["/id", "/type", "/data/customer"].map(|text| Pointer::parse(text).unwrap());
    let plan = Plan::new(&pointers);
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for (shape, body) in [("order", order(size)), ("one-string", one_string(size))] {
            group.bench_function(BenchmarkId::new(shape, size), |bencher| {
                bencher.iter(|| plan.scan(black_box(&body)).unwrap());
            });
        }
    }
    let refused = [
        ("too-deep", format!("{}{}", "[".repeat(65), "]".repeat(65))),
        ("duplicate-key", r#"{"id":"evt_1","id":"evt_2"}"#.to_owned()),
    ];
    for (fault, body) in refused {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("refused", fault), |bencher| {
            bencher.iter(|| plan.scan(black_box(body.as_bytes())).unwrap_err());
        });
    }
    group.finish();
}

/// The body's digest, the event's key and its uid.
pub(crate) fn identify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identify");
    let now = Clock::system().now();
    for size in SIZES {
        let body = order(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("digest-key-uid", size), |bencher| {
            bencher.iter(|| {
                let digest = BodyDigest::of(black_box(&body));
                let key = EventKey::new(black_box("bench"), black_box("evt_1"));
                (digest, event_uid(key, now))
            });
        });
    }
    group.finish();
}

/// What each of the gateway's serving threads runs.
struct Serving(actix_rt::Runtime);

impl AsyncExecutor for &Serving {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

/// `ingest::receive`, from head and body to answer, in front of a store that does nothing. The API key, which has
/// no function of its own to measure, is the difference between `api-key` and `none`.
pub(crate) fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    let runtime = Serving(actix_rt::Runtime::new().unwrap());
    let proofs = [
        ("none", r#"verify = "none""#.to_owned()),
        (
            "api-key",
            format!(
                r#"verify = {{ api_key = {{ header = "X-Api-Key" }}, keys = [{{ name = "bench", sha256 = "{}" }}] }}"#,
                hex::encode(Sha256::digest(SECRET.as_bytes()))
            ),
        ),
        (
            "github",
            format!("provider = \"github\"\nsecrets = [{{ value = \"{SECRET}\" }}]"),
        ),
    ];
    for (name, proof) in proofs {
        let config = config(Path::new(""), &proof);
        let desk = Arc::new(gate(&config)).desk();
        for size in SIZES {
            let body = Bytes::from(order(size));
            let head = head(&config, &body);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.to_async(&runtime).iter_batched(
                    || Payload::from(body.clone()),
                    async |payload| {
                        let answer = ingest::receive(&desk, None, &head, payload).await;
                        assert_eq!(answer.status(), StatusCode::OK);
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn gate(config: &Config) -> Gate {
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Metrics::new(&labels).unwrap();
    Gate::new(config, Arc::new(Null), Clock::system(), &metrics)
}

/// With whatever proof the route asks for.
fn head(config: &Config, body: &[u8]) -> RequestHead {
    let mut head = RequestHead::default();
    head.method = Method::POST;
    head.uri = Uri::from_static("/hooks/bench");
    head.peer_addr = Some(SocketAddr::from(([127, 0, 0, 1], 50_000)));
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("content-length".to_owned(), body.len().to_string()),
    ];
    if let Verify::All(verifiers) = &config.routes[0].verify {
        headers.extend(verifiers.iter().flat_map(|verifier| proof(verifier, body)));
    }
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        head.headers
            .insert(name, HeaderValue::from_str(&value).unwrap());
    }
    head
}

fn proof(verifier: &Verifier, body: &[u8]) -> Vec<(String, String)> {
    match verifier {
        Verifier::ApiKey { header, .. } => vec![(header.clone(), SECRET.to_owned())],
        Verifier::Signature(verifier) => {
            let KeyedScheme { scheme, secrets } = &verifier.schemes[0];
            let signing = Signing::new("evt_1", Clock::system().now(), body);
            scheme.sign(&secrets[0], &signing).unwrap().headers
        }
        other => panic!("no request for {other:?}"),
    }
}

/// Names in lower case.
struct Pairs(Vec<(String, String)>);

impl Headers for Pairs {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let found = self.0.iter().find(|(known, _)| known == name);
        Ok(found.map(|(_, value)| value.as_bytes()))
    }
}

/// A body of `size` bytes with many small values, as an order has them.
fn order(size: usize) -> Vec<u8> {
    let line = r#"{"sku":"A-1042-B","quantity":3,"price":19.95,"tax":null,"gift":false,"tags":["new","summer"]}"#;
    let start =
        r#"{"id":"evt_1","type":"order.created","data":{"customer":"cus_81","lines":["#.to_owned();
    let lines = (size - start.len() - 16) / (line.len() + 1);
    let end = format!(r#"{}]}},"pad":""#, vec![line; lines].join(","));
    padded(start + &end, size)
}

fn one_string(size: usize) -> Vec<u8> {
    padded(
        r#"{"id":"evt_1","type":"order.created","data":{"customer":"cus_81"},"pad":""#.to_owned(),
        size,
    )
}

/// `start` ends within a string of the outermost object.
fn padded(start: String, size: usize) -> Vec<u8> {
    let pad = "x".repeat(size - start.len() - 2);
    format!(r#"{start}{pad}"}}"#).into_bytes()
}
