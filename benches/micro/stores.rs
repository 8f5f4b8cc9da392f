//! Each operation of each store, as many at once as a batch has: what a store joins into one commit, one script
//! call or one sync shows in the elements a second.

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::redis::IntoConnectionInfo as _;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::future::join_all;
use hookgate::{
    clock::Clock,
    config::Durability,
    event::{AttemptRecord, BodyDigest, Event, EventKey, NewDelivery, Outcome, event_uid},
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Settled, Settlement, Store, Want,
        embedded::{Embedded, Options},
        redis::{self, RedisStore},
    },
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::redis::Redis;

const BATCHES: [usize; 4] = [1, 8, 64, 256];
const BODY_BYTES: usize = 1024;
const TARGET: &str = "sink";
/// Longer than any benchmark.
const LEASE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    EmbeddedMemory,
    EmbeddedAlways,
    Redis,
}

pub(crate) const ALL: [Kind; 3] = [Kind::EmbeddedMemory, Kind::EmbeddedAlways, Kind::Redis];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::EmbeddedMemory => "embedded-memory",
            Self::EmbeddedAlways => "embedded-always",
            Self::Redis => "redis-always",
        }
    }
}

/// A batch of concurrent accepts, each of a new event of one delivery.
pub(crate) fn accept(criterion: &mut Criterion, kind: Kind) {
    bench(criterion, kind, "accept", async |subject, batch| {
        let events = subject.events(batch, None);
        let began = Instant::now();
        let accepted = join_all(events.into_iter().map(|event| subject.store.accept(event))).await;
        let took = began.elapsed();
        assert!(accepted.iter().all(is_new));
        took
    });
}

/// One claim of a batch that waits, its events read back with it.
pub(crate) fn claim(criterion: &mut Criterion, kind: Kind) {
    bench(criterion, kind, "claim", async |subject, batch| {
        subject.accepted(batch, None).await;
        let want = [Want {
            target: TARGET.into(),
            max: batch,
            lease: LEASE,
        }];
        let began = Instant::now();
        let claims = subject.store.claim(&want).await.unwrap();
        let took = began.elapsed();
        assert_eq!(claims.claimed.len(), batch);
        // Lest a round find more claims open than a dispatcher would hold.
        let settlements = claims
            .claimed
            .iter()
            .map(|claimed| subject.settlement(&claimed.event, claimed.lease.token));
        join_all(settlements.map(|settlement| subject.store.settle(settlement))).await;
        took
    });
}

/// A batch of concurrent settlements of claimed deliveries, as delivered.
pub(crate) fn settle(criterion: &mut Criterion, kind: Kind) {
    bench(criterion, kind, "settle", async |subject, batch| {
        let settlements = subject.accepted(batch, Some(LEASE)).await;
        let began = Instant::now();
        let calls = settlements
            .into_iter()
            .map(|settlement| subject.store.settle(settlement));
        let settled = join_all(calls).await;
        let took = began.elapsed();
        assert!(
            settled
                .iter()
                .all(|settled| matches!(settled, Ok(Settled::Done)))
        );
        took
    });
}

/// `once` does a batch and tells how long the measured part took.
fn bench(
    criterion: &mut Criterion,
    kind: Kind,
    operation: &str,
    once: impl AsyncFn(&Subject, usize) -> Duration,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group(format!("{operation}/{}", kind.name()));
    for batch in BATCHES {
        // A store of its own, made only when this benchmark is asked for.
        let subject = OnceCell::new();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            let subject = subject.get_or_init(|| Subject::open(kind, &runtime));
            bencher.to_async(&runtime).iter_custom(async |rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    took += once(subject, batch).await;
                }
                took
            });
        });
        if let Some(subject) = subject.into_inner() {
            runtime.block_on(subject.store.close());
        }
    }
    group.finish();
}

