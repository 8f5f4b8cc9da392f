//! The record of a request that made no new event, as the API tells it.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    event::{Encoding, encoded},
    moment::Moment,
};
use crate::store::records::{KeptBody, Record, RecordResult, Step};

/// A request that was refused, or repeated an event, or was a handshake.
#[derive(Serialize, ToSchema)]
#[schema(as = Record)]
pub(super) struct RecordShown {
    request_id: String,
    outcome: Outcome,
    /// Why it was refused; of others `null`.
    #[schema(examples("signature_mismatch", "invalid_json"))]
    reason: Option<String>,
    /// What is known beyond the reason.
    cause: Option<String>,
    /// `null`: it reached none.
    route: Option<String>,
    received_at: Moment,
    /// From its head to its answer.
    took_ms: f64,
    /// What was answered.
    #[schema(minimum = 100, maximum = 599)]
    status: u16,
    method: String,
    /// Without the query string.
    path: String,
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// Of the body, where all of it came.
    body_bytes: Option<u64>,
    /// What was looked at, in order.
    steps: Vec<StepShown>,
    /// The id of its trace, where it had one.
    trace: Option<String>,
    /// Of a repeated event; of others `null`.
    duplicate_of: Option<First>,
    /// Of a handshake, which; of others `null`.
    handshake: Option<String>,
    /// Where the route says `keep_rejected`: the first 64 KiB. Not in lists.
    body: Option<BodyShown>,
}

/// What became of a request.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As a new event, or several.
    Accepted,
    /// All of it was known already.
    Duplicate,
    Handshake,
    Rejected,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
struct StepShown {
    name: String,
    passed: bool,
    told: String,
}

/// The event that was accepted first.
#[derive(Serialize, ToSchema)]
struct First {
    uid: Uuid,
    received_at: Moment,
    /// False: the repeated id came with another body.
    same_body: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeptBody)]
struct BodyShown {
    content_type: Option<String>,
    encoding: Encoding,
    /// The bytes that arrived, so encoded.
    body: String,
}

impl Outcome {
    pub(super) fn of(record: &Record) -> Self {
        match record.result {
            RecordResult::Rejected { .. } => Self::Rejected,
            RecordResult::Duplicate { .. } => Self::Duplicate,
            RecordResult::Handshake { .. } => Self::Handshake,
        }
    }
}

impl RecordShown {
    pub(super) fn of(record: Record) -> Self {
        let outcome = Outcome::of(&record);
        let (mut reason, mut duplicate_of, mut handshake) = (None, None, None);
        match record.result {
            RecordResult::Rejected { reason: why } => reason = Some(why),
            RecordResult::Handshake { name } => handshake = Some(name),
            RecordResult::Duplicate {
                uid,
                first_received_at,
                same_body,
            } => {
                duplicate_of = Some(First {
                    uid,
                    received_at: first_received_at.into(),
                    same_body,
                });
            }
        }
        Self {
            request_id: record.request_id,
            outcome,
            reason,
            cause: record.cause,
            route: record.route.map(|route| route.to_string()),
            received_at: record.at.into(),
            took_ms: record.took.as_secs_f64() * 1000.0,
            status: record.status,
            method: record.method,
            path: record.path,
            client: record.client,
            body_bytes: record.body_bytes,
            steps: record.steps.into_iter().map(StepShown::of).collect(),
            trace: record.trace,
            duplicate_of,
            handshake,
            body: record.body.map(BodyShown::of),
        }
    }
}

impl StepShown {
    fn of(step: Step) -> Self {
        Self {
            name: step.name,
            passed: step.passed,
            told: step.told,
        }
    }
}

impl BodyShown {
    fn of(kept: KeptBody) -> Self {
        let (encoding, body) = encoded(&kept.bytes);
        Self {
            content_type: kept.content_type,
            encoding,
            body,
        }
    }
}
