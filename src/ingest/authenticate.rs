//! Who is calling: every verifier of the route must pass, on the raw bytes.

use std::{borrow::Cow, sync::Arc};

use actix_http::{RequestHead, header::HeaderMap};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    clock::Timestamp,
    config::{
        ApiKey, CLIENT_CERTIFICATE, JwtKeySource, JwtVerifier, Route, SignatureVerifier, Verifier,
        Verify,
    },
    keys::Keys,
    payload::{self, Content},
    signature::{
        self, Headers, KeyedScheme, KeyedSecret, Message, Refusal, Repeated,
        jwt::{self, Circumstances, SharedSecret, Token, TokenFault},
    },
};

use super::{
    PeerCertificate,
    body::Received,
    endpoint::Endpoint,
    limit::Share,
    rejection::{Detail, Reason, Rejection},
    secrets::Slot,
    trail::Read,
};

/// A request whose caller is proven.
pub(super) struct Authentic<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) head: &'a RequestHead,
    pub(super) content: Content,
    pub(super) body: Bytes,
    /// The names of the credentials that matched, joined by `+`; `None` on a route for anyone.
    pub(super) credential: Option<Arc<str>>,
    /// Why it cannot be an event, if it is not a handshake.
    pub(super) unfit: Option<Rejection>,
    /// Held until the answer, since the store holds the bytes until then.
    pub(super) _share: Share,
}

impl<'a> Received<'a> {
    /// 401; 503 when a key cannot be fetched. All verifiers run, whatever the first one says, so that the time does not
    /// tell which failed.
    pub(super) async fn authenticate(
        self,
        keys: Option<&Keys>,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Rejection> {
        let proven = self.prove(|_| true, keys, now).await?;
        for credential in &proven {
            self.endpoint.metrics.credential_used(credential);
        }
        Ok(Authentic {
            endpoint: self.endpoint,
            head: self.head,
            content: self.content,
            body: self.unverified_body,
            credential: joined(proven),
            unfit: self.unfit,
            _share: self.share,
        })
    }

    /// The names of the credentials that matched, of these verifiers. 401, 503.
    pub(super) async fn prove(
        &self,
        by: impl Fn(&Verifier) -> bool,
        keys: Option<&Keys>,
        now: Timestamp,
    ) -> Result<Vec<Arc<str>>, Rejection> {
        let Verify::All(verifiers) = &self.endpoint.route.verify else {
            return Ok(Vec::new());
        };
        let verifiers = verifiers.iter().filter(|verifier| by(verifier));
        let unproven = Unproven::new(self, now);
        match &self.endpoint.asker {
            None => {
                let results: Vec<_> = verifiers.map(|one| unproven.check(one)).collect();
                results.into_iter().collect()
            }
            // Boxed, so that the others' futures are no larger for it.
            Some(asker) => Box::pin(unproven.check_with_fetched_keys(verifiers, asker, keys)).await,
        }
    }
}

impl Authentic<'_> {
    /// 405 or 415 of what was let so far only because it might be a handshake.
    pub(super) fn into_event(self) -> Result<Self, Rejection> {
        match self.unfit {
            Some(rejection) => Err(rejection),
            None => Ok(self),
        }
    }

    /// The secret that a signature rested on.
    pub(super) fn proving_key(&self) -> Option<KeyedSecret> {
        let Verify::All(verifiers) = &self.endpoint.route.verify else {
            return None;
        };
        let kept = self.endpoint.secret.as_deref();
        let proven = self.credential.as_deref()?;
        let is_it = |secret: &&KeyedSecret| {
            *secret.name == *proven || proven.split('+').any(|name| *secret.name == *name)
        };
        verifiers.iter().find_map(|verifier| {
            let Verifier::Signature(verifier) = verifier else {
                return None;
            };
            with_schemes(verifier, kept, |schemes| {
                let mut secrets = schemes.iter().flat_map(|keyed| &keyed.secrets);
                secrets.find(is_it).cloned()
            })
        })
    }
}

/// With the secret that came in a handshake, where the route has it so.
fn with_schemes<T>(
    verifier: &SignatureVerifier,
    kept: Option<&Slot>,
    of: impl FnOnce(&[KeyedScheme]) -> T,
) -> T {
    match kept {
        Some(slot) if verifier.secret_from_handshake => of(&slot.schemes()),
        _ => of(&verifier.schemes),
    }
}

fn joined(mut names: Vec<Arc<str>>) -> Option<Arc<str>> {
    match names.len() {
        0 | 1 => names.pop(),
        _ => Some(names.join("+").into()),
    }
}

