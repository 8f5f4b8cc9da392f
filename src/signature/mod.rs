//! Signature schemes as data. Pure: no I/O, no clock, no configuration.
//!
//! A [`Scheme`] says how a provider signs; [`Scheme::keyed_secret`] prepares a secret for it once,
//! [`verify`] judges a request and [`Scheme::sign`] makes the headers that the provider
//! would send.

use std::{borrow::Cow, sync::Arc, time::Duration};

use crate::clock::Timestamp;

mod certificate;
mod claim;
mod content;
mod draft;
mod encoding;
mod explain;
mod form;
pub mod jwt;
mod key;
mod mac;
mod secret;
mod sign;
mod template;
mod timestamp;
mod traits;
mod verify;

pub use certificate::{CertificateFault, REGION, certificate_url, is_host, key_of_certificate};
pub use explain::{Applies, Explanation, Judged, Time, Tried, explain};
pub use secret::{SecretFault, is_public, schemes_of};
pub use sign::{SignFault, Signed, Signing};
pub use template::{TemplateFault, TemplateFaultKind, parse_template, template_text};
pub use verify::{ELEMENTS_MAX, ENTRIES_MAX, NUMBERED_MAX, verify};

/// How a provider signs a request.
///
/// Of a provider's schemes the first that [applies](Scheme::guards) to a request judges it, alone: another that is
/// weaker, or of another kind of key, is no second chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// What `scheme = "…"` of a route calls it among its provider's, e.g. `v3`.
    pub name: Cow<'static, str>,
    pub method: Method,
    pub encoding: Encoding,
    /// Where the signature stands.
    pub signature: Source,
    pub form: Form,
    /// What is signed, in order. Of [`Method::Equal`] nothing is.
    pub signed: Cow<'static, [Part]>,
    pub timestamp: Option<TimestampRule>,
    pub secret_form: SecretForm,
    /// What a request must have for the scheme to apply, beside its signature.
    pub guards: Cow<'static, [Guard]>,
    /// The place in the request that holds the body's SHA-256 in hex, where the signature covers that place and
    /// not the body itself.
    pub body_sha256: Option<Part>,
    /// A JSON pointer with `*`, e.g. `/value/*`: each value there must pass, and [`Part::Json`] is read from it.
    pub each: Option<Cow<'static, str>>,
    /// Where the key comes from.
    pub key: KeySource,
}

/// What is done with the signed content and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Hmac(Algorithm),
    /// A plain digest; the secret is one of the signed parts.
    Digest(Algorithm),
    /// The "signature" is the secret itself.
    Equal,
    Ed25519,
    /// Over SHA-256; the signature is DER.
    EcdsaP256,
    /// PKCS #1 v1.5.
    Rsa(Algorithm),
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
    /// As it stands ([`Method::Equal`]).
    Text,
}

