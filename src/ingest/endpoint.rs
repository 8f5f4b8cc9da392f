//! A route made ready to serve: pointers compiled into one plan, metric children resolved.

use std::{net::IpAddr, sync::Arc, time::Instant};

use actix_http::header::HeaderName;

use crate::{
    config::{EventIdSource, Field, Pointer, Route, Verifier, Verify},
    keys::Asker,
    metrics::RouteMetrics,
    rate::RateLimiter,
    trace::TRACEPARENT,
};

use super::{
    handshake::Handshakes,
    json::{List, Plan},
    secrets::Slot,
};

/// One route, as the gate serves it.
pub(super) struct Endpoint {
    pub(super) route: Arc<Route>,
    pub(super) metrics: Arc<RouteMetrics>,
    pub(super) limiter: Option<RateLimiter>,
    pub(super) handshakes: Handshakes,
    /// The secret that comes with one of them, where it does.
    pub(super) secret: Option<Arc<Slot>>,
    /// Of a route whose keys are fetched.
    pub(super) asker: Option<Asker>,
    /// All that this route reads from the body, found in one pass.
    pub(super) plan: Plan,
    /// What the plan finds, in its order.
    pub(super) pointers: Vec<Pointer>,
    pub(super) event_id: Vec<IdSource>,
    pub(super) event_type: Vec<Spot>,
    /// For each of the route's requirements, where it stands in the plan.
    pub(super) require: Vec<usize>,
    /// For each of the route's deliveries, where its order's key stands in the plan.
    pub(super) order: Vec<Option<usize>>,
    /// Where a request has its events, each an element, if it is not one itself.
    pub(super) split: Option<List>,
    /// What is kept of the request's headers: what the route names, and `traceparent`.
    pub(super) keep_headers: Vec<KeptHeader>,
}

/// A header's name in lower case, made once for all requests.
pub(super) struct KeptHeader {
    pub(super) name: HeaderName,
    pub(super) text: Arc<str>,
}

/// Where a value is found.
#[derive(Debug)]
pub(super) enum Spot {
    /// An index into what the plan finds.
    Json(usize),
    /// A header's name in lower case.
    Header(String),
}

/// Where an event id comes from.
#[derive(Debug)]
pub(super) enum IdSource {
    /// One value, or several joined.
    Spots(Vec<Spot>),
    BodySha256,
}

impl Endpoint {
    pub(super) fn new(
        route: Arc<Route>,
        metrics: Arc<RouteMetrics>,
        secret: Option<Arc<Slot>>,
        now: Instant,
    ) -> Self {
        let mut pointers = Pointers::default();
        let event_id = route
            .event_id
            .iter()
            .map(|source| match source {
                EventIdSource::BodySha256 => IdSource::BodySha256,
                EventIdSource::Fields(fields) => {
                    IdSource::Spots(fields.iter().map(|field| pointers.spot(field)).collect())
                }
            })
            .collect();
        let event_type = route
            .event_type
            .iter()
            .map(|field| pointers.spot(field))
            .collect();
        let require = route
            .require
            .iter()
            .map(|requirement| pointers.index(&requirement.pointer))
            .collect();
        let order = route
            .deliver
            .iter()
            .map(|deliver| Some(pointers.index(&deliver.order.as_ref()?.pointer)))
            .collect();
        Self {
            keep_headers: kept_headers(&route),
            handshakes: Handshakes::new(route.handshakes, now),
            secret,
            limiter: route.rate.map(|rate| RateLimiter::new(rate, now)),
            asker: fetches_keys(&route).then(|| Asker::new(metrics.clone(), now)),
            plan: Plan::new(&pointers.0),
            pointers: pointers.0,
            event_id,
            event_type,
            require,
            order,
            split: route.split.as_ref().map(List::new),
            metrics,
            route,
        }
    }

    pub(super) fn takes_from(&self, client: IpAddr) -> bool {
        self.route.allow_from.is_empty()
            || self
                .route
                .allow_from
                .iter()
                .any(|net| net.contains(&client))
    }
}

fn fetches_keys(route: &Route) -> bool {
    match &route.verify {
        Verify::Nobody => false,
        Verify::All(verifiers) => verifiers.iter().any(Verifier::fetches),
    }
}

fn kept_headers(route: &Route) -> Vec<KeptHeader> {
    let own = route.keep_headers.iter().map(String::as_str);
    own.filter(|name| *name != TRACEPARENT)
        .chain([TRACEPARENT])
        // The configuration takes only names that are valid.
        .filter_map(|name| {
            Some(KeptHeader {
                name: HeaderName::from_bytes(name.as_bytes()).ok()?,
                text: name.into(),
            })
        })
        .collect()
}

/// The pointers that a route reads, each once.
#[derive(Default)]
struct Pointers(Vec<Pointer>);

impl Pointers {
    fn spot(&mut self, field: &Field) -> Spot {
        match field {
            Field::Json(pointer) => Spot::Json(self.index(pointer)),
            Field::Header(name) => Spot::Header(name.clone()),
        }
    }

    fn index(&mut self, pointer: &Pointer) -> usize {
        self.0
            .iter()
            .position(|known| known == pointer)
            .unwrap_or_else(|| {
                self.0.push(pointer.clone());
                self.0.len() - 1
            })
    }
}