/// An empty store; what it wrote goes when it is dropped.
struct Subject {
    store: Arc<dyn Store>,
    clock: Clock,
    next: AtomicU64,
    // In this order: the server goes before its directory.
    _server: Option<Redis>,
    _directory: TempDir,
}

impl Subject {
    fn open(kind: Kind, runtime: &Runtime) -> Self {
        let labels = Labels {
            routes: &[],
            targets: &[],
            reasons: &[],
        };
        let metrics = Arc::new(Metrics::new(&labels).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let embedded = |durability| -> Arc<dyn Store> {
            let options = Options {
                directory: directory.path().join("data"),
                durability,
            };
            Arc::new(Embedded::open(options, clock.clone(), metrics.clone()).unwrap())
        };
        let (store, server) = match kind {
            Kind::EmbeddedMemory => (embedded(Durability::Memory), None),
            Kind::EmbeddedAlways => (embedded(Durability::Always), None),
            Kind::Redis => {
                let server = Redis::start(directory.path());
                let url = format!("redis://127.0.0.1:{}/", server.port);
                let connection = url.into_connection_info().unwrap();
                let options = redis::Options::new(connection, Durability::Always);
                let opening = RedisStore::open(options, metrics.clone());
                let store: Arc<dyn Store> = Arc::new(runtime.block_on(opening).unwrap());
                (store, Some(server))
            }
        };
        Self {
            store,
            clock,
            next: AtomicU64::new(0),
            _server: server,
            _directory: directory,
        }
    }

    /// New events with distinct ids.
    fn events(&self, number: usize, lease: Option<Duration>) -> Vec<Arc<Event>> {
        let event = |_| Arc::new(self.event(lease));
        (0..number).map(event).collect()
    }

    fn event(&self, lease: Option<Duration>) -> Event {
        let id = format!("evt_{}", self.next.fetch_add(1, Ordering::Relaxed));
        let start = format!(r#"{{"id":"{id}","type":"order.created","data":""#);
        let filler = "x".repeat(BODY_BYTES - start.len() - 2);
        let body = Bytes::from(format!("{start}{filler}\"}}"));
        let key = EventKey::new("bench", &id);
        let received_at = self.clock.now();
        Event {
            uid: event_uid(key, received_at),
            key,
            route: "bench".into(),
            id: id.into(),
            event_type: Some("order.created".into()),
            credential: None,
            request_id: None,
            received_at,
            dedupe_window: Duration::from_secs(4 * 24 * 3600),
            content_type: Some("application/json".into()),
            headers: Vec::new(),
            digest: BodyDigest::of(&body),
            body,
            deliveries: vec![NewDelivery {
                target: TARGET.into(),
                lease,
                order: None,
            }],
            together: false,
        }
    }

    /// Accepts new events; the settlements are of those that were accepted claimed.
    async fn accepted(&self, number: usize, lease: Option<Duration>) -> Vec<Settlement> {
        let accepts = self.events(number, lease).into_iter().map(async |event| {
            match self.store.accept(event.clone()).await {
                Ok(Acceptance::Accepted { leases }) => {
                    let lease = leases.into_iter().next().flatten()?;
                    Some(self.settlement(&event, lease.token))
                }
                other => panic!("{other:?}"),
            }
        });
        join_all(accepts).await.into_iter().flatten().collect()
    }

    fn settlement(&self, event: &Event, token: i64) -> Settlement {
        Settlement {
            uid: event.uid,
            target: TARGET.into(),
            token,
            outcome: Outcome::Delivered,
            attempt: Some(AttemptRecord {
                started_at: self.clock.now(),
                duration: Duration::from_millis(7),
                status: Some(200),
                error: None,
                response_head: Bytes::from_static(b"ok"),
            }),
            order: None,
            route: "bench".into(),
        }
    }
}

fn is_new(accepted: &Result<Acceptance, hookgate::store::StoreError>) -> bool {
    matches!(accepted, Ok(Acceptance::Accepted { .. }))
}
