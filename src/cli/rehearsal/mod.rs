//! What the gateway itself would say to a request: its own flow, on a store that only records.

use std::{net::SocketAddr, sync::Arc};

use actix_http::{Method, Payload, RequestHead, Response, Uri, header};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::{
    clock::{Clock, Timestamp},
    config::Config,
    ingest::{self, Gate, PeerCertificate, rejection::Rejection},
    keys::{KeyFetcher, Keys},
    metrics::{Labels, Metrics},
};

mod recorder;

pub(super) use recorder::{Offered, Recorder};

/// A request, and how it would come in.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// With the query string.
    pub(super) target: String,
    pub(super) headers: Vec<(header::HeaderName, header::HeaderValue)>,
    pub(super) body: Bytes,
    pub(super) peer: Option<SocketAddr>,
    pub(super) certificate: Option<PeerCertificate>,
}

/// What would come of a request that is not refused.
pub(super) struct Accepted {
    pub(super) answer: Response<Bytes>,
    pub(super) events: Vec<Offered>,
}

/// What would come of a request.
pub(super) type Outcome = Result<Accepted, Rejection>;

/// Plays the request at the time `at`, to a gateway whose store is `store`: what was played to it before is remembered.
/// Without a `fetcher`, keys that would be fetched are not there.
///
/// `Err` tells in words why nothing can be played.
pub(super) fn play(
    config: &Config,
    request: Request<'_>,
    at: Timestamp,
    store: &Arc<Recorder>,
    fetcher: Option<Arc<dyn KeyFetcher>>,
) -> Result<Outcome, String> {
    let mut head = RequestHead::default();
    head.method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("{} is no method", request.method))?;
    head.uri =
        Uri::try_from(request.target).map_err(|_| "the address cannot be called".to_owned())?;
    head.peer_addr = request.peer;
    for (name, value) in request.headers {
        head.headers.append(name, value);
    }
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let metrics = Metrics::new(&labels).map_err(|error| error.to_string())?;
    let (clock, _hand) = Clock::manual(at);
    let payload = Payload::from(request.body);
    let outcome = actix_rt::System::new().block_on(async {
        let gate = Gate::new(config, store.clone(), clock.clone(), &metrics).for_rehearsal();
        let gate = Arc::new(match fetcher {
            Some(fetcher) => gate.with_keys(Keys::new(fetcher, clock, Handle::current())),
            None => gate,
        });
        ingest::rehearse(&gate.desk(), request.certificate.as_ref(), &head, payload).await
    });
    Ok(outcome.map(|answer| Accepted {
        answer,
        events: store.take_offered(),
    }))
}
