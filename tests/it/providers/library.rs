//! Every vector through the library.

use hookgate::{
    clock::Timestamp,
    providers::Proof,
    signature::{
        KeySource, KeyedScheme, Message, Scheme, Validity,
        jwt::{Circumstances, JwtRule, KeySet, Keys, SharedSecret},
        key_of_certificate, schemes_of, verify,
    },
};

use super::*;

/// Each way of proving, so that a vector is never judged by nothing.
enum Verdict {
    Signature(bool),
    Token(bool),
    /// The preset leaves it to the operator: here a key in a header.
    Agreed(bool),
}

impl Vector {
    fn judge(&self, now: Timestamp) -> Verdict {
        match &self.preset().proof {
            Proof::Signature(schemes) => Verdict::Signature(self.is_signed(schemes, now)),
            Proof::Jwt(rule, _) => Verdict::Token(self.has_token(rule, now)),
            Proof::Agreed => Verdict::Agreed(self.header("x-api-key") == Some(&*self.secrets()[0])),
        }
    }

    fn is_signed(&self, schemes: &[Scheme], now: Timestamp) -> bool {
        let mut keyed: Vec<_> = schemes
            .iter()
            .map(|scheme| KeyedScheme {
                scheme: scheme.clone(),
                secrets: Vec::new(),
            })
            .collect();
        let fetched = matches!(schemes[0].key, KeySource::Certificate { .. });
        let key = fetched.then(|| key_of_certificate(self.secrets()[0].as_bytes(), now).unwrap());
        if !fetched {
            self.key(&mut keyed, schemes);
        }
        let params: Vec<_> = self.extra["webhook_id"]
            .as_str()
            .map(|id| ("webhook_id".to_owned(), id.to_owned()))
            .into_iter()
            .collect();
        let body = self.body();
        let message = Message {
            method: &self.method,
            url: self.url.as_deref().unwrap_or_default(),
            document: &|| self.document(),
            params: &params,
            fetched_key: key.as_deref(),
            ..Message::new(self, &body)
        };
        verify(&keyed, &message, now).is_ok()
    }

    /// A scheme that no secret belongs to does not judge.
    fn key(&self, keyed: &mut Vec<KeyedScheme>, schemes: &[Scheme]) {
        for secret in self.secrets() {
            for owner in schemes_of(schemes, secret.as_bytes()) {
                let keyed = &mut keyed[owner];
                let secret =
                    keyed
                        .scheme
                        .keyed_secret("TEST", secret.as_bytes(), Validity::default());
                keyed.secrets.push(secret.unwrap());
            }
        }
        keyed.retain(|keyed| !keyed.secrets.is_empty());
    }

    fn has_token(&self, rule: &JwtRule, now: Timestamp) -> bool {
        let secret = [SharedSecret {
            bytes: self.secrets()[0].as_bytes(),
            validity: Validity::default(),
        }];
        let public = match (self.extra.get("jwks"), self.extra.get("jwk")) {
            (Some(set), _) => Some(KeySet::from_jwks(set).unwrap()),
            (_, Some(key)) => Some(KeySet::from_jwk(key).unwrap()),
            (None, None) => None,
        };
        let keys = public.as_ref().map_or(Keys::Secrets(&secret), Keys::Public);
        let body = self.body();
        let circumstances = Circumstances {
            body: &body,
            public_url: self.url.as_deref(),
            now,
        };
        let value = self.header(&rule.header).unwrap_or_default();
        rule.read(value.as_bytes())
            .and_then(|token| rule.verify(&token, keys, &circumstances))
            .is_ok()
    }
}

#[test]
fn every_vector_gets_its_verdict() {
    let mut judged = [0; 3];
    for vector in Vector::all() {
        // A certificate must be in force.
        let times = match vector.now_unix {
            Some(now) => vec![now],
            None => vec![1_600_000_000, 1_700_000_000, 2_000_000_000],
        };
        for now in &times {
            let (way, accepted) = match vector.judge(Timestamp::from_secs(*now)) {
                Verdict::Signature(accepted) => (0, accepted),
                Verdict::Token(accepted) => (1, accepted),
                Verdict::Agreed(accepted) => (2, accepted),
            };
            assert_eq!(accepted, vector.valid, "{} at {now}", vector.id);
            judged[way] += usize::from(*now == times[0]);
        }
    }
    assert_eq!(judged, [97, 8, 2]);
}
