//! One case played: its requests made, received, and what its targets would be sent.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use actix_http::{Response, header};
use bytes::Bytes;
use http::HeaderMap;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Got,
    compare::{Difference, differences},
};
use crate::{
    cli::{
        rehearsal::{Accepted, Offered, Recorder, Request, play},
        samples::{self, Naming},
        sign::{Flaw, Ready, Signer, Unsigned},
    },
    clock::{Clock, Timestamp},
    config::{
        Config, Route,
        cases::{Called, Case, CaseProof, CaseRequest, Expect},
    },
    delivery::{self, Lines, Rehearsed},
    event::RouteName,
    expression::{Pool, Workers},
    ingest::{
        PeerCertificate,
        rejection::{Detail, Rejection},
    },
};

/// The event's id where a case that is signed says none.
const ID: &str = "test-event";
/// Where requests are sent to; nothing listens there.
const BASE: &str = "https://hookgate.test";

/// What cases of one file share.
pub(super) struct Bench<'c> {
    config: &'c Config,
    lines: Lines,
    pool: Arc<Pool>,
    runtime: tokio::runtime::Runtime,
}

impl<'c> Bench<'c> {
    pub(super) fn new(config: &'c Config) -> Result<Self, String> {
        let workers = Workers::of_this_program().map_err(|error| error.to_string())?;
        Ok(Self {
            config,
            lines: Lines::of(&config.routes),
            pool: Arc::new(Pool::new(workers)),
            runtime: crate::cli::runtime().map_err(|error| error.to_string())?,
        })
    }

    /// What came of the case otherwise than it expects.
    pub(super) fn differences(&self, case: &Case) -> Vec<Difference> {
        let mut at = case.at.unwrap_or_else(|| Clock::system().now());
        let mut run = Run {
            bench: self,
            called: &case.called,
            began: at,
            store: Arc::default(),
            samples: BTreeMap::new(),
        };
        let mut found = run.differences(&case.request, at, &case.expect);
        for (index, again) in case.again.iter().enumerate() {
            at = at.saturating_add(again.after);
            let of_this = run.differences(&again.request, at, &again.expect);
            let name = format!("again[{index}]");
            found.extend(of_this.into_iter().map(|one| one.within(&name)));
        }
        found
    }

    fn route(&self, called: &Called, method: Option<&String>) -> Option<&'c Route> {
        let is_called = |route: &&Arc<Route>| match called {
            Called::Route(name) => *route.name == **name,
            Called::Path(path) => {
                let takes = |method| route.methods.contains(method);
                route.path == *path && method.is_none_or(takes)
            }
        };
        let mut routes = self.config.routes.iter();
        routes.find(is_called).map(|route| &**route)
    }

    /// What the targets would be sent.
    async fn told(&self, accepted: Accepted) -> Got {
        let mut got = Got {
            status: accepted.answer.status().as_u16(),
            answer: body_of(accepted.answer),
            ..Got::default()
        };
        for Offered {
            event,
            is_duplicate,
        } in &accepted.events
        {
            got.id.push(event.id.to_string());
            got.event_type
                .extend(event.event_type.as_deref().map(str::to_owned));
            got.duplicate.push(*is_duplicate);
            let deliveries = event.deliveries.iter();
            for delivery in deliveries.filter(|_| !is_duplicate) {
                let prepared =
                    delivery::rehearse(&self.lines, &delivery.target, event, &self.pool).await;
                got.note(&delivery.target, prepared);
            }
        }
        for names in [&mut got.targets, &mut got.filtered, &mut got.failed] {
            names.sort();
            names.dedup();
        }
        got
    }
}

/// A case that is played, one request after the other.
struct Run<'b> {
    bench: &'b Bench<'b>,
    called: &'b Called,
    /// At the first.
    began: Timestamp,
    /// Remembers what came before.
    store: Arc<Recorder>,
    /// By the route, the id and the type of the event: a request that is sent again is the same.
    samples: BTreeMap<(RouteName, Option<String>, Option<String>), Vec<u8>>,
}

