//! The admin listener: metrics and health, on its own socket, never the public one.

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::header,
    web::{self, Data},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{config, ingest::Gate, metrics::Metrics, store::Store};

/// What the admin endpoints read.
pub struct Sources {
    pub metrics: Arc<Metrics>,
    pub store: Arc<dyn Store>,
    pub gate: Arc<Gate>,
}

/// The running admin listener.
pub struct Admin {
    handle: ServerHandle,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

struct State {
    sources: Sources,
    /// SHA-256 of the token: equal lengths compare in constant time.
    token: Option<[u8; 32]>,
}

impl Admin {
    /// Serves on a thread of its own; must be called within a tokio runtime.
    pub fn start(
        socket: TcpListener,
        config: &config::Admin,
        sources: Sources,
    ) -> io::Result<Self> {
        let token = config
            .token
            .as_ref()
            .map(|token| Sha256::digest(token.expose()).into());
        let state = Data::new(State { sources, token });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .route("/metrics", web::get().to(metrics))
                .route("/healthz", web::get().to(healthz))
                .route("/readyz", web::get().to(readyz))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(socket)?
        .run();
        Ok(Self {
            handle: server.handle(),
            served: tokio::spawn(server),
        })
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
        if let Ok(Err(error)) = self.served.await {
            tracing::error!(%error, "the admin listener ended with an error");
        }
    }
}

async fn metrics(request: HttpRequest, state: Data<State>) -> HttpResponse {
    if !allowed(&request, &state) {
        return HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="hookgate admin""#))
            .finish();
    }
    match state.sources.metrics.render() {
        Ok(text) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

fn allowed(request: &HttpRequest, state: &State) -> bool {
    let Some(token) = &state.token else {
        return true;
    };
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(header::HeaderValue::as_bytes);
    let presented = presented.and_then(bearer_token).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(presented).into();
    token.ct_eq(&digest).into()
}

/// The scheme's name counts in any case (RFC 9110).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// The process is alive.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The store can take an event, and the gateway is not stopping.
async fn readyz(state: Data<State>) -> HttpResponse {
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
