//! Which endpoint a request is for, and whether it may go on to its body.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use actix_http::{
    Method, RequestHead,
    header::{self, HeaderMap},
};
use ipnet::IpNet;

use crate::{
    payload::Content,
    trace::{TRACEPARENT, TraceContext},
};

use super::{
    Gate, PeerCertificate,
    endpoint::Endpoint,
    rejection::{Detail, Reason, Rejection},
    routing::Routing,
};

/// The endpoints by path. A path may have several, for different methods.
pub(super) struct RouteTable(HashMap<String, Vec<Arc<Endpoint>>>);

impl RouteTable {
    pub(super) fn new(endpoints: impl IntoIterator<Item = Arc<Endpoint>>) -> Self {
        let mut table: HashMap<_, Vec<_>> = HashMap::new();
        for endpoint in endpoints {
            table
                .entry(endpoint.route.path.clone())
                .or_default()
                .push(endpoint);
        }
        Self(table)
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.values().flatten()
    }

    /// The endpoint for a path and method, or for a handshake that comes by another method.
    /// `Err`: 404, or 405 with what is allowed.
    pub(super) fn find(
        &self,
        head: &RequestHead,
    ) -> Result<&Arc<Endpoint>, (Option<&Arc<Endpoint>>, Rejection)> {
        let Some(endpoints) = self.0.get(head.uri.path()) else {
            return Err((None, Reason::UnknownPath.into()));
        };
        let method = head.method.as_str();
        let takes = |endpoint: &&Arc<Endpoint>| endpoint.route.methods.iter().any(|m| m == method);
        let answers = |endpoint: &&Arc<Endpoint>| endpoint.handshakes.announced(head);
        let endpoint = endpoints.iter().find(takes);
        let endpoint = endpoint.or_else(|| endpoints.iter().find(answers));
        endpoint.ok_or_else(|| {
            let methods = endpoints
                .iter()
                .flat_map(|endpoint| endpoint.route.methods.iter());
            let allow = methods.map(String::as_str).collect::<Vec<_>>().join(", ");
            (
                endpoints.first(),
                Rejection::with(Reason::MethodNotAllowed, Detail::Allow(allow)),
            )
        })
    }
}

/// A request that has an endpoint and whose head breaks none of its rules.
pub(super) struct Routed<'a> {
    pub(super) gate: &'a Gate,
    pub(super) routing: &'a Routing,
    pub(super) endpoint: &'a Endpoint,
    pub(super) certificate: Option<&'a PeerCertificate>,
    pub(super) head: &'a RequestHead,
    pub(super) content: Content,
    /// By `Content-Length`.
    pub(super) body_bytes: Option<usize>,
    /// Why it cannot be an event, if it is not a handshake.
    pub(super) unfit: Option<Rejection>,
}

impl<'a> Routed<'a> {
    /// 400 (an upgrade, a GET with a body), 403, 413 (by `Content-Length`), 415, 429.
    pub(super) fn new(
        gate: &'a Gate,
        routing: &'a Routing,
        endpoint: &'a Endpoint,
        certificate: Option<&'a PeerCertificate>,
        head: &'a RequestHead,
    ) -> Result<Self, Rejection> {
        if !endpoint.route.enabled {
            return Err(Reason::RouteDisabled.into());
        }
        if !endpoint.takes_from(client_address(head, &routing.trusted_proxies)) {
            return Err(Reason::SourceNotAllowed.into());
        }
        let body_bytes = content_length(head);
        if body_bytes.is_some_and(|bytes| bytes > endpoint.route.max_body) {
            return Err(Reason::BodyTooLarge.into());
        }
        check_upgrade(head)?;
        check_encoding(head)?;
        // Of a handshake nothing is read as the route's content.
        let (content, unfit) = match fit(endpoint, head) {
            Ok(content) => (content, None),
            Err(rejection) if endpoint.handshakes.announced(head) => {
                (Content::Any, Some(rejection))
            }
            Err(rejection) => return Err(rejection),
        };
        if let Some(limiter) = &endpoint.limiter {
            limiter
                .take(Instant::now())
                .map_err(|wait| Rejection::with(Reason::RateLimited, Detail::RetryAfter(wait)))?;
        }
        Ok(Self {
            gate,
            routing,
            endpoint,
            certificate,
            head,
            content,
            body_bytes,
            unfit,
        })
    }
}

