//! Who may ask: whoever has a token whose role suffices; without any, whoever reaches the loopback address and is not a
//! web page.

use std::{future, net::IpAddr, sync::Arc};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
    web::Data,
};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::{State, problem::Problem};
use crate::config::{AdminToken, Role};

/// How whoever needs no token is called in logs.
const NOBODY: &str = "nobody";

/// The configured tokens, by the SHA-256 of each: equal lengths compare in constant time.
#[derive(Default)]
pub(super) struct Tokens(Vec<Token>);

struct Token {
    name: Arc<str>,
    role: Role,
    sha256: [u8; 32],
}

impl Tokens {
    pub(super) fn new(tokens: &[AdminToken]) -> Self {
        let tokens = tokens.iter().map(|token| Token {
            name: token.name.clone(),
            role: token.role,
            sha256: Sha256::digest(token.secret.expose()).into(),
        });
        Self(tokens.collect())
    }

    /// All are compared, whichever it is.
    fn find(&self, presented: &[u8]) -> Option<&Token> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let mut found = u32::MAX;
        for (index, token) in (0..).zip(&self.0) {
            let is: Choice = token.sha256.ct_eq(&presented);
            found.conditional_assign(&index, is);
        }
        self.0.get(usize::try_from(found).ok()?)
    }
}

/// Proof that the request may read metrics.
pub(super) struct MayScrape;
/// Proof that the request may read what is no secret.
pub(super) struct MayRead;
/// Proof that the request may change something, and read secrets.
pub(super) struct MayChange {
    /// The name of its token, for the log.
    pub(super) by: Arc<str>,
}

impl FromRequest for MayScrape {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(caller(request).map(|_| Self))
    }
}

impl FromRequest for MayRead {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(reader(request).map(|_| Self))
    }
}

impl FromRequest for MayChange {
    type Error = Problem;
    type Future = future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(writer(request))
    }
}

fn writer(request: &HttpRequest) -> Result<MayChange, Problem> {
    let Caller { name: by, role } = reader(request)?;
    not_of_a_page(request)?;
    match role {
        Role::Write => Ok(MayChange { by }),
        Role::Read => {
            let detail =
                format!("The token `{by}` may only read; this asks for one with role = \"write\".");
            Err(Problem::forbidden("role_read", detail))
        }
    }
}

fn reader(request: &HttpRequest) -> Result<Caller, Problem> {
    let caller = caller(request)?;
    named_by_address(request)?;
    Ok(caller)
}

/// Who asks, as far as a token tells.
struct Caller {
    name: Arc<str>,
    role: Role,
}

fn caller(request: &HttpRequest) -> Result<Caller, Problem> {
    let state = state(request)?;
    let tokens = state.tokens();
    if tokens.0.is_empty() && state.is_loopback {
        return Ok(Caller {
            name: NOBODY.into(),
            role: Role::Write,
        });
    }
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(header::HeaderValue::as_bytes);
    let presented = presented.and_then(bearer_token).unwrap_or_default();
    let token = tokens.find(presented).ok_or_else(Problem::unauthorized)?;
    Ok(Caller {
        name: token.name.clone(),
        role: token.role,
    })
}

fn state(request: &HttpRequest) -> Result<&State, Problem> {
    let state = request.app_data::<Data<State>>();
    state
        .map(|state| &***state)
        .ok_or_else(Problem::unauthorized)
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
    if !state(request)?.tokens().0.is_empty() || host.is_some_and(is_local) {
        return Ok(());
    }
    let detail = "Without an admin token this listener is asked by address or as localhost, not by another name.";
    Err(Problem::forbidden("foreign_host", detail))
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
        return Err(Problem::forbidden("foreign_origin", detail));
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
