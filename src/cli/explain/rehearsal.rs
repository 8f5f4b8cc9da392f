//! What the gateway itself would say to a captured request: its own flow, on a store that only records.

use std::sync::Arc;

use actix_http::{Method, Payload, RequestHead, Uri, header};
use bytes::Bytes;
use tokio::runtime::Handle;

use super::{capture::Capture, recorder::Recorder};
use crate::{
    app::key_fetcher,
    clock::{Clock, Timestamp},
    config::{Config, Verifier, Verify},
    event::Event,
    ingest::{self, Gate, rejection::Rejection},
    keys::Keys,
    metrics::{Labels, Metrics},
};

/// What would come of the request.
pub(super) type Outcome = Result<Vec<Arc<Event>>, Rejection>;

/// Plays the request to the route `name` alone at the time `at`. What no capture tells is not judged: the caller's address
/// and certificate, and how many requests came before.
///
/// With `only`, just the verifier of that number judges. `Err` tells in words why nothing can be played.
pub(super) fn rehearse(
    mut config: Config,
    name: &str,
    only: Option<usize>,
    capture: &Capture,
    at: Timestamp,
) -> Result<Outcome, String> {
    let path = prepare(&mut config, name, only)?;
    let head = head_of(capture, &path)?;
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Metrics::new(&labels).map_err(|error| error.to_string())?;
    let store = Arc::new(Recorder::default());
    let (clock, _hand) = Clock::manual(at);
    let fetcher = key_fetcher(&config).map_err(|error| error.to_string())?;
    let payload = Payload::from(Bytes::from(capture.body.clone()));
    let outcome = actix_rt::System::new().block_on(async {
        let gate = Gate::new(&config, store.clone(), clock.clone(), &metrics).for_rehearsal();
        let gate = Arc::new(match fetcher {
            Some(fetcher) => gate.with_keys(Keys::new(fetcher, clock, Handle::current())),
            None => gate,
        });
        ingest::rehearse(&gate.desk(), None, &head, payload).await
    });
    Ok(outcome.map(|()| store.events()))
}

/// Leaves this one route, without the rules that no capture can be held to. Gives its path.
fn prepare(config: &mut Config, name: &str, only: Option<usize>) -> Result<String, String> {
    config.routes.retain(|route| &*route.name == name);
    let route = config.routes.first_mut().and_then(Arc::get_mut);
    let route = route.ok_or("the route is not there")?;
    route.allow_from.clear();
    route.rate = None;
    if let Verify::All(verifiers) = &mut route.verify {
        let mut number = 0;
        verifiers.retain(|verifier| {
            let is_meant = only.is_none_or(|only| only == number);
            number += 1;
            is_meant && !matches!(verifier, Verifier::ClientCertificate { .. })
        });
        if verifiers.is_empty() {
            route.verify = Verify::Nobody;
        }
    }
    Ok(route.path.clone())
}

/// The capture's, but to the route's own path: what else it was sent to is told apart.
fn head_of(capture: &Capture, path: &str) -> Result<RequestHead, String> {
    let mut head = RequestHead::default();
    head.method = Method::from_bytes(capture.method.as_bytes())
        .map_err(|_| format!("{} is no method", capture.method))?;
    let target = match &capture.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    head.uri = Uri::try_from(target).map_err(|_| "the address cannot be called".to_owned())?;
    for (name, value) in &capture.headers {
        let name = header::HeaderName::from_bytes(name.as_bytes());
        let value = header::HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            // A body that the capture holds decoded or cut is told of apart.
            if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
                head.headers.append(name, value);
            }
        }
    }
    Ok(head)
}
