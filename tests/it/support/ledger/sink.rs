//! A target that remembers every event that it was sent, and what it said to it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use hookgate::event::BodyDigest;
use uuid::Uuid;

use crate::support::receiver::{Fate, Receiver, Reply, Request};

/// One attempt of a delivery, as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Hookgate's id.
    pub uid: Uuid,
    /// The provider's id.
    pub id: Arc<str>,
    pub digest: BodyDigest,
    /// As it says itself.
    pub attempt: u32,
    pub at: Instant,
    /// What it is answered with, or why it is not.
    pub fate: Fate,
    /// The first moment at which the answer can be there.
    pub answered: Instant,
    /// The wait that the answer asks for, from `answered` on.
    pub retry_after: Option<Duration>,
}

/// See the module. It answers 200 unless it is told otherwise.
pub struct Sink {
    name: &'static str,
    receiver: Receiver,
    log: Arc<Mutex<Arrivals>>,
}

#[derive(Default)]
struct Arrivals {
    all: Vec<Arrival>,
    ids: HashSet<Arc<str>>,
}

impl Sink {
    pub async fn start(name: &'static str) -> Self {
        let sink = Self::refusing(name);
        sink.listen();
        sink
    }

    /// Refuses connections until [`Self::listen`].
    pub fn refusing(name: &'static str) -> Self {
        let sink = Self {
            name,
            receiver: Receiver::refusing_and_forgetful(),
            log: Arc::default(),
        };
        sink.answer(|_| Reply::status(200));
        sink
    }

    pub fn listen(&self) {
        self.receiver.listen();
    }

    /// Closes all connections and refuses new ones, until [`Self::listen`].
    pub async fn refuse(&self) {
        self.receiver.refuse().await;
    }

    /// From now on.
    pub fn answer(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        let log = self.log.clone();
        self.receiver.answer(move |request| {
            let reply = script(request);
            let arrival = Arrival::new(request, &reply);
            let mut log = lock(&log);
            log.ids.insert(arrival.id.clone());
            log.all.push(arrival);
            reply
        });
    }

    /// From now on arrivals are remembered and never answered.
    pub fn hold(&self) {
        self.answer(|_| Reply::hang());
    }

    /// Closes the connections of what is held, and answers what comes from now on.
    pub fn release(&self) {
        self.answer(|_| Reply::status(200));
        self.end_hung();
    }

    /// Closes the connections of what hangs.
    pub fn end_hung(&self) {
        self.receiver.end_hung();
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn url(&self) -> String {
        self.receiver.url()
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.log).all.clone()
    }

    /// How often an event arrived, by the provider's id.
    pub fn count(&self, id: &str) -> usize {
        let log = lock(&self.log);
        log.all.iter().filter(|arrival| *arrival.id == *id).count()
    }

    /// Leaves only those that have not arrived.
    pub fn retain_missing(&self, ids: &mut Vec<&str>) {
        let log = lock(&self.log);
        ids.retain(|id| !log.ids.contains(*id));
    }
}

fn lock(log: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    log.lock().expect("no holder of the log panics")
}

impl Arrival {
    fn new(request: &Request, reply: &Reply) -> Self {
        let header = |name| {
            let value = request.header(name);
            value.unwrap_or_else(|| panic!("no {name} in {:?}", request.headers))
        };
        Self {
            uid: header("hookgate-event").parse().expect("a UUID"),
            id: header("hookgate-event-id").into(),
            digest: BodyDigest::of(&request.body),
            attempt: header("hookgate-attempt").parse().expect("a number"),
            at: request.at,
            fate: reply.fate(),
            answered: request.at + reply.delay(),
            retry_after: reply.retry_after().and_then(asked),
        }
    }
}

/// The wait that a `Retry-After` asks for now; `None` for garbage.
#[expect(
    clippy::disallowed_methods,
    reason = "the other side of the wall clock"
)]
fn asked(value: &str) -> Option<Duration> {
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}
