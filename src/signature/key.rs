//! Keys, ready to prove or to sign.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
        VerificationAlgorithm,
    },
};
use zeroize::Zeroizing;

use super::{
    Algorithm, Method,
    content::Piece,
    mac::{Digest, Mac, hash, sha256},
};

#[derive(Clone)]
pub(super) enum Key {
    Mac(Box<Mac>),
    /// A secret that is signed, or sent, as it stands; with its SHA-256.
    Plain(Zeroizing<Vec<u8>>, Digest),
    Public(ParsedPublicKey),
    /// With the public key that goes with it.
    Private(Arc<PrivateKey>, ParsedPublicKey),
}

pub(super) enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// `None` when `method` knows no secrets, or the library refuses it.
    pub(super) fn secret(method: Method, key: Zeroizing<Vec<u8>>) -> Option<Self> {
        match method {
            Method::Hmac(algorithm) => Mac::new(algorithm, &key).map(Box::new).map(Self::Mac),
            Method::Digest(_) | Method::Equal => {
                let digest = sha256(&key);
                Some(Self::Plain(key, digest))
            }
            Method::Ed25519 | Method::EcdsaP256 | Method::Rsa(_) => None,
        }
    }

    /// `key` is an SPKI in DER; for Ed25519 it may be the 32 bytes themselves. `None` when it is not one of `method`.
    pub(super) fn public(method: Method, key: &[u8]) -> Option<Self> {
        parsed(method, key).map(Self::Public)
    }

    /// `pkcs8` in DER.
    pub(super) fn private(method: Method, pkcs8: &[u8]) -> Option<Self> {
        let key = match method {
            Method::Ed25519 => {
                PrivateKey::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?)
            }
            Method::EcdsaP256 => PrivateKey::Ecdsa(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).ok()?,
            ),
            Method::Rsa(_) => PrivateKey::Rsa(RsaKeyPair::from_pkcs8(pkcs8).ok()?),
            Method::Hmac(_) | Method::Digest(_) | Method::Equal => return None,
        };
        key.with_public(method)
    }

    /// An Ed25519 key by its 32 bytes.
    pub(super) fn seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        PrivateKey::Ed25519(pair).with_public(Method::Ed25519)
    }

    /// What a secret makes of `pieces`. `None` of a public key.
    pub(super) fn digest(&self, method: Method, pieces: &[Piece<'_>]) -> Option<Digest> {
        match (self, method) {
            (Self::Mac(mac), _) => Some(mac.digest(pieces)),
            (Self::Plain(secret, _), Method::Digest(algorithm)) => {
                Some(hash(algorithm, secret, pieces))
            }
            (Self::Plain(_, sha256), _) => Some(*sha256),
            (Self::Public(_) | Self::Private(..), _) => None,
        }
    }

    pub(super) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) | Self::Private(_, key) => key.verify_sig(content, signature).is_ok(),
            Self::Mac(_) | Self::Plain(..) => false,
        }
    }
}

impl PrivateKey {
    fn with_public(self, method: Method) -> Option<Key> {
        let public = match &self {
            Self::Ed25519(pair) => parsed(method, pair.public_key().as_ref()),
            Self::Ecdsa(pair) => parsed(method, pair.public_key().as_ref()),
            Self::Rsa(pair) => parsed(method, pair.public_key().as_ref()),
        };
        Some(Key::Private(Arc::new(self), public?))
    }

    /// `None` where the library no longer signs: RSA with SHA-1.
    pub(super) fn sign(&self, method: Method, content: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(pair) => Some(pair.try_sign(content).ok()?.as_ref().to_vec()),
            Self::Ecdsa(pair) => Some(pair.sign(&random, content).ok()?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let padding = match method {
                    Method::Rsa(Algorithm::Sha256) => &RSA_PKCS1_SHA256,
                    Method::Rsa(Algorithm::Sha512) => &RSA_PKCS1_SHA512,
                    _ => return None,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, content, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn parsed(method: Method, key: &[u8]) -> Option<ParsedPublicKey> {
    let algorithm: &'static dyn VerificationAlgorithm = match method {
        Method::Ed25519 => &ED25519,
        Method::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        Method::Rsa(Algorithm::Sha1) => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Method::Rsa(Algorithm::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        Method::Rsa(Algorithm::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        Method::Hmac(_) | Method::Digest(_) | Method::Equal => return None,
    };
    ParsedPublicKey::new(algorithm, key).ok()
}
