//! Providers: they sign, post over HTTPS, and post again what was not answered with a 2xx.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hookgate::event::BodyDigest;
use http::Method;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use super::PATH;
use crate::support::{
    PATIENCE,
    client::{Client, Reply},
    gateway, sign,
};

/// A provider's wait before it sends again. Short, so that there is load as soon as there can be.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// Of so many ids one is not sent again after a failure.
const ABANDONED_ONE_IN: u32 = 8;
/// Of so many ids one is sent again although it was answered.
const REPEATED_ONE_IN: u32 = 8;
/// Of so many ids one is sent twice at the same moment.
const DOUBLED_ONE_IN: u32 = 8;
/// Of so many ids one is followed by the repetition of an old one.
const RECALLED_ONE_IN: u32 = 8;
/// Old ids to choose from.
const RECALLED_FROM: usize = 512;
const PADDING_MAX: usize = 2000;

/// One id's story, as its sender knows it.
#[derive(Debug)]
pub struct Posting {
    pub digest: BodyDigest,
    pub accepted: Vec<Uuid>,
    pub duplicate: Vec<Uuid>,
}

impl Posting {
    /// Whether the provider was told that the event is safe.
    pub fn is_acknowledged(&self) -> bool {
        !self.accepted.is_empty() || !self.duplicate.is_empty()
    }
}

/// A post without a 2xx.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Refused, reset or closed before the answer was whole.
    Unanswered,
    Answered {
        status: u16,
        code: String,
        retry_after: bool,
    },
}

#[derive(Default, Debug)]
pub struct Log {
    pub postings: BTreeMap<String, Posting>,
    pub failures: BTreeMap<Failure, usize>,
}

impl Log {
    pub fn acknowledged(&self) -> impl Iterator<Item = (&str, &Posting)> {
        let all = self.postings.iter();
        all.filter(|(_, posting)| posting.is_acknowledged())
            .map(|(id, posting)| (id.as_str(), posting))
    }

    /// Panics unless every failure is a 503 with this code and `Retry-After`, and there is at least one.
    #[track_caller]
    pub fn assert_only(&self, code: &str) {
        let only = Failure::Answered {
            status: 503,
            code: code.to_owned(),
            retry_after: true,
        };
        let kinds: Vec<_> = self.failures.keys().collect();
        assert_eq!(kinds, [&only], "{:?}", self.failures);
    }
}

/// Senders at work. [Stop](Self::stop) them to have their log.
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

/// How much the senders ask for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub senders: usize,
    /// Between two ids of a sender.
    pub pause: Duration,
    /// How long a sender waits for an answer.
    pub timeout: Duration,
}

struct Shared {
    gateways: Vec<Client>,
    pace: Pace,
    seed: u64,
    /// Some of the answered ids, with their bodies.
    old: Mutex<Vec<(String, String)>>,
    stop: AtomicBool,
    next: AtomicU64,
    acknowledged: watch::Sender<u64>,
    failed: watch::Sender<u64>,
    log: Mutex<Log>,
}

impl Load {
    /// Each sender goes round the gateways.
    /// None: only what the test [posts](Self::post) itself.
    pub fn start(gateways: &[&Client], senders: usize, seed: u64) -> Self {
        let pace = Pace {
            senders,
            pause: Duration::ZERO,
            timeout: PATIENCE,
        };
        Self::start_at(pace, gateways, seed)
    }

