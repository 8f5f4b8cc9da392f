//! JSON Web Tokens as a provider or an authorization server would issue them.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    clock::Timestamp,
    config::{JwtKeySource, JwtVerifier},
    signature::jwt::{Audience, JwtAlgorithm},
};

/// How long a token is good for.
const LIFETIME_SECS: i64 = 300;

/// What a token must be.
pub(super) struct Wanted<'a> {
    pub(super) verifier: &'a JwtVerifier,
    /// PEM (PKCS #8), unless the route has a secret.
    pub(super) signing_key: Option<&'a [u8]>,
    pub(super) key_id: Option<&'a str>,
    pub(super) public_url: &'a str,
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
    pub(super) is_stale: bool,
}

/// A token that the route takes, or would have taken. `Err` tells in words why there is none.
pub(super) fn make(wanted: &Wanted<'_>) -> Result<String, String> {
    let rule = &wanted.verifier.rule;
    let shared = match &wanted.verifier.keys {
        JwtKeySource::Secrets(secrets) => {
            let mut secrets = secrets.iter();
            let secret = secrets.find(|secret| secret.validity.holds(wanted.now));
            Some(secret.ok_or("the route has no secret that is in force now")?)
        }
        _ => None,
    };
    let fits = |algorithm: &&JwtAlgorithm| match (algorithm, shared, wanted.signing_key) {
        (JwtAlgorithm::Hs256, shared, _) => shared.is_some(),
        (_, _, Some(key)) => sign(**algorithm, key, b"").is_ok(),
        (_, _, None) => false,
    };
    let algorithm = rule.algorithms.iter().find(fits);
    let algorithm = *algorithm.ok_or(match wanted.signing_key {
        None => "the route is proven by tokens of a public key: give the private one with --signing-key FILE",
        Some(_) => "--signing-key: no private key of a kind that the route takes, as PEM (PKCS #8)",
    })?;
    let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
    if let Some(key_id) = wanted.key_id {
        header["kid"] = key_id.into();
    }
    let payload = Value::Object(claims(wanted)?);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&payload));
    let signature = match (shared, wanted.signing_key) {
        (Some(secret), _) => {
            let mac = Hmac::<Sha256>::new_from_slice(secret.secret.expose());
            let mut mac = mac.map_err(|error| error.to_string())?;
            mac.update(signed.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        (None, Some(key)) => sign(algorithm, key, signed.as_bytes())?,
        (None, None) => Vec::new(),
    };
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn claims(wanted: &Wanted<'_>) -> Result<Map<String, Value>, String> {
    let rule = &wanted.verifier.rule;
    let now = wanted.now.as_secs();
    let leeway = i64::try_from(rule.leeway.as_secs()).unwrap_or_default();
    let age = rule
        .max_age
        .map(|age| i64::try_from(age.as_secs()).unwrap_or_default());
    let (issued, expires) = match (wanted.is_stale, rule.expires, age) {
        (false, ..) => (now, now + LIFETIME_SECS),
        // Past the age that `iat` may have, or the `exp` with its leeway.
        (true, _, Some(age)) => (now - age - leeway - 2, now + LIFETIME_SECS),
        (true, true, None) => (now - LIFETIME_SECS, now - leeway - 2),
        (true, false, None) => {
            return Err(
                "the route's tokens have no time that is checked: --stale means nothing there"
                    .into(),
            );
        }
    };
    let mut claims = Map::new();
    claims.insert("iat".into(), issued.into());
    claims.insert("exp".into(), expires.into());
    if let Some(issuer) = rule.issuers.first() {
        claims.insert("iss".into(), issuer.as_ref().into());
    }
    match &rule.audience {
        Audience::Anyone => None,
        Audience::PublicUrl => claims.insert("aud".into(), wanted.public_url.into()),
        Audience::These(names) => {
            let name = names.first().map_or("", |name| name);
            claims.insert("aud".into(), name.into())
        }
    };
    if let Some(name) = &rule.body_sha256 {
        let digest = hex::encode(Sha256::digest(wanted.body));
        claims.insert(name.to_string(), digest.into());
    }
    for (name, value) in rule.claims.iter() {
        let value = match value.as_ref() {
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        };
        claims.insert(name.to_string(), value);
    }
    Ok(claims)
}

fn sign(algorithm: JwtAlgorithm, pem: &[u8], content: &[u8]) -> Result<Vec<u8>, String> {
    let fault = || "no private key of this kind, as PEM (PKCS #8)".to_owned();
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| fault())?;
    let pkcs8 = der.secret_der();
    let random = SystemRandom::new();
    let rsa = |padding: &'static dyn aws_lc_rs::signature::RsaEncoding| {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &random, content, &mut signature).ok()?;
        Some(signature)
    };
    let signature = match algorithm {
        JwtAlgorithm::Hs256 => None,
        JwtAlgorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
        JwtAlgorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        JwtAlgorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .ok()
            .and_then(|pair| pair.sign(&random, content).ok())
            .map(|signature| signature.as_ref().to_vec()),
        JwtAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .ok()
            .map(|pair| pair.sign(content).as_ref().to_vec()),
    };
    signature.ok_or_else(fault)
}
