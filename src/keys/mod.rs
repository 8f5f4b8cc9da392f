//! Keys that are fetched: asked for only when something that is worth it needs one, by one request at a time an address, kept,
//! and served on for a day when the address fails.
//!
//! Whoever asks has proven nothing yet. So a fetch has a deadline and a size, what fails is not tried again at once, and of
//! keys that requests themselves name ([`Asked::is_named_by_the_request`]) only so many are kept, and only so many new ones
//! are fetched in a minute.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{runtime::Handle, time::timeout};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::Rate,
    metrics::RouteMetrics,
    rate::RateLimiter,
    signature::jwt::{KeySet, Token},
};

mod asked;
mod confirm;
mod entry;
mod http;

pub use asked::Asked;
use entry::{Answer, Entry, RETRY_AFTER, Step, Waiting, unavailable};
pub use http::{HttpFetcher, HttpFetcherFault};

/// The whole of a fetch: connect, TLS, request and response.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a response.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Keys, named by requests, that are kept. Beyond it failures go first, then what was used longest ago.
const NAMED_MAX: usize = 1024;

/// Fetches documents. What it is told was checked: it may be asked for.
#[async_trait]
pub trait KeyFetcher: Send + Sync {
    /// Any status is an answer. Dropped after [`FETCH_DEADLINE`].
    async fn fetch(&self, request: &FetchRequest) -> Result<Document, FetchFault>;
}

/// A GET, or a POST of JSON.
pub struct FetchRequest {
    /// https, or http on a loopback address.
    pub url: Url,
    /// Whether it may be on a private or another special address.
    pub allow_private: bool,
    /// Holds secrets.
    pub json: Option<Zeroizing<String>>,
}

#[derive(Clone, Debug)]
pub struct Document {
    pub status: u16,
    /// Of `Cache-Control`.
    pub max_age: Option<Duration>,
    /// At most [`DOCUMENT_BYTES_MAX`].
    pub body: Bytes,
}

/// Why there is no document: for the log. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchFault(pub String);

/// What was fetched.
#[derive(Debug)]
pub enum Found {
    Keys(KeySet),
    /// PEM or DER; readable when it was fetched.
    Certificate(Bytes),
}

