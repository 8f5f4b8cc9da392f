//! What the configuration says of requests, swapped whole. A request holds one from its begin to its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    config::{Config, Route},
    keys::Keys,
    metrics::Metrics,
    rate::Lines,
};

use super::{endpoint::Endpoint, quota::Quotas, route::RouteTable, secrets::KeptSecrets};

pub(super) struct Routing {
    pub(super) routes: Arc<RouteTable>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) body_timeout: Duration,
    pub(super) keys: Option<Keys>,
    /// Lets lines of accepted requests into the log; `None`: none.
    pub(super) accepted_lines: Option<Arc<Lines>>,
    /// Of records of requests without a new event.
    pub(super) quotas: Arc<Quotas>,
}

impl Routing {
    pub(super) fn new(
        config: &Config,
        secrets: &KeptSecrets,
        metrics: &Metrics,
        now: Instant,
    ) -> Self {
        let endpoints = config.routes.iter().map(|route| {
            let endpoint = endpoint(route, secrets, metrics, now);
            Arc::new(endpoint)
        });
        let quotas = Quotas::new(&config.routes, now);
        Self::of(config, RouteTable::new(endpoints), quotas, None, now)
    }

    /// The one after this.
    pub(super) fn follow(
        &self,
        config: &Config,
        keys: Option<Keys>,
        secrets: &KeptSecrets,
        metrics: &Metrics,
        now: Instant,
    ) -> Self {
        let endpoints = config.routes.iter().map(|route| {
            let is_same = |known: &&Arc<Endpoint>| {
                known.route.name == route.name && known.route.fingerprint == route.fingerprint
            };
            let kept = self.routes.endpoints().find(is_same).cloned();
            kept.unwrap_or_else(|| Arc::new(endpoint(route, secrets, metrics, now)))
        });
        let quotas = self.quotas.follow(&config.routes, now);
        Self::of(config, RouteTable::new(endpoints), quotas, keys, now)
    }

    pub(super) fn with_keys(&self, keys: Keys) -> Self {
        Self {
            routes: self.routes.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            body_timeout: self.body_timeout,
            keys: Some(keys),
            accepted_lines: self.accepted_lines.clone(),
            quotas: self.quotas.clone(),
        }
    }

    fn of(
        config: &Config,
        routes: RouteTable,
        quotas: Quotas,
        keys: Option<Keys>,
        now: Instant,
    ) -> Self {
        Self {
            routes: Arc::new(routes),
            trusted_proxies: config.server.trusted_proxies.clone(),
            body_timeout: config.server.body_timeout,
            keys,
            accepted_lines: config
                .log
                .accepted_lines_per_second
                .map(|lines| Arc::new(Lines::new(lines, now))),
            quotas: Arc::new(quotas),
        }
    }
}

fn endpoint(
    route: &Arc<Route>,
    secrets: &KeptSecrets,
    metrics: &Metrics,
    now: Instant,
) -> Endpoint {
    let series = metrics
        .route(&route.name)
        .unwrap_or_else(|| metrics.unrouted.clone());
    let secret = secrets.slot(&route.name);
    Endpoint::new(route.clone(), series, secret, now)
}
