//! What became of a request that brought no new event, worked out after it was answered and apart from those that
//! are served: how long it takes tells no caller anything.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_http::{
    RequestHead,
    header::{self, HeaderMap},
};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::{Verifier, Verify},
    store::records::{KEPT_BODY_BYTES_MAX, KeptBody, Record, RecordResult, Step},
};

use super::{
    PeerCertificate,
    authenticate::Unproven,
    endpoint::Endpoint,
    limit::Share,
    lines::cut,
    rejection::{Detail, Reason, Rejection},
    request_id::RequestId,
    route::trace_of,
    trail::{Read, Stage},
    verdicts,
};

/// Characters of what a record tells in one place: some of it is as long as a caller or a configuration makes it.
const TOLD_MAX: usize = 512;
/// Of one record.
const STEPS_MAX: usize = 64;

/// A request that was answered.
pub(super) struct Inquest {
    pub(super) request_id: RequestId,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) end: End,
    pub(super) status: u16,
    pub(super) client: Option<IpAddr>,
    pub(super) stage: Stage,
    pub(super) credential: Option<Arc<str>>,
    /// `None`: it never became a request.
    pub(super) asked: Option<Asked>,
    pub(super) body: Option<Read>,
    /// Held as long as the body is.
    pub(super) _share: Option<Share>,
}

/// The head, with all that the caller is proven by: none of it is told as it stands.
pub(super) struct Asked {
    method: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    certificate: Option<PeerCertificate>,
}

/// What was answered.
pub(super) enum End {
    Rejected(Rejection),
    Duplicate {
        uid: Uuid,
        first_received_at: Timestamp,
        same_body: bool,
    },
    Handshake(&'static str),
}

impl Asked {
    pub(super) fn of(head: &RequestHead, certificate: Option<&PeerCertificate>) -> Self {
        Self {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers.clone(),
            certificate: certificate.cloned(),
        }
    }
}

impl Inquest {
    /// Of bytes that never became a request.
    pub(super) fn of_no_request(
        request_id: RequestId,
        at: Timestamp,
        rejection: Rejection,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            request_id,
            at,
            took: Duration::ZERO,
            endpoint: None,
            status: rejection.reason.status(),
            end: End::Rejected(rejection),
            client: peer,
            stage: Stage::Head,
            credential: None,
            asked: None,
            body: None,
            _share: None,
        }
    }

