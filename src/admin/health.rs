//! `/metrics`, `/healthz` and `/readyz`.

use actix_web::{HttpResponse, web::Data};

use super::{State, guard::MayScrape, problem};

/// For Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses(
        (status = 200, description = "Text format 0.0.4", content_type = "text/plain", body = String),
        (status = 401, description = "No admin token, or another", content_type = "application/problem+json", body = problem::Body),
    ))]
pub(super) async fn metrics(_: MayScrape, state: Data<State>) -> HttpResponse {
    match state.sources.metrics.render() {
        Ok(text) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "healthz", security(()),
    responses((status = 200, description = "Alive", content_type = "text/plain", body = String)))]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The store can take an event, and the gateway is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz", security(()),
    responses(
        (status = 200, description = "Ready", content_type = "text/plain", body = String),
        (status = 503, description = "Not now: the text says why", content_type = "text/plain", body = String),
    ))]
pub(super) async fn readyz(state: Data<State>) -> HttpResponse {
    if state.sources.gate.is_draining() {
        return HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("draining\n");
    }
    match state.sources.store.ready().await {
        Ok(()) => HttpResponse::Ok()
            .content_type("text/plain")
            .body("ready\n"),
        // What is wrong is for the log: this endpoint asks nobody for a token.
        Err(error) => {
            tracing::warn!(%error, "not ready");
            HttpResponse::ServiceUnavailable()
                .content_type("text/plain")
                .body("the store is unavailable\n")
        }
    }
}
