//! Ingest: from a request to an accepted event. Knows HTTP, knows nothing of deliveries' targets.

use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_http::{Payload, RequestHead, Response, StatusCode, header};
use bytes::Bytes;
use ipnet::IpNet;
use uuid::Uuid;

use crate::{
    clock::Clock,
    config::{Config, Route},
    event::Event,
    metrics::{Metrics, RouteMetrics},
    store::{Acceptance, Store},
};

mod authenticate;
mod body;
mod endpoint;
mod handshake;
mod identify;
mod intake;
pub mod json;
mod limit;
mod refusals;
pub mod rejection;
mod request_id;
mod route;
mod secrets;
mod validate;

use endpoint::Endpoint;
pub use handshake::Confirmer;
use handshake::Met;
use intake::Intake;
use limit::Budget;
use refusals::RefusalLog;
use rejection::{Detail, Reason, Rejection};
use request_id::RequestIds;
use route::{RouteTable, Routed};
pub use secrets::{KeptSecrets, Standing};

/// What every request passes: the routes and what they share.
pub struct Gate {
    routes: RouteTable,
    store: Arc<dyn Store>,
    secrets: Arc<KeptSecrets>,
    confirmer: Option<Arc<dyn Confirmer>>,
    clock: Clock,
    trusted_proxies: Vec<IpNet>,
    body_timeout: Duration,
    budget: Arc<Budget>,
    draining: AtomicBool,
    request_ids: RequestIds,
    refusals: RefusalLog,
    /// The series of requests that reach no route.
    unrouted: Arc<RouteMetrics>,
}

/// What a request that was not refused was.
enum Taken {
    Event(Accepted),
    Handshake(Met),
}

/// What is told of an event once the store has it.
struct Accepted {
    uid: Uuid,
    id: Arc<str>,
    acceptance: Acceptance,
}

impl Gate {
    pub fn new(config: &Config, store: Arc<dyn Store>, clock: Clock, metrics: &Metrics) -> Self {
        let now = Instant::now();
        let secrets = Arc::new(KeptSecrets::new(&config.routes, store.clone()));
        let endpoints = config.routes.iter().map(|route| {
            let series = metrics
                .route(&route.name)
                .unwrap_or_else(|| metrics.unrouted.clone());
            let secret = secrets.slot(&route.name);
            Arc::new(Endpoint::new(route.clone(), series, secret, now))
        });
        Self {
            routes: RouteTable::new(endpoints),
            secrets,
            confirmer: None,
            store,
            clock,
            trusted_proxies: config.server.trusted_proxies.clone(),
            body_timeout: config.server.body_timeout,
            budget: Budget::new(config.server.max_body_in_flight),
            draining: AtomicBool::new(false),
            request_ids: RequestIds::new(),
            refusals: RefusalLog::new(now),
            unrouted: metrics.unrouted.clone(),
        }
    }

    /// Who calls the addresses that confirm handshakes; without it they are answered 503.
    #[must_use]
    pub fn with_confirmer(mut self, confirmer: Arc<dyn Confirmer>) -> Self {
        self.confirmer = Some(confirmer);
        self
    }

    /// The secrets that came with handshakes.
    pub fn secrets(&self) -> &Arc<KeptSecrets> {
        &self.secrets
    }

    /// To be made on the thread that is to use it.
    pub fn desk(self: &Arc<Self>) -> Desk {
        Desk {
            gate: self.clone(),
            intake: Intake::new(self.store.clone()),
        }
    }

    /// From now on every request is answered 503 `draining`.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A refusal of a connection's bytes before they were a request: logged, counted, and made raw HTTP.
    pub fn refuse_connection(&self, reason: Reason, peer: Option<IpAddr>) -> Vec<u8> {
        let request_id = self.request_ids.next();
        let rejection = Rejection::from(reason);
        self.unrouted.rejection(reason.as_str());
        self.refusals
            .record(&rejection, None, &request_id, peer, "-", "-");
        rejection.raw_response(&request_id)
    }
}

/// The gate as one of the serving threads has it.
pub struct Desk {
    gate: Arc<Gate>,
    intake: Rc<Intake>,
}

impl Desk {
    pub fn is_draining(&self) -> bool {
        self.gate.is_draining()
    }

    /// 503.
    async fn store(&self, event: Event, metrics: Arc<RouteMetrics>) -> Result<Accepted, Rejection> {
        let (uid, id) = (event.uid, event.id.clone());
        match self.intake.accept(event, metrics).await {
            Ok(acceptance) => Ok(Accepted {
                uid,
                id,
                acceptance,
            }),
            Err(error) => Err(Rejection::with(
                Reason::StoreUnavailable,
                Detail::Store(error),
            )),
        }
    }
}

