//! What the gateway is made of, from what the configuration says.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock::{Clock, Timestamp},
    config::{Config, Route, StoreUrl, Verifier, Verify},
    event::TargetName,
    ingest::{KeptSecrets, rejection::Reason},
    keys::{HttpFetcher, HttpFetcherFault, KeyFetcher},
    listener::tls::Identity,
    metrics::{Labels, Metrics, RouteLabels},
    outbound::Names,
    store::{
        OpenError, Retention, Store,
        embedded::{self, Embedded},
        metered::Metered,
        orphans::Orphans,
        redis::{self, RedisStore},
        spooled::{self, Limits, Spooled},
    },
    trace::{
        Tracer,
        otlp::{Otlp, OtlpFault},
    },
};

use super::StartError;

/// A gateway starts without the answer too: it asks again, and sends nothing until it has it.
pub(super) async fn paused_targets(store: &dyn Store) -> Option<Vec<TargetName>> {
    let told = store.paused_targets().await;
    if let Err(error) = &told {
        tracing::warn!(%error, "could not read which targets are paused: nothing is delivered until that is known");
    }
    told.ok()
}

/// Without them the gateway starts all the same: it asks again when they are needed, and Redis may be away behind a spool.
pub(super) async fn read_secrets(secrets: Arc<KeptSecrets>) -> AbortOnDropHandle<()> {
    if !secrets.is_empty()
        && let Err(error) = secrets.read().await
    {
        tracing::warn!(%error, "could not read the secrets that came in handshakes");
    }
    AbortOnDropHandle::new(tokio::spawn(async move { secrets.follow().await }))
}

/// Where spans go, and who makes them; without `[telemetry.otlp]` nobody does.
pub(super) fn tracer(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Option<Arc<Otlp>>, Tracer), OtlpFault> {
    let Some(settings) = &config.otlp else {
        return Ok((None, Tracer::default()));
    };
    let dropped = metrics.spans_dropped.clone();
    let otlp = Arc::new(Otlp::start(settings, Handle::current(), dropped)?);
    let tracer = Tracer::new(otlp.clone(), settings.sample);
    Ok((Some(otlp), tracer))
}

pub(super) async fn open_store(
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
pub(super) async fn with_spool(
    primary: Arc<dyn Store>,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    limits: &Arc<ArcSwap<Limits>>,
    orphans: Arc<Orphans>,
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
        limits: limits.clone(),
        orphans,
        metrics: metrics.clone(),
        clock: clock.clone(),
    };
    Ok(Arc::new(Spooled::start(setup).await?))
}

/// `body_max`: of what may be in the spool already.
pub(super) fn limits(config: &Config, body_max: usize) -> Limits {
    let bodies = config.routes.iter().map(|route| route.max_body);
    Limits {
        body_max: bodies.fold(body_max, usize::max),
        retention: config.store.retention,
    }
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

/// What the series of a configuration are labelled with.
pub(super) struct OwnedLabels {
    routes: Vec<RouteLabels>,
    targets: Vec<TargetName>,
    reasons: Vec<&'static str>,
}

impl OwnedLabels {
    pub(super) fn of(config: &Config) -> Self {
        let routes = config.routes.iter().map(|route| RouteLabels {
            name: route.name.clone(),
            credentials: credentials(route),
            credentials_end: credentials_end(route),
            handshakes: route.handshakes.iter().map(|row| row.name).collect(),
            targets: route
                .deliver
                .iter()
                .map(|deliver| deliver.to.clone())
                .collect(),
        });
        Self {
            routes: routes.collect(),
            targets: config.targets.keys().cloned().collect(),
            reasons: Reason::all().map(Reason::as_str).collect(),
        }
    }

    pub(super) fn labels(&self) -> Labels<'_> {
        Labels {
            routes: &self.routes,
            targets: &self.targets,
            reasons: &self.reasons,
        }
    }
}

pub(super) fn retention(config: &Config) -> Retention {
    Retention {
        age: config.store.retention,
        bytes: config.store.retention_size,
    }
}

/// Shows a configuration that is in use.
pub(super) fn note_load(metrics: &Metrics, at: Timestamp) {
    metrics.config_last_reload_success.set(1);
    metrics.config_last_reload_timestamp.set(seconds(at));
}

pub(super) fn note_certificate(metrics: &Metrics, identity: &Identity) {
    let ends = seconds(identity.not_after);
    metrics.tls_certificate_not_after.set(ends);
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
