//! Why a signature was refused, found by trying what commonly goes wrong.

use serde::Serialize;

use super::{addresses, bodies, secrets::key_variants, subject::Subject};
use crate::{
    clock::Timestamp,
    providers::{PRESETS, Preset, Proof},
    signature::{
        Algorithm, Encoding, Explanation, Form, KeyedScheme, Method, Part, Refusal, Source,
    },
};

/// Of a larger body not every combination is tried.
const COMBINED_BYTES_MAX: usize = 256 * 1024;
/// Providers that are named at once.
const NAMED_MAX: usize = 6;

/// What is likely to be wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cause {
    /// For programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) told: String,
}

impl Cause {
    pub(super) fn new(code: &'static str, told: impl Into<String>) -> Self {
        let told = told.into();
        Self { code, told }
    }

    /// Where nothing else was found.
    pub(super) fn wrong_secret() -> Self {
        let told = "the secret is another than the sender's, or what was captured is not what was signed: nothing else \
                    that commonly goes wrong explains it";
        Self::new("wrong_secret", told)
    }

    pub(super) fn key_unavailable() -> Self {
        let told = "the key that the provider publishes cannot be fetched from here; what can be judged without it is \
                    right";
        Self::new("key_unavailable", told)
    }
}

/// What was found, the surest first. Never empty: that nothing was found is told, too.
pub(super) fn find(subject: &Subject<'_>, explanation: &Explanation) -> Vec<Cause> {
    let mut causes = Vec::new();
    if explanation.verdict == Err(Refusal::RepeatedHeader) {
        causes.push(repeated(subject));
    } else if let Some(cause) = right_at_another_time(subject, explanation) {
        causes.push(cause);
    } else {
        causes.extend(sure(subject, explanation));
    }
    causes.extend(incomplete(subject));
    if causes.is_empty() && subject.verifier.secret_from_handshake {
        causes.push(Cause::new(
            "secret_not_here",
            "the secret came with a handshake and is kept in the store, which is not read here: `hookgate secrets show \
             ROUTE` prints it, and --provider NAME --secret-env VAR judges by it",
        ));
    }
    if causes.is_empty() {
        causes.push(match explanation.verdict {
            Err(Refusal::SignatureMismatch) => Cause::wrong_secret(),
            _ => Cause::new("unknown", "nothing that commonly goes wrong explains it"),
        });
    }
    causes
}

/// The first of the trials that gives the signature.
fn sure(subject: &Subject<'_>, explanation: &Explanation) -> Option<Cause> {
    other_body(subject)
        .or_else(|| other_secret_form(subject))
        .or_else(|| other_algorithm(subject))
        .or_else(|| other_address(subject))
        .or_else(|| other_provider(subject))
        .or_else(|| other_body_and_secret(subject))
        .or_else(|| without_signature(subject, explanation))
}

fn repeated(subject: &Subject<'_>) -> Cause {
    let mut names: Vec<_> = subject
        .capture
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| subject.capture.header(name).nth(1).is_some())
        .collect();
    names.sort_unstable();
    names.dedup();
    let told = format!(
        "a header that must stand once stands more than once (of this request: {}): a proxy may add its own",
        names.join(", ")
    );
    Cause::new("repeated_header", told)
}

/// The signature is right: the time, or the secret's, is not.
fn right_at_another_time(subject: &Subject<'_>, explanation: &Explanation) -> Option<Cause> {
    let name = subject.proven(&subject.at_any_time(), subject.body, subject.url)?;
    if explanation.verdict == Err(Refusal::ExpiredKey) {
        let told = format!(
            "right under the secret {name}, which is not in force at that time (not_before, not_after): the sender signs \
             with an old secret, or with one of which the time has not come"
        );
        return Some(Cause::new("expired_secret", told));
    }
    let judged = explanation.judged.as_ref()?;
    let time = judged.time.as_ref().filter(|time| !time.admitted)?;
    let at = time.at?;
    let seconds = |from: Timestamp, to: Timestamp| to.since(from).as_secs();
    let told = if is_other_unit(at, subject.now) {
        "the signature is right, but its time is of another unit (milliseconds for seconds, or the other way round)"
            .to_owned()
    } else if at <= subject.now {
        format!(
            "the signature is right, the time is not: it was signed {} s before it was received: a clock is off, the \
             request was held up on its way, or it is an old one",
            seconds(at, subject.now)
        )
    } else {
        format!(
            "the signature is right, the time is not: it was signed {} s after it was received: a clock is off",
            seconds(subject.now, at)
        )
    };
    Some(Cause::new("clock_off", told))
}

