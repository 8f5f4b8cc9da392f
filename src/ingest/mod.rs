//! Ingest: from a request to an accepted event. Knows HTTP, knows nothing of deliveries' targets.

use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use actix_http::{Payload, RequestHead, Response};
use arc_swap::ArcSwap;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    clock::Clock,
    config::Config,
    event::Event,
    keys::Keys,
    metrics::{Metrics, RouteMetrics},
    store::{Acceptance, Store, StoreError},
    trace::{self, Tracer},
};

mod account;
mod answer;
mod authenticate;
mod body;
mod certificate;
mod endpoint;
mod fetched;
mod handshake;
mod identify;
mod inquest;
mod intake;
pub mod json;
mod limit;
mod lines;
mod quota;
mod records;
pub mod rejection;
mod request_id;
mod route;
mod routing;
mod secrets;
mod split;
pub mod steps;
mod trail;
mod validate;
mod verdicts;

use account::Account;
use answer::answer;
pub use certificate::PeerCertificate;
use endpoint::Endpoint;
use handshake::Met;
use inquest::{End, Inquest};
use intake::Intake;
use limit::Budget;
use lines::RefusalLog;
pub use records::{Found, Recording, Records};
use rejection::{Detail, Reason, Rejection};
use request_id::RequestIds;
use route::Routed;
use routing::Routing;
pub use secrets::{KeptSecrets, Standing};
use trail::{Stage, Trail};

/// What every request passes. All of it but the routing lives as long as the process.
pub struct Gate {
    /// As configured now.
    routing: ArcSwap<Routing>,
    store: Arc<dyn Store>,
    secrets: Arc<KeptSecrets>,
    clock: Clock,
    budget: Arc<Budget>,
    draining: AtomicBool,
    /// A handshake has no effect then but its answer.
    is_rehearsal: bool,
    request_ids: RequestIds,
    refusals: RefusalLog,
    records: Option<Arc<Records>>,
    /// The series of requests that reach no route.
    unrouted: Arc<RouteMetrics>,
    tracer: Tracer,
}

/// What a request was that was not refused.
enum Passed {
    Event(Taken),
    Handshake(Met),
}

impl Passed {
    fn answer(self, endpoint: &Endpoint, request_id: &str) -> Response<Bytes> {
        match self {
            Self::Event(taken) => answer(&endpoint.route, &taken, request_id),
            Self::Handshake(met) => met.told(request_id),
        }
    }
}

/// What came of a request that was taken.
enum Taken {
    One(Accepted),
    /// Of a route with `split`.
    Together(Vec<Accepted>),
}

impl Taken {
    /// Nothing of it is new.
    fn is_duplicate(&self) -> bool {
        match self {
            Self::One(accepted) => accepted.is_duplicate(),
            Self::Together(all) => !all.is_empty() && all.iter().all(Accepted::is_duplicate),
        }
    }

    /// What there is to be recorded, where no event can be found by the request.
    fn end(&self) -> Option<End> {
        let first = match self {
            Self::One(accepted) => accepted,
            Self::Together(all) => all.first()?,
        };
        match first.acceptance {
            Acceptance::Duplicate {
                uid,
                first_received_at,
                same_body,
            } if self.is_duplicate() => Some(End::Duplicate {
                uid,
                first_received_at,
                same_body,
            }),
            _ => None,
        }
    }
}

/// What is told of an event once the store has it.
struct Accepted {
    uid: Uuid,
    id: Arc<str>,
    acceptance: Acceptance,
    /// Of what is exported.
    span: Option<trace::Open>,
}

impl Taken {
    /// Ends the spans of the events that are new.
    fn trace(&mut self, gate: &Gate, began: Instant) {
        let events = match self {
            Self::One(accepted) => std::slice::from_mut(accepted),
            Self::Together(all) => all,
        };
        for accepted in events {
            if let Some(span) = accepted.span.take()
                && !accepted.is_duplicate()
            {
                let took = began.elapsed();
                span.end(gate.clock.now().saturating_sub(took), took);
            }
        }
    }
}

impl Accepted {
    fn is_duplicate(&self) -> bool {
        matches!(self.acceptance, Acceptance::Duplicate { .. })
    }
}

impl Gate {
    pub fn new(config: &Config, store: Arc<dyn Store>, clock: Clock, metrics: &Metrics) -> Self {
        let now = Instant::now();
        let secrets = Arc::new(KeptSecrets::new(&config.routes, store.clone()));
        let routing = Routing::new(config, &secrets, metrics, now);
        Self {
            routing: ArcSwap::from_pointee(routing),
            secrets,
            store,
            clock,
            budget: Budget::new(config.server.max_body_in_flight),
            draining: AtomicBool::new(false),
            is_rehearsal: false,
            request_ids: RequestIds::new(),
            refusals: RefusalLog::new(now),
            records: None,
            unrouted: metrics.unrouted.clone(),
            tracer: Tracer::default(),
        }
    }

