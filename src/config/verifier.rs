//! How a caller proves itself, as types.

use std::sync::Arc;

use super::Secret;
use crate::{
    clock::Timestamp,
    signature::{
        KeySource, KeyedScheme, Validity,
        jwt::{JwtRule, KeySet},
    },
};

/// How a caller proves itself.
#[derive(Debug)]
pub enum Verify {
    /// `verify = "none"`: anyone may send.
    Nobody,
    /// All must pass; not empty.
    All(Vec<Verifier>),
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a route has one or two, made once"
)]
pub enum Verifier {
    ApiKey {
        header: String,
        keys: Vec<ApiKey>,
    },
    /// `Authorization: Bearer TOKEN`
    Bearer {
        keys: Vec<ApiKey>,
    },
    /// `Authorization: Basic …`; a key is the digest of `user:password`.
    Basic {
        keys: Vec<ApiKey>,
    },
    /// A parameter of the query string.
    QueryKey {
        name: String,
        keys: Vec<ApiKey>,
    },
    Signature(SignatureVerifier),
    Jwt(JwtVerifier),
    /// A certificate that `server.tls.client_ca` vouches for; of one of these names (subject alternative names, or the
    /// common name), or any when there are none.
    ClientCertificate {
        names: Vec<String>,
    },
}

#[derive(Debug)]
pub struct SignatureVerifier {
    /// Not empty; the first that applies judges.
    pub schemes: Vec<KeyedScheme>,
    /// What the schemes read from the route ([`crate::signature::Part::Param`]).
    pub params: Vec<(String, String)>,
    /// Whether the secret comes with a handshake and is kept in the store.
    pub secret_from_handshake: bool,
}

impl SignatureVerifier {
    /// What a secret from a handshake is called.
    pub const FROM_HANDSHAKE: &str = "handshake";
}

#[derive(Debug)]
pub struct JwtVerifier {
    pub rule: JwtRule,
    pub keys: JwtKeySource,
}

/// Where a token's key is found.
#[derive(Debug)]
pub enum JwtKeySource {
    /// HS256.
    Secrets(Vec<JwtSecret>),
    /// A JWKS that was read from a file.
    File(KeySet),
    /// A JWKS to be fetched, over https (http only on loopback).
    Url { url: url::Url, allow_private: bool },
    Plaid {
        url: url::Url,
        client_id: Secret,
        secret: Secret,
    },
}

#[derive(Clone, Debug)]
pub struct JwtSecret {
    pub name: Arc<str>,
    pub secret: Secret,
    pub validity: Validity,
}

/// A credential, known only by its SHA-256.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub name: Arc<str>,
    pub sha256: [u8; 32],
    pub validity: Validity,
}

/// What a client certificate is called among credentials.
pub const CLIENT_CERTIFICATE: &str = "client_certificate";

impl Verifier {
    /// What a token by a public key is called.
    pub const JWT: &str = "jwt";
    /// What a key in a fetched certificate is called.
    pub const CERTIFICATE: &str = "certificate";

    /// Whether its key may have to be fetched first.
    pub fn fetches(&self) -> bool {
        match self {
            Self::Jwt(verifier) => matches!(
                verifier.keys,
                JwtKeySource::Url { .. } | JwtKeySource::Plaid { .. }
            ),
            Self::Signature(verifier) => verifier.schemes.iter().any(is_certified),
            _ => false,
        }
    }

    /// Whether its secret comes with a handshake.
    pub fn awaits_secret(&self) -> bool {
        matches!(self, Self::Signature(verifier) if verifier.secret_from_handshake)
    }

    /// The names of what can match: label values of `credential_uses_total`.
    pub fn credentials(&self) -> Vec<Arc<str>> {
        match self {
            Self::ApiKey { keys, .. }
            | Self::Bearer { keys }
            | Self::Basic { keys }
            | Self::QueryKey { keys, .. } => keys.iter().map(|key| key.name.clone()).collect(),
            Self::Signature(verifier) => {
                let secrets = verifier.schemes.iter().flat_map(|keyed| &keyed.secrets);
                let certificate = verifier.schemes.iter().any(is_certified);
                let kept = verifier.secret_from_handshake;
                secrets
                    .map(|secret| secret.name.clone())
                    .chain(certificate.then(|| Self::CERTIFICATE.into()))
                    .chain(kept.then(|| SignatureVerifier::FROM_HANDSHAKE.into()))
                    .collect()
            }
            Self::Jwt(JwtVerifier {
                keys: JwtKeySource::Secrets(secrets),
                ..
            }) => secrets.iter().map(|secret| secret.name.clone()).collect(),
            Self::Jwt(_) => vec![Self::JWT.into()],
            Self::ClientCertificate { .. } => vec![CLIENT_CERTIFICATE.into()],
        }
    }

    /// Those of them that have a `not_after`, and that. A name may come more than once.
    pub fn ends(&self) -> Vec<(Arc<str>, Timestamp)> {
        fn end(name: &Arc<str>, validity: Validity) -> Option<(Arc<str>, Timestamp)> {
            Some((name.clone(), validity.not_after?))
        }
        match self {
            Self::ApiKey { keys, .. }
            | Self::Bearer { keys }
            | Self::Basic { keys }
            | Self::QueryKey { keys, .. } => {
                let ends = keys.iter().map(|key| end(&key.name, key.validity));
                ends.flatten().collect()
            }
            Self::Signature(verifier) => {
                let secrets = verifier.schemes.iter().flat_map(|keyed| &keyed.secrets);
                let ends = secrets.map(|secret| end(&secret.name, secret.validity));
                ends.flatten().collect()
            }
            Self::Jwt(JwtVerifier {
                keys: JwtKeySource::Secrets(secrets),
                ..
            }) => {
                let ends = secrets
                    .iter()
                    .map(|secret| end(&secret.name, secret.validity));
                ends.flatten().collect()
            }
            Self::Jwt(_) | Self::ClientCertificate { .. } => Vec::new(),
        }
    }
}

fn is_certified(keyed: &KeyedScheme) -> bool {
    matches!(keyed.scheme.key, KeySource::Certificate { .. })
}
