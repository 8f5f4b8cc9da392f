//! `/metrics`, `/healthz` and `/readyz`.

use actix_web::{HttpResponse, web::Data};

use super::{State, guard::MayScrape};

pub(super) async fn metrics(_: MayScrape, state: Data<State>) -> HttpResponse {
    match state.sources.metrics.render() {
        Ok(text) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// The process is alive.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The store can take an event, and the gateway is not stopping.
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
