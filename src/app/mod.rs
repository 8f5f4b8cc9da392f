//! The composition root: the only place that names a concrete store, and where start and stop have their order.

mod news;
mod reload;
mod setup;
mod watch;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::trace::otlp::{Otlp, OtlpFault};
use crate::{
    admin::{
        self, Admin,
        control::{Control, Refusal},
    },
    clock::Clock,
    config::Config,
    delivery::{self, Delivery, DeliveryError, Lines, Roots},
    expression::Workers,
    ingest::{Gate, Records},
    keys::{HttpFetcherFault, KeyFetcher, Keys},
    listener::{
        BindError, Listener, Serving, Sockets, listen, reserve,
        tls::{Identity, TlsError},
    },
    metrics::Metrics,
    outbound::Names,
    store::{OpenError, Store, handover::Handover, orphans::Gone},
};

use reload::{Loaded, Parts, Running};
pub(crate) use setup::key_fetcher;
use watch::Snapshot;

/// A running gateway.
pub struct App {
    public_addr: SocketAddr,
    plain_addr: Option<SocketAddr>,
    admin_addr: SocketAddr,
    certificate_pem: String,
    store: Arc<dyn Store>,
    listener: Listener,
    admin: Admin,
    delivery: Arc<Delivery>,
    /// Cancelled: what is recorded of requests is written, and no more is.
    no_records: CancellationToken,
    recording: JoinHandle<()>,
    control: Arc<Running>,
    /// Cancelled: no more reloads.
    no_reloads: CancellationToken,
    reloads: JoinHandle<()>,
    /// Reads the kept secrets, and retires the deliveries of removed targets, again and again.
    chores: [AbortOnDropHandle<()>; 2],
    otlp: Option<Arc<Otlp>>,
    shutdown_grace: std::time::Duration,
}