fn is_other_unit(at: Timestamp, now: Timestamp) -> bool {
    let (at, now) = (at.as_millis(), now.as_millis());
    at / 500 > now || at < now / 500
}

fn other_body(subject: &Subject<'_>) -> Option<Cause> {
    let schemes = subject.at_any_time();
    bodies::variants(subject.body).into_iter().find_map(|variant| {
        let name = subject.proven(&schemes, &variant.body, subject.url)?;
        let told = format!(
            "the signature (by {name}) is that of the body {}: something between the sender and here has changed the bytes \
             (a proxy, a framework that parses bodies and writes them again, an editor, or the tool that captured it)",
            variant.told
        );
        Some(Cause::new("body_changed", told))
    })
}

fn other_secret_form(subject: &Subject<'_>) -> Option<Cause> {
    subject.secrets.iter().find_map(|secret| {
        key_variants(secret).into_iter().find_map(|variant| {
            let schemes = subject.with_key(&secret.name, &variant.key);
            subject.proven(&schemes, subject.body, subject.url)?;
            Some(variant.cause(&secret.name))
        })
    })
}

fn other_algorithm(subject: &Subject<'_>) -> Option<Cause> {
    const PREFIXES: [Option<&str>; 6] = [
        None,
        Some(""),
        Some("sha1="),
        Some("sha256="),
        Some("sha512="),
        Some("v1="),
    ];
    for encoding in [Encoding::Hex, Encoding::Base64] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha1, Algorithm::Sha512] {
            for plain in [false, true] {
                for prefix in PREFIXES {
                    let schemes = subject.varied(|mut scheme| {
                        scheme.method = match (scheme.method, plain) {
                            (Method::Hmac(_), false) => Method::Hmac(algorithm),
                            (Method::Digest(_), _) => Method::Digest(algorithm),
                            (Method::Hmac(_), true) => Method::Digest(algorithm),
                            (other, _) => other,
                        };
                        scheme.encoding = encoding;
                        if let (Some(prefix), Form::Bare { .. }) = (prefix, &scheme.form) {
                            scheme.form = Form::Bare {
                                prefix: prefix.into(),
                            };
                        }
                        scheme
                    });
                    if let Some(name) = subject.proven(&schemes, subject.body, subject.url) {
                        return Some(differently_made(subject, &schemes, &name));
                    }
                }
            }
        }
    }
    None
}

/// `schemes` prove what the route's own, in the same order, do not.
fn differently_made(subject: &Subject<'_>, schemes: &[KeyedScheme], name: &str) -> Cause {
    let own = subject.verifier.schemes.iter();
    let pair = own.zip(schemes).find(|(own, other)| {
        let differs = (own.scheme.method, own.scheme.encoding)
            != (other.scheme.method, other.scheme.encoding)
            || own.scheme.form != other.scheme.form;
        differs && !other.secrets.is_empty()
    });
    let Some((own, other)) = pair else {
        return Cause::new("other_algorithm", "the signature is made in another way");
    };
    let (own, other) = (&own.scheme, &other.scheme);
    let mut told = Vec::new();
    let mut code = "other_form";
    if own.method != other.method {
        code = "other_algorithm";
        told.push(format!(
            "{} instead of {}",
            method(other.method),
            method(own.method)
        ));
    }
    if own.encoding != other.encoding {
        code = match code {
            "other_form" => "other_encoding",
            code => code,
        };
        let name = |encoding| match encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Text => "text",
        };
        told.push(format!(
            "{} instead of {}",
            name(other.encoding),
            name(own.encoding)
        ));
    }
    if own.form != other.form
        && let Form::Bare { prefix } = &other.form
    {
        told.push(match prefix.as_ref() {
            "" => "no prefix before it".to_owned(),
            prefix => format!("the prefix `{prefix}` before it"),
        });
    }
    let told = format!(
        "the signature (by {name}) is right, but it is made in another way: {}",
        told.join(", ")
    );
    Cause::new(code, told)
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Hmac(Algorithm::Sha1) => "HMAC-SHA1",
        Method::Hmac(Algorithm::Sha256) => "HMAC-SHA256",
        Method::Hmac(Algorithm::Sha512) => "HMAC-SHA512",
        Method::Digest(Algorithm::Sha1) => "a plain SHA-1",
        Method::Digest(Algorithm::Sha256) => "a plain SHA-256",
        Method::Digest(Algorithm::Sha512) => "a plain SHA-512",
        Method::Equal => "the secret itself",
        Method::Ed25519 => "Ed25519",
        Method::EcdsaP256 => "ECDSA",
        Method::Rsa(_) => "RSA",
    }
}

