//! What is told of a request once its answer is decided: a line in the log, and a record where it made no new event.

use std::{sync::Arc, time::Instant};

use actix_http::{RequestHead, StatusCode};

use crate::{clock::Timestamp, event::RouteName};

use super::{
    Gate, PeerCertificate, Taken,
    endpoint::Endpoint,
    handshake::Met,
    inquest::{Asked, End, Inquest},
    limit::Share,
    lines::Served,
    records::Records,
    rejection::Rejection,
    request_id::RequestId,
    route,
    routing::Routing,
    trail::Trail,
};

/// One request.
pub(super) struct Account<'a> {
    pub(super) gate: &'a Gate,
    pub(super) routing: &'a Routing,
    pub(super) head: &'a RequestHead,
    pub(super) certificate: Option<&'a PeerCertificate>,
    pub(super) request_id: RequestId,
    pub(super) at: Timestamp,
    pub(super) began: Instant,
    pub(super) trail: Trail,
}

impl Account<'_> {
    pub(super) fn log_taken(&self, endpoint: &Endpoint, taken: &Taken, status: StatusCode) {
        let lines = self.routing.accepted_lines.as_ref();
        if let Some(left_out) = lines.and_then(|lines| lines.take(Instant::now())) {
            self.served(endpoint, status).taken(taken, left_out);
        }
    }

    pub(super) fn log_handshake(&self, endpoint: &Endpoint, met: &Met) {
        self.served(endpoint, met.response.status())
            .handshake(met.name);
    }

    pub(super) fn log_refused(&self, endpoint: Option<&Arc<Endpoint>>, rejection: &Rejection) {
        self.gate.refusals.record(
            rejection,
            endpoint.map(|endpoint| &*endpoint.route.name),
            &self.request_id,
            Some(route::client_address(
                self.head,
                &self.routing.trusted_proxies,
            )),
            self.head.method.as_str(),
            self.head.uri.path(),
        );
    }

    fn served<'s>(&'s self, endpoint: &'s Endpoint, status: StatusCode) -> Served<'s> {
        Served {
            request_id: &self.request_id,
            route: &endpoint.route.name,
            status: status.as_u16(),
            took: self.began.elapsed(),
            credential: self.trail.credential().map(|name| &**name),
            headers: &self.head.headers,
        }
    }

    /// What is needed to look at it later goes along: as much whatever the reason.
    pub(super) fn record(self, endpoint: Option<&Arc<Endpoint>>, end: End, status: StatusCode) {
        let route = endpoint.map(|endpoint| &endpoint.route.name);
        let recorder = self.gate.recorder(self.routing, route, end.is_refused());
        let Some(records) = recorder else {
            return;
        };
        let share = self.share();
        let client = route::client_address(self.head, &self.routing.trusted_proxies);
        records.put(Inquest {
            request_id: self.request_id,
            at: self.at,
            took: self.began.elapsed(),
            endpoint: endpoint.cloned(),
            end,
            status: status.as_u16(),
            client: Some(client),
            stage: self.trail.stage(),
            credential: self.trail.credential().cloned(),
            asked: Some(Asked::of(self.head, self.certificate)),
            body: self.trail.into_body().filter(|_| share.is_some()),
            _share: share,
        });
    }

    /// For the body, while it is looked at; `None`: there is none, or too much is in flight.
    fn share(&self) -> Option<Share> {
        let mut share = self.gate.budget.share();
        share.grow(self.trail.body_bytes()?).then_some(share)
    }
}

impl Gate {
    /// Where this request is to be recorded, if it is.
    pub(super) fn recorder(
        &self,
        routing: &Routing,
        route: Option<&RouteName>,
        is_refused: bool,
    ) -> Option<&Records> {
        let records = self.records.as_deref()?;
        if routing.quotas.take(route, is_refused, Instant::now()) {
            return Some(records);
        }
        records.drop_one();
        None
    }
}
