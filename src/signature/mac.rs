//! The MACs and plain digests behind one face.

use hmac::{Hmac, KeyInit};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::{Algorithm, content::Piece};

/// A keyed HMAC. Cloning it is cheaper than keying it again.
#[derive(Clone)]
pub(super) enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    /// `None` when the library refuses the key; HMAC takes keys of every length.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Sha1 => Self::Sha1(Hmac::new_from_slice(key).ok()?),
            Algorithm::Sha256 => Self::Sha256(Hmac::new_from_slice(key).ok()?),
            Algorithm::Sha512 => Self::Sha512(Hmac::new_from_slice(key).ok()?),
        })
    }

    /// The digest of `pieces`, one after the other.
    pub(super) fn digest(&self, pieces: &[Piece<'_>]) -> Digest {
        match self {
            Self::Sha1(mac) => digest(mac.clone(), pieces),
            Self::Sha256(mac) => digest(mac.clone(), pieces),
            Self::Sha512(mac) => digest(mac.clone(), pieces),
        }
    }
}

fn digest<M: hmac::Mac>(mut mac: M, pieces: &[Piece<'_>]) -> Digest {
    for piece in pieces {
        mac.update(piece.bytes(b""));
    }
    Digest::new(&mac.finalize().into_bytes())
}

/// The plain digest of `pieces`, of which some may be the secret.
pub(super) fn hash(algorithm: Algorithm, secret: &[u8], pieces: &[Piece<'_>]) -> Digest {
    match algorithm {
        Algorithm::Sha1 => hash_with::<Sha1>(secret, pieces),
        Algorithm::Sha256 => hash_with::<Sha256>(secret, pieces),
        Algorithm::Sha512 => hash_with::<Sha512>(secret, pieces),
    }
}

fn hash_with<D: sha2::Digest>(secret: &[u8], pieces: &[Piece<'_>]) -> Digest {
    let mut hash = D::new();
    for piece in pieces {
        hash.update(piece.bytes(secret));
    }
    Digest::new(&hash.finalize())
}

/// SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(&<Sha256 as sha2::Digest>::digest(bytes))
}

/// Bytes of the longest digest, SHA-512's.
pub(super) const DIGEST_BYTES_MAX: usize = 64;

/// A digest without an allocation.
#[derive(Clone, Copy)]
pub(super) struct Digest {
    bytes: [u8; DIGEST_BYTES_MAX],
    len: usize,
}

impl Digest {
    /// `digest` has at most [`DIGEST_BYTES_MAX`] bytes; what is longer is cut.
    pub(super) fn new(digest: &[u8]) -> Self {
        let len = digest.len().min(DIGEST_BYTES_MAX);
        let mut bytes = [0; DIGEST_BYTES_MAX];
        bytes[..len].copy_from_slice(&digest[..len]);
        Self { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Takes the same time wherever the two differ.
    pub(super) fn ct_eq(&self, other: &Self) -> Choice {
        self.as_bytes().ct_eq(other.as_bytes())
    }
}

impl Algorithm {
    pub(super) const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}
