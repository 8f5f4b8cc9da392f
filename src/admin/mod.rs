//! The admin listener: metrics, health and the API, on its own socket, never the public one.

mod config;
pub mod control;
mod event;
mod events;
mod guard;
mod health;
mod moment;
mod mount;
mod openapi;
mod parameters;
mod problem;
mod record;
mod replays;
mod requests;
mod routes;
mod secrets;
mod targets;

use std::{
    io,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    web::{Data, PayloadConfig},
};

use control::Control;
use guard::Tokens;
use mount::{Endpoint, at, delete, get, mount, post};

use crate::{clock::Clock, config::Config, ingest::Gate, metrics::Metrics, store::Store};

/// Of a request to the API.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the admin endpoints read.
pub struct Sources {
    pub metrics: Arc<Metrics>,
    pub store: Arc<dyn Store>,
    pub gate: Arc<Gate>,
    pub control: Arc<dyn Control>,
    pub clock: Clock,
}

/// The running admin listener.
pub struct Admin {
    handle: ServerHandle,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

struct State {
    sources: Sources,
    /// Whether only this machine reaches the listener.
    is_loopback: bool,
    tokens: Mutex<TokensOf>,
}

/// The tokens of a configuration.
struct TokensOf {
    config: Arc<Config>,
    tokens: Arc<Tokens>,
}

impl State {
    /// Of the configuration that is served now.
    fn tokens(&self) -> Arc<Tokens> {
        let config = self.sources.control.config();
        let mut known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.config, &config) {
            *known = TokensOf::new(config);
        }
        known.tokens.clone()
    }
}

impl TokensOf {
    fn new(config: Arc<Config>) -> Self {
        let tokens = Arc::new(Tokens::new(&config.admin.tokens));
        Self { config, tokens }
    }
}

impl Admin {
    /// Serves on a thread of its own; must be called within a tokio runtime.
    pub fn start(socket: TcpListener, sources: Sources) -> io::Result<Self> {
        let state = Data::new(State {
            is_loopback: socket.local_addr()?.ip().is_loopback(),
            tokens: Mutex::new(TokensOf::new(sources.control.config())),
            sources,
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .configure(|app| mount(app, endpoints()))
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

fn endpoints() -> Vec<Endpoint> {
    vec![
        at("/metrics", [get(health::metrics)]),
        at("/healthz", [get(health::healthz)]),
        at("/readyz", [get(health::readyz)]),
        at("/api/v1/config", [get(config::get)]),
        at("/api/v1/events", [get(events::list)]),
        at("/api/v1/events/{uid}", [get(events::get)]),
        at("/api/v1/events/{uid}/replay", [post(events::replay)]),
        at("/api/v1/openapi.json", [get(openapi::document)]),
        at("/api/v1/rejections", [get(requests::rejections)]),
        at("/api/v1/rejections/{id}", [get(requests::rejection)]),
        at("/api/v1/reload", [post(config::reload)]),
        at(
            "/api/v1/replays",
            [get(replays::list), post(replays::create)],
        ),
        at("/api/v1/replays/{id}", [get(replays::get)]),
        at("/api/v1/replays/{id}/cancel", [post(replays::cancel)]),
        at("/api/v1/requests/{id}", [get(requests::get)]),
        at("/api/v1/routes", [get(routes::list)]),
        at("/api/v1/secrets", [get(secrets::list)]),
        at(
            "/api/v1/secrets/{route}",
            [get(secrets::get), delete(secrets::forget)],
        ),
        at("/api/v1/targets", [get(targets::list)]),
        at("/api/v1/targets/{name}/pause", [post(targets::pause)]),
        at("/api/v1/targets/{name}/resume", [post(targets::resume)]),
    ]
}
