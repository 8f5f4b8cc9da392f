//! JSON Web Tokens: what a provider's or an authorization server's token must say, and whether it does. Pure.
//!
//! Only the compact form is read. The algorithm is the rule's to say and never the token's, and so is the key: `jwk`, `jku`,
//! `x5c` and `x5u` of a token's header are not looked at.

use std::{borrow::Cow, time::Duration};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Validity;
use crate::clock::Timestamp;

mod keys;
mod token;

pub use keys::{KEYS_MAX, KeyFault, KeySet, KeySetFault};
pub use token::{TOKEN_BYTES_MAX, Token};

/// What a token must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRule {
    /// The header that holds it, in lower case.
    pub header: Cow<'static, str>,
    /// What stands before it there, e.g. `Bearer `; without regard to case.
    pub prefix: Cow<'static, str>,
    /// Pinned: a token of another algorithm is refused before any key is looked at. Symmetric and public-key ones never
    /// stand together.
    pub algorithms: Cow<'static, [JwtAlgorithm]>,
    /// One of these; empty: not checked.
    pub issuers: Cow<'static, [Cow<'static, str>]>,
    pub audience: Audience,
    /// Whether the token must have an `exp`. One that is there is always checked, as is `nbf`.
    pub expires: bool,
    /// How long ago `iat` may be, which must then be there. Inclusive, and without the leeway.
    pub max_age: Option<Duration>,
    /// How far the clocks may be apart: for `exp`, `nbf`, and an `iat` that is ahead.
    pub leeway: Duration,
    /// The claim that holds the SHA-256 of the body in hex: without it the body is not covered.
    pub body_sha256: Option<Cow<'static, str>>,
    /// Other claims that must be these strings (`true` and `false` stand for the booleans, too).
    pub claims: Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    Hs256,
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

/// Whom a token must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Not checked.
    Anyone,
    /// The address that the provider called: `public_url`.
    PublicUrl,
    /// One of these.
    These(Cow<'static, [Cow<'static, str>]>),
}

/// The request that a token came with.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub body: &'a [u8],
    /// The address that the provider called, as the configuration knows it; `None` when it does not.
    pub public_url: Option<&'a str>,
    pub now: Timestamp,
}

/// What may prove a token.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// For HS256 alone.
    Secrets(&'a [SharedSecret<'a>]),
    /// Never for HS256.
    Public(&'a KeySet),
}

#[derive(Clone, Copy)]
pub struct SharedSecret<'a> {
    pub bytes: &'a [u8],
    pub validity: Validity,
}

impl std::fmt::Debug for SharedSecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why a token was refused: for the operator, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("no token stands where one must")]
    Missing,
    #[error("not a JWS in compact form")]
    Malformed,
    #[error("longer than a token may be")]
    TooLong,
    #[error("signed by an algorithm that the route does not take")]
    Algorithm,
    #[error("has critical header parameters, of which none is known")]
    Critical,
    #[error("no key has its `kid` and its algorithm")]
    UnknownKey,
    #[error("the signature does not match")]
    Signature,
    #[error("only a secret or a key that is not in force now matches")]
    ExpiredKey,
    #[error("of another issuer")]
    Issuer,
    #[error("for another audience")]
    Audience,
    #[error("past its `exp`")]
    Expired,
    #[error("before its `nbf`, or with an `iat` in the future")]
    NotYet,
    #[error("its `iat` is too long ago")]
    TooOld,
    #[error("without an `exp` or an `iat` that it must have, or with one that is no time")]
    Time,
    #[error("of another body")]
    Body,
    #[error("without a claim that it must have")]
    Claim,
}

impl JwtRule {
    /// The token in the value of [`JwtRule::header`], its form and its algorithm checked, and nothing else.
    pub fn read<'t>(&self, value: &'t [u8]) -> Result<Token<'t>, TokenFault> {
        let prefix = self.prefix.as_bytes();
        let (start, text) = value
            .split_at_checked(prefix.len())
            .ok_or(TokenFault::Missing)?;
        if !start.eq_ignore_ascii_case(prefix) {
            return Err(TokenFault::Missing);
        }
        Token::read(text.trim_ascii(), &self.algorithms)
    }

    /// Which of the secrets proves the token and what it says (0 for a public key).
    ///
    /// The signature and the claims are both judged, whatever the other says, so the time tells nothing of a secret. When
    /// both are wrong the signature is told.
    pub fn verify(
        &self,
        token: &Token<'_>,
        keys: Keys<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Result<usize, TokenFault> {
        let claims = self.judge(token, circumstances);
        let proven = match keys {
            Keys::Secrets(secrets) => token.proven_by_secret(secrets, circumstances.now),
            Keys::Public(keys) => keys.prove(token, circumstances.now).map(|()| 0),
        }?;
        claims.map(|()| proven)
    }

    /// What needs no key: the claims, which nothing has proven yet.
    pub fn judge(
        &self,
        token: &Token<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Result<(), TokenFault> {
        self.judge_parties(token, circumstances.public_url)?;
        self.judge_times(token, circumstances.now)?;
        if let Some(name) = &self.body_sha256 {
            let expected: [u8; 32] = Sha256::digest(circumstances.body).into();
            let claimed = token.text(name).and_then(|text| hex::decode(text).ok());
            let claimed = claimed.ok_or(TokenFault::Body)?;
            if !bool::from(claimed.as_slice().ct_eq(&expected)) {
                return Err(TokenFault::Body);
            }
        }
        let says = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| token.says(name, value);
        match self.claims.iter().all(says) {
            true => Ok(()),
            false => Err(TokenFault::Claim),
        }
    }

    fn judge_parties(&self, token: &Token<'_>, public_url: Option<&str>) -> Result<(), TokenFault> {
        let issuer = token.text("iss");
        if !self.issuers.is_empty()
            && !issuer.is_some_and(|issuer| self.issuers.iter().any(|known| known == issuer))
        {
            return Err(TokenFault::Issuer);
        }
        let is_ours = match &self.audience {
            Audience::Anyone => true,
            Audience::PublicUrl => public_url.is_some_and(|url| token.is_for(url)),
            Audience::These(names) => names.iter().any(|name| token.is_for(name)),
        };
        match is_ours {
            true => Ok(()),
            false => Err(TokenFault::Audience),
        }
    }

    fn judge_times(&self, token: &Token<'_>, now: Timestamp) -> Result<(), TokenFault> {
        let expires_at = token.time("exp")?;
        let starts_at = token.time("nbf")?;
        let issued_at = token.time("iat")?;
        if self.expires && expires_at.is_none() || self.max_age.is_some() && issued_at.is_none() {
            return Err(TokenFault::Time);
        }
        if expires_at.is_some_and(|at| now >= at.saturating_add(self.leeway)) {
            return Err(TokenFault::Expired);
        }
        let is_ahead = |at: Timestamp| now < at.saturating_sub(self.leeway);
        if starts_at.is_some_and(is_ahead) || issued_at.is_some_and(is_ahead) {
            return Err(TokenFault::NotYet);
        }
        match (self.max_age, issued_at) {
            (Some(age), Some(at)) if now > at.saturating_add(age) => Err(TokenFault::TooOld),
            _ => Ok(()),
        }
    }
}

impl JwtAlgorithm {
    /// As `alg` has it (RFC 7518, RFC 8037).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}
