//! From an event to the headers that its provider would send with it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    clock::Timestamp,
    config::{EventIdSource, Field, Route, Verifier, Verify},
    signature::Signing,
};

/// The type of a test event where the route reads it from a header and none is given.
const EVENT_TYPE: &str = "push";

/// Proves the caller to one route.
pub(super) struct Signer<'a> {
    pub(super) route: &'a Route,
    /// For verifiers of which the configuration holds only a digest.
    pub(super) key: Option<&'a str>,
}

/// An event that no provider has signed yet.
pub(super) struct Unsigned<'a> {
    pub(super) id: &'a str,
    pub(super) event_type: Option<&'a str>,
    pub(super) at: Timestamp,
    pub(super) body: &'a [u8],
    /// These replace what would be sent.
    pub(super) headers: HeaderMap,
}

impl Signer<'_> {
    /// The headers of the whole request. `Err` tells in words what is missing.
    pub(super) fn headers(&self, event: Unsigned<'_>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        put(&mut headers, "content-type", "application/json")?;
        if let Some(EventIdSource::Fields(fields)) = self.route.event_id.first()
            && let [Field::Header(name)] = fields.as_slice()
        {
            put(&mut headers, name, event.id)?;
        }
        if let Some(Field::Header(name)) = self.route.event_type.first() {
            put(&mut headers, name, event.event_type.unwrap_or(EVENT_TYPE))?;
        }
        replace(&mut headers, &event.headers);
        // Signed last: what a scheme signs may be a header that was given.
        for (name, value) in self.proof(&event, &headers)? {
            put(&mut headers, &name, &value)?;
        }
        replace(&mut headers, &event.headers);
        Ok(headers)
    }

    fn proof(
        &self,
        event: &Unsigned<'_>,
        headers: &HeaderMap,
    ) -> Result<Vec<(String, String)>, String> {
        let Verify::All(verifiers) = &self.route.verify else {
            return Ok(Vec::new());
        };
        let given: Vec<_> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut proof = Vec::new();
        for verifier in verifiers {
            match verifier {
                Verifier::ApiKey { header, .. } => {
                    proof.push((header.clone(), self.key("an API key")?.to_owned()));
                }
                Verifier::Bearer { .. } => {
                    let value = format!("Bearer {}", self.key("a bearer token")?);
                    proof.push(("authorization".to_owned(), value));
                }
                Verifier::Basic { .. } => {
                    let pair = STANDARD.encode(self.key("a USER:PASSWORD")?);
                    proof.push(("authorization".to_owned(), format!("Basic {pair}")));
                }
                Verifier::QueryKey { .. }
                | Verifier::Jwt(_)
                | Verifier::ClientCertificate { .. } => {
                    return Err("the route is proven by what cannot be signed here".to_owned());
                }
                Verifier::Signature(verifier) => {
                    let keyed = verifier.schemes.first().ok_or("the route has no scheme")?;
                    let secret = keyed.secrets.first().ok_or("the route has no secret")?;
                    let signing = Signing {
                        headers: &given,
                        params: &verifier.params,
                        ..Signing::new(event.id, event.at, event.body)
                    };
                    let signed = keyed.scheme.sign(secret, &signing);
                    let signed = signed.map_err(|fault| fault.to_string())?;
                    if signed.body.is_some() || !signed.query.is_empty() {
                        return Err("the signature stands in the body or the address".to_owned());
                    }
                    proof.extend(signed.headers);
                }
            }
        }
        Ok(proof)
    }

    fn key(&self, kind: &str) -> Result<&str, String> {
        self.key.ok_or_else(|| {
            format!(
                "the route {} takes {kind}, of which the configuration holds only the digest; \
                 give it with --key or in HOOKGATE_KEY",
                self.route.name
            )
        })
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
