//! The request that a target gets for a delivery.

use std::{fmt::Write as _, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST,
        PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};
use http_body_util::Full;

use bytes::Bytes;

use super::{DeliveryError, redaction::Redaction};
use crate::{clock::Timestamp, config::Target, event::Event, signature::Signing};

const VERSION: &str = concat!("Hookgate/", env!("CARGO_PKG_VERSION"));

const HOOKGATE_EVENT: HeaderName = HeaderName::from_static("hookgate-event");
const HOOKGATE_ROUTE: HeaderName = HeaderName::from_static("hookgate-route");
const HOOKGATE_EVENT_TYPE: HeaderName = HeaderName::from_static("hookgate-event-type");
const HOOKGATE_EVENT_ID: HeaderName = HeaderName::from_static("hookgate-event-id");
const HOOKGATE_ATTEMPT: HeaderName = HeaderName::from_static("hookgate-attempt");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What decides where a message ends and who speaks to whom: the HTTP library's alone.
const FRAMING: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
];

/// What is never passed on from the provider, besides the framing, even if a route keeps it.
const NOT_PASSED_ON: [HeaderName; 5] = [AUTHORIZATION, COOKIE, SET_COOKIE, HOST, CONTENT_TYPE];

/// What all requests to one target have in common.
pub(super) struct Template {
    target: Arc<Target>,
    uri: Uri,
    host: HeaderValue,
    configured: Vec<(HeaderName, HeaderValue)>,
    /// Of the configured headers' values.
    pub(super) redaction: Redaction,
}

impl Template {
    pub(super) fn new(target: Arc<Target>) -> Result<Self, DeliveryError> {
        Ok(Self {
            uri: uri(&target)?,
            host: host(&target)?,
            configured: configured(&target)?,
            redaction: Redaction::new(target.headers.iter().map(|(_, value)| value)),
            target,
        })
    }

    /// The delivery's request; `attempt` counts from 1. Later lines win over earlier ones: the provider's
    /// kept headers, then what the operator configured, then Hookgate's own and its signature at `now`.
    pub(super) fn request(
        &self,
        event: &Event,
        attempt: u32,
        now: Timestamp,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(event.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        headers.reserve(10 + event.headers.len() + self.configured.len());
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(VERSION));
        pass_on(event, headers);
        for (name, value) in &self.configured {
            headers.insert(name, value.clone());
        }
        identify(event, attempt, headers);
        self.sign(event, now, headers);
        request
    }

    /// Under the event's uid, which is the same for all its attempts, at the time of this one.
    fn sign(&self, event: &Event, now: Timestamp, headers: &mut HeaderMap) {
        let Some(sign) = &self.target.sign else {
            return;
        };
        let mut uid = uuid::Uuid::encode_buffer();
        let uid = event.uid.hyphenated().encode_lower(&mut uid);
        let signing = Signing::new(uid, now, &event.body);
        // The configuration sees to it that one of the secrets never ends.
        let Ok(signed) = sign.scheme.sign_with_all(&sign.secrets, &signing) else {
            return;
        };
        for (name, value) in signed.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
    }
}

/// The provider's content type and kept headers; what is not a valid header is left out.
fn pass_on(event: &Event, headers: &mut HeaderMap) {
    if let Some(value) = &event.content_type
        && let Ok(value) = HeaderValue::from_str(value)
    {
        headers.insert(CONTENT_TYPE, value);
    }
    for (name, value) in &event.headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        if FRAMING.contains(&name) || NOT_PASSED_ON.contains(&name) {
            continue;
        }
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    }
}

fn identify(event: &Event, attempt: u32, headers: &mut HeaderMap) {
    let mut uid = uuid::Uuid::encode_buffer();
    let uid: &str = event.uid.hyphenated().encode_lower(&mut uid);
    for (name, text) in [
        (HOOKGATE_EVENT, Some(uid)),
        (HOOKGATE_ROUTE, Some(&*event.route)),
        (HOOKGATE_EVENT_TYPE, event.event_type.as_deref()),
        (HOOKGATE_EVENT_ID, Some(&*event.id)),
    ] {
        match text.map(visible) {
            Some(value) => headers.insert(name, value),
            // The provider must not be able to say it in Hookgate's name.
            None => headers.remove(name),
        };
    }
    headers.insert(HOOKGATE_ATTEMPT, HeaderValue::from(attempt));
}

/// `text` with every byte that is not visible ASCII, and `%` itself, as `%XX`: so it can be undone.
fn visible(text: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    if text.bytes().all(plain)
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _always_ok = write!(encoded, "%{byte:02X}");
        }
    }
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The target's URL; credentials in it would end up in logs, so they are refused.
fn uri(target: &Target) -> Result<Uri, DeliveryError> {
    let url = &target.url;
    let bad = |reason: &str| DeliveryError::Url {
        target: target.name.clone(),
        reason: reason.to_owned(),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it holds a user name or password; set an Authorization header instead",
        ));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("it must be http:// or https:// with a host"));
    }
    let mut url = url.clone();
    url.set_fragment(None);
    url.as_str()
        .parse()
        .map_err(|_| bad("it is not a valid request target"))
}

/// Without the port where that is the scheme's own: the `url` crate leaves it out then.
fn host(target: &Target) -> Result<HeaderValue, DeliveryError> {
    let host = target.url.host_str().unwrap_or_default();
    let text = match target.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&text).map_err(|_| DeliveryError::Url {
        target: target.name.clone(),
        reason: "its host is not a valid header value".to_owned(),
    })
}

fn configured(target: &Target) -> Result<Vec<(HeaderName, HeaderValue)>, DeliveryError> {
    let bad = |header: &HeaderName, reason: &'static str| DeliveryError::Header {
        target: target.name.clone(),
        header: header.clone(),
        reason,
    };
    target
        .headers
        .iter()
        .map(|(name, secret)| {
            if FRAMING.contains(name) && *name != PROXY_AUTHORIZATION {
                return Err(bad(name, "it belongs to the connection"));
            }
            let mut value = HeaderValue::from_bytes(secret.expose())
                .map_err(|_| bad(name, "its value holds control characters"))?;
            value.set_sensitive(true);
            Ok((name.clone(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_visible_ascii_is_percent_encoded() {
        for (text, expected) in [
            ("evt_1", "evt_1"),
            ("a b", "a%20b"),
            ("100%", "100%25"),
            ("ü", "%C3%BC"),
            ("x\u{7f}\u{0}", "x%7F%00"),
            ("", ""),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
        }
    }
}
