//! Those who must not get in: every post of theirs is wrong in one way, and right in all others.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Method;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use super::{Pace, Sink, Violation};
use crate::support::{client::Client, gateway, sign};

/// What every id of theirs begins with.
pub const FORGED: &str = "forged-";
/// Routes that nothing right is ever posted to, so that not one event may be counted as accepted on them.
const VAULT: &str = "/hooks/vault";
const STAMPED: &str = "/hooks/stamped";
const BODY_MAX: usize = 4096;

/// The routes that they knock at; both deliver to all `sinks`.
pub fn forged_routes(sinks: &[impl std::borrow::Borrow<Sink>]) -> String {
    let names: Vec<_> = sinks.iter().map(|sink| sink.borrow().name()).collect();
    format!(
        r#"
        [routes.vault]
        path = "{VAULT}"
        provider = "github"
        secrets = [{{ env = "GITHUB_SECRET" }}]
        max_body = {BODY_MAX}
        deliver = {names:?}

        [routes.stamped]
        path = "{STAMPED}"
        provider = "standard-webhooks"
        secrets = [{{ env = "TICKETS_SECRET" }}]
        deliver = {names:?}
        "#
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgery {
    WrongSecret,
    NoSignature,
    TwoSignatures,
    OtherBody,
    Malformed,
    Oversize,
    NotJson,
    NoId,
    Stale,
    Future,
    WrongStampedSecret,
}

impl Forgery {
    pub const ALL: [Self; 11] = [
        Self::WrongSecret,
        Self::NoSignature,
        Self::TwoSignatures,
        Self::OtherBody,
        Self::Malformed,
        Self::Oversize,
        Self::NotJson,
        Self::NoId,
        Self::Stale,
        Self::Future,
        Self::WrongStampedSecret,
    ];
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Forgeries {
    pub refused: BTreeMap<Forgery, usize>,
    /// Refused, reset or closed before the answer was whole.
    pub unanswered: usize,
    /// Answered as no refusal is: I5 is broken.
    pub violations: Vec<Violation>,
}

impl Forgeries {
    pub fn refused(&self) -> usize {
        self.refused.values().sum()
    }
}

/// Forgers at work, until they are [stopped](Self::stop).
pub struct Forger {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    gateways: Vec<Client>,
    pace: Pace,
    stop: AtomicBool,
    next: AtomicU64,
    found: Mutex<Forgeries>,
}

impl Forger {
    pub fn start(pace: Pace, gateways: &[&Client], seed: u64) -> Self {
        let shared = Arc::new(Shared {
            gateways: gateways.iter().map(|client| (*client).clone()).collect(),
            pace,
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            found: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for number in 0..pace.senders as u64 {
            let random = StdRng::seed_from_u64(!seed ^ number);
            tasks.spawn(shared.clone().forge(random));
        }
        Self { shared, tasks }
    }

    pub async fn stop(self) -> Forgeries {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await;
        std::mem::take(&mut *self.shared.found.lock().expect("no holder panics"))
    }
}

impl Shared {
    async fn forge(self: Arc<Self>, mut random: StdRng) {
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let forgery = Forgery::ALL[random.random_range(0..Forgery::ALL.len())];
            let gateway = &self.gateways[random.random_range(0..self.gateways.len())];
            let post = forgery.post(number);
            let headers: Vec<_> = post.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let answer = gateway.try_send(Method::POST, post.path, &headers, &post.body);
            let answer = tokio::time::timeout(self.pace.timeout, answer).await;
            self.note(forgery, number, answer);
            tokio::time::sleep(self.pace.pause).await;
        }
    }

    fn note<E>(
        &self,
        forgery: Forgery,
        number: u64,
        answer: Result<Result<crate::support::client::Reply, String>, E>,
    ) {
        let mut found = self.found.lock().expect("no holder panics");
        match answer {
            Ok(Ok(reply)) => match reply.status.as_u16() {
                400 | 401 | 408 | 413 | 415 | 422 | 429 | 503 => {
                    *found.refused.entry(forgery).or_default() += 1;
                }
                status => {
                    let mut what = format!("{FORGED}{number} ({forgery:?}) was answered {status}");
                    write!(what, ": {}", reply.text()).expect("a string takes it");
                    let invariant = "I5";
                    found.violations.push(Violation { invariant, what });
                }
            },
            _ => found.unanswered += 1,
        }
    }
}

struct Post {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

const SIGNATURE: &str = "x-hub-signature-256";
const HOUR: Duration = Duration::from_secs(3600);

impl Forgery {
    fn post(self, number: u64) -> Post {
        let id = format!("{FORGED}{number}");
        let body = format!(r#"{{"id":"{id}"}}"#);
        match self {
            Self::Stale => stamped(&id, body, "TICKETS_SECRET", now() - HOUR),
            Self::Future => stamped(&id, body, "TICKETS_SECRET", now() + HOUR),
            Self::WrongStampedSecret => stamped(&id, body, "", now()),
            _ => self.github(id, body),
        }
    }

    fn github(self, id: String, mut body: String) -> Post {
        match self {
            Self::Malformed => body.truncate(body.len() - 1),
            Self::Oversize => body.push_str(&" ".repeat(BODY_MAX)),
            _ => {}
        }
        let signed = if self == Self::OtherBody { "{}" } else { &body };
        let secret = gateway::env("GITHUB_SECRET").expect("a secret");
        let secret = if self == Self::WrongSecret {
            "guessed"
        } else {
            &secret
        };
        let signature = sign::github(secret, signed.as_bytes());
        let content_type = if self == Self::NotJson {
            "text/plain"
        } else {
            "application/json"
        };
        let mut headers = vec![("content-type", content_type.to_owned())];
        headers.push(("x-github-event", "push".to_owned()));
        if self != Self::NoId {
            headers.push(("x-github-delivery", id));
        }
        if self != Self::NoSignature {
            headers.push((SIGNATURE, signature.clone()));
        }
        if self == Self::TwoSignatures {
            headers.push((SIGNATURE, signature));
        }
        Post {
            path: VAULT,
            headers,
            body,
        }
    }
}

/// Since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the other side of the wall clock"
)]
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970")
}

fn stamped(id: &str, body: String, secret: &str, at: Duration) -> Post {
    let secret =
        gateway::env(secret).unwrap_or_else(|| "whsec_Z3Vlc3NlZC1ndWVzc2VkLWd1ZXNzZWQ=".into());
    let at = at.as_secs().to_string();
    let signature = sign::standard_webhooks(&secret, id, &at, body.as_bytes());
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at),
        ("webhook-signature", signature),
    ];
    Post {
        path: STAMPED,
        headers,
        body,
    }
}