impl Found {
    /// Whether it is what the token asks for; a certificate is what its address says.
    fn fits(&self, token: Option<&Token<'_>>) -> bool {
        match (self, token) {
            (Self::Keys(keys), Some(token)) => keys.knows(token),
            _ => true,
        }
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Whoever gives the keys out says that there is no such key.
    Absent,
    /// It could not be asked for, or not yet again.
    Unavailable { retry_after: Duration },
}

/// On whose behalf keys are fetched: one for a route.
pub struct Asker {
    metrics: Arc<RouteMetrics>,
    /// Of fetches for keys that requests name.
    limiter: RateLimiter,
}

/// Fetches for keys that requests of one route name: so many a minute, and so many at once.
const NAMED_FETCHES: NonZeroU32 = NonZeroU32::new(10).unwrap();

impl Asker {
    pub fn new(metrics: Arc<RouteMetrics>, now: Instant) -> Self {
        let rate = Rate {
            limit: NAMED_FETCHES,
            period: Duration::from_secs(60),
            burst: NAMED_FETCHES,
        };
        Self {
            metrics,
            limiter: RateLimiter::new(rate, now),
        }
    }
}

/// The keys of all routes.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    fetcher: Arc<dyn KeyFetcher>,
    /// Where fetches run, whoever waits for them: a caller that hangs up ends none.
    runtime: Handle,
    clock: Clock,
    /// For what is to happen after a while.
    steady: Clock,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Keys {
    pub fn new(fetcher: Arc<dyn KeyFetcher>, clock: Clock, runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            fetcher,
            runtime,
            steady: clock.steady(),
            clock,
            entries: Mutex::default(),
        }))
    }

    /// What is known, without a fetch: for a request that is refused anyway.
    pub fn known(&self, asked: &Asked<'_>) -> Option<Arc<Found>> {
        self.0.entries().get(&asked.name())?.found()
    }

    /// How many addresses something is known of.
    pub fn kept(&self) -> usize {
        self.0.entries().len()
    }

    /// The keys at an address; among them the token's, or its issuer has none such.
    ///
    /// At once when they are known; else when the fetch has ended, which is never later than its deadline.
    pub async fn obtain(
        &self,
        asked: &Asked<'_>,
        token: Option<&Token<'_>>,
        asker: &Asker,
    ) -> Result<Arc<Found>, KeyFault> {
        let name = asked.name();
        match self.begin(&name, asked, token, asker)? {
            Begun::Found(found) => return Ok(found),
            // The fetch has a deadline: this is for one that never came to run.
            Begun::Waiting(waiting) => {
                let _ended_or_late = timeout(FETCH_DEADLINE * 2, waiting.ended()).await;
            }
        }
        let now = self.0.steady.now();
        let mut entries = self.0.entries();
        let entry = entries.get_mut(&name);
        match entry.map(|entry| entry.step(now, |found| found.fits(token))) {
            Some(Step::Use(found) | Step::UseAndFetch(found)) => Ok(found),
            Some(Step::Fail(fault)) => Err(fault),
            Some(Step::Fetch) | None => Err(unavailable(RETRY_AFTER)),
        }
    }

    fn begin(
        &self,
        name: &str,
        asked: &Asked<'_>,
        token: Option<&Token<'_>>,
        asker: &Asker,
    ) -> Result<Begun, KeyFault> {
        let now = self.0.steady.now();
        let mut entries = self.0.entries();
        let step = match entries.get_mut(name) {
            Some(entry) => entry.step(now, |found| found.fits(token)),
            None => Step::Fetch,
        };
        let known = match step {
            Step::Use(found) => return Ok(Begun::Found(found)),
            Step::Fail(fault) => return Err(fault),
            Step::UseAndFetch(found) => Some(found),
            Step::Fetch => None,
        };
        let under_way = entries.get(name).is_some_and(Entry::is_being_fetched);
        let started = match under_way {
            true => Ok(()),
            false => self.start(&mut entries, name, asked, asker),
        };
        if let Some(found) = known {
            return Ok(Begun::Found(found));
        }
        started?;
        let entry = entries.get(name).ok_or(unavailable(RETRY_AFTER))?;
        entry.wait().map(Begun::Waiting)
    }

    fn start(
        &self,
        entries: &mut HashMap<String, Entry>,
        name: &str,
        asked: &Asked<'_>,
        asker: &Asker,
    ) -> Result<(), KeyFault> {
        let is_named = asked.is_named_by_the_request();
        // What is known is only asked for again: others, who name what nobody has, do not stand in its way.
        let is_known = entries
            .get(name)
            .is_some_and(|entry| entry.found().is_some());
        if is_named && !is_known {
            let taken = asker.limiter.take(Instant::now());
            taken.map_err(unavailable)?;
            if !entries.contains_key(name) {
                make_room(entries);
            }
        }
        let entry = entries.entry(name.to_owned());
        let under_way = entry.or_insert_with(|| Entry::new(is_named)).begin();
        let fetch = Fetch {
            shared: self.0.clone(),
            name: name.to_owned(),
            request: asked.request(),
            reader: asked.reader(),
            metrics: asker.metrics.clone(),
        };
        self.0.runtime.spawn(async move {
            fetch.run().await;
            drop(under_way);
        });
        Ok(())
    }
}

enum Begun {
    Found(Arc<Found>),
    Waiting(Waiting),
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One entry less, if those that requests name are as many as may be.
fn make_room(entries: &mut HashMap<String, Entry>) {
    let named = entries.iter().filter(|(_, entry)| entry.is_named);
    if named.clone().count() < NAMED_MAX {
        return;
    }
    let idle = named.filter(|(_, entry)| !entry.is_being_fetched());
    let last = idle.min_by_key(|(_, entry)| entry.worth());
    if let Some(name) = last.map(|(name, _)| name.clone()) {
        entries.remove(&name);
    }
}

/// One fetch.
struct Fetch {
    shared: Arc<Shared>,
    name: String,
    request: FetchRequest,
    reader: asked::Reader,
    metrics: Arc<RouteMetrics>,
}

impl Fetch {
    async fn run(self) {
        let fetching = self.shared.fetcher.fetch(&self.request);
        let answer = timeout(FETCH_DEADLINE, fetching).await;
        let answer = answer.unwrap_or_else(|_| Err(FetchFault("no answer in time".into())));
        let max_age = answer.as_ref().ok().and_then(|document| document.max_age);
        let read = answer.and_then(|document| self.reader.read(document, self.shared.clock.now()));
        let (outcome, fetches) = match read {
            Ok(found) => {
                let answer = found.map(|found| Answer {
                    found: Arc::new(found),
                    max_age,
                });
                (Ok(answer), &self.metrics.key_fetched)
            }
            Err(fault) => {
                // A request may have chosen it, of those that are allowed: Debug escapes what it holds.
                tracing::warn!(url = ?self.request.url.as_str(), error = %fault, "keys could not be fetched");
                (Err(()), &self.metrics.key_fetch_failed)
            }
        };
        let now = self.shared.steady.now();
        if let Some(entry) = self.shared.entries().get_mut(&self.name) {
            entry.end(outcome, now);
        }
        fetches.inc();
    }
}