impl<'b> Run<'b> {
    fn differences(
        &mut self,
        request: &CaseRequest,
        at: Timestamp,
        expect: &Expect,
    ) -> Vec<Difference> {
        match self.play(request, at) {
            Ok(got) => differences(expect, &got),
            Err(why) => vec![Difference::unable(why)],
        }
    }

    /// `Err` tells in words why there is no such request.
    fn play(&mut self, case: &CaseRequest, at: Timestamp) -> Result<Got, String> {
        let request = self.request(case, at)?;
        let bench = self.bench;
        match play(bench.config, request, at, &self.store, None)? {
            Ok(accepted) => Ok(bench.runtime.block_on(bench.told(accepted))),
            Err(rejection) => Ok(refused(&rejection)),
        }
    }

    fn request<'r>(&mut self, case: &'r CaseRequest, at: Timestamp) -> Result<Request<'r>, String>
    where
        'b: 'r,
    {
        let route = self.bench.route(self.called, case.method.as_ref());
        let path = match (self.called, route) {
            (Called::Path(path), _) => path,
            (Called::Route(_), Some(route)) => &route.path,
            (Called::Route(name), None) => return Err(format!("no route {name}")),
        };
        let first = route.and_then(|route| route.methods.first());
        let method = case
            .method
            .as_ref()
            .or(first)
            .map_or("POST", String::as_str);
        let body = match (&case.body, route) {
            (Some(body), _) => body.clone(),
            (None, Some(route)) => self.sample(route, case),
            (None, None) => Vec::new(),
        };
        let mut query = case.query.clone();
        // The payload of a GET is its query.
        let is_get = method == "GET";
        if is_get && query.is_none() && !body.is_empty() {
            query = Some(String::from_utf8_lossy(&body).into_owned());
        }
        let url = match query {
            Some(query) => format!("{BASE}{path}?{query}"),
            None => format!("{BASE}{path}"),
        };
        let body = if is_get { Vec::new() } else { body };
        let ready = match (&case.proof, route) {
            (Some(proof), Some(route)) => sign(
                case,
                &Signing {
                    route,
                    proof,
                    method,
                    at,
                },
                &url,
                &body,
            )?,
            (Some(_), None) => {
                return Err("no route takes this, so there is none to sign it for".to_owned());
            }
            (None, _) => Ready {
                url,
                headers: headers(case),
                body,
            },
        };
        let mut sent = ready.headers;
        if case.content_type.as_deref() == Some("") {
            sent.remove(http::header::CONTENT_TYPE);
        } else if !is_get && !sent.contains_key(http::header::CONTENT_TYPE) {
            let kind = route.map_or("application/json", samples::content_type);
            let kind = http::HeaderValue::try_from(kind).map_err(|error| error.to_string())?;
            sent.insert(http::header::CONTENT_TYPE, kind);
        }
        if !ready.body.is_empty() && !sent.contains_key(http::header::CONTENT_LENGTH) {
            sent.insert(http::header::CONTENT_LENGTH, ready.body.len().into());
        }
        let address = case.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(Request {
            method,
            target: ready.url.strip_prefix(BASE).unwrap_or_default().to_owned(),
            headers: sent.iter().filter_map(of_server).collect(),
            body: Bytes::from(ready.body),
            peer: Some((address, 50_000).into()),
            certificate: case.certificate.as_deref().map(certificate).transpose()?,
        })
    }

    fn sample(&mut self, route: &Route, case: &CaseRequest) -> Vec<u8> {
        let proof = case.proof.as_ref();
        let id = proof.and_then(|proof| proof.id.clone());
        let event_type = proof.and_then(|proof| proof.event_type.clone());
        let naming = Naming {
            id: Some(id.as_deref().unwrap_or(ID)),
            event_type: event_type.as_deref(),
            now: self.began,
        };
        let sample = samples::sample(route, &naming);
        self.samples
            .entry((route.name.clone(), id, event_type))
            .or_insert(sample)
            .clone()
    }
}

