//! JSON Web Tokens: what a provider's or an authorization server's token must say. Data.

use std::{borrow::Cow, time::Duration};

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
    /// How long ago `iat` may be, which must then be there.
    pub max_age: Option<Duration>,
    /// How far the clocks may be apart, for `exp`, `nbf` and `iat`.
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
