//! Records of requests that made no new event: what an operator asks for by request id.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use crate::{clock::Timestamp, event::RouteName};

/// Records that are kept: the oldest beyond them go.
pub const RECORDS_MAX: usize = 10_000;
/// Bytes of all kept bodies together.
pub const RECORD_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request that was refused, or that was accepted before, or that was a handshake. No secret is in it; a body
/// only where its route says `keep_rejected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What `X-Request-Id` said.
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

/// The body of a refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBody {
    pub content_type: Option<String>,
    /// The first [`KEPT_BODY_BYTES_MAX`].
    pub bytes: Bytes,
}

pub const KEPT_BODY_BYTES_MAX: usize = 64 * 1024;

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

/// One page, newest first.
#[derive(Clone, Debug)]
pub struct RecordQuery {
    pub filter: RecordFilter,
    /// Where the page before ended: its [`RecordPage::next`].
    pub cursor: Option<String>,
    pub limit: usize,
}

#[derive(Clone, Debug, Default)]
pub struct RecordPage {
    /// May be fewer than asked for, even none, though more follow.
    pub records: Vec<Record>,
    /// `None` when this was the last page.
    pub next: Option<String>,
}