/// One request from its head to its answer.
pub async fn receive(desk: &Desk, head: &RequestHead, mut payload: Payload) -> Response<Bytes> {
    let began = Instant::now();
    let gate = &*desk.gate;
    let request_id = gate.request_ids.next();
    let (endpoint, result) = match find(gate, head) {
        Ok(endpoint) => {
            let taken = accept(desk, &endpoint, head, &mut payload).await;
            let result = taken.map(|taken| match taken {
                Taken::Event(accepted) => answer(&endpoint.route, &accepted, &request_id),
                Taken::Handshake(met) => met.told(&endpoint.route.name, &request_id),
            });
            (Some(endpoint), result)
        }
        Err((endpoint, rejection)) => (endpoint, Err(rejection)),
    };
    let metrics = endpoint
        .as_ref()
        .map_or(&gate.unrouted, |endpoint| &endpoint.metrics);
    let response = match result {
        Ok(response) => response,
        Err(rejection) => {
            metrics.rejection(rejection.reason.as_str());
            gate.refusals.record(
                &rejection,
                endpoint.as_ref().map(|endpoint| &*endpoint.route.name),
                &request_id,
                Some(route::client_address(head, &gate.trusted_proxies)),
                head.method.as_str(),
                head.uri.path(),
            );
            body::drain(head, &mut payload, gate).await;
            rejection.response(&request_id)
        }
    };
    metrics.duration.observe(began.elapsed().as_secs_f64());
    response
}

fn find(
    gate: &Gate,
    head: &RequestHead,
) -> Result<Arc<Endpoint>, (Option<Arc<Endpoint>>, Rejection)> {
    if gate.is_draining() {
        return Err((None, Reason::Draining.into()));
    }
    gate.routes.find(head)
}

/// The flow, one line a step: none can be skipped, since each takes what the one before gives.
async fn accept(
    desk: &Desk,
    endpoint: &Endpoint,
    head: &RequestHead,
    payload: &mut Payload,
) -> Result<Taken, Rejection> {
    let gate = &*desk.gate;
    let routed = Routed::new(gate, endpoint, head)?;
    let received = routed.read_body(payload).await?;
    let now = gate.clock.now();
    if let Some(met) = received.handshake(gate, now).await? {
        return Ok(Taken::Handshake(met));
    }
    let authentic = received.learn_secret(gate).await?.authenticate(now)?;
    if let Some(met) = authentic.handshake(gate, now).await? {
        return Ok(Taken::Handshake(met));
    }
    let authentic = authentic.as_event()?;
    let valid = authentic.validate()?;
    let event = valid.identify(now)?;
    let accepted = desk.store(event, endpoint.metrics.clone()).await?;
    Ok(Taken::Event(accepted))
}

/// The route's own answer, or Hookgate's.
fn answer(route: &Route, accepted: &Accepted, request_id: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(route.respond.status).unwrap_or(StatusCode::OK);
    let (content_type, body) = match &route.respond.body {
        Some(own) => (
            own.content_type.as_str(),
            Bytes::copy_from_slice(own.body.as_bytes()),
        ),
        None => ("application/json", receipt(accepted)),
    };
    let mut response = Response::with_body(status, body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (rejection::REQUEST_ID, request_id),
    ] {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// `{"status":"accepted"|"duplicate","event":"<uid>","id":"<event id>"}`
fn receipt(accepted: &Accepted) -> Bytes {
    let (status, event) = match &accepted.acceptance {
        Acceptance::Accepted { .. } => ("accepted", accepted.uid),
        Acceptance::Duplicate { uid, .. } => ("duplicate", *uid),
    };
    let mut uid = Uuid::encode_buffer();
    let uid: &str = event.hyphenated().encode_lower(&mut uid);
    let mut receipt = Vec::with_capacity(RECEIPT_BYTES + accepted.id.len());
    for part in [
        r#"{"status":""#,
        status,
        r#"","event":""#,
        uid,
        r#"","id":"#,
    ] {
        receipt.extend_from_slice(part.as_bytes());
    }
    // A string can always be written to memory.
    let _always_ok = serde_json::to_writer(&mut receipt, &*accepted.id);
    receipt.push(b'}');
    receipt.into()
}

/// Of a receipt without the event id.
const RECEIPT_BYTES: usize = 96;