/// Why a gateway did not start: one clear line each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(Refusal),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(
        "cannot read or write the store at start: {0}; is it well, and are its disk and memory not full?"
    )]
    FirstCall(#[from] crate::store::StoreError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Keys(#[from] HttpFetcherFault),
    #[error(transparent)]
    Otlp(#[from] OtlpFault),
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}

/// What a gateway is started with.
struct Origin {
    loaded: Loaded,
    /// Where it was read, and how its files stood before they were; without a path it is never read again.
    path: Option<PathBuf>,
    seen: Snapshot,
}

impl App {
    /// Reads the configuration at `path`, and goes over to it again when it changes.
    /// Must be called within a multi-thread tokio runtime: deliveries run on it, requests on threads of their own.
    pub async fn start_from(path: &Path, clock: Clock) -> Result<Self, StartError> {
        let (now, from) = (clock.now(), path.to_owned());
        let reading = spawn_blocking(move || reload::read(&from, BTreeSet::new(), now)).await;
        let (loaded, seen) = reading.map_err(io::Error::other)?;
        let loaded = loaded.map_err(StartError::Config)?;
        let fetcher = key_fetcher(&loaded.config)?;
        let path = Some(path.to_owned());
        Self::start_as(Origin { loaded, path, seen }, clock, fetcher).await
    }

    /// The same, with a configuration that stays as it is.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let fetcher = key_fetcher(&config)?;
        Self::start_with(config, clock, fetcher).await
    }

    /// The same, with keys from elsewhere.
    pub async fn start_with(
        config: Config,
        clock: Clock,
        fetcher: Option<Arc<dyn KeyFetcher>>,
    ) -> Result<Self, StartError> {
        let origin = Origin {
            loaded: Loaded {
                identity: Identity::load(
                    &config.server.tls,
                    config.server.client_authorities.clone(),
                    clock.now(),
                )?,
                config,
            },
            path: None,
            seen: Snapshot::default(),
        };
        Self::start_as(origin, clock, fetcher).await
    }

    /// Sockets first, since a taken port is the commonest fault, but nobody is let in on them; then the store;
    /// deliveries before requests.
    async fn start_as(
        origin: Origin,
        clock: Clock,
        fetcher: Option<Arc<dyn KeyFetcher>>,
    ) -> Result<Self, StartError> {
        let Loaded { config, identity } = origin.loaded;
        let metrics = Arc::new(Metrics::new(&setup::OwnedLabels::of(&config).labels())?);
        let (otlp, tracer) = setup::tracer(&config, &metrics)?;
        let sockets = Sockets::bind(&config.server)?;
        let admin_socket = reserve(config.admin.listen)?;
        let certificate_pem = identity.certificate_pem.clone();
        setup::note_certificate(&metrics, &identity);
        setup::note_load(&metrics, clock.now());

        let inner = setup::open_store(&config, &clock, &metrics).await?;
        let store = Handover::new(inner, Handle::current());
        let lanes = store.lanes();
        let replay_begun = store.replay_begun();
        let limits = Arc::new(ArcSwap::from_pointee(setup::limits(&config, 0)));
        let (store, orphans) = (Arc::new(store), lanes.orphans());
        let store = setup::with_spool(store, &config, &clock, &metrics, &limits, orphans).await?;
        let known: Vec<_> = config.targets.keys().cloned().collect();
        let gone = Gone::AllBut(known);
        news::retired(store.retire_targets(&gone).await?, &metrics);
        let targets: Vec<_> = config.targets.values().cloned().collect();
        let delivery = Arc::new(Delivery::start(delivery::Setup {
            targets,
            lines: Lines::of(&config.routes),
            workers: Workers::of_this_program()?,
            store: store.clone(),
            lanes: lanes.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            retention: setup::retention(&config),
            roots: Roots::Native,
            names: Names::of_system(),
            replay_begun,
            tracer: tracer.clone(),
            paused: setup::paused_targets(&*store).await,
        })?);

        let no_records = CancellationToken::new();
        let (records, recording) = Records::new(
            store.clone(),
            metrics.records_dropped.clone(),
            no_records.clone(),
        );
        let recording = tokio::spawn(recording.run());
        let gate = Gate::new(&config, store.clone(), clock.clone(), &metrics)
            .with_records(records)
            .with_tracer(tracer);
        let gate = Arc::new(match fetcher {
            Some(fetcher) => gate.with_keys(Keys::new(fetcher, clock.clone(), Handle::current())),
            None => gate,
        });
        let secrets = setup::read_secrets(gate.secrets().clone()).await;
        let (public_addr, plain_addr) = sockets.addresses()?;
        let admin_addr = admin_socket.local_addr()?;
        let identity = Arc::new(ArcSwap::from_pointee(identity));
        let config = Arc::new(config);
        let parts = Parts {
            store: store.clone(),
            lanes,
            delivery: delivery.clone(),
            gate: gate.clone(),
            identity: identity.clone(),
            limits,
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        let (control, reloads) = Running::new(parts, origin.path, config.clone(), origin.seen);
        let sources = admin::Sources {
            metrics: metrics.clone(),
            store: store.clone(),
            gate: gate.clone(),
            control: control.clone(),
            clock: clock.clone(),
        };
        sockets.listen()?;
        listen(&admin_socket)?;
        let admin = Admin::start(admin_socket, sources)?;
        let serving = Serving {
            gate,
            identity,
            metrics,
            clock,
        };
        let listener = Listener::start(sockets, &config.server, serving)?;
        let no_reloads = CancellationToken::new();
        let retiring = AbortOnDropHandle::new(tokio::spawn(control.clone().retire()));
        Ok(Self {
            public_addr,
            plain_addr,
            admin_addr,
            certificate_pem,
            store,
            listener,
            admin,
            delivery,
            no_records,
            recording,
            control,
            reloads: tokio::spawn(reloads.run(no_reloads.clone())),
            no_reloads,
            chores: [secrets, retiring],
            otlp,
            shutdown_grace: config.server.shutdown_grace,
        })
    }

    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    pub fn plain_addr(&self) -> Option<SocketAddr> {
        self.plain_addr
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// PEM of the chain that was served at the start.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// What an operator can ask of it.
    pub fn control(&self) -> Arc<dyn Control> {
        self.control.clone()
    }

    /// Waits until the store can never answer again; the process must then exit.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// In the order of the flow: no more changes, no more requests, then no more attempts, then the store.
    /// The admin listener goes last, so that the stop can be watched.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.shutdown_grace;
        self.no_reloads.cancel();
        self.listener.stop().await;
        self.no_records.cancel();
        // A reload that is under way waits for nothing but the store, which has its own deadline.
        drop(timeout_at(deadline, self.reloads).await);
        self.delivery
            .stop(deadline.saturating_duration_since(Instant::now()))
            .await;
        drop(self.chores);
        if let Some(otlp) = self.otlp {
            // It waits for the collector on the thread that asks.
            drop(spawn_blocking(move || otlp.end()).await);
        }
        drop(timeout_at(deadline, self.recording).await);
        self.store.close().await;
        self.admin.stop().await;
    }
}
