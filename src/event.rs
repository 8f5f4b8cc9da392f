//! The shared nouns: event, delivery, attempt, outcome.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::clock::Timestamp;

/// The name of a route, as written in `routes.toml`.
pub type RouteName = Arc<str>;
/// The name of a target, as written in `routes.toml`.
pub type TargetName = Arc<str>;

/// What an event is remembered by: 16 bytes of SHA-256 over the length-prefixed route name and event id.
/// The length prefixes keep two different pairs from meeting in one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey(pub [u8; 16]);

impl EventKey {
    pub fn new(route: &str, id: &str) -> Self {
        Self(digest_of([route, id]))
    }
}

/// 16 bytes of SHA-256 over the parts, each after its length.
fn digest_of<const N: usize>(parts: [&str; N]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// XXH3-128 of a body, big-endian: it finds what a disk or a memory has changed. Against somebody who can write to
/// the store no digest without a key would help, so this one need not cost as much as the signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest(pub [u8; 16]);

impl BodyDigest {
    pub fn of(body: &[u8]) -> Self {
        Self(xxh3_128(body).to_be_bytes())
    }

    /// The first four bytes: enough to notice that a repeated id came with another body.
    pub fn short(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Hookgate's own id of an event: a UUIDv7 whose random bits come from the key.
///
/// It can thus be told again from the key and the time of acceptance, and a store that remembers
/// those two need not keep the uid to answer a duplicate with it.
pub fn event_uid(key: EventKey, received_at: Timestamp) -> Uuid {
    let mut random = [0; 10];
    random.copy_from_slice(&key.0[..10]);
    let millis = u64::try_from(received_at.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A verified, validated and identified webhook. The body is the exact bytes that arrived.
#[derive(Clone)]
pub struct Event {
    pub uid: Uuid,
    pub key: EventKey,
    pub route: RouteName,
    /// The provider's id: 1–256 bytes without control characters.
    pub id: Arc<str>,
    pub event_type: Option<Arc<str>>,
    /// What the caller proved itself with, by name; several joined by `+`. `None`: anyone may send.
    pub credential: Option<Arc<str>>,
    /// Of the request that brought it, as `X-Request-Id` said. `None`: it came before they were kept.
    pub request_id: Option<Arc<str>>,
    pub received_at: Timestamp,
    /// How long the id is remembered, from `received_at`.
    pub dedupe_window: Duration,
    /// The original `Content-Type`.
    pub content_type: Option<Arc<str>>,
    /// The headers that the route keeps, names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    pub body: Bytes,
    pub digest: BodyDigest,
    /// One for every matching target; no target twice.
    pub deliveries: Vec<NewDelivery>,
    /// Whether deliveries of its route are ordered: then a store that spreads events keeps the whole route in one
    /// place.
    pub together: bool,
}

/// A delivery that comes into being with its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub target: TargetName,
    /// `Some`: accepted already claimed for this long, if it need not wait for its turn. `None`: due at once.
    pub lease: Option<Duration>,
    /// Whose turn it has to wait for.
    pub order: Option<Order>,
}

impl NewDelivery {
    /// Due at once, in no order.
    pub fn to(target: TargetName) -> Self {
        Self {
            target,
            lease: None,
            order: None,
        }
    }
}

/// Deliveries of one group are made one after another, in order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub group: OrderGroup,
    /// Whether a dead letter holds up those behind it, until it has been replayed and delivered, or expires.
    pub hold: bool,
}

/// 16 bytes of SHA-256 over the length-prefixed route, target and key: keys of two routes or targets never meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderGroup(pub [u8; 16]);

impl OrderGroup {
    pub fn new(route: &str, target: &str, key: &str) -> Self {
        Self(digest_of([route, target, key]))
    }
}

impl fmt::Debug for OrderGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The body and the kept headers stay out of logs and panics.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("uid", &self.uid)
            .field("route", &self.route)
            .field("body_bytes", &self.body.len())
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// Falls due again after this long.
    Retry(Duration),
    Dead(DeadReason),
    /// Not wanted: the route's `when` said no. Final, until a replay.
    Filtered,
    /// Never begun (the gateway stops): due at once, for whoever claims it next.
    Released,
}

/// Why a delivery became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The target answered with a status that is not retried, or failed in a way that `retry_on` leaves out.
    Refused,
    /// `give_up_after` passed, or the schedule ended.
    GaveUp,
    /// The stored body does not match its digest, or cannot be read back.
    Corrupt,
    /// The target is no longer in the configuration.
    TargetRemoved,
    /// The route's `when` or `transform` failed on this event, or took too long or too much.
    ExpressionFailed,
}

impl DeadReason {
    pub const ALL: [Self; 5] = [
        Self::Refused,
        Self::GaveUp,
        Self::Corrupt,
        Self::TargetRemoved,
        Self::ExpressionFailed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
            Self::Corrupt => "corrupt",
            Self::TargetRemoved => "target_removed",
            Self::ExpressionFailed => "expression_failed",
        }
    }
}

/// What is kept of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub started_at: Timestamp,
    pub duration: Duration,
    /// The target's status; `None` when there was no response.
    pub status: Option<u16>,
    /// Why there was no response, e.g. `connect: connection refused`. Never holds a secret.
    pub error: Option<String>,
    /// At most the first 1,024 bytes of the response's body.
    pub response_head: Bytes,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Due, waiting for a retry, or claimed.
    Pending,
    Delivered,
    Dead(DeadReason),
    /// Not sent: the route's `when` said no.
    Filtered,
}