/// A request, as the verifiers see it.
pub(super) struct Unproven<'r> {
    route: &'r Route,
    /// The secret from a handshake, where the route has one so.
    kept: Option<&'r Slot>,
    headers: RequestHeaders<'r>,
    certificate: Option<&'r PeerCertificate>,
    method: &'r str,
    query: Option<&'r str>,
    content: Content,
    pub(super) body: &'r [u8],
    pub(super) now: Timestamp,
}

impl<'r> Unproven<'r> {
    fn new(received: &'r Received<'_>, now: Timestamp) -> Self {
        Self {
            route: &received.endpoint.route,
            kept: received.endpoint.secret.as_deref(),
            headers: RequestHeaders(&received.head.headers),
            certificate: received.certificate,
            method: received.head.method.as_str(),
            query: received.head.uri.query(),
            content: received.content,
            body: &received.unverified_body,
            now,
        }
    }

    /// Of a request that was answered, to tell why it was refused.
    pub(super) fn again(
        endpoint: &'r Endpoint,
        headers: &'r HeaderMap,
        certificate: Option<&'r PeerCertificate>,
        method: &'r str,
        query: Option<&'r str>,
        read: &'r Read,
    ) -> Self {
        Self {
            route: &endpoint.route,
            kept: endpoint.secret.as_deref(),
            headers: RequestHeaders(headers),
            certificate,
            method,
            query,
            content: read.content,
            body: &read.bytes,
            now: read.now,
        }
    }

    pub(super) fn with_schemes<T>(
        &self,
        verifier: &SignatureVerifier,
        of: impl FnOnce(&[KeyedScheme]) -> T,
    ) -> T {
        with_schemes(verifier, self.kept, of)
    }

    /// The name of the credential that matched. Nothing is fetched: see [`Verifier::fetches`].
    pub(super) fn check(&self, verifier: &Verifier) -> Result<Arc<str>, Rejection> {
        let headers = &self.headers;
        let name = match verifier {
            Verifier::ApiKey { header, keys } => {
                let value = credential(headers, header)?;
                known(keys, value, self.now)
            }
            Verifier::Bearer { keys } => {
                let token = scheme_value(credential(headers, "authorization")?, b"bearer");
                known(keys, token.ok_or(Reason::MissingCredentials)?, self.now)
            }
            Verifier::Basic { keys } => {
                let encoded = scheme_value(credential(headers, "authorization")?, b"basic");
                let pair = STANDARD.decode(encoded.ok_or(Reason::MissingCredentials)?);
                known(keys, &pair.map_err(|_| Reason::UnknownKey)?, self.now)
            }
            Verifier::Signature(verifier) => return Ok(self.check_signature(verifier, None)?),
            Verifier::Jwt(verifier) => {
                let token = self.token(verifier)?;
                return self.check_token(verifier, &token, None);
            }
            Verifier::QueryKey { name, keys } => {
                let value = parameter(self.query, name)?;
                known(keys, value.as_bytes(), self.now)
            }
            Verifier::ClientCertificate { names } => {
                shown(self.certificate, names, self.now)?;
                return Ok(CLIENT_CERTIFICATE.into());
            }
        };
        Ok(name?.clone())
    }

    /// With the key that was fetched for it, if there is one.
    pub(super) fn check_signature(
        &self,
        verifier: &SignatureVerifier,
        fetched_key: Option<&[u8]>,
    ) -> Result<Arc<str>, Reason> {
        let proven = self.as_message(verifier, fetched_key, |message| {
            self.with_schemes(verifier, |schemes| {
                let proven = signature::verify(schemes, message, self.now)?;
                let secrets = &schemes[proven.scheme].secrets;
                let name = secrets.get(proven.secret).map(|secret| secret.name.clone());
                Ok(name.unwrap_or_else(|| Verifier::CERTIFICATE.into()))
            })
        });
        proven.map_err(reason_of)
    }

    pub(super) fn as_message<T>(
        &self,
        verifier: &SignatureVerifier,
        fetched_key: Option<&[u8]>,
        look: impl FnOnce(&Message<'_>) -> T,
    ) -> T {
        let document = || payload::tree(self.content, self.body);
        look(&Message {
            method: self.method,
            url: &self.route.called(self.query),
            headers: &self.headers,
            body: self.body,
            document: &document,
            params: &verifier.params,
            fetched_key,
        })
    }

    pub(super) fn token(&self, verifier: &JwtVerifier) -> Result<Token<'_>, Rejection> {
        let value = credential(&self.headers, &verifier.rule.header)?;
        verifier.rule.read(value).map_err(token_refused)
    }

