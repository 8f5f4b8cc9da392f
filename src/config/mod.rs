//! `routes.toml`, as types that cannot be half-filled.
//!
//! [`Config::load`] reads the file, tells every fault at once, and only then returns a `Config`.

use std::{
    borrow::Cow, collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroU32, path::PathBuf,
    sync::Arc, time::Duration,
};

use ipnet::IpNet;
use rustls::{RootCertStore, sign::CertifiedKey};
use sha2::{Digest as _, Sha256};

use crate::{
    event::{RouteName, TargetName},
    expression::Expression,
    payload::Content,
    providers::Handshake,
    signature::{KeyedSecret, Scheme},
};

mod breaker;
mod caution;
mod credentials;
mod deliver;
mod diff;
mod error;
mod handshake;
mod hints;
mod identity;
mod include;
mod jwt;
mod keys;
mod load;
mod log;
mod payload;
pub mod pointer;
mod preset;
mod reader;
mod redis_url;
mod retry;
mod routes;
mod scalar;
mod scheme;
pub mod secret;
mod server;
mod snippet;
mod source;
mod store;
mod targets;
mod texts;
mod tls;
mod verifier;
mod verify;
mod words;

pub use diff::{Change, ChangeKind, Diff, diff};
pub(crate) use error::closest;
pub use error::{Fault, Faults, Warning};
pub use keys::{KeyChange, Keys};
pub use pointer::Pointer;
pub use redis_url::RedisUrl;
pub use scheme::{parse_schemes, schemes_text};
pub use secret::Secret;
pub use snippet::Snippet;
pub use texts::{SecretText, secret_texts, secret_texts_of};
pub use verifier::{
    ApiKey, CLIENT_CERTIFICATE, JwtKeySource, JwtSecret, JwtVerifier, SignatureVerifier, Verifier,
    Verify,
};

/// The whole configuration: valid by construction.
#[derive(Debug)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub store: Store,
    pub log: Log,
    pub targets: BTreeMap<TargetName, Arc<Target>>,
    /// In the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// What loads but should not stay, e.g. a literal secret. In the order of the file.
    pub warnings: Vec<Warning>,
    /// Every file that was read, or looked for, on the way: the configuration, what it includes, secrets, certificates,
    /// schemas. When one of them changes, the configuration may have.
    pub files: Vec<PathBuf>,
}

