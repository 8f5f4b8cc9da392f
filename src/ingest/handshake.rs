//! Handshakes: recognised by what the preset says of them, answered exactly, never stored.
//!
//! An unsigned one is looked for before the caller is proven, and is bounded in rate; a signed one after.

use std::{
    borrow::Cow,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use actix_http::{
    RequestHead, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::{
    clock::Timestamp,
    config::{Rate, Secret},
    keys::Keys,
    payload::Content,
    providers::{
        Answer, AnswerBody, AnswerHeader, Condition, Effect, Handshake, HandshakeProof, Value,
    },
    rate::RateLimiter,
    signature::is_host,
    store::{KeptSecret, StoreError},
};

use super::{
    Gate,
    authenticate::{Authentic, RequestHeaders},
    body::Received,
    endpoint::Endpoint,
    rejection::{Detail, REQUEST_ID, Reason, Rejection},
    routing::Routing,
    secrets::Slot,
};

mod request;

use request::Request;

/// Those of one route that are unsigned, or call an address, in a minute and at once. That it is not zero is checked when
/// this is compiled.
const BOUNDED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// What one route's provider asks before it sends events.
pub(super) struct Handshakes {
    rows: &'static [Handshake],
    bounded: RateLimiter,
}

/// A handshake with its answer.
pub(super) struct Met {
    pub(super) name: &'static str,
    pub(super) response: Response<Bytes>,
}

impl Handshakes {
    pub(super) fn new(rows: &'static [Handshake], now: Instant) -> Self {
        let rate = Rate {
            limit: BOUNDED_PER_MINUTE,
            period: Duration::from_secs(60),
            burst: BOUNDED_PER_MINUTE,
        };
        Self {
            rows,
            bounded: RateLimiter::new(rate, now),
        }
    }

    /// Whether the head tells of a handshake: then the route's own methods and kinds of content do not bind it.
    pub(super) fn announced(&self, head: &RequestHead) -> bool {
        let request = Request::new(head, &[], Content::Any, None);
        self.rows.iter().any(|row| {
            let mut told = row.when.iter().filter(|condition| of_head(condition));
            row.when.iter().any(of_head) && told.all(|condition| request.meets(condition))
        })
    }

    /// 429.
    fn take(&self) -> Result<(), Rejection> {
        let taken = self.bounded.take(Instant::now());
        taken.map_err(|wait| Rejection::with(Reason::RateLimited, Detail::RetryAfter(wait)))
    }

    fn find(&self, request: &Request<'_>, signed: bool) -> Option<&'static Handshake> {
        self.rows
            .iter()
            .filter(|row| (row.proof == HandshakeProof::AsEvents) == signed)
            .find(|row| row.when.iter().all(|condition| request.meets(condition)))
    }
}

/// A request that is a handshake.
pub(super) struct Challenge<'a> {
    row: &'static Handshake,
    request: Request<'a>,
    endpoint: &'a Endpoint,
}

impl Received<'_> {
    /// A handshake that needs no signature.
    pub(super) fn challenge(&self) -> Option<Challenge<'_>> {
        let body = &self.unverified_body;
        let request = Request::new(self.head, body, self.content, None);
        let row = self.endpoint.handshakes.find(&request, false)?;
        Some(Challenge {
            row,
            request,
            endpoint: self.endpoint,
        })
    }

    /// Whether it may be answered. A secret is taken from those alone whom all that the route asks beside it proves.
    /// 401, 403, 429, 503.
    pub(super) async fn admit(
        &self,
        challenge: &Challenge<'_>,
        keys: Option<&Keys>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if matches!(challenge.row.effect, Effect::KeepSecret(_)) && self.endpoint.secret.is_some() {
            self.prove(|verifier| !verifier.awaits_secret(), keys, now)
                .await?;
        }
        self.endpoint.handshakes.take()?;
        match challenge.row.proof {
            HandshakeProof::VerifyToken(value) => {
                let token = self.endpoint.route.verify_token.as_ref();
                check_token(&challenge.request, value, token)
            }
            HandshakeProof::AsEvents | HandshakeProof::Nothing => Ok(()),
        }
    }
}

impl Authentic<'_> {
    /// A handshake that was signed as events are.
    pub(super) fn challenge(&self) -> Option<Challenge<'_>> {
        let request = Request::new(self.head, &self.body, self.content, Some(self));
        let row = self.endpoint.handshakes.find(&request, true)?;
        Some(Challenge {
            row,
            request,
            endpoint: self.endpoint,
        })
    }
}

impl Challenge<'_> {
    /// The answer is made first: what cannot be answered has no effect. 403, 429, 503.
    pub(super) async fn meet(
        self,
        gate: &Gate,
        routing: &Routing,
        now: Timestamp,
    ) -> Result<Met, Rejection> {
        let (row, request) = (self.row, &self.request);
        let response = answer(&row.answer, request)?;
        match row.effect {
            Effect::Nothing => {}
            Effect::Confirm(..) if gate.is_rehearsal => {}
            Effect::KeepSecret(value) => {
                keep(request.given(value)?, self.endpoint, gate, now).await?;
            }
            Effect::Confirm(value, hosts) => {
                // What was signed once can be sent again, by whoever has caught it.
                self.endpoint.handshakes.take()?;
                confirm(&request.given(value)?, hosts, routing.keys.as_ref()).await?;
            }
        }
        self.endpoint.metrics.handshake(row.name);
        Ok(Met {
            name: row.name,
            response,
        })
    }
}