/// The trace that the caller is part of. `None`: it tells of none, or not as the specification has it, or twice.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT);
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else {
        return None;
    };
    TraceContext::parse(value)
}

pub(super) fn content_length(head: &RequestHead) -> Option<usize> {
    head.headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// What the request is as an event. 405, 415.
fn fit(endpoint: &Endpoint, head: &RequestHead) -> Result<Content, Rejection> {
    let methods = &endpoint.route.methods;
    match methods.iter().any(|method| method == head.method.as_str()) {
        true => content_of(head, &endpoint.route.content, &endpoint.route.json_types),
        false => Err(Rejection::with(
            Reason::MethodNotAllowed,
            Detail::Allow(methods.join(", ")),
        )),
    }
}

/// The HTTP layer reads what follows an upgrade to a web socket until its end, whatever its announced length.
fn check_upgrade(head: &RequestHead) -> Result<(), Rejection> {
    let to_web_socket =
        |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    match head.headers.get_all(header::UPGRADE).any(to_web_socket) {
        true => Err(Reason::MalformedRequest.into()),
        false => Ok(()),
    }
}

fn check_encoding(head: &RequestHead) -> Result<(), Rejection> {
    let identity = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match head.headers.get_all(header::CONTENT_ENCODING).all(identity) {
        true => Ok(()),
        false => Err(Reason::UnsupportedEncoding.into()),
    }
}

/// What the request brings, of the kinds that the route takes. `Content-Type` stands once at most, since two could be
/// read as either. The payload of a GET is its query, a form: it has no body.
fn content_of(
    head: &RequestHead,
    taken: &[Content],
    json_types: &[String],
) -> Result<Content, Rejection> {
    if head.method == Method::GET {
        let has_body = content_length(head).is_some_and(|bytes| bytes > 0)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        return match has_body {
            true => Err(Reason::MalformedRequest.into()),
            false => Ok(Content::Form),
        };
    }
    let mut values = head.headers.get_all(header::CONTENT_TYPE);
    let value = values
        .next()
        .map(|value| value.to_str().unwrap_or_default());
    let content = match values.next() {
        None => Content::of(value, taken, json_types),
        Some(_) => None,
    };
    content.ok_or_else(|| {
        let types: Vec<_> = taken.iter().map(|content| content.media_type()).collect();
        let told = format!(
            "This endpoint takes one Content-Type: {}.",
            types.join(" or ")
        );
        Rejection::with(Reason::UnsupportedContentType, Detail::Told(told))
    })
}

/// The caller's address: the peer's, or, as long as that is a trusted proxy, what it says of the hop before.
pub(super) fn client_address(head: &RequestHead, trusted: &[IpNet]) -> IpAddr {
    let peer = head
        .peer_addr
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.ip().to_canonical()
        });
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    for hop in forwarded_hops(head).into_iter().rev() {
        // What cannot be read ends the chain: whatever stands left of it is hearsay.
        let Some(address) = hop else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// The hops of `X-Forwarded-For`, or else of `Forwarded`, from left to right.
fn forwarded_hops(head: &RequestHead) -> Vec<Option<IpAddr>> {
    let list = |name: &str| -> Vec<String> {
        head.headers
            .get_all(name)
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|item| item.trim().to_owned())
            .collect()
    };
    let hops = list("x-forwarded-for");
    if !hops.is_empty() {
        return hops.iter().map(|hop| address_of(hop)).collect();
    }
    list("forwarded")
        .iter()
        .map(|element| forwarded_for(element).and_then(address_of))
        .collect()
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for")
            .then(|| value.trim_matches('"'))
    })
}

