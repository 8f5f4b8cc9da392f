//! From an event to the request that its provider would send.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    clock::Timestamp,
    config::{EventIdSource, Field, JwtVerifier, Route, SignatureVerifier, Verifier, Verify},
    signature::{KeyedScheme, KeyedSecret, Signed, Signing, Validity},
};

use super::{samples::content_type, tamper, tokens};

/// The type of a test event where the route reads it from a header and none is given.
const EVENT_TYPE: &str = "push";
/// More than a bound, lest the clocks' difference make up for it.
const BEYOND_SECS: u64 = 2;

/// Proves the caller to one route.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) route: &'a Route,
    /// For verifiers of which the configuration holds only a digest.
    pub(super) key: Option<&'a str>,
    /// The private key, for schemes and tokens whose public key the configuration holds.
    pub(super) signing_key: Option<&'a [u8]>,
    /// The `kid` of tokens.
    pub(super) key_id: Option<&'a str>,
    pub(super) flaw: Option<Flaw>,
    /// In the place of the route's own secrets.
    pub(super) secret: Option<&'a [u8]>,
    /// In the place of the route's first.
    pub(super) method: Option<&'a str>,
}

impl<'a> Signer<'a> {
    /// As a provider with this key signs.
    pub(super) fn new(route: &'a Route, key: Option<&'a str>) -> Self {
        Self {
            route,
            key,
            signing_key: None,
            key_id: None,
            flaw: None,
            secret: None,
            method: None,
        }
    }
}

/// What is wrong with a request on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// One bit of the proof is another.
    BadSignature,
    /// It is signed just outside the tolerance.
    Stale,
}

/// An event that no provider has signed yet.
pub(super) struct Unsigned<'a> {
    pub(super) id: &'a str,
    pub(super) event_type: Option<&'a str>,
    pub(super) at: Timestamp,
    /// Where it goes.
    pub(super) url: &'a str,
    pub(super) body: &'a [u8],
    /// These replace what would be sent.
    pub(super) headers: HeaderMap,
}

/// What is to be sent.
pub(super) struct Ready {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Ready {
    fn append(&mut self, name: &str, value: &str) {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let mut pair = url::form_urlencoded::Serializer::new(String::new());
        pair.append_pair(name, value);
        self.url = format!("{}{separator}{}", self.url, pair.finish());
    }

    fn query(&self) -> Option<&str> {
        self.url.split_once('?').map(|(_, query)| query)
    }

    fn header_texts(&self) -> Vec<(String, String)> {
        let texts = self.headers.iter();
        texts
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect()
    }
}

impl Signer<'_> {
    /// The whole request. `Err` tells in words what is missing.
    pub(super) fn ready(&self, event: &Unsigned<'_>) -> Result<Ready, String> {
        let mut ready = Ready {
            url: event.url.to_owned(),
            headers: HeaderMap::new(),
            body: event.body.to_vec(),
        };
        if self.method() != "GET" {
            put(&mut ready.headers, "content-type", content_type(self.route))?;
        }
        if let Some(EventIdSource::Fields(fields)) = self.route.event_id.first() {
            for field in fields {
                if let Field::Header(name) = field {
                    put(&mut ready.headers, name, event.id)?;
                }
            }
        }
        if let Some(Field::Header(name)) = self.route.event_type.first() {
            let event_type = event.event_type.unwrap_or(EVENT_TYPE);
            put(&mut ready.headers, name, event_type)?;
        }
        replace(&mut ready.headers, &event.headers);
        if let Verify::All(verifiers) = &self.route.verify {
            // What stands in the query string may be signed with it.
            let (first, last): (Vec<_>, Vec<_>) = verifiers
                .iter()
                .partition(|verifier| matches!(verifier, Verifier::QueryKey { .. }));
            for verifier in first.into_iter().chain(last) {
                self.prove(verifier, event, &mut ready)?;
            }
        }
        replace(&mut ready.headers, &event.headers);
        Ok(ready)
    }

    fn method(&self) -> &str {
        if let Some(method) = self.method {
            return method;
        }
        self.route.methods.first().map_or("POST", String::as_str)
    }

    fn prove(
        &self,
        verifier: &Verifier,
        event: &Unsigned<'_>,
        ready: &mut Ready,
    ) -> Result<(), String> {
        match verifier {
            Verifier::ApiKey { header, .. } => {
                put(&mut ready.headers, header, &self.key("an API key")?)
            }
            Verifier::Bearer { .. } => {
                let value = format!("Bearer {}", self.key("a bearer token")?);
                put(&mut ready.headers, "authorization", &value)
            }
            Verifier::Basic { .. } => {
                let pair = STANDARD.encode(self.key("a USER:PASSWORD")?);
                put(
                    &mut ready.headers,
                    "authorization",
                    &format!("Basic {pair}"),
                )
            }
            Verifier::QueryKey { name, .. } => {
                ready.append(name, &self.key("a key")?);
                Ok(())
            }
            // Shown by the connection itself.
            Verifier::ClientCertificate { .. } => Ok(()),
            Verifier::Jwt(verifier) => self.prove_by_token(verifier, event, ready),
            Verifier::Signature(verifier) => self.sign(verifier, event, ready),
        }
    }

