//! Signs as the providers do, with nothing of the code under test.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// HMAC-SHA256 over the parts, one after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// SHA-256 in hex, as an API key stands in `routes.toml`.
pub fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The value of `X-Hub-Signature-256`.
pub fn github(secret: &str, body: &[u8]) -> String {
    format!(
        "sha256={}",
        hex::encode(hmac_sha256(secret.as_bytes(), &[body]))
    )
}

/// The value of `Stripe-Signature`. The whole secret, `whsec_` too, is the key.
pub fn stripe(secret: &str, at: &str, body: &[u8]) -> String {
    let mac = hmac_sha256(secret.as_bytes(), &[at.as_bytes(), b".", body]);
    format!("t={at},v1={}", hex::encode(mac))
}

/// The value of `X-Slack-Signature`.
pub fn slack(secret: &str, at: &str, body: &[u8]) -> String {
    let mac = hmac_sha256(secret.as_bytes(), &[b"v0:", at.as_bytes(), b":", body]);
    format!("v0={}", hex::encode(mac))
}

/// The value of `X-Shopify-Hmac-Sha256`.
pub fn shopify(secret: &str, body: &[u8]) -> String {
    BASE64_STANDARD.encode(hmac_sha256(secret.as_bytes(), &[body]))
}

/// The value of `webhook-signature`. The key is the base64 behind `whsec_`.
pub fn standard_webhooks(secret: &str, id: &str, at: &str, body: &[u8]) -> String {
    let key = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = BASE64_STANDARD.decode(key).expect("a secret in base64");
    let mac = hmac_sha256(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", body]);
    format!("v1,{}", BASE64_STANDARD.encode(mac))
}

/// The value of `Authorization` for HTTP Basic.
pub fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}