/// An address with or without port and brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};

    use super::*;

    fn head(peer: &str, headers: &[(&'static str, &'static str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.method = Method::POST;
        head.peer_addr = Some(SocketAddr::new(peer.parse().unwrap(), 1));
        for (name, value) in headers {
            head.headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        head
    }

    /// What is logged and recorded of a trace is what is passed on.
    #[test]
    fn a_trace_is_told_once_and_whole_or_not_at_all() {
        const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let of = |values: &[&'static str]| {
            let headers: Vec<_> = values.iter().map(|value| (TRACEPARENT, *value)).collect();
            trace_of(&head("1.2.3.4", &headers).headers).map(|trace| trace.header())
        };
        assert_eq!(of(&[ONE]).as_deref(), Some(ONE));
        for broken in [
            &[][..],
            &[ONE, ONE],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
        ] {
            assert_eq!(of(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let rows = [
            ("1.2.3.4", vec![("x-forwarded-for", "9.9.9.9")], "1.2.3.4"),
            (
                "10.0.0.1",
                vec![("x-forwarded-for", "6.6.6.6, 9.9.9.9")],
                "9.9.9.9",
            ),
            (
                "10.0.0.1",
                vec![("x-forwarded-for", "9.9.9.9, 10.0.0.2")],
                "9.9.9.9",
            ),
            (
                "10.0.0.1",
                vec![
                    ("x-forwarded-for", "9.9.9.9"),
                    ("x-forwarded-for", "8.8.8.8"),
                ],
                "8.8.8.8",
            ),
            (
                "10.0.0.1",
                vec![("x-forwarded-for", "9.9.9.9, garbage, 10.0.0.2")],
                "10.0.0.2",
            ),
            (
                "10.0.0.1",
                vec![(
                    "forwarded",
                    "for=6.6.6.6, For=\"[2001:db8::1]:4711\";proto=https",
                )],
                "2001:db8::1",
            ),
            ("10.0.0.1", vec![], "10.0.0.1"),
            (
                "::ffff:10.0.0.1",
                vec![("x-forwarded-for", "9.9.9.9:80")],
                "9.9.9.9",
            ),
        ];
        for (peer, headers, expected) in rows {
            let head = head(peer, &headers);
            assert_eq!(
                client_address(&head, &trusted).to_string(),
                expected,
                "{peer} {headers:?}"
            );
        }
    }

    #[test]
    fn a_request_names_its_content_once() {
        let json = ("content-type", "application/json");
        let of = |headers: &[_], taken: &[_]| content_of(&head("1.2.3.4", headers), taken, &[]);
        assert!(matches!(of(&[json], &[Content::Json]), Ok(Content::Json)));
        for taken in [Content::Json, Content::Any] {
            for other in ["text/plain", "application/json"] {
                let twice = [json, ("content-type", other)];
                assert!(of(&twice, &[taken]).is_err(), "{other}");
            }
        }
        assert!(of(&[], &[Content::Json, Content::Form, Content::Xml]).is_err());
        assert!(matches!(of(&[], &[Content::Any]), Ok(Content::Any)));
    }

    #[test]
    fn a_listed_type_is_json_where_json_is_taken() {
        let types = ["text/plain".to_owned()];
        let head = head("1.2.3.4", &[("content-type", "Text/Plain; charset=UTF-8")]);
        let of = |taken: &[_], types: &[_]| content_of(&head, taken, types);
        assert!(matches!(of(&[Content::Json], &types), Ok(Content::Json)));
        assert!(of(&[Content::Json], &[]).is_err());
        assert!(of(&[Content::Form], &types).is_err());
    }

    #[test]
    fn a_get_is_a_form_and_has_no_body() {
        let of = |name: &'static str, value: &'static str| {
            let mut head = head("1.2.3.4", &[(name, value)]);
            head.method = Method::GET;
            content_of(&head, &[Content::Json], &[])
        };
        assert!(matches!(
            of("content-type", "text/plain"),
            Ok(Content::Form)
        ));
        assert!(matches!(of("content-length", "0"), Ok(Content::Form)));
        assert!(of("content-length", "1").is_err());
        assert!(of("transfer-encoding", "chunked").is_err());
    }
}
