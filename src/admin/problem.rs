//! What goes wrong, as RFC 9457 tells it.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{Method, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::config::Fault;
use crate::store::StoreError;

/// The media type of every refusal.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    /// Of a path that has other methods.
    allow: Vec<Method>,
}

/// A refusal (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    #[schema(example = "about:blank")]
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for programs.
    #[schema(example = "invalid_parameter")]
    code: &'a str,
    /// What went wrong and what to do, for people.
    detail: &'a str,
    /// Of a configuration that is not valid: everything that is wrong with it.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(required = false)]
    faults: &'a [Fault],
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            faults: Vec::new(),
            allow: Vec::new(),
        }
    }

    pub(super) fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(super) fn unknown(what: &str) -> Self {
        let detail = format!("{what} is not, or no longer, known.");
        Self::new(StatusCode::NOT_FOUND, "unknown", detail)
    }

    pub(super) fn unknown_path() -> Self {
        let detail = "There is nothing at this path; /api/v1/openapi.json tells what there is.";
        Self::new(StatusCode::NOT_FOUND, "unknown_path", detail)
    }

    pub(super) fn not_allowed(allow: Vec<Method>) -> Self {
        let names: Vec<_> = allow.iter().map(Method::as_str).collect();
        let detail = format!("This path takes {}.", names.join(", "));
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            allow,
            ..Self::new(status, "method_not_allowed", detail)
        }
    }

    /// Of a file that is not taken: the one before stays.
    pub(super) fn invalid_config(faults: Vec<Fault>) -> Self {
        let detail = format!(
            "The configuration has {} fault(s); nothing changed.",
            faults.len()
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self {
            faults,
            ..Self::new(status, "invalid_config", detail)
        }
    }

    pub(super) fn unusable_config(why: &str) -> Self {
        let detail = format!("The configuration cannot be used: {why}. Nothing changed.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable_config", detail)
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Of a body that did not come whole, or is too large.
    pub(super) fn unread(error: &actix_web::Error) -> Self {
        let status = error.as_response_error().status_code();
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "body_too_large", "The body is too large.")
            }
            _ => Self::bad("malformed_request", "The body cannot be read."),
        }
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "This endpoint asks for an admin token: Authorization: Bearer TOKEN.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::BadCursor) {
            return Self::bad("invalid_parameter", format!("`cursor`: {error}."));
        }
        tracing::warn!(%error, "the store did not answer the admin API");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = "The store does not answer now; the log tells why.";
        Self::new(status, "store_unavailable", detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = r#"Bearer realm="hookgate admin""#;
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let names: Vec<_> = self.allow.iter().map(Method::as_str).collect();
                response.insert_header((header::ALLOW, names.join(", ")));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, "1"));
            }
            _ => {}
        }
        response.content_type(CONTENT_TYPE).json(Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            faults: &self.faults,
        })
    }
}
