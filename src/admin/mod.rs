//! The admin listener: metrics, health and the API, on its own socket, never the public one.

pub mod control;
mod events;
mod guard;
mod health;
mod parameters;
mod problem;
mod replays;
mod secrets;
mod targets;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data, PayloadConfig, ServiceConfig},
};

use guard::Token;
use problem::Problem;

use crate::{
    clock::Clock,
    config::{self, Target},
    ingest::Gate,
    metrics::Metrics,
    store::{Store, handover},
};

/// Of a request to the API.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the admin endpoints read.
pub struct Sources {
    pub metrics: Arc<Metrics>,
    pub store: Arc<dyn Store>,
    pub gate: Arc<Gate>,
    pub targets: Vec<Arc<Target>>,
    pub lanes: Arc<handover::Lanes>,
    pub clock: Clock,
}

/// The running admin listener.
pub struct Admin {
    handle: ServerHandle,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

struct State {
    sources: Sources,
    token: Option<Token>,
}

impl Admin {
    /// Serves on a thread of its own; must be called within a tokio runtime.
    pub fn start(
        socket: TcpListener,
        config: &config::Admin,
        sources: Sources,
    ) -> io::Result<Self> {
        let token = config.tokens.first().map(|token| Token::new(&token.secret));
        let state = Data::new(State { sources, token });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .route("/metrics", web::get().to(health::metrics))
                .route("/healthz", web::get().to(health::healthz))
                .route("/readyz", web::get().to(health::readyz))
                .service(web::scope("/api/v1").configure(api))
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

fn api(scope: &mut ServiceConfig) {
    scope
        .route("/targets", web::get().to(targets::list))
        .route("/events", web::get().to(events::list))
        .route("/events/{uid}", web::get().to(events::get))
        .route("/events/{uid}/replay", web::post().to(events::replay))
        .route("/replays", web::get().to(replays::list))
        .route("/replays", web::post().to(replays::create))
        .route("/replays/{id}", web::get().to(replays::get))
        .route("/replays/{id}", web::delete().to(replays::cancel))
        .route("/secrets", web::get().to(secrets::list))
        .route("/secrets/{route}", web::delete().to(secrets::forget))
        .default_service(web::to(unknown));
}

/// Whatever is not one of those, by path or by method.
async fn unknown() -> Result<HttpResponse, Problem> {
    Err(Problem::unknown("This path, with this method,"))
}