/// The public listener.
#[derive(Debug)]
pub struct Server {
    /// HTTPS. Default `127.0.0.1:8443`.
    pub listen: SocketAddr,
    pub tls: Tls,
    /// Who may vouch for callers that show a certificate.
    pub client_authorities: Option<Arc<RootCertStore>>,
    /// The address as providers know it, e.g. `https://hooks.example.com`. Providers that sign the address sign this one.
    pub public_url: Option<url::Url>,
    /// Cleartext, for a load balancer that ends TLS; loopback unless `allow_plain`.
    pub plain_listen: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` or `Forwarded` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// A request's head must have arrived within this long of its first byte. Default 10 s.
    pub head_timeout: Duration,
    /// The whole body must have arrived within this long of the head. Default 10 s.
    pub body_timeout: Duration,
    /// A connection without a request is closed after this long. Default 75 s.
    pub idle_timeout: Duration,
    /// Default 256.
    pub max_connections_per_ip: usize,
    /// Default 10,000.
    pub max_connections: usize,
    /// Bytes of all bodies that are being received or stored at one time. Default 256 MiB.
    pub max_body_in_flight: usize,
    /// How long a stop waits for what is in flight. Default 30 s.
    pub shutdown_grace: Duration,
    /// Threads that serve requests. Default: one a core.
    pub workers: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Only on loopback: made, and kept in this directory.
    SelfSigned { directory: PathBuf },
    Files {
        certificate: PathBuf,
        private_key: PathBuf,
    },
}

/// The admin listener: plain HTTP, never the public one.
#[derive(Debug)]
pub struct Admin {
    /// Default `127.0.0.1:9090`.
    pub listen: SocketAddr,
    /// Who may ask. One at least is required when `listen` is not loopback. `/healthz` and `/readyz` need no token.
    pub tokens: Vec<AdminToken>,
}

/// A bearer token of the admin API.
#[derive(Debug)]
pub struct AdminToken {
    /// As logs call whoever uses it. That of the one `token` is `admin`.
    pub name: Arc<str>,
    pub role: Role,
    pub secret: Secret,
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Metrics, and everything that can be read.
    Read,
    /// That, and everything that changes something.
    Write,
}

#[derive(Debug)]
pub struct Log {
    /// Of accepted requests; those beyond are counted by the next that is written. Default 100; `None`: none is written.
    pub accepted_lines_per_second: Option<NonZeroU32>,
}

#[derive(Debug)]
pub struct Store {
    pub url: StoreUrl,
    /// Of what `url` and the certificates beside it say, passwords too.
    pub connection: Fingerprint,
    pub durability: Durability,
    /// How long finished events stay readable. Default 3 days.
    pub retention: Duration,
    /// Bytes of stored bodies above which the oldest finished events go first. Default 10 GiB.
    pub retention_size: u64,
    /// Where events go while Redis cannot take them. `None`: they are answered 503.
    pub spool: Option<PathBuf>,
    /// Parts that the events in Redis are spread over. Default 1, in a cluster 6.
    pub shards: u16,
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one of them")]
pub enum StoreUrl {
    /// `file:DIRECTORY`.
    Embedded { directory: PathBuf },
    /// Any other scheme.
    Redis(RedisUrl),
}

/// Without the password that a Redis URL may hold.
impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { directory } => write!(f, "file:{}", directory.display()),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

/// What a 200 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced to disk.
    Always,
    /// Synced within a second: a power cut may lose that second.
    Everysec,
    /// In memory: a crash may lose it.
    Memory,
}

/// A downstream HTTP service.
#[derive(Debug)]
pub struct Target {
    pub name: TargetName,
    /// `http` or `https`, with a host.
    pub url: url::Url,
    /// Values may be secrets.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// The whole attempt: connect, TLS, request, response. Default 10 s.
    pub timeout: Duration,
    /// Attempts under way at one time. Default 32.
    pub concurrency: usize,
    pub retry: Retry,
    pub retry_on: RetryOn,
    /// True: events are stored and wait.
    pub paused: bool,
    /// Whether private, loopback and other special addresses may be connected to.
    pub allow_private: bool,
    /// Attempts begun, of one gateway. `None`: as many as `concurrency` lets through.
    pub rate: Option<Rate>,
    /// `None`: the target is tried whatever came of the attempts before.
    pub breaker: Option<Breaker>,
    /// Signs what is sent, by Standard Webhooks.
    pub sign: Option<Sign>,
    pub tls: TargetTls,
    pub fingerprint: Fingerprint,
}

/// A digest of all that a route or target was read from: what it says, the defaults that it takes, and the secrets and files
/// that it names. Of two configurations, what has the same fingerprint is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Secrets are part of it: it is not shown.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[fingerprint]")
    }
}

/// When a target is given a rest: see [`crate::delivery`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// It opens when this share of the attempts within `window` has failed. More than 0, at most 1.
    pub failure_ratio: f64,
    /// ... of at least so many attempts.
    pub minimum: u32,
    pub window: Duration,
    /// How long nothing is sent, before one delivery is tried.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failure_ratio: 0.7,
            minimum: 10,
            window: Duration::from_secs(60),
            open_for: Duration::from_secs(30),
        }
    }
}

/// The gateway's own signature, so that the target can verify who sends.
#[derive(Debug)]
pub struct Sign {
    /// Standard Webhooks.
    pub scheme: &'static Scheme,
    /// The newest first. Each that has not ended gives a signature; one at least never ends.
    pub secrets: Vec<KeyedSecret>,
}

/// How an `https` target is proven, and how the gateway proves itself to it.
#[derive(Clone, Debug, Default)]
pub struct TargetTls {
    /// The authorities that may vouch for the target, instead of the system's.
    pub authorities: Option<Arc<RootCertStore>>,
    /// Shown to a target that asks for one.
    pub client_certificate: Option<ClientCertificate>,
}

/// A chain and the key that it belongs to.
#[derive(Clone)]
pub struct ClientCertificate(pub Arc<CertifiedKey>);

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[client certificate]")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    pub wait: Wait,
    /// From the acceptance of the event, or its last replay. `None`: only with a schedule, whose end is the end.
    pub give_up_after: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// `first × factor^n`, at most `max`.
    Exponential {
        first: Duration,
        factor: f64,
        max: Duration,
        jitter: Jitter,
    },
    /// The wait after the 1st, 2nd, … failed attempt.
    Schedule {
        delays: Vec<Duration>,
        jitter: Jitter,
    },
}

impl Wait {
    /// The longest wait: what `Retry-After` is clamped to.
    pub fn max(&self) -> Duration {
        match self {
            Self::Exponential { max, .. } => *max,
            Self::Schedule { delays, .. } => delays.iter().copied().max().unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Anywhere between zero and the wait.
    Full,
    /// The wait, plus or minus this share of it (0.0–1.0).
    Ratio(f64),
}

/// Which failures are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// Everything that is not 2xx except 400, 410, 413 and 422.
    Default,
    Listed {
        /// Inclusive ranges of statuses.
        statuses: Vec<(u16, u16)>,
        /// No response: connect, TLS, timeout, reset.
        network: bool,
    },
}

/// An endpoint that providers call.
#[derive(Debug)]
pub struct Route {
    pub name: RouteName,
    /// The preset that it names.
    pub provider: Option<&'static str>,
    /// Begins with `/`; matched whole and exactly.
    pub path: String,
    /// Upper case, not empty. The payload of a GET is its query.
    pub methods: Vec<String>,
    /// What a body may be; not empty.
    pub content: Vec<Content>,
    /// Content types that hold JSON though they do not say so, in lower case and without parameters.
    pub json_types: Vec<String>,
    /// The list whose elements are events of their own; only of JSON.
    pub split: Option<Pointer>,
    /// Bytes. Default 1 MiB.
    pub max_body: usize,
    pub verify: Verify,
    /// The address as the provider knows it, without the query string: the route's `public_url`, or the server's and
    /// the path. Signatures of providers that sign it rest on it.
    pub public_url: Option<url::Url>,
    /// The provider's, and the secret that some of them are proven with.
    pub handshakes: &'static [Handshake],
    pub verify_token: Option<Secret>,
    /// The first source that exists gives the id; not empty.
    pub event_id: Vec<EventIdSource>,
    /// The first source that exists gives the type.
    pub event_type: Vec<Field>,
    /// Request headers, in lower case, that are stored and sent on.
    pub keep_headers: Vec<String>,
    pub dedupe_window: Duration,
    pub require: Vec<Requirement>,
    pub schema: Option<Schemas>,
    /// No target twice.
    pub deliver: Vec<Deliver>,
    /// Empty: from everywhere.
    pub allow_from: Vec<IpNet>,
    pub rate: Option<Rate>,
    pub respond: Respond,
    pub enabled: bool,
    /// Whether the bodies of refused requests are kept with their records.
    pub keep_rejected: bool,
    pub fingerprint: Fingerprint,
}

impl Route {
    /// What the provider called. Of a route without an address only the query string is known; no more is asked for there.
    pub fn called(&self, query: Option<&str>) -> Cow<'_, str> {
        match (&self.public_url, query) {
            (None, None) => Cow::Borrowed(""),
            (None, Some(query)) => Cow::Owned(format!("?{query}")),
            (Some(url), None) => Cow::Borrowed(url.as_str()),
            (Some(url), Some(query)) => Cow::Owned(format!("{url}?{query}")),
        }
    }
}

/// One place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A `*` in it stands for every element of a list.
    Json(Pointer),
    /// In lower case.
    Header(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventIdSource {
    /// One field is the id as it stands. Several, which must all exist, are joined by `|`
    /// (a `|` or `\` within a part is written `\|` or `\\`). So are the values of one pointer with `*`.
    Fields(Vec<Field>),
    /// `sha256:` and the body's digest in hex.
    BodySha256,
}

/// The value at `pointer` must exist and be of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub pointer: Pointer,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Number,
    Integer,
    Boolean,
    Object,
    Array,
    Null,
    /// Anything, as long as it is there.
    Any,
    /// A string of RFC 3339.
    DateTime,
    /// A string of RFC 4122.
    Uuid,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::String,
        Self::Number,
        Self::Integer,
        Self::Boolean,
        Self::Object,
        Self::Array,
        Self::Null,
        Self::Any,
        Self::DateTime,
        Self::Uuid,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
            Self::Null => "null",
            Self::Any => "any",
            Self::DateTime => "date-time",
            Self::Uuid => "uuid",
        }
    }
}

/// JSON Schemas: one by event type, or one for all others (`"*"`).
#[derive(Debug, Default)]
pub struct Schemas {
    pub by_type: BTreeMap<String, jsonschema::Validator>,
    pub others: Option<jsonschema::Validator>,
}

/// One line of a route's `deliver`.
#[derive(Debug)]
pub struct Deliver {
    pub to: TargetName,
    /// Empty: every event. Else the event types, exact or glob, of which one must match.
    pub events: Vec<wildmatch::WildMatch>,
    /// `None`: in no order.
    pub order: Option<OrderBy>,
    /// Which events are sent. `None`: all.
    pub when: Option<Expression>,
    /// What is sent in place of the body. `None`: the body.
    pub transform: Option<Expression>,
}

/// Events whose value at `pointer` is the same reach the target one after another, in order of acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    pub pointer: Pointer,
    /// `on_dead = "hold"`: a dead letter holds up those behind it. Else it steps aside.
    pub hold: bool,
}

/// A token bucket. Over it a route answers 429, and a target's deliveries wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a period.
    pub limit: NonZeroU32,
    pub period: Duration,
    /// Requests that may come at once.
    pub burst: NonZeroU32,
}

/// The answer to an accepted event or a duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200–299. Default 200.
    pub status: u16,
    /// `None`: Hookgate's own JSON.
    pub body: Option<RespondBody>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondBody {
    pub content_type: String,
    pub body: String,
}