impl Gate {
    /// For a route whose secret came in a handshake that another gateway may have answered. 503: nobody knows now.
    pub(super) async fn learn_secret(&self, slot: &Slot) -> Result<(), Rejection> {
        self.secrets.look_for(slot).await.map_err(unavailable)
    }
}

impl Met {
    /// The answer, on its way.
    pub(super) fn told(self, request_id: &str) -> Response<Bytes> {
        let mut response = self.response;
        if let Ok(value) = HeaderValue::from_str(request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
}

async fn keep(
    secret: Cow<'_, str>,
    endpoint: &Endpoint,
    gate: &Gate,
    now: Timestamp,
) -> Result<(), Rejection> {
    let Some(slot) = &endpoint.secret else {
        return Err(refused(
            "the secret is not awaited; secrets = [{ handshake = true }] awaits one",
        ));
    };
    // It is shown to people, on their terminals.
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("a secret of other than printable characters"));
    }
    let kept = KeptSecret {
        route: endpoint.route.name.clone(),
        secret: Secret::new(secret.as_bytes()),
        received_at: now,
    };
    match gate.secrets.keep(slot, kept).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(
            "the route has a secret already (`hookgate secrets forget` ends it), or this is none",
        )),
        Err(error) => Err(unavailable(error)),
    }
}

/// The address comes from outside: only https, on its port, at one of the hosts.
async fn confirm(address: &str, hosts: &[&str], keys: Option<&Keys>) -> Result<(), Rejection> {
    let url = Url::parse(address).ok();
    let Some(url) = url.filter(|url| is_of(url, hosts)) else {
        return Err(refused("an address that is not the provider's"));
    };
    let failed =
        |cause: String| Rejection::with(Reason::HandshakeFailed, Detail::Cause(cause.into()));
    let Some(keys) = keys else {
        return Err(failed("nothing here calls addresses".to_owned()));
    };
    let confirmed = keys.confirm(url).await;
    confirmed.map_err(|fault| failed(fault.to_string()))
}

fn is_of(url: &Url, hosts: &[&str]) -> bool {
    let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    let known = |host: &str| hosts.iter().any(|pattern| is_host(host, pattern));
    url.scheme() == "https" && bare && url.host_str().is_some_and(known)
}

fn unavailable(error: StoreError) -> Rejection {
    Rejection::with(Reason::StoreUnavailable, Detail::Store(error))
}

/// Digests compare in constant time, whatever the lengths.
fn check_token(
    request: &Request<'_>,
    value: Value,
    token: Option<&Secret>,
) -> Result<(), Rejection> {
    let Some(token) = token else {
        return Err(refused("the route has no `verify_token`; set one"));
    };
    let given = Sha256::digest(request.given(value)?.as_bytes());
    match bool::from(given.ct_eq(&Sha256::digest(token.expose()))) {
        true => Ok(()),
        false => Err(refused("another verify_token")),
    }
}

fn refused(cause: &'static str) -> Rejection {
    Rejection::with(Reason::HandshakeRefused, Detail::Cause(cause.into()))
}

fn answer(answer: &Answer, request: &Request<'_>) -> Result<Response<Bytes>, Rejection> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let body = match answer.body {
        AnswerBody::Empty => Bytes::new(),
        AnswerBody::Literal(text) => Bytes::from_static(text.as_bytes()),
        AnswerBody::Text(value) => request.plain(value)?.into_owned().into(),
        AnswerBody::Object(members) => object(members, request)?,
    };
    let mut response = Response::with_body(status, body);
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(content_type) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in answer.headers {
        let value = match *value {
            AnswerHeader::Literal(text) => Cow::Borrowed(text),
            AnswerHeader::Echo(value) if request.lacks(value) => continue,
            AnswerHeader::Echo(value) => request.given(value)?,
        };
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(refused("a value that no header can hold"));
        };
        headers.insert(name, value);
    }
    Ok(response)
}

fn object(members: &[(&'static str, Value)], request: &Request<'_>) -> Result<Bytes, Rejection> {
    let mut object = serde_json::Map::new();
    for &(name, value) in members {
        object.insert(name.to_owned(), request.given(value)?.into());
    }
    Ok(serde_json::Value::Object(object).to_string().into())
}

/// Conditions that the head alone meets.
fn of_head(condition: &Condition) -> bool {
    match condition {
        Condition::Method(_) => true,
        Condition::Has(value) | Condition::Is(value, _) | Condition::Lacks(value) => {
            matches!(value, Value::Query(_) | Value::Header(_))
        }
        Condition::OnlyMember(_) | Condition::EmptyBody => false,
    }
}
