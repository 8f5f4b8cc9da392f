//! The body: the exact bytes, read once, within a deadline, a size and a budget.

use actix_http::{Method, Payload, RequestHead, error::PayloadError};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::payload::Content;

use super::{
    PeerCertificate,
    endpoint::Endpoint,
    limit::Share,
    rejection::{Reason, Rejection},
    route::Routed,
    routing::Routing,
};

/// A request whose whole body has arrived. Nothing of it is proven yet.
pub(super) struct Received<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) certificate: Option<&'a PeerCertificate>,
    pub(super) head: &'a RequestHead,
    pub(super) content: Content,
    /// Of a GET, its query.
    pub(super) unverified_body: Bytes,
    pub(super) share: Share,
    /// Why it cannot be an event, if it is not a handshake.
    pub(super) unfit: Option<Rejection>,
}

impl<'a> Routed<'a> {
    /// 400 (cut short), 408, 413, 503 overloaded.
    pub(super) async fn read_body(self, payload: &mut Payload) -> Result<Received<'a>, Rejection> {
        let mut share = self.gate.budget.share();
        let max = self.endpoint.route.max_body;
        let unverified_body = if self.head.method == Method::GET {
            let query = self.head.uri.query().unwrap_or_default();
            checked(
                Ok(Bytes::copy_from_slice(query.as_bytes())),
                0,
                max,
                &mut share,
            )?
        } else {
            let collected = collect(payload, self.body_bytes.unwrap_or(0), max, &mut share);
            tokio::time::timeout(self.routing.body_timeout, collected)
                .await
                .map_err(|_| Reason::SlowRequest)??
        };
        Ok(Received {
            endpoint: self.endpoint,
            certificate: self.certificate,
            head: self.head,
            content: self.content,
            unverified_body,
            share,
            unfit: self.unfit,
        })
    }
}

/// A body that comes as one chunk is taken as it is; only several chunks are joined by a copy.
///
/// The share grows with what has arrived and not with what was announced: an announcement costs its sender
/// nothing, so a few hundred heads without a body could otherwise take the whole budget away.
async fn collect(
    payload: &mut Payload,
    expected: usize,
    max: usize,
    share: &mut Share,
) -> Result<Bytes, Rejection> {
    let first = match payload.next().await {
        None => return Ok(Bytes::new()),
        Some(chunk) => checked(chunk, 0, max, share)?,
    };
    let Some(second) = payload.next().await else {
        return Ok(first);
    };
    let mut body = BytesMut::with_capacity(expected.max(first.len() * 2).min(max));
    body.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        body.extend_from_slice(&checked(chunk, body.len(), max, share)?);
        next = payload.next().await;
    }
    Ok(body.freeze())
}

fn checked(
    chunk: Result<Bytes, PayloadError>,
    so_far: usize,
    max: usize,
    share: &mut Share,
) -> Result<Bytes, Rejection> {
    let chunk = chunk.map_err(|_| Reason::MalformedRequest)?;
    let bytes = so_far + chunk.len();
    if bytes > max {
        return Err(Reason::BodyTooLarge.into());
    }
    match share.grow(bytes) {
        true => Ok(chunk),
        false => Err(Reason::Overloaded.into()),
    }
}

/// The most that is read of a refused body only to keep the connection.
const DRAIN_MAX: usize = 64 * 1024;

/// Reads a small body that nobody wants, so that the connection can serve the next request.
pub(super) async fn drain(head: &RequestHead, payload: &mut Payload, routing: &Routing) {
    if super::route::content_length(head).is_none_or(|bytes| bytes > DRAIN_MAX) {
        return;
    }
    let all = async { while let Some(Ok(_)) = payload.next().await {} };
    // A slow body is no reason to wait: the connection is then closed instead.
    drop(
        tokio::time::timeout(
            routing.body_timeout.min(std::time::Duration::from_secs(1)),
            all,
        )
        .await,
    );
}
