//! Public keys as JWKs (RFC 7517), and whether one of them signed a token.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{JwtAlgorithm, Token, TokenFault};
use crate::{clock::Timestamp, signature::Validity};

/// Keys of one set. No issuer needs more, and each may have to be tried.
pub const KEYS_MAX: usize = 64;
/// Bits of an RSA key: shorter ones are no proof any more (RFC 7518, 3.3), longer ones only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Public keys, of which at least one is of use.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    validity: Validity,
}

#[derive(Clone)]
struct Key {
    kid: Option<String>,
    algorithm: JwtAlgorithm,
    public: ParsedPublicKey,
}

/// Why there are no keys to be had from a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    #[error("not a JWKS: a JSON object with a list `keys`")]
    NotJwks,
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    #[error("no key that is of use: {0}")]
    NoneOfUse(KeyFault),
}

/// Why a JWK is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("there is none")]
    None,
    #[error(
        "`kty`, `crv` or `alg` is none of RSA, EC with P-256 and OKP with Ed25519 and their algorithms"
    )]
    Kind,
    #[error("a secret (`oct`) has no place among public keys")]
    Secret,
    #[error("`use` or `key_ops` says that it is not for signatures")]
    Use,
    #[error("RSA of fewer than 2048 bits, or more than 8192")]
    RsaBits,
    #[error("its numbers are no key")]
    Numbers,
}

impl KeySet {
    /// From a JWKS. Keys that are of no use are left out, as long as one is of use (RFC 7517, 5).
    pub fn from_jwks(document: &Value) -> Result<Self, KeySetFault> {
        let keys = document.get("keys").and_then(Value::as_array);
        Self::from_jwk_list(keys.ok_or(KeySetFault::NotJwks)?)
    }

    /// From one JWK.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeySetFault> {
        Self::from_jwk_list(std::slice::from_ref(jwk))
    }

    fn from_jwk_list(jwks: &[Value]) -> Result<Self, KeySetFault> {
        if jwks.len() > KEYS_MAX {
            return Err(KeySetFault::TooMany);
        }
        let mut fault = KeyFault::None;
        let mut keys = Vec::new();
        for jwk in jwks {
            match Key::from_jwk(jwk) {
                Ok(found) => keys.extend(found),
                Err(why) => fault = why,
            }
        }
        if keys.is_empty() {
            return Err(KeySetFault::NoneOfUse(fault));
        }
        Ok(Self {
            keys,
            validity: Validity::default(),
        })
    }

    /// The same keys, which prove nothing after this moment.
    pub fn until(self, not_after: Option<Timestamp>) -> Self {
        let validity = Validity {
            not_after,
            ..Validity::default()
        };
        Self { validity, ..self }
    }

    /// Whether a key could have signed the token, by its `kid` and its algorithm.
    pub fn knows(&self, token: &Token<'_>) -> bool {
        self.fitting(token).next().is_some()
    }

    pub(super) fn prove(&self, token: &Token<'_>, now: Timestamp) -> Result<(), TokenFault> {
        if !self.knows(token) {
            return Err(TokenFault::UnknownKey);
        }
        let signed_it = |key: &Key| {
            let verdict = key.public.verify_sig(token.signed, &token.signature);
            verdict.is_ok()
        };
        match self.fitting(token).any(signed_it) {
            true if self.validity.holds(now) => Ok(()),
            true => Err(TokenFault::ExpiredKey),
            false => Err(TokenFault::Signature),
        }
    }

    /// A key or a token without a `kid` fits any.
    fn fitting<'a>(&'a self, token: &'a Token<'_>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| {
            let same = match (&key.kid, token.kid()) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            };
            same && key.algorithm == token.algorithm
        })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids = self.keys.iter().map(|key| (&key.kid, key.algorithm));
        f.debug_list().entries(kids).finish()
    }
}

impl Key {
    /// One a JWK, but two for an RSA key that says nothing of its algorithm: a key is of one algorithm alone.
    fn from_jwk(jwk: &Value) -> Result<Vec<Self>, KeyFault> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") || !may_verify(jwk) {
            return Err(KeyFault::Use);
        }
        let kid = text("kid").map(str::to_owned);
        let named = text("alg");
        let fits = |algorithm: &JwtAlgorithm| named.is_none_or(|name| name == algorithm.name());
        let all: &[JwtAlgorithm] = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => &[JwtAlgorithm::Rs256, JwtAlgorithm::Ps256],
            (Some("EC"), Some("P-256")) => &[JwtAlgorithm::Es256],
            (Some("OKP"), Some("Ed25519")) => &[JwtAlgorithm::EdDsa],
            (Some("oct"), _) => return Err(KeyFault::Secret),
            _ => return Err(KeyFault::Kind),
        };
        let keys: Result<Vec<_>, KeyFault> = all
            .iter()
            .copied()
            .filter(fits)
            .map(|algorithm| {
                Ok(Self {
                    kid: kid.clone(),
                    algorithm,
                    public: public_key(jwk, algorithm)?,
                })
            })
            .collect();
        keys.and_then(|keys| match keys.is_empty() {
            true => Err(KeyFault::Kind),
            false => Ok(keys),
        })
    }
}

fn may_verify(jwk: &Value) -> bool {
    match jwk.get("key_ops") {
        None => true,
        Some(operations) => operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify")),
    }
}

fn public_key(jwk: &Value, algorithm: JwtAlgorithm) -> Result<ParsedPublicKey, KeyFault> {
    let number = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str);
        let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.ok_or(KeyFault::Numbers)
    };
    let parsed = |algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
        ParsedPublicKey::new(algorithm, bytes).map_err(|_| KeyFault::Numbers)
    };
    match algorithm {
        JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256 => {
            let (n, e) = (number("n")?, number("e")?);
            let (n, e) = (without_zeros(&n), without_zeros(&e));
            let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
            if !RSA_BITS.contains(&bits) {
                return Err(KeyFault::RsaBits);
            }
            let parameters = match algorithm {
                JwtAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                _ => &RSA_PKCS1_2048_8192_SHA256,
            };
            let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
            parsed.map_err(|_| KeyFault::Numbers)
        }
        JwtAlgorithm::Es256 => {
            let (x, y) = (number("x")?, number("y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err(KeyFault::Numbers);
            }
            // A point, not compressed (SEC 1, 2.3.3).
            parsed(
                &ECDSA_P256_SHA256_FIXED,
                &[&[4], x.as_slice(), y.as_slice()].concat(),
            )
        }
        JwtAlgorithm::EdDsa => parsed(&ED25519, &number("x")?),
        JwtAlgorithm::Hs256 => Err(KeyFault::Secret),
    }
}

/// Some libraries write a zero before a number whose first bit is set.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
