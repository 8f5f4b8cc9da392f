//! Who is calling: every verifier of the route must pass, on the raw bytes.

use std::borrow::Cow;

use actix_http::{RequestHead, header::HeaderMap};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    clock::Timestamp,
    config::{ApiKey, CLIENT_CERTIFICATE, Verifier, Verify},
    payload::Content,
    signature::{self, Headers, Message, Refusal, Repeated},
};

use super::{
    PeerCertificate,
    body::Received,
    endpoint::Endpoint,
    limit::Share,
    rejection::{Reason, Rejection},
};

/// A request whose caller is proven.
pub(super) struct Authentic<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) head: &'a RequestHead,
    pub(super) content: Content,
    pub(super) body: Bytes,
    /// Held until the answer, since the store holds the bytes until then.
    pub(super) _share: Share,
}

impl<'a> Received<'a> {
    /// 401. All verifiers run, whatever the first one says, so that the time does not tell which failed.
    pub(super) fn authenticate(self, now: Timestamp) -> Result<Authentic<'a>, Rejection> {
        if let Verify::All(verifiers) = &self.endpoint.route.verify {
            let headers = RequestHeaders(&self.head.headers);
            let results: Vec<_> = verifiers
                .iter()
                .map(|verifier| match verifier {
                    Verifier::ClientCertificate { names } => shown(self.certificate, names, now),
                    Verifier::QueryKey { name, keys } => {
                        let value = parameter(self.head.uri.query(), name)?;
                        known(keys, value.as_bytes(), now)
                    }
                    verifier => check(verifier, &headers, &self.unverified_body, now),
                })
                .collect();
            let credentials = results.into_iter().collect::<Result<Vec<_>, _>>()?;
            for credential in credentials {
                self.endpoint.metrics.credential_used(credential);
            }
        }
        Ok(Authentic {
            endpoint: self.endpoint,
            head: self.head,
            content: self.content,
            body: self.unverified_body,
            _share: self.share,
        })
    }
}

/// The name of the credential that matched.
fn check<'v>(
    verifier: &'v Verifier,
    headers: &RequestHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<&'v str, Reason> {
    match verifier {
        Verifier::ApiKey { header, keys } => {
            let value = credential(headers, header)?;
            known(keys, value, now)
        }
        Verifier::Bearer { keys } => {
            let token = scheme_value(credential(headers, "authorization")?, b"bearer");
            known(keys, token.ok_or(Reason::MissingCredentials)?, now)
        }
        Verifier::Basic { keys } => {
            let encoded = scheme_value(credential(headers, "authorization")?, b"basic");
            let pair = STANDARD.decode(encoded.ok_or(Reason::MissingCredentials)?);
            known(keys, &pair.map_err(|_| Reason::UnknownKey)?, now)
        }
        Verifier::Signature(verifier) => {
            let message = Message {
                method: "POST",
                url: "",
                headers,
                body,
                document: &|| None,
                params: &verifier.params,
                fetched_key: None,
            };
            signature::verify(&verifier.schemes, &message, now)
                .map(|proven| &*verifier.schemes[proven.scheme].secrets[proven.secret].name)
                .map_err(reason_of)
        }
        Verifier::QueryKey { .. } | Verifier::Jwt(_) | Verifier::ClientCertificate { .. } => {
            Err(Reason::MissingCredentials)
        }
    }
}

fn shown(
    certificate: Option<&PeerCertificate>,
    names: &[String],
    now: Timestamp,
) -> Result<&'static str, Reason> {
    match certificate {
        None => Err(Reason::MissingCredentials),
        Some(certificate) if certificate.proves(names, now) => Ok(CLIENT_CERTIFICATE),
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
fn known<'k>(keys: &'k [ApiKey], presented: &[u8], now: Timestamp) -> Result<&'k str, Reason> {
    let digest: [u8; 32] = Sha256::digest(presented).into();
    let mut found = Err(Reason::UnknownKey);
    for key in keys {
        if bool::from(key.sha256.ct_eq(&digest)) {
            found = match key.validity.holds(now) {
                true => Ok(&*key.name),
                false => Err(Reason::ExpiredKey),
            };
        }
    }
    found
}

fn reason_of(refusal: Refusal) -> Reason {
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
