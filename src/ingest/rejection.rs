//! Rejections: the only table of statuses and reasons, and how each is told to the caller.

use std::{borrow::Cow, fmt, time::Duration};

use actix_http::{Response, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;

use crate::{signature::jwt::TokenFault, store::StoreError};

/// Why a request was not accepted: problem `code` (where it may be told), log field and metric label in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    MalformedRequest,
    InvalidJson,
    TooDeep,
    DuplicateKey,
    InvalidForm,
    InvalidXml,
    MissingCredentials,
    UnknownKey,
    ExpiredKey,
    MissingSignature,
    MalformedSignature,
    SignatureMismatch,
    MissingTimestamp,
    StaleTimestamp,
    RepeatedHeader,
    InvalidToken,
    InvalidClientCertificate,
    SourceNotAllowed,
    RouteDisabled,
    HandshakeRefused,
    UnknownPath,
    MethodNotAllowed,
    SlowRequest,
    BodyTooLarge,
    UnsupportedContentType,
    UnsupportedEncoding,
    SchemaViolation,
    MissingEventId,
    InvalidEventId,
    RateLimited,
    StoreUnavailable,
    KeyUnavailable,
    HandshakeFailed,
    Overloaded,
    Draining,
}

use Reason as R;

/// Reason, status, name, and what the caller is told. A 401 tells nobody which check failed.
const TABLE: &[(Reason, u16, &str, &str)] = &[
    (
        R::MalformedRequest,
        400,
        "malformed_request",
        "The request is not well-formed HTTP/1.1, its body was cut short, or it is a GET with a body.",
    ),
    (
        R::InvalidJson,
        400,
        "invalid_json",
        "The body is not valid JSON.",
    ),
    (
        R::TooDeep,
        400,
        "too_deep",
        "The JSON is nested deeper than 64 levels.",
    ),
    (
        R::DuplicateKey,
        400,
        "duplicate_key",
        "A key that this route reads stands twice in one object.",
    ),
    (
        R::InvalidForm,
        400,
        "invalid_form",
        "The body or query is not a valid form.",
    ),
    (
        R::InvalidXml,
        400,
        "invalid_xml",
        "The body is not well-formed XML, or has a document type.",
    ),
    (R::MissingCredentials, 401, "missing_credentials", ""),
    (R::UnknownKey, 401, "unknown_key", ""),
    (R::ExpiredKey, 401, "expired_key", ""),
    (R::MissingSignature, 401, "missing_signature", ""),
    (R::MalformedSignature, 401, "malformed_signature", ""),
    (R::SignatureMismatch, 401, "signature_mismatch", ""),
    (R::MissingTimestamp, 401, "missing_timestamp", ""),
    (R::StaleTimestamp, 401, "stale_timestamp", ""),
    (R::RepeatedHeader, 401, "repeated_header", ""),
    (R::InvalidToken, 401, "invalid_token", ""),
    (
        R::InvalidClientCertificate,
        401,
        "invalid_client_certificate",
        "",
    ),
    (
        R::SourceNotAllowed,
        403,
        "source_not_allowed",
        "This address may not call this endpoint.",
    ),
    (
        R::RouteDisabled,
        403,
        "route_disabled",
        "This endpoint is disabled.",
    ),
    (
        R::HandshakeRefused,
        403,
        "handshake_refused",
        "This handshake is not one that this endpoint answers.",
    ),
    (
        R::UnknownPath,
        404,
        "unknown_path",
        "No endpoint has this path.",
    ),
    (
        R::MethodNotAllowed,
        405,
        "method_not_allowed",
        "This endpoint does not take this method; see Allow.",
    ),
    (
        R::SlowRequest,
        408,
        "slow_request",
        "The request did not arrive in time.",
    ),
    (
        R::BodyTooLarge,
        413,
        "body_too_large",
        "The body is larger than this endpoint takes.",
    ),
    (
        R::UnsupportedContentType,
        415,
        "unsupported_content_type",
        "This endpoint does not take this Content-Type.",
    ),
    (
        R::UnsupportedEncoding,
        415,
        "unsupported_encoding",
        "Send the body as it is: no Content-Encoding is taken.",
    ),
    (
        R::SchemaViolation,
        422,
        "schema_violation",
        "The payload is well-formed but not what this endpoint expects; see violations.",
    ),
    (
        R::MissingEventId,
        422,
        "missing_event_id",
        "The request has no event id where this endpoint looks for it.",
    ),
    (
        R::InvalidEventId,
        422,
        "invalid_event_id",
        "An event id is a string or an integer of 1 to 256 bytes without control characters.",
    ),
    (
        R::RateLimited,
        429,
        "rate_limited",
        "Too many requests; see Retry-After.",
    ),
    (
        R::StoreUnavailable,
        503,
        "store_unavailable",
        "The event cannot be stored now; send it again.",
    ),
    (
        R::KeyUnavailable,
        503,
        "key_unavailable",
        "What proves the request cannot be fetched now; send it again.",
    ),
    (
        R::HandshakeFailed,
        503,
        "handshake_failed",
        "The address that confirms this handshake could not be called; send it again.",
    ),
    (
        R::Overloaded,
        503,
        "overloaded",
        "Too much is in flight; send it again.",
    ),
    (
        R::Draining,
        503,
        "draining",
        "This gateway is stopping; send it again.",
    ),
];