impl Got {
    fn note(&mut self, target: &str, prepared: Rehearsed) {
        let name = target.to_owned();
        match prepared {
            Rehearsed::Ready(event) => {
                let bodies = self.bodies.entry(name.clone()).or_default();
                bodies.push(event.body.to_vec());
                self.targets.push(name);
            }
            Rehearsed::Unwanted => self.filtered.push(name),
            Rehearsed::Failed(why) | Rehearsed::Unable(why) => {
                self.told.push(format!("{name}: {why}"));
                self.failed.push(name);
            }
            Rehearsed::NoWorker => {
                self.told
                    .push(format!("{name}: all workers were taken for long"));
                self.failed.push(name);
            }
        }
    }
}

fn refused(rejection: &Rejection) -> Got {
    let mut told: Vec<_> = rejection
        .cause()
        .map(ToString::to_string)
        .into_iter()
        .collect();
    match &rejection.detail {
        Detail::Told(words) => told.push(words.clone()),
        Detail::Position {
            line,
            column,
            message,
        } => {
            told.push(format!("line {line}, column {column}: {message}"));
        }
        Detail::Violations(violations) => told.extend(
            violations
                .iter()
                .map(|violation| format!("{} {}", violation.pointer, violation.message)),
        ),
        _ => {}
    }
    let answer = rejection.response("");
    Got {
        status: rejection.reason.status(),
        reason: Some(rejection.reason.as_str()),
        told,
        answer: body_of(answer),
        ..Got::default()
    }
}

fn body_of(answer: Response<Bytes>) -> Vec<u8> {
    answer.into_body().to_vec()
}

struct Signing<'a> {
    route: &'a Route,
    proof: &'a CaseProof,
    method: &'a str,
    at: Timestamp,
}

fn sign(
    case: &CaseRequest,
    signing: &Signing<'_>,
    url: &str,
    body: &[u8],
) -> Result<Ready, String> {
    let Signing {
        route,
        proof,
        method,
        at,
    } = *signing;
    let key = proof
        .key
        .as_ref()
        .map(|key| String::from_utf8_lossy(key.expose()));
    let signer = Signer {
        signing_key: proof.signing_key.as_ref().map(|key| key.expose()),
        secret: proof.secret.as_ref().map(|secret| secret.expose()),
        flaw: match (proof.bad_signature, proof.stale) {
            (true, _) => Some(Flaw::BadSignature),
            (false, true) => Some(Flaw::Stale),
            (false, false) => None,
        },
        method: Some(method),
        ..Signer::new(route, key.as_deref())
    };
    signer.ready(&Unsigned {
        id: proof.id.as_deref().unwrap_or(ID),
        event_type: proof.event_type.as_deref(),
        at,
        url,
        body,
        headers: headers(case),
    })
}

/// Those of the case.
fn headers(case: &CaseRequest) -> HeaderMap {
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in &case.headers {
        headers.append(name, value.clone());
    }
    let kind = case.content_type.as_ref().filter(|kind| !kind.is_empty());
    if let Some(kind) = kind.and_then(|kind| http::HeaderValue::try_from(kind).ok()) {
        headers.insert(http::header::CONTENT_TYPE, kind);
    }
    headers
}

/// The HTTP layer of the server has types of its own.
fn of_server(
    (name, value): (&http::HeaderName, &http::HeaderValue),
) -> Option<(header::HeaderName, header::HeaderValue)> {
    let name = header::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
    let value = header::HeaderValue::from_bytes(value.as_bytes()).ok()?;
    Some((name, value))
}

fn certificate(pem: &[u8]) -> Result<PeerCertificate, String> {
    let leaf = CertificateDer::from_pem_slice(pem).ok();
    let read = leaf.and_then(|leaf| PeerCertificate::read(&leaf));
    read.ok_or_else(|| "`certificate` names a file without a certificate in PEM".to_owned())
}
