//! A captured request and the signatures that it is judged by, to be tried in other ways than the route's.

use std::sync::Arc;

use super::capture::Capture;
use crate::{
    clock::Timestamp,
    config::{SecretText, SignatureVerifier},
    payload::{self, Content},
    signature::{
        self, Explanation, Headers, KeyedScheme, Message, Repeated, Scheme, SecretForm, Validity,
    },
};

pub(super) struct Subject<'a> {
    pub(super) capture: &'a Capture,
    /// What is signed as the body: of a GET its query.
    pub(super) body: &'a [u8],
    pub(super) content: Content,
    /// As the configuration knows it, with the query string; empty when it does not.
    pub(super) url: &'a str,
    pub(super) verifier: &'a SignatureVerifier,
    /// What the verifier's secrets were made of.
    pub(super) secrets: &'a [SecretText],
    pub(super) now: Timestamp,
}

impl Headers for Capture {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let named = |(known, _): &&(String, Vec<u8>)| known == name;
        let values = self.headers.iter().filter(named);
        let mut values = values.map(|(_, value)| value.as_slice());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (value, None) => Ok(value),
        }
    }
}

impl Subject<'_> {
    pub(super) fn explain(&self) -> Explanation {
        self.with_message(self.body, self.url, |message| {
            signature::explain(&self.verifier.schemes, message, self.now)
        })
    }

    /// The name of the secret of `schemes` that proves the request with this body and address.
    pub(super) fn proven(
        &self,
        schemes: &[KeyedScheme],
        body: &[u8],
        url: &str,
    ) -> Option<Arc<str>> {
        let verdict = self.with_message(body, url, |message| {
            signature::verify(schemes, message, self.now)
        });
        let proven = verdict.ok()?;
        let secret = schemes[proven.scheme].secrets.get(proven.secret)?;
        Some(secret.name.clone())
    }

    fn with_message<T>(&self, body: &[u8], url: &str, then: impl FnOnce(&Message<'_>) -> T) -> T {
        let document = || payload::tree(self.content, body);
        then(&Message {
            method: &self.capture.method,
            url,
            headers: self.capture,
            body,
            document: &document,
            params: &self.verifier.params,
            fetched_key: None,
        })
    }

    /// The route's schemes with all of its secrets, whatever the time.
    pub(super) fn at_any_time(&self) -> Vec<KeyedScheme> {
        let mut schemes = self.verifier.schemes.clone();
        for keyed in &mut schemes {
            keyed.scheme = untimed(keyed.scheme.clone());
            for secret in &mut keyed.secrets {
                secret.validity = Validity::default();
            }
        }
        schemes
    }

    /// The route's schemes, each varied, with all of its secrets as they are.
    pub(super) fn varied(&self, vary: impl Fn(Scheme) -> Scheme) -> Vec<KeyedScheme> {
        let schemes: Vec<_> = self
            .verifier
            .schemes
            .iter()
            .map(|keyed| vary(keyed.scheme.clone()))
            .collect();
        self.keyed(&schemes)
    }

    /// `schemes` with the route's secrets, each for those that it belongs to.
    pub(super) fn keyed(&self, schemes: &[Scheme]) -> Vec<KeyedScheme> {
        let mut keyed: Vec<_> = schemes
            .iter()
            .map(|scheme| KeyedScheme {
                scheme: untimed(scheme.clone()),
                secrets: Vec::new(),
            })
            .collect();
        for secret in self.secrets {
            let text = secret.text.expose();
            for owner in signature::schemes_of(schemes, text) {
                if let Some(keyed) = keyed.get_mut(owner) {
                    let key = keyed
                        .scheme
                        .keyed_secret(&secret.name, text, Validity::default());
                    keyed.secrets.extend(key.ok());
                }
            }
        }
        keyed
    }

    /// The route's schemes with `key`, as it stands, as their only secret.
    pub(super) fn with_key(&self, name: &str, key: &[u8]) -> Vec<KeyedScheme> {
        let schemes = self.verifier.schemes.iter().filter_map(|keyed| {
            let scheme = Scheme {
                secret_form: SecretForm::Text,
                ..untimed(keyed.scheme.clone())
            };
            let key = scheme.keyed_secret(name, key, Validity::default()).ok()?;
            Some(KeyedScheme {
                scheme,
                secrets: vec![key],
            })
        });
        schemes.collect()
    }
}

/// Without a tolerance.
fn untimed(mut scheme: Scheme) -> Scheme {
    if let Some(rule) = &mut scheme.timestamp {
        rule.past = None;
        rule.future = None;
    }
    scheme
}