/// The same for every route, so that a 401 tells neither routes nor checks apart.
const CHALLENGE: &str = r#"Bearer realm="hookgate", Basic realm="hookgate""#;

impl Reason {
    /// Every reason, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    pub fn as_str(self) -> &'static str {
        self.row().2
    }

    pub fn status(self) -> u16 {
        self.row().1
    }

    pub(super) fn told(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static (Reason, u16, &'static str, &'static str) {
        // The table stands in the order of the enum; a test holds it to that.
        &TABLE[self as usize]
    }
}

/// A refusal on its way to the caller.
#[derive(Debug)]
pub struct Rejection {
    pub reason: Reason,
    pub detail: Detail,
}

/// What goes with a reason.
#[derive(Debug, Default)]
pub enum Detail {
    #[default]
    None,
    /// What is told instead of the reason's own words. Holds nothing of the request.
    Told(String),
    /// Where the payload went wrong, 1-based, and why. Holds nothing of the body.
    Position {
        line: usize,
        column: usize,
        message: String,
    },
    Violations(Vec<Violation>),
    /// The value of `Allow`.
    Allow(String),
    RetryAfter(Duration),
    /// Why the store has no answer: for the log, never for the caller.
    Store(StoreError),
    /// What is wrong with a token: for the log, never for the caller.
    Token(TokenFault),
    /// Why a handshake was not answered: for the log, never for the caller. Holds no secret.
    Cause(Cow<'static, str>),
}

/// One way in which a document is not what the route expects.
#[derive(Debug, Serialize)]
pub struct Violation {
    pub pointer: String,
    pub message: String,
    /// Of a schema: which rule, for the operator. Holds nothing of the body, whose names the others may hold.
    #[serde(skip)]
    pub rule: Option<String>,
}

/// When to send again what is refused for our own faults.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        let detail = match reason.status() {
            503 => Detail::RetryAfter(TRY_AGAIN),
            _ => Detail::None,
        };
        Self { reason, detail }
    }
}

impl Rejection {
    pub fn with(reason: Reason, detail: Detail) -> Self {
        Self { reason, detail }
    }

    /// What only the operator is told.
    pub fn cause(&self) -> Option<&dyn fmt::Display> {
        match &self.detail {
            Detail::Store(error) => Some(error),
            Detail::Token(fault) => Some(fault),
            Detail::Cause(cause) => Some(cause),
            _ => None,
        }
    }

    /// RFC 9457, with the request's id in `X-Request-Id`.
    pub fn response(&self, request_id: &str) -> Response<Bytes> {
        let status =
            StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::with_body(status, self.problem(status));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.extra_headers() {
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        if let Ok(value) = header::HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, value);
        }
        response
    }

    /// The same as raw HTTP/1.1, for a connection that is closed before a request could be read from it.
    pub fn raw_response(&self, request_id: &str) -> Vec<u8> {
        let status =
            StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = self.problem(status);
        let mut raw = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\nx-request-id: {request_id}\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes();
        raw.extend_from_slice(&body);
        raw
    }

    fn extra_headers(&self) -> Vec<(header::HeaderName, String)> {
        match &self.detail {
            Detail::Allow(methods) => vec![(header::ALLOW, methods.clone())],
            Detail::RetryAfter(wait) => vec![retry_after(*wait)],
            Detail::Store(_) => vec![retry_after(TRY_AGAIN)],
            Detail::Cause(_) if self.reason.status() == 503 => vec![retry_after(TRY_AGAIN)],
            _ if self.reason.status() == 401 => vec![(header::WWW_AUTHENTICATE, CHALLENGE.into())],
            _ => Vec::new(),
        }
    }

    fn problem(&self, status: StatusCode) -> Bytes {
        let told = (status != StatusCode::UNAUTHORIZED).then_some(self.reason);
        let (line, column, message) = match &self.detail {
            Detail::Position {
                line,
                column,
                message,
            } => (Some(*line), Some(*column), Some(message.as_str())),
            _ => (None, None, None),
        };
        let detail = match &self.detail {
            Detail::Told(words) => Some(words.as_str()),
            _ => told.map(Reason::told),
        };
        let violations = match &self.detail {
            Detail::Violations(violations) => violations.as_slice(),
            _ => &[],
        };
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: told.map(Reason::as_str),
            detail,
            line,
            column,
            message,
            violations,
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }
}

/// In whole seconds, at least one.
fn retry_after(wait: Duration) -> (header::HeaderName, String) {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    (header::RETRY_AFTER, seconds.to_string())
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
}

/// `X-Request-Id`, on every response.
pub const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.2);
        }
        assert_eq!(TABLE.len(), R::Draining as usize + 1);
    }

    #[test]
    fn every_401_is_the_same() {
        let bodies: Vec<_> = Reason::all()
            .filter(|reason| reason.status() == 401)
            .map(|reason| Rejection::from(reason).response("id").into_body())
            .collect();
        assert_eq!(bodies.len(), 11);
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(!String::from_utf8_lossy(&bodies[0]).contains("code"));
    }
}
