//! The composition root: the only place that names a concrete store, and where start and stop have their order.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use tokio::{runtime::Handle, time::Instant};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    admin::{self, Admin},
    clock::{Clock, Timestamp},
    config::{Config, Route, StoreUrl, Verifier, Verify},
    delivery::{self, Delivery, DeliveryError, Lines, Roots},
    expression::Workers,
    ingest::{Gate, KeptSecrets, rejection::Reason},
    keys::{HttpFetcher, HttpFetcherFault, KeyFetcher, Keys},
    listener::{
        BindError, Listener, Serving, Sockets, listen, reserve,
        tls::{Identity, TlsError},
    },
    metrics::{Labels, Metrics, RouteLabels},
    outbound::Names,
    store::{
        OpenError, Retention, Store,
        embedded::{self, Embedded},
        handover::handover,
        metered::Metered,
        redis::{self, RedisStore},
        spooled::{self, Spooled},
    },
};

/// A running gateway.
pub struct App {
    public_addr: SocketAddr,
    plain_addr: Option<SocketAddr>,
    admin_addr: SocketAddr,
    certificate_pem: String,
    store: Arc<dyn Store>,
    listener: Listener,
    admin: Admin,
    delivery: Delivery,
    /// Reads the kept secrets, again and again.
    secrets: AbortOnDropHandle<()>,
    shutdown_grace: std::time::Duration,
}

/// Why a gateway did not start: one clear line each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("cannot read or write the store at start: {0}")]
    FirstCall(#[from] crate::store::StoreError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Keys(#[from] HttpFetcherFault),
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}

impl App {
    /// Sockets first, since a taken port is the commonest fault, but nobody is let in on them; then the store;
    /// deliveries before requests.
    /// Must be called within a multi-thread tokio runtime: deliveries run on it, requests on threads of their own.
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
        let identity = Identity::load(
            &config.server.tls,
            config.server.client_authorities.clone(),
            clock.now(),
        )?;
        let sockets = Sockets::bind(&config.server)?;
        let admin_socket = reserve(config.admin.listen)?;
        let metrics = Arc::new(metrics_for(&config)?);
        note_start(&metrics, &identity, &clock);

        let known: Vec<_> = config.targets.keys().cloned().collect();
        let inner = open_store(&config, &clock, &metrics).await?;
        let targets: Vec<_> = config.targets.values().cloned().collect();
        let lines = Lines::of(&config.routes);
        let specs = delivery::lane_specs(&targets, &lines);
        let (store, lanes) = handover(inner, specs, Handle::current());
        let gates = lanes.iter().map(|lane| lane.gate.clone()).collect();
        let replay_begun = store.replay_begun();
        let store = with_spool(Arc::new(store), &config, &clock, &metrics).await?;
        let retired = store.retire_targets(&known).await?;
        if retired > 0 {
            tracing::warn!(
                deliveries = retired,
                "deliveries of removed targets became dead letters"
            );
        }
        let retention = Retention {
            age: config.store.retention,
            bytes: config.store.retention_size,
        };
        let delivery = Delivery::start(delivery::Setup {
            targets: targets.clone(),
            lines,
            workers: Workers::of_this_program()?,
            store: store.clone(),
            lanes,
            metrics: metrics.clone(),
            clock: clock.clone(),
            retention,
            roots: Roots::Native,
            names: Names::of_system(),
            replay_begun,
        })?;