    fn sign(
        &self,
        verifier: &SignatureVerifier,
        event: &Unsigned<'_>,
        ready: &mut Ready,
    ) -> Result<(), String> {
        let (keyed, secret) = self.scheme(verifier, event.at)?;
        let at = match self.flaw {
            Some(Flaw::Stale) => stale(keyed, event.at)?,
            _ => event.at,
        };
        let url = match (&self.route.public_url, ready.query()) {
            (Some(url), Some(query)) => format!("{url}?{query}"),
            (Some(url), None) => url.to_string(),
            (None, _) => ready.url.clone(),
        };
        let signing = Signing {
            headers: &ready.header_texts(),
            method: self.method(),
            url: &url,
            params: &verifier.params,
            ..Signing::new(event.id, at, event.body)
        };
        let mut signed = keyed
            .scheme
            .sign(&secret, &signing)
            .map_err(|fault| format!("the route {}: {fault}", self.route.name))?;
        if self.flaw == Some(Flaw::BadSignature) {
            tamper::with(&keyed.scheme, &mut signed, event.body)?;
        }
        let Signed {
            headers,
            query,
            body,
        } = signed;
        for (name, value) in headers {
            put(&mut ready.headers, &name, &value)?;
        }
        for (name, value) in query {
            ready.append(&name, &value);
        }
        if let Some(body) = body {
            ready.body = body;
        }
        Ok(())
    }

    /// The first scheme that something here signs for, with the first secret that is valid now.
    fn scheme<'v>(
        &self,
        verifier: &'v SignatureVerifier,
        now: Timestamp,
    ) -> Result<(&'v KeyedScheme, KeyedSecret), String> {
        let mut fault = None;
        for keyed in &verifier.schemes {
            if keyed.scheme.method.has_public_key() {
                let Some(key) = self.signing_key else {
                    continue;
                };
                match keyed.scheme.signing_key("--signing-key", key) {
                    Ok(key) => return Ok((keyed, key)),
                    Err(error) => fault = Some(format!("--signing-key: {error}")),
                }
            } else if let Some(text) = self.secret {
                let key = keyed
                    .scheme
                    .keyed_secret("secret", text, Validity::default());
                match key {
                    Ok(key) => return Ok((keyed, key)),
                    Err(error) => fault = Some(format!("the secret that is given: {error}")),
                }
            } else {
                let mut secrets = keyed.secrets.iter();
                if let Some(secret) = secrets.find(|secret| secret.validity.holds(now)) {
                    return Ok((keyed, secret.clone()));
                }
            }
        }
        let needs_key = |keyed: &KeyedScheme| keyed.scheme.method.has_public_key();
        Err(fault.unwrap_or_else(|| {
            let route = &self.route.name;
            match verifier.schemes.iter().any(needs_key) {
                true => format!(
                    "the route {route} is proven by a public key: give the private one with --signing-key FILE"
                ),
                false if verifier.secret_from_handshake => format!(
                    "the secret of the route {route} came with a handshake and is kept in the store: `hookgate secrets \
                     show {route}` prints it, and --provider NAME --secret-env VAR signs with it"
                ),
                false => format!("the route {route} has no secret that is in force now"),
            }
        }))
    }

    fn prove_by_token(
        &self,
        verifier: &JwtVerifier,
        event: &Unsigned<'_>,
        ready: &mut Ready,
    ) -> Result<(), String> {
        let url = match &self.route.public_url {
            Some(url) => url.as_str(),
            None => event.url,
        };
        let token = tokens::make(&tokens::Wanted {
            verifier,
            signing_key: self.signing_key,
            key_id: self.key_id,
            public_url: url,
            body: event.body,
            now: event.at,
            is_stale: self.flaw == Some(Flaw::Stale),
        })?;
        let token = match self.flaw {
            Some(Flaw::BadSignature) => tamper::token(&token),
            _ => token,
        };
        let value = format!("{}{token}", verifier.rule.prefix);
        put(&mut ready.headers, &verifier.rule.header, &value)
    }

    fn key(&self, kind: &str) -> Result<String, String> {
        if self.flaw == Some(Flaw::Stale) {
            return Err(format!(
                "the route {} takes {kind}, which has no time: --stale means nothing there",
                self.route.name
            ));
        }
        let key = self.key.ok_or_else(|| {
            format!(
                "the route {} takes {kind}, of which the configuration holds only the digest; \
                 give it with --key or in HOOKGATE_KEY",
                self.route.name
            )
        })?;
        Ok(match self.flaw {
            Some(Flaw::BadSignature) => tamper::text(key),
            _ => key.to_owned(),
        })
    }
}

/// Just before the oldest time that is taken, or after the latest.
fn stale(keyed: &KeyedScheme, now: Timestamp) -> Result<Timestamp, String> {
    let beyond = |bound: std::time::Duration| bound + std::time::Duration::from_secs(BEYOND_SECS);
    let rule = keyed.scheme.timestamp.as_ref();
    let past = rule.and_then(|rule| rule.past);
    let future = rule.and_then(|rule| rule.future);
    match (past, future) {
        (Some(past), _) => Ok(now.saturating_sub(beyond(past))),
        (None, Some(future)) => Ok(now.saturating_add(beyond(future) * 2)),
        (None, None) => Err(
            "the route's scheme has no time that is checked: --stale means nothing there"
                .to_owned(),
        ),
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let fault = || format!("no header {name} can hold what was given for it");
    let name = HeaderName::try_from(name).map_err(|_| fault())?;
    let value = HeaderValue::try_from(value).map_err(|_| fault())?;
    headers.insert(name, value);
    Ok(())
}

fn replace(headers: &mut HeaderMap, by: &HeaderMap) {
    for name in by.keys() {
        headers.remove(name);
    }
    for (name, value) in by {
        headers.append(name, value.clone());
    }
}