    pub(super) fn record(self) -> Record {
        let mut steps = self.steps();
        steps.truncate(STEPS_MAX);
        for step in &mut steps {
            shorten(&mut step.told);
        }
        let asked = self.asked.as_ref();
        let text = |of: fn(&Asked) -> &str| cut(asked.map_or("-", of)).to_owned();
        Record {
            request_id: self.request_id.to_string(),
            at: self.at,
            // As exactly as a store keeps it.
            took: Duration::from_micros(u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)),
            route: self.endpoint.as_ref().map(|it| it.route.name.clone()),
            status: self.status,
            method: text(|asked| &asked.method),
            path: text(|asked| &asked.path),
            client: self.client,
            body_bytes: self.body.as_ref().map(|body| body.bytes.len() as u64),
            cause: self.cause(),
            steps,
            trace: asked.and_then(|asked| Some(trace_of(&asked.headers)?.id())),
            body: self.kept_body(),
            result: match self.end {
                End::Rejected(rejection) => RecordResult::Rejected {
                    reason: rejection.reason.as_str().to_owned(),
                },
                End::Duplicate {
                    uid,
                    first_received_at,
                    same_body,
                } => RecordResult::Duplicate {
                    uid,
                    first_received_at,
                    same_body,
                },
                End::Handshake(name) => RecordResult::Handshake {
                    name: name.to_owned(),
                },
            },
        }
    }

    fn rejection(&self) -> Option<&Rejection> {
        match &self.end {
            End::Rejected(rejection) => Some(rejection),
            End::Duplicate { .. } | End::Handshake(_) => None,
        }
    }

    fn cause(&self) -> Option<String> {
        let mut cause = detail(self.rejection()?)?;
        shorten(&mut cause);
        Some(cause)
    }

    /// Where the route says so. A copy, so that what is kept is no larger than it looks.
    fn kept_body(&self) -> Option<KeptBody> {
        self.rejection()?;
        let endpoint = self.endpoint.as_ref()?;
        let bytes = &self.body.as_ref()?.bytes;
        if !endpoint.route.keep_rejected || bytes.is_empty() {
            return None;
        }
        let content_type = self.asked.as_ref()?.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let end = bytes.len().min(KEPT_BODY_BYTES_MAX);
        Some(KeptBody {
            content_type: content_type.map(|text| cut(text).to_owned()),
            bytes: bytes::Bytes::copy_from_slice(&bytes[..end]),
        })
    }

    /// All that it passed, and what it did not.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let reason = self.rejection().map(|rejection| rejection.reason);
        if matches!(reason, Some(Reason::Draining)) {
            return vec![failed("gateway", "it was stopping, and took nothing more")];
        }
        let Some(asked) = &self.asked else {
            let told = match reason {
                Some(Reason::SlowRequest) => "the head did not arrive in time",
                _ => "what came was no HTTP/1.1 request",
            };
            return vec![failed("request", told)];
        };
        let Some(endpoint) = &self.endpoint else {
            let told = format!("no route has the path {}", cut(&asked.path).escape_debug());
            return vec![failed("route", told)];
        };
        if reason == Some(Reason::MethodNotAllowed) && self.stage == Stage::Head {
            let methods = endpoint.route.methods.join(", ");
            let told = format!("{} has this path, but takes {methods}", endpoint.route.name);
            return vec![failed("route", told)];
        }
        steps.push(passed("route", endpoint.route.name.to_string()));
        self.head_steps(endpoint, &mut steps);
        if self.stage > Stage::Head {
            self.body_steps(&mut steps);
        }
        if self.stage > Stage::Body {
            self.caller_steps(endpoint, asked, &mut steps);
        }
        if self.stage > Stage::Caller {
            self.event_steps(&mut steps);
        }
        steps
    }

    /// In the order in which the head is looked at.
    fn head_steps(&self, endpoint: &Endpoint, steps: &mut Vec<Step>) {
        let route = &endpoint.route;
        let reason = match self.stage {
            Stage::Head => self.rejection().map(|rejection| rejection.reason),
            _ => None,
        };
        let client = self
            .client
            .map_or_else(String::new, |client| client.to_string());
        let header = |name: header::HeaderName| self.header(&name);
        let looked: [(&[Reason], &str, String); 6] = [
            (
                &[Reason::RouteDisabled],
                "enabled",
                "the route is enabled".into(),
            ),
            (&[Reason::SourceNotAllowed], "address", client),
            (
                &[Reason::BodyTooLarge],
                "size",
                format!("{} bytes are taken", route.max_body),
            ),
            (
                &[Reason::UnsupportedEncoding],
                "encoding",
                header(header::CONTENT_ENCODING),
            ),
            (
                &[Reason::UnsupportedContentType, Reason::MalformedRequest],
                "content type",
                header(header::CONTENT_TYPE),
            ),
            (
                &[Reason::RateLimited],
                "rate",
                "within the route's rate".into(),
            ),
        ];
        for (reasons, name, told) in looked {
            match reason {
                Some(reason) if reasons.contains(&reason) => {
                    steps.push(failed(name, self.refused_head(endpoint, reason)));
                    return;
                }
                _ => steps.push(passed(name, told)),
            }
        }
    }

    fn refused_head(&self, endpoint: &Endpoint, reason: Reason) -> String {
        let route = &endpoint.route;
        match reason {
            Reason::RouteDisabled => "the route says `enabled = false`".into(),
            Reason::SourceNotAllowed => {
                let client = self
                    .client
                    .map_or_else(String::new, |client| client.to_string());
                format!(
                    "{client} is in none of the {} networks of `allow_from`",
                    route.allow_from.len()
                )
            }
            Reason::BodyTooLarge => {
                let length = self.header(&header::CONTENT_LENGTH);
                format!(
                    "{length} bytes were announced, and `max_body` is {}",
                    route.max_body
                )
            }
            Reason::UnsupportedEncoding => {
                format!(
                    "{}: only bodies as they are are taken",
                    self.header(&header::CONTENT_ENCODING)
                )
            }
            Reason::UnsupportedContentType => {
                format!(
                    "{} is not what the route takes",
                    self.header(&header::CONTENT_TYPE)
                )
            }
            Reason::RateLimited => "more came than the route's `rate`".into(),
            other => other.told().into(),
        }
    }

    /// A header that a sender describes its body with.
    fn header(&self, name: &header::HeaderName) -> String {
        let headers = self.asked.as_ref().map(|asked| &asked.headers);
        let value = headers.and_then(|headers| headers.get(name));
        match value.map(|value| value.to_str()) {
            None => "none".into(),
            Some(Ok(value)) => cut(value).escape_debug().to_string(),
            Some(Err(_)) => "not text".into(),
        }
    }

    fn body_steps(&self, steps: &mut Vec<Step>) {
        let reason = self.rejection().map(|rejection| rejection.reason);
        steps.push(match (&self.body, reason) {
            (Some(body), _) => passed("body", format!("{} bytes", body.bytes.len())),
            (None, Some(reason)) if self.stage == Stage::Body => failed("body", reason.told()),
            // It was too much to be held any longer.
            (None, _) => passed("body", "read"),
        });
    }

    fn caller_steps(&self, endpoint: &Endpoint, asked: &Asked, steps: &mut Vec<Step>) {
        let Verify::All(verifiers) = &endpoint.route.verify else {
            steps.push(passed("caller", "the route takes requests of anyone"));
            return;
        };
        let refused = self.rejection().filter(|_| self.stage == Stage::Caller);
        let Some(rejection) = refused else {
            let told = match (&self.credential, &self.end) {
                (Some(credential), _) => format!("proven by {credential}"),
                (None, End::Handshake(_)) => "a handshake, which needs no signature".into(),
                (None, _) => "proven".into(),
            };
            steps.push(passed("caller", told));
            return;
        };
        if rejection.reason.status() != 401 {
            let told = detail(rejection).unwrap_or_else(|| rejection.reason.told().into());
            steps.push(failed("caller", told));
            return;
        }
        let Some(body) = &self.body else {
            let told = "too much was in flight to look at it once more; see the reason";
            steps.push(failed("caller", told));
            return;
        };
        let unproven = Unproven::again(
            endpoint,
            &asked.headers,
            asked.certificate.as_ref(),
            &asked.method,
            asked.query.as_deref(),
            body,
        );
        let all = verifiers.iter();
        for verifier in all {
            steps.extend(verdicts::of(&unproven, verifier, self.refusal_of(verifier)));
        }
    }

    /// Of a verifier whose key is fetched, which is not done again.
    fn refusal_of(&self, verifier: &Verifier) -> Option<&Rejection> {
        self.rejection().filter(|_| verifier.fetches())
    }

    fn event_steps(&self, steps: &mut Vec<Step>) {
        let rejection = match &self.end {
            End::Handshake(name) => {
                steps.push(passed("handshake", format!("{name}, answered")));
                return;
            }
            End::Duplicate {
                first_received_at,
                same_body,
                ..
            } => {
                let body = match same_body {
                    true => "the same body",
                    false => "another body",
                };
                steps.push(passed("payload", "as the route expects"));
                steps.push(passed("event id", "found"));
                let told = format!("known since {first_received_at}, with {body}");
                steps.push(passed("store", told));
                return;
            }
            End::Rejected(rejection) => rejection,
        };
        let told = || detail(rejection).unwrap_or_else(|| rejection.reason.told().to_owned());
        if matches!(
            rejection.reason,
            Reason::HandshakeRefused | Reason::HandshakeFailed
        ) {
            steps.push(failed("handshake", told()));
            return;
        }
        let is_unnamed = matches!(
            rejection.reason,
            Reason::MissingEventId | Reason::InvalidEventId
        );
        if self.stage == Stage::Payload && !is_unnamed {
            steps.push(failed("payload", told()));
            return;
        }
        steps.push(passed("payload", "as the route expects"));
        if is_unnamed {
            steps.push(failed("event id", told()));
            return;
        }
        steps.push(passed("event id", "found"));
        steps.push(failed("store", told()));
    }
}

/// What goes with a reason, in words. Holds nothing of the body.
fn detail(rejection: &Rejection) -> Option<String> {
    if let Some(cause) = rejection.cause() {
        return Some(cause.to_string());
    }
    match &rejection.detail {
        Detail::Position {
            line,
            column,
            message,
        } => Some(format!("line {line}, column {column}: {message}")),
        Detail::Violations(violations) => {
            let told = violations.iter().map(|one| match &one.rule {
                Some(rule) => rule.clone(),
                None => format!("{} {}", one.pointer, one.message),
            });
            Some(told.collect::<Vec<_>>().join("; "))
        }
        Detail::Told(told) => Some(told.clone()),
        _ => None,
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TOLD_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

pub(super) fn passed(name: &str, told: impl Into<String>) -> Step {
    step(name, true, told)
}

pub(super) fn failed(name: &str, told: impl Into<String>) -> Step {
    step(name, false, told)
}

fn step(name: &str, passed: bool, told: impl Into<String>) -> Step {
    Step {
        name: name.to_owned(),
        passed,
        told: told.into(),
    }
}
