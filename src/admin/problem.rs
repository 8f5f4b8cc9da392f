//! What goes wrong, as RFC 9457 tells it.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::store::StoreError;

#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn unknown(what: &str) -> Self {
        let detail = format!("{what} is not, or no longer, known.");
        Self::new(StatusCode::NOT_FOUND, "unknown", detail)
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
        let detail = "This endpoint asks for the admin token: Authorization: Bearer TOKEN.";
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
        response.content_type("application/problem+json");
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = r#"Bearer realm="hookgate admin""#;
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, "1"));
            }
            _ => {}
        }
        response.body(
            json!({
                "type": "about:blank",
                "title": self.status.canonical_reason(),
                "status": self.status.as_u16(),
                "code": self.code,
                "detail": self.detail,
            })
            .to_string(),
        )
    }
}
