//! Records of requests that made no new event: what an operator asks for by request id.

use std::{fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use crate::{clock::Timestamp, event::RouteName};

/// Records that are kept: the oldest beyond them go.
pub const RECORDS_MAX: usize = 10_000;
/// Bytes of all kept bodies together.
pub const RECORD_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request that was refused, or that was accepted before, or that was a handshake. No secret is in it; a body
/// only where its route says `keep_rejected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What `X-Request-Id` said. It begins with `at`, see [`id_prefix`]: records are ordered by it.
    pub request_id: String,
    /// When its head had come.
    pub at: Timestamp,
    /// From its head to its answer.
    pub took: Duration,
    /// `None`: it reached none.
    pub route: Option<RouteName>,
    pub result: RecordResult,
    /// What was answered.
    pub status: u16,
    /// Cut, as the path is: the caller chose them.
    pub method: String,
    /// Without its query, which may hold a key.
    pub path: String,
    pub client: Option<IpAddr>,
    /// Of the body, as far as it was read.
    pub body_bytes: Option<u64>,
    /// What the operator is told beyond the reason.
    pub cause: Option<String>,
    /// What was looked at, in order; the first that did not pass is the reason.
    pub steps: Vec<Step>,
    /// The id of its trace (32 hex digits), where it had one.
    pub trace: Option<String>,
    pub body: Option<KeptBody>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordResult {
    Rejected {
        /// As in the metrics.
        reason: String,
    },
    Duplicate {
        /// Of the event that was accepted first.
        uid: Uuid,
        first_received_at: Timestamp,
        same_body: bool,
    },
    Handshake {
        name: String,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// E.g. `signature`.
    pub name: String,
    pub passed: bool,
    /// For the operator. Never a secret, nor a piece of the body.
    pub told: String,
}

/// The body of a refused request, if it had one.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptBody {
    pub content_type: Option<String>,
    /// The first [`KEPT_BODY_BYTES_MAX`].
    pub bytes: Bytes,
}

/// The body stays out of logs and panics.
impl fmt::Debug for KeptBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody")
            .field("content_type", &self.content_type)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

pub const KEPT_BODY_BYTES_MAX: usize = 64 * 1024;

/// What the id of a request begins with that came then: the milliseconds since 1970 in 12 hex digits.
pub fn id_prefix(at: Timestamp) -> String {
    format!("{:012x}", at.as_millis().clamp(0, ID_MILLIS_MAX))
}

/// When the request came that has this id; `None` when it is none of ours.
pub fn time_of_id(request_id: &str) -> Option<Timestamp> {
    let is_ours = request_id.len() <= ID_BYTES_MAX
        && request_id
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let digits = request_id.get(..12).filter(|_| is_ours)?;
    let millis = i64::from_str_radix(digits, 16).ok()?;
    Some(Timestamp::from_millis(millis))
}

const ID_MILLIS_MAX: i64 = (1 << 48) - 1;
const ID_BYTES_MAX: usize = 64;

/// Which records are meant; what is `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    pub route: Option<RouteName>,
    /// Only rejections, of this reason.
    pub reason: Option<String>,
    /// Only rejections.
    pub rejected: bool,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl RecordFilter {
    pub fn matches(&self, record: &Record) -> bool {
        let reason = record.reason();
        (self.route.is_none() || self.route == record.route)
            && (!self.rejected || reason.is_some())
            && (self.reason.is_none() || self.reason.as_deref() == reason)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// One page, newest first.
#[derive(Clone, Debug)]
pub struct RecordQuery {
    pub filter: RecordFilter,
    /// Where the page before ended: its [`RecordPage::next`].
    pub cursor: Option<String>,
    pub limit: usize,
}

impl RecordQuery {
    /// Every id that is meant is at least this.
    pub(super) fn first_id(&self) -> Option<String> {
        self.filter.since.map(id_prefix)
    }

    /// Every id that is meant is less than this.
    ///
    /// # Errors
    /// When the cursor is not the id of a request.
    pub(super) fn end_id(&self) -> Result<Option<String>, StoreError> {
        let cursor = self.cursor.clone();
        if cursor
            .as_deref()
            .is_some_and(|cursor| time_of_id(cursor).is_none())
        {
            return Err(StoreError::BadCursor);
        }
        let until = self.filter.until.map(id_prefix);
        Ok(match (cursor, until) {
            (Some(cursor), Some(until)) => Some(cursor.min(until)),
            (cursor, until) => cursor.or(until),
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct RecordPage {
    /// Without their bodies. May be fewer than asked for, even none, though more follow.
    pub records: Vec<Record>,
    /// `None` when this was the last page.
    pub next: Option<String>,
}

impl Record {
    /// Of a rejection.
    pub fn reason(&self) -> Option<&str> {
        match &self.result {
            RecordResult::Rejected { reason } => Some(reason),
            RecordResult::Duplicate { .. } | RecordResult::Handshake { .. } => None,
        }
    }

    /// The bytes of the body that is kept; never none at all.
    pub(super) fn body_bytes(&self) -> Option<&Bytes> {
        let body = self.body.as_ref()?;
        (!body.bytes.is_empty()).then_some(&body.bytes)
    }

    /// Everything but the bytes of the body, as a store keeps it.
    pub(super) fn to_json(&self) -> String {
        let steps = self.steps.iter();
        let kept = Kept {
            at_ms: self.at.as_millis(),
            took_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            route: self.route.as_deref().map(str::to_owned),
            result: KeptResult::of(&self.result),
            status: self.status,
            method: self.method.clone(),
            path: self.path.clone(),
            client: self.client,
            body_bytes: self.body_bytes,
            cause: self.cause.clone(),
            steps: steps
                .map(|step| (step.name.clone(), step.passed, step.told.clone()))
                .collect(),
            trace: self.trace.clone(),
            content_type: self
                .body
                .as_ref()
                .and_then(|body| body.content_type.clone()),
        };
        // Strings and numbers only: that cannot fail.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// `None` when it cannot be read.
    pub(super) fn from_json(request_id: &str, json: &[u8], body: Option<Bytes>) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(json).ok()?;
        let content_type = kept.content_type;
        let steps = kept.steps.into_iter();
        Some(Self {
            request_id: request_id.to_owned(),
            at: Timestamp::from_millis(kept.at_ms),
            took: Duration::from_micros(kept.took_us),
            route: kept.route.map(Into::into),
            result: kept.result.told(),
            status: kept.status,
            method: kept.method,
            path: kept.path,
            client: kept.client,
            body_bytes: kept.body_bytes,
            cause: kept.cause,
            steps: steps
                .map(|(name, passed, told)| Step { name, passed, told })
                .collect(),
            trace: kept.trace,
            body: body.map(|bytes| KeptBody {
                content_type,
                bytes,
            }),
        })
    }
}

/// A newer version may add fields.
#[derive(Serialize, Deserialize)]
struct Kept {
    at_ms: i64,
    took_us: u64,
    route: Option<String>,
    result: KeptResult,
    status: u16,
    method: String,
    path: String,
    client: Option<IpAddr>,
    body_bytes: Option<u64>,
    cause: Option<String>,
    steps: Vec<(String, bool, String)>,
    trace: Option<String>,
    content_type: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptResult {
    Rejected(String),
    Duplicate {
        uid: Uuid,
        first_received_ms: i64,
        same_body: bool,
    },
    Handshake(String),
}

impl KeptResult {
    fn of(result: &RecordResult) -> Self {
        match result {
            RecordResult::Rejected { reason } => Self::Rejected(reason.clone()),
            RecordResult::Duplicate {
                uid,
                first_received_at,
                same_body,
            } => Self::Duplicate {
                uid: *uid,
                first_received_ms: first_received_at.as_millis(),
                same_body: *same_body,
            },
            RecordResult::Handshake { name } => Self::Handshake(name.clone()),
        }
    }

    fn told(self) -> RecordResult {
        match self {
            Self::Rejected(reason) => RecordResult::Rejected { reason },
            Self::Duplicate {
                uid,
                first_received_ms,
                same_body,
            } => RecordResult::Duplicate {
                uid,
                first_received_at: Timestamp::from_millis(first_received_ms),
                same_body,
            },
            Self::Handshake(name) => RecordResult::Handshake { name },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_sorts_by_it() {
        let at = Timestamp::from_millis(1_800_000_000_123);
        let id = format!("{}00c0ffee0001", id_prefix(at));
        assert_eq!(time_of_id(&id), Some(at));
        assert_eq!(id_prefix(Timestamp::from_millis(-1)), "000000000000");
        assert!(id_prefix(at) < id_prefix(Timestamp::from_millis(1_800_000_000_124)));
        for other in ["", "018", "018z00000000", "01890000000ü", &"0".repeat(65)] {
            assert_eq!(time_of_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_kept_body_is_not_shown() {
        let body = KeptBody {
            content_type: None,
            bytes: Bytes::from_static(b"s3cret"),
        };
        let shown = format!("{body:?}");
        assert!(shown.contains('6') && !shown.contains("115"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