    /// Where keys are fetched that routes need. Without it such routes answer 503 `key_unavailable`.
    pub fn with_keys(self, keys: Keys) -> Self {
        let routing = self.routing.load().with_keys(keys);
        Self {
            routing: ArcSwap::from_pointee(routing),
            ..self
        }
    }

    /// Where accepted events are traced to.
    pub fn with_tracer(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Where requests leave their records that make no new event. Without it they leave none.
    pub fn with_records(self, records: Arc<Records>) -> Self {
        Self {
            records: Some(records),
            ..self
        }
    }

    /// Requests that made no new event.
    pub fn records(&self) -> Option<&Arc<Records>> {
        self.records.as_ref()
    }

    /// Goes on with another configuration: what is begun ends with the one before. A route that is the same keeps its
    /// limits as they stand.
    pub async fn configure(&self, config: &Config, keys: Option<Keys>, metrics: &Metrics) {
        self.secrets.configure(&config.routes).await;
        let now = Instant::now();
        let before = self.routing.load_full();
        let routing = before.follow(config, keys, &self.secrets, metrics, now);
        self.routing.store(Arc::new(routing));
    }

    /// Where keys are fetched now.
    pub fn keys(&self) -> Option<Keys> {
        self.routing.load().keys.clone()
    }

    /// Whether what this address says of its callers is believed.
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let routing = self.routing.load();
        let address = address.to_canonical();
        routing
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }

    /// The secrets that came with handshakes.
    pub fn secrets(&self) -> &Arc<KeptSecrets> {
        &self.secrets
    }

