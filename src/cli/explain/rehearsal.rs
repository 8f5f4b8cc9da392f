//! What the gateway itself would say to a captured request.

use std::sync::Arc;

use actix_http::header;
use bytes::Bytes;

use super::capture::Capture;
use crate::{
    app::key_fetcher,
    cli::rehearsal::{Outcome, Request, play},
    clock::Timestamp,
    config::{Config, Verifier, Verify},
};

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
    let fetcher = key_fetcher(&config).map_err(|error| error.to_string())?;
    play(
        &config,
        request_of(capture, &path),
        at,
        &Arc::default(),
        fetcher,
    )
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
fn request_of<'c>(capture: &'c Capture, path: &str) -> Request<'c> {
    let target = match &capture.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let headers = capture.headers.iter().filter_map(|(name, value)| {
        let name = header::HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = header::HeaderValue::from_bytes(value).ok()?;
        // A body that the capture holds decoded or cut is told of apart.
        let is_told = name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING;
        (!is_told).then_some((name, value))
    });
    Request {
        method: &capture.method,
        target,
        headers: headers.collect(),
        body: Bytes::from(capture.body.clone()),
        ..Request::default()
    }
}
