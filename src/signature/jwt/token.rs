//! A token: its parts, and what it says, unproven until a key says otherwise.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::{JwtAlgorithm, SharedSecret, TokenFault};
use crate::clock::Timestamp;

/// Bytes of a token, as it stands in its header.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a `kid`: it is compared, and asked for at an address, and neither takes more.
const KID_BYTES_MAX: usize = 256;

/// A token whose form and algorithm are checked, and nothing else.
#[derive(Debug)]
pub struct Token<'t> {
    pub(super) algorithm: JwtAlgorithm,
    kid: Option<String>,
    /// What the signature is of.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    claims: Map<String, Value>,
}

/// What is read of a token's header. That nothing stands twice is seen to by its reader.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// No extension is known, so none can be understood (RFC 7515, 4.1.11).
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    /// Of a payload that is not encoded (RFC 7797).
    #[serde(default, deserialize_with = "is_there")]
    b64: bool,
}

/// Whatever it says.
fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl<'t> Token<'t> {
    /// The algorithm first: of a token of another one nothing more is read.
    pub(super) fn read(text: &'t [u8], algorithms: &[JwtAlgorithm]) -> Result<Self, TokenFault> {
        if text.is_empty() {
            return Err(TokenFault::Missing);
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed);
        };
        let header: Header = json(header)?;
        let algorithm = algorithms.iter().find(|known| known.name() == header.alg);
        let algorithm = *algorithm.ok_or(TokenFault::Algorithm)?;
        if header.crit || header.b64 {
            return Err(TokenFault::Critical);
        }
        if header
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > KID_BYTES_MAX)
        {
            return Err(TokenFault::UnknownKey);
        }
        Ok(Self {
            algorithm,
            kid: header.kid,
            claims: json(payload)?,
            signature: decode(signature)?,
            signed: &text[..text.len() - signature.len() - 1],
        })
    }

    /// Which key it says it is signed with; at most 256 bytes.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The index of the secret that signed it. All are tried, in constant time each.
    pub(super) fn proven_by_secret(
        &self,
        secrets: &[SharedSecret<'_>],
        now: Timestamp,
    ) -> Result<usize, TokenFault> {
        if self.algorithm != JwtAlgorithm::Hs256 {
            return Err(TokenFault::Algorithm);
        }
        let mut found = Err(TokenFault::Signature);
        for (index, secret) in secrets.iter().enumerate() {
            // HMAC takes keys of every length.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes) else {
                continue;
            };
            mac.update(self.signed);
            if mac.verify_slice(&self.signature).is_ok() && found.is_err() {
                found = match secret.validity.holds(now) {
                    true => Ok(index),
                    false => Err(TokenFault::ExpiredKey),
                };
            }
        }
        found
    }

    /// A claim that is a string.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// `aud`: a string, or a list of them (RFC 7519, 4.1.3).
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(name)) => name == audience,
            Some(Value::Array(names)) => names.iter().any(|name| name.as_str() == Some(audience)),
            _ => false,
        }
    }

    pub(super) fn says(&self, claim: &str, expected: &str) -> bool {
        match self.claims.get(claim) {
            Some(Value::String(text)) => text == expected,
            Some(Value::Bool(truth)) => expected == if *truth { "true" } else { "false" },
            _ => false,
        }
    }

    /// A claim that is seconds since 1970, with or without a fraction. `Err` when it is there and no such number.
    pub(super) fn time(&self, claim: &str) -> Result<Option<Timestamp>, TokenFault> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_f64().ok_or(TokenFault::Time)?;
        if !(0.0..SECONDS_MAX).contains(&seconds) {
            return Err(TokenFault::Time);
        }
        Ok(Some(Timestamp::from_millis((seconds * 1000.0) as i64)))
    }
}

/// The year 9999: beyond it is no time but a mistake, such as milliseconds.
const SECONDS_MAX: f64 = 253_402_300_800.0;

/// Base64url without padding, of the one form that each value has (RFC 7515, 2).
fn decode(part: &[u8]) -> Result<Vec<u8>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    bytes.map_err(|_| TokenFault::Malformed)
}

fn json<T: for<'a> Deserialize<'a>>(part: &[u8]) -> Result<T, TokenFault> {
    serde_json::from_slice(&decode(part)?).map_err(|_| TokenFault::Malformed)
}