fn other_address(subject: &Subject<'_>) -> Option<Cause> {
    let is_address = |part: &Part| matches!(part, Part::Url | Part::Path);
    let signs_it = |keyed: &KeyedScheme| keyed.scheme.signed.iter().any(is_address);
    if !subject.verifier.schemes.iter().any(signs_it) {
        return None;
    }
    let schemes = subject.at_any_time();
    let mut urls = addresses::variants(subject.url, subject.capture).into_iter();
    urls.find_map(|url| {
        let name = subject.proven(&schemes, subject.body, &url)?;
        let told = format!(
            "the signature (by {name}) is that of the address {}, the configuration says {}: set the route's `public_url` \
             to what the sender calls",
            addresses::shown(&url),
            addresses::shown(subject.url),
        );
        Some(Cause::new("other_address", told))
    })
}

fn other_provider(subject: &Subject<'_>) -> Option<Cause> {
    let proves = |preset: &&Preset| {
        let Proof::Signature(schemes) = &preset.proof else {
            return false;
        };
        let schemes = subject.keyed(schemes);
        let schemes: Vec<_> = schemes
            .into_iter()
            .filter(|keyed| !keyed.secrets.is_empty())
            .collect();
        subject
            .proven(&schemes, subject.body, subject.url)
            .is_some()
    };
    let names: Vec<_> = PRESETS
        .iter()
        .filter(proves)
        .map(|preset| preset.name)
        .collect();
    (!names.is_empty()).then(|| {
        let told = format!(
            "this is a signature of {}, and right with the route's secret: set `provider` to it",
            several(&names)
        );
        Cause::new("other_provider", told)
    })
}

fn several(names: &[&str]) -> String {
    match names.split_at_checked(NAMED_MAX) {
        Some((first, rest)) if !rest.is_empty() => format!("{} or others", first.join(", ")),
        _ => names.join(" or "),
    }
}

fn other_body_and_secret(subject: &Subject<'_>) -> Option<Cause> {
    if subject.body.len() > COMBINED_BYTES_MAX {
        return None;
    }
    let bodies = bodies::variants(subject.body);
    subject.secrets.iter().find_map(|secret| {
        key_variants(secret).into_iter().find_map(|key| {
            let schemes = subject.with_key(&secret.name, &key.key);
            let body = bodies
                .iter()
                .find(|body| subject.proven(&schemes, &body.body, subject.url).is_some())?;
            let told = format!(
                "two things are wrong: the signature is that of the body {}, and right under {} {}",
                body.told, secret.name, key.told
            );
            Some(Cause::new("body_and_secret", told))
        })
    })
}

/// The route's signature is not there; another provider's may be.
fn without_signature(subject: &Subject<'_>, explanation: &Explanation) -> Option<Cause> {
    let judged = explanation.judged.as_ref();
    if judged.is_some_and(|judged| !judged.found.is_empty()) {
        return None;
    }
    let is_there = |scheme: &Source| match scheme {
        Source::Headers(names) | Source::Paired(names) => names
            .iter()
            .any(|name| subject.capture.header(name).next().is_some()),
        Source::Numbered(name) => {
            let first = format!("{name}-1");
            subject.capture.header(&first).next().is_some()
        }
        Source::Json(_) | Source::Query(_) => false,
    };
    let names: Vec<_> = PRESETS
        .iter()
        .filter(|preset| {
            let schemes = preset.schemes().iter();
            schemes
                .into_iter()
                .any(|scheme| is_there(&scheme.signature))
        })
        .map(|preset| preset.name)
        .collect();
    let told = match names.as_slice() {
        [] => "the request carries no signature that is known: was the secret set at the sender, and did a proxy drop \
               the header?"
            .to_owned(),
        names => format!(
            "the request carries the signature's header of {} instead, which is not right with the route's secret",
            several(names)
        ),
    };
    Some(Cause::new("no_signature", told))
}

/// What shows that the capture is not what was sent.
fn incomplete(subject: &Subject<'_>) -> Option<Cause> {
    let announced = subject.capture.announced_bytes()?;
    let found = subject.capture.body.len();
    (announced != found).then(|| {
        let told = format!(
            "the captured body has {found} bytes, but Content-Length says {announced}: it is not the body that was sent"
        );
        Cause::new("body_incomplete", told)
    })
}