        let gate = Gate::new(&config, store.clone(), clock.clone(), &metrics);
        let gate = Arc::new(match fetcher {
            Some(fetcher) => gate.with_keys(Keys::new(fetcher, clock.clone(), Handle::current())),
            None => gate,
        });
        let secrets = read_secrets(gate.secrets().clone()).await;
        let (public_addr, plain_addr) = sockets.addresses()?;
        let admin_addr = admin_socket.local_addr()?;
        let sources = admin::Sources {
            metrics: metrics.clone(),
            store: store.clone(),
            gate: gate.clone(),
            targets,
            gates,
            clock,
        };
        sockets.listen()?;
        listen(&admin_socket)?;
        let admin = Admin::start(admin_socket, &config.admin, sources)?;
        let acceptor = TlsAcceptor::from(identity.config);
        let listener = Listener::start(
            sockets,
            &config.server,
            Serving {
                gate: gate.clone(),
                acceptor,
                metrics,
            },
        )?;
        Ok(Self {
            public_addr,
            plain_addr,
            admin_addr,
            certificate_pem: identity.certificate_pem,
            store,
            listener,
            admin,
            delivery,
            secrets,
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

    /// PEM of the chain that is served.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Waits until the store can never answer again; the process must then exit.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// In the order of the flow: no more requests, then no more attempts, then the store.
    /// The admin listener goes last, so that the stop can be watched.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.shutdown_grace;
        self.listener.stop().await;
        self.delivery
            .stop(deadline.saturating_duration_since(Instant::now()))
            .await;
        drop(self.secrets);
        self.store.close().await;
        self.admin.stop().await;
    }
}

/// Without them the gateway starts all the same: it asks again when they are needed, and Redis may be away behind a spool.
async fn read_secrets(secrets: Arc<KeptSecrets>) -> AbortOnDropHandle<()> {
    if secrets.is_empty() {
        return AbortOnDropHandle::new(tokio::spawn(async {}));
    }
    if let Err(error) = secrets.read().await {
        tracing::warn!(%error, "could not read the secrets that came in handshakes");
    }
    AbortOnDropHandle::new(tokio::spawn(async move { secrets.follow().await }))
}

async fn open_store(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, OpenError> {
    let durability = config.store.durability;
    let store: Arc<dyn Store> = match &config.store.url {
        StoreUrl::Embedded { directory } => {
            let options = embedded::Options {
                directory: directory.clone(),
                durability,
            };
            Arc::new(Embedded::open(options, clock.clone(), metrics.clone())?)
        }
        StoreUrl::Redis(servers) => {
            let options = redis::Options {
                servers: servers.clone(),
                durability,
                shards: config.store.shards,
            };
            Arc::new(match config.store.spool {
                None => RedisStore::open(options, metrics.clone()).await?,
                // Events have a place to go until it is there, but not for ever: it must be fit.
                Some(_) => RedisStore::open_lazily(&options, metrics.clone()).await?,
            })
        }
    };
    Ok(Arc::new(Metered::new(store, metrics.clone())))
}

/// The spool stands before the hand-over, so that what is moved from it is delivered as what comes directly is.
async fn with_spool(
    primary: Arc<dyn Store>,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, StartError> {
    let Some(directory) = &config.store.spool else {
        return Ok(primary);
    };
    let options = embedded::Options {
        directory: directory.clone(),
        durability: config.store.durability,
    };
    let spool = Embedded::open(options, clock.clone(), metrics.clone())?;
    let setup = spooled::Setup {
        primary,
        spool: Arc::new(spool),
        body_max: config
            .routes
            .iter()
            .map(|route| route.max_body)
            .max()
            .unwrap_or(0),
        retention: config.store.retention,
        metrics: metrics.clone(),
        clock: clock.clone(),
    };
    Ok(Arc::new(Spooled::start(setup).await?))
}

fn metrics_for(config: &Config) -> Result<Metrics, prometheus::Error> {
    let routes: Vec<_> = config
        .routes
        .iter()
        .map(|route| RouteLabels {
            name: route.name.clone(),
            credentials: credentials(route),
            credentials_end: credentials_end(route),
            handshakes: route.handshakes.iter().map(|row| row.name).collect(),
            targets: route
                .deliver
                .iter()
                .map(|deliver| deliver.to.clone())
                .collect(),
        })
        .collect();
    let targets: Vec<_> = config.targets.keys().cloned().collect();
    let reasons: Vec<_> = Reason::all().map(Reason::as_str).collect();
    Metrics::new(&Labels {
        routes: &routes,
        targets: &targets,
        reasons: &reasons,
    })
}

/// `None` when no route has its keys fetched.
pub(crate) fn key_fetcher(
    config: &Config,
) -> Result<Option<Arc<dyn KeyFetcher>>, HttpFetcherFault> {
    let fetches = |route: &Arc<Route>| match &route.verify {
        Verify::Nobody => false,
        Verify::All(verifiers) => verifiers.iter().any(Verifier::fetches),
    };
    Ok(match config.routes.iter().any(fetches) {
        true => Some(Arc::new(HttpFetcher::new(None, &Names::of_system())?)),
        false => None,
    })
}

/// The names of a route's secrets and keys.
fn credentials(route: &Route) -> Vec<String> {
    let Verify::All(verifiers) = &route.verify else {
        return Vec::new();
    };
    let names = verifiers.iter().flat_map(Verifier::credentials);
    names.map(|name| name.to_string()).collect()
}

/// When those of them end that do, in Unix seconds. Of several of one name the first to end is told.
fn credentials_end(route: &Route) -> Vec<(String, f64)> {
    let Verify::All(verifiers) = &route.verify else {
        return Vec::new();
    };
    let mut ends = BTreeMap::new();
    for (name, end) in verifiers.iter().flat_map(Verifier::ends) {
        let first = ends.entry(name).or_insert(end);
        *first = end.min(*first);
    }
    let ends = ends.into_iter();
    ends.map(|(name, end)| (name.to_string(), seconds(end)))
        .collect()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

fn note_start(metrics: &Metrics, identity: &Identity, clock: &Clock) {
    metrics
        .tls_certificate_not_after
        .set(seconds(identity.not_after));
    metrics.config_last_reload_success.set(1);
    metrics
        .config_last_reload_timestamp
        .set(seconds(clock.now()));
}
