//! A signature as it was sent, decoded.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Encoding, Method, Scheme,
    key::Key,
    mac::{DIGEST_BYTES_MAX, Digest, sha256},
};

/// Bytes of the longest signature, RSA's with a key of 8,192 bits.
const SIGNATURE_BYTES_MAX: usize = 1_024;
const ED25519_BYTES: usize = 64;

pub(super) struct Claim {
    /// The secret that it belongs to; `None`: any may prove it.
    owner: Option<usize>,
    value: Value,
}

enum Value {
    /// To be compared. Of [`Method::Equal`] the SHA-256 of what was sent, so that not even the length is told.
    Digest(Digest),
    /// For a public key.
    Signature(Vec<u8>),
}

impl Claim {
    /// `None` unless `text` is a whole signature of the scheme's method.
    pub(super) fn decode(scheme: &Scheme, owner: Option<usize>, text: &[u8]) -> Option<Self> {
        let value = match scheme.method {
            Method::Hmac(algorithm) | Method::Digest(algorithm) => {
                Value::Digest(digest(scheme.encoding, algorithm.digest_bytes(), text)?)
            }
            Method::Equal => {
                let decoded = match scheme.encoding {
                    Encoding::Text => None,
                    other => Some(bytes(other, text)?),
                };
                let sent = decoded.as_deref().unwrap_or(text);
                (!sent.is_empty()).then(|| Value::Digest(sha256(sent)))?
            }
            Method::Ed25519 => {
                let signature = bytes(scheme.encoding, text)?;
                (signature.len() == ED25519_BYTES).then_some(Value::Signature(signature))?
            }
            Method::EcdsaP256 | Method::Rsa(_) => {
                let signature = bytes(scheme.encoding, text)?;
                (!signature.is_empty()).then_some(Value::Signature(signature))?
            }
        };
        Some(Self { owner, value })
    }

    /// What the secret at `index` must come to.
    pub(super) fn digest_for(&self, index: usize) -> Option<&Digest> {
        match &self.value {
            Value::Digest(digest) if self.owner.is_none_or(|owner| owner == index) => Some(digest),
            Value::Digest(_) | Value::Signature(_) => None,
        }
    }

    pub(super) fn is_proven_by(&self, index: usize, key: &Key, content: &[u8]) -> bool {
        match &self.value {
            Value::Signature(signature) if self.owner.is_none_or(|owner| owner == index) => {
                key.verifies(content, signature)
            }
            Value::Digest(_) | Value::Signature(_) => false,
        }
    }
}

/// A digest of `len` bytes, without an allocation.
fn digest(encoding: Encoding, len: usize, text: &[u8]) -> Option<Digest> {
    // Base64 is decoded in groups of three bytes.
    let mut buffer = [0; DIGEST_BYTES_MAX + 2];
    match encoding {
        Encoding::Hex => hex::decode_to_slice(text, &mut buffer[..len]).ok()?,
        Encoding::Base64 if text.len() == len.div_ceil(3) * 4 => {
            let decoded = STANDARD.decode_slice(text, &mut buffer).ok()?;
            (decoded == len).then_some(())?;
        }
        Encoding::Base64 | Encoding::Text => return None,
    }
    Some(Digest::new(&buffer[..len]))
}

fn bytes(encoding: Encoding, text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > SIGNATURE_BYTES_MAX * 2 {
        return None;
    }
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Text => None,
    }
}
