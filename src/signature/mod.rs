//! Signature schemes as data. Pure: no I/O, no clock, no configuration.
//!
//! A [`Scheme`] says how a provider signs; [`Scheme::keyed_secret`] prepares a secret for it once,
//! [`Scheme::verify`] judges a request and [`Scheme::sign`] makes the headers that the provider
//! would send.

use std::{borrow::Cow, time::Duration};

use crate::clock::Timestamp;

mod mac;
mod secret;
mod sign;
mod template;
mod verify;

use mac::Mac;
pub use secret::SecretFault;
pub use sign::Signing;
pub use template::{TemplateFault, TemplateFaultKind, parse_template};
pub use verify::ENTRIES_MAX;

/// How a provider signs a request.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    /// Where the signature stands, in lower case.
    pub header: Cow<'static, str>,
    pub form: Form,
    /// What is signed, in order.
    pub signed: Cow<'static, [Part]>,
    pub timestamp: Option<TimestampRule>,
    pub secret_form: SecretForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// The shape of the signature header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A prefix (may be empty), then the signature.
    Bare { prefix: Cow<'static, str> },
    /// `t=1700000000,v1=…,v1=…`: comma-separated pairs; every `signature_key` counts.
    Pairs { signature_key: Cow<'static, str> },
    /// `v1,… v1,… v1a,…`: space-separated; every entry of `version` counts, others are skipped.
    Versions { version: Cow<'static, str> },
}

/// A piece of the signed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(Cow<'static, str>),
    /// The raw body.
    Body,
    /// A header's value, name in lower case.
    Header(Cow<'static, str>),
    /// A value of the signature header's pairs ([`Form::Pairs`]).
    Pair(Cow<'static, str>),
}

/// When the request was signed, and how far from now that may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// `Header` or `Pair`.
    pub source: Part,
    pub unit: Unit,
    /// Inclusive.
    pub past: Duration,
    /// Inclusive. `None`: the future is not checked (the provider's own libraries do not).
    pub future: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Millis,
}

/// How a secret's text becomes key bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// As it stands.
    Text,
    /// Base64 after a prefix that may be left out.
    Base64 { prefix: Cow<'static, str> },
}

/// A secret prepared for one scheme: its MAC is keyed once and cloned for each request.
#[derive(Clone)]
pub struct KeyedSecret {
    mac: Mac,
    /// What `credential_uses_total` and the operator call it, e.g. `GITHUB_WEBHOOK_SECRET`; never the secret.
    pub name: String,
    pub not_after: Option<Timestamp>,
}

impl std::fmt::Debug for KeyedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedSecret")
            .field("name", &self.name)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The headers of a request, whichever HTTP library they come from.
pub trait Headers {
    /// The value of `name` (in lower case); `Err` when it stands more than once.
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated>;
}

/// A security header that must stand once stands more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    MissingSignature,
    MalformedSignature,
    SignatureMismatch,
    MissingTimestamp,
    /// Too old, too far ahead, or no number.
    StaleTimestamp,
    RepeatedHeader,
    /// Only secrets past their `not_after` match.
    ExpiredKey,
}
