//! Who may ask: whoever has the token; without one, whoever reaches the loopback address and is not a web page.

use std::{future, net::IpAddr};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
    web::Data,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{State, problem::Problem};
use crate::config::Secret;

/// SHA-256 of the admin token: equal lengths compare in constant time.
#[derive(Clone, Copy)]
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    fn is(&self, presented: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&digest).into()
    }
}

/// Proof that the request may read metrics.
pub(super) struct MayScrape;
/// Proof that the request may read events.
pub(super) struct MayRead;
/// Proof that the request may change something.
pub(super) struct MayChange;

impl FromRequest for MayScrape {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(has_token(request).map(|()| Self))
    }
}

impl FromRequest for MayRead {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(may_read(request).map(|()| Self))
    }
}

impl FromRequest for MayChange {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let may = may_read(request).and_then(|()| not_of_a_page(request));
        future::ready(may.map(|()| Self))
    }
}

fn may_read(request: &HttpRequest) -> Result<(), Problem> {
    has_token(request)?;
    named_by_address(request)
}

fn has_token(request: &HttpRequest) -> Result<(), Problem> {
    let Some(token) = token(request) else {
        return Ok(());
    };
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(header::HeaderValue::as_bytes);
    let presented = presented.and_then(bearer_token).unwrap_or_default();
    match token.is(presented) {
        true => Ok(()),
        false => Err(Problem::unauthorized()),
    }
}

fn token(request: &HttpRequest) -> Option<Token> {
    request.app_data::<Data<State>>()?.token
}

/// The scheme's name counts in any case (RFC 9110).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Without a token: a name that somebody else's server can be made to stand for (DNS rebinding) is refused.
fn named_by_address(request: &HttpRequest) -> Result<(), Problem> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if token(request).is_some() || host.is_some_and(is_local) {
        return Ok(());
    }
    let detail = "Without an admin token this listener is asked by address or as localhost, not by another name.";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail))
}

/// An address or `localhost`, with or without a port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

/// Browsers say where a page's request comes from, and send JSON only where they are allowed to.
fn not_of_a_page(request: &HttpRequest) -> Result<(), Problem> {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        let detail = "Requests of web pages (with an Origin header) change nothing here.";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            detail,
        ));
    }
    let is_json = |value: &header::HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    if headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| !is_json(value))
    {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "Only application/json is taken.";
        return Err(Problem::new(status, "unsupported_content_type", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_local() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "[::1]",
            "[::1]:9090",
            "LocalHost:9090",
            "10.1.2.3",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
