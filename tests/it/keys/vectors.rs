//! The tokens of the providers that send them, with their verdicts.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookgate::{
    clock::Timestamp,
    signature::{
        Validity,
        jwt::{Audience, Circumstances, JwtAlgorithm, JwtRule, KeySet, Keys, SharedSecret},
    },
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Vector {
    pub(super) id: String,
    provider: String,
    pub(super) secret: String,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    body_b64: String,
    /// `None`: the verdict does not depend on the time.
    pub(super) now_unix: Option<i64>,
    pub(super) valid: bool,
    #[serde(default)]
    pub(super) extra: Value,
}

impl Vector {
    pub(super) fn of(provider: &str) -> Vec<Self> {
        let all: Vec<Self> = serde_json::from_str(include_str!("../../vectors/keys.json")).unwrap();
        let found: Vec<_> = all
            .into_iter()
            .filter(|vector| vector.provider == provider)
            .collect();
        assert!(!found.is_empty(), "no vector of {provider}");
        found
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

/// A rule that checks nothing beyond the signature.
fn bare(header: &'static str, algorithm: JwtAlgorithm) -> JwtRule {
    JwtRule {
        header: header.into(),
        prefix: "".into(),
        algorithms: vec![algorithm].into(),
        issuers: Cow::Borrowed(&[]),
        audience: Audience::Anyone,
        expires: false,
        max_age: None,
        leeway: Duration::ZERO,
        body_sha256: None,
        claims: Cow::Borrowed(&[]),
    }
}

fn rule(provider: &str) -> JwtRule {
    match provider {
        "netlify" => JwtRule {
            issuers: vec![Cow::Borrowed("netlify")].into(),
            body_sha256: Some("sha256".into()),
            ..bare("x-webhook-signature", JwtAlgorithm::Hs256)
        },
        "monday" => JwtRule {
            audience: Audience::PublicUrl,
            expires: true,
            ..bare("authorization", JwtAlgorithm::Hs256)
        },
        "google-pubsub" => JwtRule {
            prefix: "Bearer ".into(),
            issuers: vec![Cow::Borrowed("https://accounts.google.com")].into(),
            audience: Audience::PublicUrl,
            expires: true,
            claims: vec![(Cow::Borrowed("email_verified"), Cow::Borrowed("true"))].into(),
            ..bare("authorization", JwtAlgorithm::Rs256)
        },
        "plaid" => JwtRule {
            max_age: Some(Duration::from_secs(300)),
            body_sha256: Some("request_body_sha256".into()),
            ..bare("plaid-verification", JwtAlgorithm::Es256)
        },
        other => panic!("{other} sends no tokens"),
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