    pub(super) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            body: self.body,
            public_url: self.route.public_url.as_ref().map(url::Url::as_str),
            now: self.now,
        }
    }

    /// With the keys that were fetched, if they had to be.
    pub(super) fn check_token(
        &self,
        verifier: &JwtVerifier,
        token: &Token<'_>,
        fetched: Option<&jwt::KeySet>,
    ) -> Result<Arc<str>, Rejection> {
        let verify = |keys| verifier.rule.verify(token, keys, &self.circumstances());
        let proven = match (&verifier.keys, fetched) {
            (JwtKeySource::Secrets(secrets), _) => {
                let shared: Vec<_> = secrets
                    .iter()
                    .map(|one| SharedSecret {
                        bytes: one.secret.expose(),
                        validity: one.validity,
                    })
                    .collect();
                verify(jwt::Keys::Secrets(&shared)).map(|index| secrets[index].name.clone())
            }
            (JwtKeySource::File(keys), _) | (_, Some(keys)) => {
                verify(jwt::Keys::Public(keys)).map(|_| Verifier::JWT.into())
            }
            (JwtKeySource::Url { .. } | JwtKeySource::Plaid { .. }, None) => {
                Err(TokenFault::UnknownKey)
            }
        };
        proven.map_err(token_refused)
    }
}

pub(super) fn token_refused(fault: TokenFault) -> Rejection {
    let reason = match fault {
        TokenFault::Missing => Reason::MissingCredentials,
        TokenFault::Expired | TokenFault::NotYet | TokenFault::TooOld => Reason::StaleTimestamp,
        TokenFault::ExpiredKey => Reason::ExpiredKey,
        _ => Reason::InvalidToken,
    };
    Rejection::with(reason, Detail::Token(fault))
}

fn shown(
    certificate: Option<&PeerCertificate>,
    names: &[String],
    now: Timestamp,
) -> Result<(), Reason> {
    match certificate {
        None => Err(Reason::MissingCredentials),
        Some(certificate) if certificate.proves(names, now) => Ok(()),
        Some(_) => Err(Reason::InvalidClientCertificate),
    }
}

/// A parameter of the query string, decoded, that must stand there once and not be empty.
fn parameter<'q>(query: Option<&'q str>, name: &str) -> Result<Cow<'q, str>, Reason> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut values = pairs
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Reason::RepeatedHeader),
        (Some(value), None) if !value.is_empty() => Ok(value),
        _ => Err(Reason::MissingCredentials),
    }
}

fn credential<'h>(headers: &'h RequestHeaders<'_>, name: &str) -> Result<&'h [u8], Reason> {
    let value = headers
        .unique(name)
        .map_err(|Repeated| Reason::RepeatedHeader)?;
    value
        .filter(|value| !value.is_empty())
        .ok_or(Reason::MissingCredentials)
}

/// What follows `scheme` and one space.
fn scheme_value<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (start, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    start
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim_ascii())
}

/// Compares with every key, in constant time each.
fn known<'k>(keys: &'k [ApiKey], presented: &[u8], now: Timestamp) -> Result<&'k Arc<str>, Reason> {
    let digest: [u8; 32] = Sha256::digest(presented).into();
    let mut found = Err(Reason::UnknownKey);
    for key in keys {
        if bool::from(key.sha256.ct_eq(&digest)) {
            found = match key.validity.holds(now) {
                true => Ok(&key.name),
                false => Err(Reason::ExpiredKey),
            };
        }
    }
    found
}

pub(super) fn reason_of(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::MissingSignature => Reason::MissingSignature,
        Refusal::MalformedSignature => Reason::MalformedSignature,
        Refusal::SignatureMismatch => Reason::SignatureMismatch,
        Refusal::MissingTimestamp => Reason::MissingTimestamp,
        Refusal::StaleTimestamp => Reason::StaleTimestamp,
        Refusal::RepeatedHeader => Reason::RepeatedHeader,
        Refusal::ExpiredKey => Reason::ExpiredKey,
    }
}

/// The server's header map, as the pure signature code sees it.
pub(super) struct RequestHeaders<'a>(pub &'a HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        // To look a name up would first make a `HeaderName` of it, which costs more than to compare them all.
        let mut values = self.0.iter().filter(|(known, _)| known.as_str() == name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(Repeated),
            None => Ok(first.map(|(_, value)| value.as_bytes())),
        }
    }
}
