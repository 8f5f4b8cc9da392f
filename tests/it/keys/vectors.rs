//! The tokens of the providers that send them, with their verdicts.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookgate::{
    clock::Timestamp,
    providers::{Proof, preset},
    signature::{
        Validity,
        jwt::{Circumstances, JwtRule, KeySet, Keys, SharedSecret},
    },
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Vector {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) secret: String,
    pub(super) url: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    body_b64: String,
    /// `None`: the verdict does not depend on the time.
    pub(super) now_unix: Option<i64>,
    pub(super) valid: bool,
    #[serde(default)]
    pub(super) extra: Value,
}

impl Vector {
    pub(super) fn of(provider: &str) -> Vec<Self> {
        let text = include_str!("../../vectors/vectors.json");
        let all: Vec<Value> = serde_json::from_str(text).unwrap();
        let found: Vec<Self> = all
            .into_iter()
            .filter(|vector| vector["provider"] == provider)
            .map(|vector| serde_json::from_value(vector).unwrap())
            .collect();
        assert!(!found.is_empty(), "no vector of {provider}");
        found
    }

    /// Another body under the same headers.
    pub(super) fn with_body(&self, body: &str) -> Self {
        Self {
            body_b64: STANDARD.encode(body),
            headers: self.headers.clone(),
            id: self.id.clone(),
            provider: self.provider.clone(),
            secret: self.secret.clone(),
            url: self.url.clone(),
            extra: self.extra.clone(),
            ..*self
        }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body_b64).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap().1
    }
}

fn rule(provider: &str) -> &'static JwtRule {
    match &preset(provider).unwrap().proof {
        Proof::Jwt(rule, _) => rule,
        other => panic!("{provider} sends no tokens: {other:?}"),
    }
}

#[test]
fn every_token_gets_its_verdict() {
    for provider in ["netlify", "monday", "google-pubsub", "plaid"] {
        let rule = rule(provider);
        for vector in Vector::of(provider) {
            let secrets = [SharedSecret {
                bytes: vector.secret.as_bytes(),
                validity: Validity::default(),
            }];
            let set = ["jwks", "jwk"].iter().find_map(|name| {
                let document = vector.extra.get(name)?;
                match *name {
                    "jwks" => KeySet::from_jwks(document).ok(),
                    _ => KeySet::from_jwk(document).ok(),
                }
            });
            let keys = set.as_ref().map_or(Keys::Secrets(&secrets), Keys::Public);
            let body = vector.body();
            let circumstances = Circumstances {
                body: &body,
                public_url: vector.url.as_deref(),
                now: Timestamp::from_secs(vector.now_unix.unwrap_or(0)),
            };
            let verdict = rule
                .read(vector.header(&rule.header).as_bytes())
                .and_then(|token| rule.verify(&token, keys, &circumstances));
            assert_eq!(verdict.is_ok(), vector.valid, "{}: {verdict:?}", vector.id);
        }
    }
}