    /// [`Self::start`], as fast as this and no faster.
    pub fn start_at(pace: Pace, gateways: &[&Client], seed: u64) -> Self {
        let shared = Arc::new(Shared {
            gateways: gateways.iter().map(|client| (*client).clone()).collect(),
            pace,
            seed,
            old: Mutex::default(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            acknowledged: watch::Sender::new(0),
            failed: watch::Sender::new(0),
            log: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..pace.senders {
            tasks.spawn(shared.clone().send_until_stopped());
        }
        Self {
            shared,
            senders: tasks,
        }
    }

    /// Posts the id, or posts it again, now and once; panics when there is no answer.
    pub async fn post(&self, gateway: &Client, id: &str) -> Reply {
        self.post_body(gateway, id, &format!(r#"{{"id":"{id}"}}"#))
            .await
    }

    /// [`Self::post`], with this body.
    pub async fn post_body(&self, gateway: &Client, id: &str, body: &str) -> Reply {
        self.shared.open(id, body);
        let reply = self.shared.post(gateway, id, body).await;
        self.shared.note(id, &reply);
        reply.unwrap_or_else(|error| panic!("no answer for {id}: {error}"))
    }

    /// Posts it now and once; whether the answer was a 2xx.
    pub async fn is_taken(&self, gateway: &Client, id: &str, body: &str) -> bool {
        self.shared.open(id, body);
        let reply = self.shared.post(gateway, id, body).await;
        self.shared.note(id, &reply)
    }

    /// Posts answered with a 2xx so far.
    pub fn acknowledged(&self) -> u64 {
        *self.shared.acknowledged.borrow()
    }

    /// Waits until so many more posts are answered with a 2xx.
    pub async fn more_acknowledged(&self, posts: u64) {
        more(&self.shared.acknowledged, posts, "answers with a 2xx").await;
    }

    /// Waits until so many more posts have failed.
    pub async fn more_failed(&self, posts: u64) {
        more(&self.shared.failed, posts, "posts that fail").await;
    }

    /// Begins no new ids and waits until every id that is not abandoned is answered with a 2xx.
    pub async fn stop(self) -> Log {
        self.shared.stop.store(true, Ordering::SeqCst);
        let ended = tokio::time::timeout(PATIENCE, self.senders.join_all()).await;
        ended.unwrap_or_else(|_| {
            panic!(
                "senders that never had a 2xx: {:?}",
                self.shared.log().failures
            )
        });
        std::mem::take(&mut *self.shared.log())
    }
}

async fn more(count: &watch::Sender<u64>, by: u64, what: &str) {
    let mut count = count.subscribe();
    let enough = *count.borrow() + by;
    let waited = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= enough)).await;
    assert!(waited.is_ok(), "waited in vain for {by} more {what}");
}

impl Shared {
    async fn send_until_stopped(self: Arc<Self>) {
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let mut random = StdRng::seed_from_u64(self.seed ^ number.rotate_left(32));
            let id = format!("{:x}-{number}", self.seed);
            let body = body(&id, &mut random);
            self.open(&id, &body);
            if random.random_ratio(1, DOUBLED_ONE_IN) {
                tokio::join!(
                    self.send(number, &id, &body, false),
                    self.send(number + 1, &id, &body, false)
                );
            } else {
                let gives_up = random.random_ratio(1, ABANDONED_ONE_IN);
                self.send(number, &id, &body, gives_up).await;
            }
            if random.random_ratio(1, REPEATED_ONE_IN) {
                self.send(number + 1, &id, &body, false).await;
                self.keep(id, body, &mut random);
            }
            if random.random_ratio(1, RECALLED_ONE_IN)
                && let Some((id, body)) = self.recall(&mut random)
            {
                self.send(number, &id, &body, false).await;
            }
            tokio::time::sleep(self.pace.pause).await;
        }
    }

    fn keep(&self, id: String, body: String, random: &mut StdRng) {
        let mut old = self.old.lock().expect("no holder panics");
        if old.len() < RECALLED_FROM {
            old.push((id, body));
        } else {
            old[random.random_range(0..RECALLED_FROM)] = (id, body);
        }
    }

    fn recall(&self, random: &mut StdRng) -> Option<(String, String)> {
        let old = self.old.lock().expect("no holder panics");
        let index = random.random_range(0..old.len().max(1));
        old.get(index).cloned()
    }

    /// Tries one gateway after the other, as a balancer would have it.
    async fn send(&self, first: u64, id: &str, body: &str, gives_up: bool) {
        for number in first.. {
            let count = self.gateways.len() as u64;
            let gateway = usize::try_from(number % count).expect("an index");
            let reply = self.post(&self.gateways[gateway], id, body).await;
            let done = self.note(id, &reply);
            if done || gives_up {
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn post(&self, gateway: &Client, id: &str, body: &str) -> Result<Reply, String> {
        let answer = tokio::time::timeout(self.pace.timeout, post(gateway, id, body));
        answer
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Before the first byte is sent, so that no delivery is unheard of.
    fn open(&self, id: &str, body: &str) {
        let posting = Posting {
            digest: BodyDigest::of(body.as_bytes()),
            accepted: Vec::new(),
            duplicate: Vec::new(),
        };
        let mut log = self.log();
        let known = log.postings.entry(id.to_owned()).or_insert(posting);
        assert_eq!(
            known.digest,
            BodyDigest::of(body.as_bytes()),
            "{id} has two bodies"
        );
    }

    /// Whether it was a 2xx.
    fn note(&self, id: &str, reply: &Result<Reply, String>) -> bool {
        match reply {
            Ok(reply) if reply.status.is_success() => {
                let mut log = self.log();
                let posting = log.postings.get_mut(id).expect("an open posting");
                match reply.outcome().as_str() {
                    "accepted" => posting.accepted.push(reply.uid()),
                    "duplicate" => posting.duplicate.push(reply.uid()),
                    other => panic!("{id} was answered {other}"),
                }
                self.acknowledged.send_modify(|count| *count += 1);
                true
            }
            reply => {
                *self.log().failures.entry(failure(reply)).or_default() += 1;
                self.failed.send_modify(|count| *count += 1);
                false
            }
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of the log panics")
    }
}

/// Posts one webhook as GitHub does.
async fn post(gateway: &Client, id: &str, body: &str) -> Result<Reply, String> {
    let secret = gateway::env("GITHUB_SECRET").expect("a secret");
    let signature = sign::github(&secret, body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-github-delivery", id),
        ("x-github-event", "push"),
        ("x-hub-signature-256", &signature),
    ];
    gateway.try_send(Method::POST, PATH, &headers, body).await
}

fn failure(reply: &Result<Reply, String>) -> Failure {
    match reply {
        Err(_) => Failure::Unanswered,
        Ok(reply) => Failure::Answered {
            status: reply.status.as_u16(),
            code: reply.json()["code"].as_str().unwrap_or_default().to_owned(),
            retry_after: reply.header("retry-after").is_some(),
        },
    }
}

/// Distinct for every id, of any length up to about [`PADDING_MAX`].
fn body(id: &str, random: &mut StdRng) -> String {
    let padding = "x".repeat(random.random_range(0..PADDING_MAX));
    let noise: u64 = random.random();
    format!(r#"{{"id":"{id}","noise":{noise},"padding":"{padding}"}}"#)
}