    /// For [`rehearse`]: no subscription is confirmed. Secrets that come in handshakes are kept by its store.
    pub fn for_rehearsal(self) -> Self {
        Self {
            is_rehearsal: true,
            ..self
        }
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

    /// A refusal of a connection's bytes before they were a request: logged, recorded, counted, and made raw HTTP.
    pub fn refuse_connection(&self, reason: Reason, peer: Option<IpAddr>) -> Vec<u8> {
        let at = self.clock.now();
        let request_id = self.request_ids.next(at);
        let rejection = Rejection::from(reason);
        self.unrouted.rejection(reason.as_str());
        self.refusals
            .record(&rejection, None, &request_id, peer, "-", "-");
        let response = rejection.raw_response(&request_id);
        if let Some(records) = self.recorder(&self.routing.load(), None, true) {
            records.put(Inquest::of_no_request(request_id, at, rejection, peer));
        }
        response
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
    async fn store(&self, event: Event, metrics: Arc<RouteMetrics>) -> Result<Taken, Rejection> {
        let (uid, id) = (event.uid, event.id.clone());
        let span = self.gate.tracer.request(&event);
        match self.intake.accept(event, metrics).await {
            Ok(acceptance) => Ok(Taken::One(Accepted {
                uid,
                id,
                acceptance,
                span,
            })),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// All in one step, none without the others. 503.
    async fn store_together(
        &self,
        events: Vec<Event>,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Taken, Rejection> {
        if events.is_empty() {
            return Ok(Taken::Together(Vec::new()));
        }
        let names: Vec<_> = events
            .iter()
            .map(|event| {
                let span = self.gate.tracer.request(event);
                (event.uid, event.id.clone(), span)
            })
            .collect();
        let acceptances = self.intake.accept_together(events, metrics).await;
        let accepted = names.into_iter().zip(acceptances.map_err(unavailable)?);
        let accepted = accepted.map(|((uid, id, span), acceptance)| Accepted {
            uid,
            id,
            acceptance,
            span,
        });
        Ok(Taken::Together(accepted.collect()))
    }
}

fn unavailable(error: StoreError) -> Rejection {
    Rejection::with(Reason::StoreUnavailable, Detail::Store(error))
}

/// One request from its head to its answer. `certificate`: what the caller has shown when it connected.
pub async fn receive(
    desk: &Desk,
    certificate: Option<&PeerCertificate>,
    head: &RequestHead,
    mut payload: Payload,
) -> Response<Bytes> {
    let began = Instant::now();
    let gate = &*desk.gate;
    let routing = &*gate.routing.load_full();
    let at = gate.clock.now();
    let request_id = gate.request_ids.next(at);
    let account = Account {
        gate,
        routing,
        head,
        certificate,
        request_id,
        at,
        began,
        trail: Trail::default(),
    };
    let (endpoint, result) = match find(gate, routing, head) {
        Ok(endpoint) => {
            let trail = &account.trail;
            let asked = (head, certificate, &*request_id);
            let passed = accept(desk, routing, endpoint, asked, &mut payload, trail).await;
            (Some(endpoint), passed.map(|passed| (passed, endpoint)))
        }
        Err((endpoint, rejection)) => (endpoint, Err(rejection)),
    };
    let metrics = endpoint.map_or(&gate.unrouted, |endpoint| &endpoint.metrics);
    let (response, end) = match result {
        Ok((Passed::Event(mut taken), endpoint)) => {
            let response = answer(&endpoint.route, &taken, &request_id);
            taken.trace(gate, began);
            account.log_taken(endpoint, &taken, response.status());
            (response, taken.end())
        }
        Ok((Passed::Handshake(met), endpoint)) => {
            account.log_handshake(endpoint, &met);
            let end = End::Handshake(met.name);
            (met.told(&request_id), Some(end))
        }
        Err(rejection) => {
            metrics.rejection(rejection.reason.as_str());
            account.log_refused(endpoint, &rejection);
            body::drain(head, &mut payload, routing).await;
            let response = rejection.response(&request_id);
            (response, Some(End::Rejected(rejection)))
        }
    };
    metrics.duration.observe(began.elapsed().as_secs_f64());
    if let Some(end) = end {
        account.record(endpoint, end, response.status());
    }
    response
}

/// [`receive`] for the operator, who is told why a request is refused: nothing is logged, nothing counted.
pub async fn rehearse(
    desk: &Desk,
    certificate: Option<&PeerCertificate>,
    head: &RequestHead,
    mut payload: Payload,
) -> Result<Response<Bytes>, Rejection> {
    let routing = &*desk.gate.routing.load_full();
    let endpoint = find(&desk.gate, routing, head).map_err(|(_, rejection)| rejection)?;
    let request_id = desk.gate.request_ids.next(desk.gate.clock.now());
    let trail = Trail::default();
    let asked = (head, certificate, "");
    let passed = accept(desk, routing, endpoint, asked, &mut payload, &trail).await?;
    Ok(passed.answer(endpoint, &request_id))
}

fn find<'r>(
    gate: &Gate,
    routing: &'r Routing,
    head: &RequestHead,
) -> Result<&'r Arc<Endpoint>, (Option<&'r Arc<Endpoint>>, Rejection)> {
    if gate.is_draining() {
        return Err((None, Reason::Draining.into()));
    }
    routing.routes.find(head)
}

/// The flow, one line a step: none can be skipped, since each takes what the one before gives.
async fn accept(
    desk: &Desk,
    routing: &Routing,
    endpoint: &Endpoint,
    (head, certificate, request_id): (&RequestHead, Option<&PeerCertificate>, &str),
    payload: &mut Payload,
    trail: &Trail,
) -> Result<Passed, Rejection> {
    let gate = &*desk.gate;
    let routed = Routed::new(gate, routing, endpoint, certificate, head)?;
    trail.at(Stage::Body);
    let received = routed.read_body(payload).await?;
    let now = gate.clock.now();
    trail.read(&received, now);
    // Boxed, as all that is rare, so that the others' futures are no larger for it.
    if let Some(challenge) = received.challenge() {
        Box::pin(received.admit(&challenge, routing.keys.as_ref(), now)).await?;
        trail.proven(None);
        let met = Box::pin(challenge.meet(gate, routing, now)).await?;
        return Ok(Passed::Handshake(met));
    }
    if let Some(slot) = &endpoint.secret {
        Box::pin(gate.learn_secret(slot)).await?;
    }
    let authentic = received.authenticate(routing.keys.as_ref(), now).await?;
    trail.proven(authentic.credential.as_ref());
    if let Some(challenge) = authentic.challenge() {
        let met = Box::pin(challenge.meet(gate, routing, now)).await?;
        return Ok(Passed::Handshake(met));
    }
    let authentic = authentic.into_event()?;
    let documented = authentic.document()?;
    if let Some(list) = &endpoint.split {
        let events = documented.split(list, now, &request_id.into())?;
        trail.at(Stage::Store);
        let taken = Box::pin(desk.store_together(events, endpoint.metrics.clone())).await?;
        return Ok(Passed::Event(taken));
    }
    let valid = documented.validate()?;
    let event = valid.identify(now, request_id.into())?;
    trail.at(Stage::Store);
    let taken = desk.store(event, endpoint.metrics.clone()).await?;
    Ok(Passed::Event(taken))
}