/// Where a request's signature stands. Header names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first of these headers that is there.
    Headers(Cow<'static, [Cow<'static, str>]>),
    /// `NAME-1`, `NAME-2`, … up to [`NUMBERED_MAX`]: any may match.
    Numbered(Cow<'static, str>),
    /// Each header belongs to the secret at the same place of the list; any may match.
    Paired(Cow<'static, [Cow<'static, str>]>),
    /// A string in the document.
    Json(Cow<'static, str>),
    /// A parameter of the query string.
    Query(Cow<'static, str>),
}

/// The shape of the signature's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A prefix (may be empty), then the signature.
    Bare { prefix: Cow<'static, str> },
    /// `t=1700000000,v1=…,v1=…`: pairs, spaces around them not counting; every `signature_key` counts.
    Pairs {
        separator: char,
        signature_key: Cow<'static, str>,
    },
    /// `v1,… v1,… v1a,…`: space-separated; every entry of `version` counts, others are skipped.
    Versions { version: Cow<'static, str> },
}

/// A piece of the signed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(Cow<'static, str>),
    /// The raw body.
    Body,
    /// The secret ([`Method::Digest`]).
    Secret,
    /// The request's method, in upper case.
    Method,
    /// The address that the provider called, as the configuration knows it, with the request's query string.
    Url,
    /// The path and the query string of [`Part::Url`], as Contentful's library writes them: the query string
    /// percent-encoded as JavaScript's `encodeURIComponent` does, and then all of it as `encodeURI` does.
    Path,
    /// A header's value, name in lower case.
    Header(Cow<'static, str>),
    /// A value of the signature's pairs ([`Form::Pairs`]).
    Pair(Cow<'static, str>),
    /// A string, number or boolean of the document, as text; empty where it is missing or null.
    Json(Cow<'static, str>),
    /// A parameter of the query string, decoded.
    Query(Cow<'static, str>),
    /// A parameter of the route, e.g. PayPal's `webhook_id`.
    Param(Cow<'static, str>),
    /// Each field of the form, sorted by name: the name and then the value; of several values each once, sorted. Nothing
    /// of a GET whose [`Part::Url`] is signed, which holds them already.
    SortedForm,
    /// CRC-32 of the body, in decimal.
    Crc32,
    /// `Key\nvalue\n` for each of these members of the document that is there. The value of the first alone may hold
    /// line breaks: else one member could be written as several.
    JsonLines(Cow<'static, [Cow<'static, str>]>),
    /// The headers that the value of `list` names (split at `separator`), written `between_names…`: see [`Listed`].
    Listed(Listed),
}

/// Headers that a request itself lists as signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// [`Part::Header`] or [`Part::Pair`]: whose value is the list.
    pub list: Box<Part>,
    /// Between the names of the list.
    pub separator: char,
    /// True: `name:value` joined by `;`. False: the values joined by `.`.
    pub with_names: bool,
    /// Names, in lower case, that must be in the list: what is left out of it is not signed.
    pub required: Cow<'static, [Cow<'static, str>]>,
}

/// What a request must have for a scheme to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// `Header`, `Query` or `Json`.
    pub place: Part,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    Present,
    Is(Cow<'static, str>),
    /// Without regard to case.
    StartsWith(Cow<'static, str>),
    Contains(Cow<'static, str>),
}

/// When the request was signed, and how far from now that may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// `Header`, `Pair` or `Json`.
    pub source: Part,
    pub unit: Unit,
    /// Inclusive. `None`: the age is not checked unless the route has a `tolerance` (the provider says none, or its
    /// retries carry the first time).
    pub past: Option<Duration>,
    /// Inclusive. `None`: the future is not checked (the provider's own libraries do not).
    pub future: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Millis,
    /// Text such as `2026-01-01T00:00:00.123456789Z`.
    Rfc3339,
}

/// How a secret's text becomes key bytes.
///
/// Of several schemes of a provider, a secret whose prefix is one's own (`required`) belongs to those alone, and any
/// other secret to the schemes that require none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// As it stands.
    Text,
    /// Base64 after a prefix that may be left out, unless it is `required`.
    Base64 {
        prefix: Cow<'static, str>,
        required: bool,
    },
    /// Base64 after the prefix; without the prefix the text as it stands.
    Base64OrText {
        prefix: Cow<'static, str>,
    },
    Hex,
    /// A public key: PEM, or base64 of its SPKI in DER.
    Spki,
}

/// Where the key of a scheme comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The route's secrets.
    Secrets,
    /// An X.509 certificate, fetched from the https address at `url`, a part of the request, if its host is one of
    /// `hosts`: exact, but that `*` stands for one label, or at the beginning for one or more (`*.paypal.com`), and
    /// `{region}` for one that is a region of Amazon's (`sns.{region}.amazonaws.com`).
    Certificate {
        url: Part,
        hosts: Cow<'static, [Cow<'static, str>]>,
        path_ends: Cow<'static, str>,
    },
}

/// A secret, or a public key, prepared for one scheme: a MAC is keyed once and cloned for each request.
#[derive(Clone)]
pub struct KeyedSecret {
    key: key::Key,
    /// What `credential_uses_total` and the operator call it, e.g. `GITHUB_WEBHOOK_SECRET`; never the secret.
    pub name: Arc<str>,
    pub validity: Validity,
}

/// When a credential proves anything. Both ends are inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}

impl Validity {
    pub fn holds(self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|start| start <= now)
            && self.not_after.is_none_or(|end| now <= end)
    }
}

/// A scheme with the secrets that a route has for it.
#[derive(Clone, Debug)]
pub struct KeyedScheme {
    pub scheme: Scheme,
    /// All are tried. Empty only where the key is fetched or comes with a handshake.
    pub secrets: Vec<KeyedSecret>,
}

/// A request, as the schemes see it.
pub struct Message<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The address that the provider called, with the query string: from the configuration, never from `Host`.
    pub url: &'a str,
    pub headers: &'a dyn Headers,
    pub body: &'a [u8],
    /// The body's document, made when it is asked for; `None` when the body has none, or one in which a name stands
    /// twice: what is proven would not be what is read.
    pub document: &'a dyn Fn() -> Option<serde_json::Value>,
    /// The route's parameters, by name.
    pub params: &'a [(String, String)],
    /// The key that was fetched for [`KeySource::Certificate`]: SPKI in DER.
    pub fetched_key: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// A POST whose address, document and parameters no scheme asks for.
    pub fn new(headers: &'a dyn Headers, body: &'a [u8]) -> Self {
        Self {
            method: "POST",
            url: "",
            headers,
            body,
            document: &|| None,
            params: &[],
            fetched_key: None,
        }
    }
}

/// What proved a request: indices into the schemes and into that scheme's secrets (0 for a fetched key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    pub scheme: usize,
    pub secret: usize,
}

impl std::fmt::Debug for KeyedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedSecret")
            .field("name", &self.name)
            .field("validity", &self.validity)
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
    /// Only secrets before their `not_before` or past their `not_after` match.
    ExpiredKey,
}
