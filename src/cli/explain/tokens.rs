//! JSON Web Tokens, step by step.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::ingest::steps::Step;

use super::{addresses, bodies, capture::Capture, causes::Cause, secrets::key_variants};
use crate::{
    clock::Timestamp,
    config::{JwtKeySource, JwtVerifier, SecretText},
    signature::{
        Headers as _, Validity,
        jwt::{Circumstances, Keys, SharedSecret, TokenFault},
    },
};

/// What the gateway itself says.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    Proven,
    Refused(TokenFault),
    /// The key cannot be fetched.
    WithoutKey,
}

pub(super) struct TokenSubject<'a> {
    pub(super) capture: &'a Capture,
    pub(super) body: &'a [u8],
    /// As the configuration knows it, without the query string.
    pub(super) public_url: Option<&'a str>,
    pub(super) verifier: &'a JwtVerifier,
    pub(super) secrets: &'a [SecretText],
    pub(super) now: Timestamp,
}

impl TokenSubject<'_> {
    pub(super) fn steps(&self, verdict: Verdict) -> Vec<Step> {
        let rule = &self.verifier.rule;
        let name = &*rule.header;
        let value = match self.capture.unique(name) {
            Ok(Some(value)) => value,
            Ok(None) => return vec![Step::new("token", false, format!("no header {name}"))],
            Err(_) => return vec![Step::new("token", false, format!("several headers {name}"))],
        };
        let mut steps = vec![Step::new(
            "token",
            true,
            format!("found in the header {name}"),
        )];
        let algorithms: Vec<_> = rule.algorithms.iter().map(|known| known.name()).collect();
        let taken = format!("a JWS by {}", algorithms.join(" or "));
        let token = match rule.read(value) {
            Ok(token) => token,
            Err(fault) => {
                steps.push(Step::new("form", false, format!("{taken}: {fault}")));
                return steps;
            }
        };
        steps.push(Step::new("form", true, taken));
        let claims = rule.judge(&token, &self.circumstances(self.body, self.public_url));
        let told = claims.map_or_else(
            |fault| fault.to_string(),
            |()| "issuer, audience, times and whatever else the route wants".to_owned(),
        );
        steps.push(Step::new("claims", claims.is_ok(), told));
        // The signature is told first, so with a fault of the claims it was right.
        steps.push(match verdict {
            Verdict::WithoutKey => Step::new("signature", None, "the key cannot be fetched"),
            Verdict::Refused(fault) if claims.err() != Some(fault) => {
                Step::new("signature", false, fault.to_string())
            }
            _ => Step::new("signature", true, "a key matches"),
        });
        steps
    }

    fn circumstances<'c>(&self, body: &'c [u8], public_url: Option<&'c str>) -> Circumstances<'c> {
        Circumstances {
            body,
            public_url,
            now: self.now,
        }
    }

    pub(super) fn causes(&self, verdict: Verdict) -> Vec<Cause> {
        let fault = match verdict {
            Verdict::Proven => return Vec::new(),
            Verdict::WithoutKey => return vec![Cause::key_unavailable()],
            Verdict::Refused(fault) => fault,
        };
        let found = match fault {
            TokenFault::Signature => self
                .other_secret_form()
                .or_else(|| self.is_shared().then(Cause::wrong_secret)),
            TokenFault::Audience => self.other_address(),
            TokenFault::Body => self.other_body(),
            TokenFault::Expired | TokenFault::NotYet | TokenFault::TooOld => {
                Some(self.other_time(fault))
            }
            TokenFault::ExpiredKey => Some(Cause::new("expired_secret", fault.to_string())),
            _ => None,
        };
        let unknown = || Cause::new("token", format!("the token is not taken: {fault}"));
        vec![found.unwrap_or_else(unknown)]
    }

    fn value(&self) -> &[u8] {
        let value = self.capture.unique(&self.verifier.rule.header);
        value.ok().flatten().unwrap_or_default()
    }

    fn is_shared(&self) -> bool {
        matches!(self.verifier.keys, JwtKeySource::Secrets(_))
    }

    fn other_secret_form(&self) -> Option<Cause> {
        if !self.is_shared() {
            return None;
        }
        let token = self.verifier.rule.read(self.value()).ok()?;
        let circumstances = self.circumstances(self.body, self.public_url);
        let proves = |key: &[u8]| {
            let secrets = [SharedSecret {
                bytes: key,
                validity: Validity::default(),
            }];
            let verdict =
                self.verifier
                    .rule
                    .verify(&token, Keys::Secrets(&secrets), &circumstances);
            !matches!(verdict, Err(TokenFault::Signature))
        };
        self.secrets.iter().find_map(|secret| {
            let mut variants = key_variants(secret).into_iter();
            let variant = variants.find(|variant| proves(&variant.key))?;
            Some(variant.cause(&secret.name))
        })
    }

    fn other_address(&self) -> Option<Cause> {
        let token = self.verifier.rule.read(self.value()).ok()?;
        let own = self.public_url.unwrap_or_default();
        let mut urls = addresses::variants(own, self.capture).into_iter();
        let url = urls.find(|url| {
            let circumstances = self.circumstances(self.body, Some(url));
            self.verifier.rule.judge(&token, &circumstances) != Err(TokenFault::Audience)
        })?;
        let told = format!(
            "the token is for {}, the configuration says {own}: set the route's `public_url` to what the sender calls",
            addresses::shown(&url)
        );
        Some(Cause::new("other_address", told))
    }

    fn other_body(&self) -> Option<Cause> {
        let token = self.verifier.rule.read(self.value()).ok()?;
        let mut bodies = bodies::variants(self.body).into_iter();
        let body = bodies.find(|variant| {
            let circumstances = self.circumstances(&variant.body, self.public_url);
            self.verifier.rule.judge(&token, &circumstances) != Err(TokenFault::Body)
        })?;
        let told = format!(
            "the token is of the body {}: something between the sender and here has changed the bytes",
            body.told
        );
        Some(Cause::new("body_changed", told))
    }

    /// The times are read from the token as it stands; they are no secret.
    fn other_time(&self, fault: TokenFault) -> Cause {
        let payload = self.value().split(|byte| *byte == b'.').nth(1);
        let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        let claims: Value = payload
            .and_then(|payload| serde_json::from_slice(&payload).ok())
            .unwrap_or_default();
        let times: Vec<_> = ["iat", "nbf", "exp"]
            .into_iter()
            .filter_map(|claim| {
                let at = Timestamp::from_secs(claims.get(claim)?.as_i64()?);
                Some(match at <= self.now {
                    true => format!("{claim} {} s before", self.now.since(at).as_secs()),
                    false => format!("{claim} {} s after", at.since(self.now).as_secs()),
                })
            })
            .collect();
        let told = format!(
            "the token is not taken: {fault} (it was received with {}): a clock is off, or it is an old one",
            times.join(", ")
        );
        Cause::new("clock_off", told)
    }
}
