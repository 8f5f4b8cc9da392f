//! Schemes as the table writes them: what most providers do, and how one differs.

use std::{borrow::Cow, time::Duration};

use crate::signature::{
    Algorithm, Encoding, Form, Guard, KeySource, Listed, Method, Part, Scheme, SecretForm, Source,
    Test, TimestampRule, Unit,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const FIVE_MINUTES: Duration = Duration::from_secs(300);

pub(super) const BODY: Part = Part::Body;
pub(super) const URL: Part = Part::Url;
pub(super) const CRC32: Part = Part::Crc32;
pub(super) const PATH: Part = Part::Path;
pub(super) const METHOD: Part = Part::Method;
pub(super) const SECRET: Part = Part::Secret;

/// HMAC-SHA256 of the body in hex, after `prefix` in a header.
pub(super) fn hmac(name: &'static str, prefix: &'static str) -> Scheme {
    Scheme {
        name: Cow::Borrowed("hmac"),
        method: Method::Hmac(Algorithm::Sha256),
        encoding: Encoding::Hex,
        signature: Source::Headers(Cow::Owned(vec![Cow::Borrowed(name)])),
        form: Form::Bare {
            prefix: Cow::Borrowed(prefix),
        },
        signed: Cow::Borrowed(&[Part::Body]),
        timestamp: None,
        secret_form: SecretForm::Text,
        guards: Cow::Borrowed(&[]),
        body_sha256: None,
        each: None,
        key: KeySource::Secrets,
    }
}

/// The header holds the secret itself.
pub(super) fn token(name: &'static str) -> Scheme {
    Scheme {
        name: Cow::Borrowed("token"),
        method: Method::Equal,
        encoding: Encoding::Text,
        signed: Cow::Borrowed(&[]),
        ..hmac(name, "")
    }
}

/// Standard Webhooks with `prefix` before `-id`, `-timestamp` and `-signature`.
pub(super) fn standard([id, timestamp, signature]: [&'static str; 3]) -> Scheme {
    hmac(signature, "")
        .named("v1")
        .base64()
        .versions("v1")
        .signing([header(id), text("."), header(timestamp), text("."), BODY])
        .within(header(timestamp), Unit::Seconds, FIVE_MINUTES)
        .secret(SecretForm::Base64 {
            prefix: Cow::Borrowed("whsec_"),
            required: false,
        })
}

impl Scheme {
    pub(super) fn named(mut self, name: &'static str) -> Self {
        self.name = Cow::Borrowed(name);
        self
    }

    pub(super) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(super) fn sha1(self) -> Self {
        self.method(Method::Hmac(Algorithm::Sha1))
    }

    pub(super) fn base64(mut self) -> Self {
        self.encoding = Encoding::Base64;
        self
    }

    pub(super) fn standing(mut self, signature: Source) -> Self {
        self.signature = signature;
        self
    }

    /// The first of these headers that is there.
    pub(super) fn or_header(mut self, name: &'static str) -> Self {
        if let Source::Headers(names) = &mut self.signature {
            names.to_mut().push(Cow::Borrowed(name));
        }
        self
    }

    /// `t=1700000000,v1=…`; the signatures stand at `key`.
    pub(super) fn pairs(mut self, separator: char, key: &'static str) -> Self {
        self.form = Form::Pairs {
            separator,
            signature_key: Cow::Borrowed(key),
        };
        self
    }

    /// `v1,… v1,…`
    pub(super) fn versions(mut self, version: &'static str) -> Self {
        self.form = Form::Versions {
            version: Cow::Borrowed(version),
        };
        self
    }

    pub(super) fn signing<const N: usize>(mut self, parts: [Part; N]) -> Self {
        self.signed = Cow::Owned(parts.into());
        self
    }

    /// The signed time may be so far off, either way.
    pub(super) fn within(self, source: Part, unit: Unit, tolerance: Duration) -> Self {
        self.timed(source, unit, Some(tolerance), Some(tolerance))
    }

    /// The provider's retries carry the first time, or its libraries check none: the age is checked where the route has
    /// a `tolerance`.
    pub(super) fn of_any_age(self, source: Part, unit: Unit) -> Self {
        self.timed(source, unit, None, None)
    }

    pub(super) fn timed(
        mut self,
        source: Part,
        unit: Unit,
        past: Option<Duration>,
        future: Option<Duration>,
    ) -> Self {
        self.timestamp = Some(TimestampRule {
            source,
            unit,
            past,
            future,
        });
        self
    }

    pub(super) fn secret(mut self, form: SecretForm) -> Self {
        self.secret_form = form;
        self
    }

    pub(super) fn when(mut self, place: Part, test: Test) -> Self {
        self.guards.to_mut().push(Guard { place, test });
        self
    }

    pub(super) fn each(mut self, pointer: &'static str) -> Self {
        self.each = Some(Cow::Borrowed(pointer));
        self
    }

    /// The signature covers `place`, which holds the body's SHA-256 in hex.
    pub(super) fn body_digest_at(mut self, place: Part) -> Self {
        self.body_sha256 = Some(place);
        self
    }

    /// Verified with the certificate at the address that the request names. Of `hosts`, a `*` stands for one label.
    pub(super) fn certificate(
        mut self,
        url: Part,
        hosts: &'static [Cow<'static, str>],
        path_ends: &'static str,
    ) -> Self {
        self.key = KeySource::Certificate {
            url,
            hosts: Cow::Borrowed(hosts),
            path_ends: Cow::Borrowed(path_ends),
        };
        self
    }
}

pub(super) const fn text(text: &'static str) -> Part {
    Part::Literal(Cow::Borrowed(text))
}

pub(super) const fn header(name: &'static str) -> Part {
    Part::Header(Cow::Borrowed(name))
}

pub(super) const fn json(pointer: &'static str) -> Part {
    Part::Json(Cow::Borrowed(pointer))
}

pub(super) const fn pair(key: &'static str) -> Part {
    Part::Pair(Cow::Borrowed(key))
}

pub(super) const fn query(name: &'static str) -> Part {
    Part::Query(Cow::Borrowed(name))
}

pub(super) const fn param(name: &'static str) -> Part {
    Part::Param(Cow::Borrowed(name))
}

/// See [`Listed`].
pub(super) fn listed(
    list: Part,
    separator: char,
    with_names: bool,
    required: &'static [Cow<'static, str>],
) -> Part {
    Part::Listed(Listed {
        list: Box::new(list),
        separator,
        with_names,
        required: Cow::Borrowed(required),
    })
}

pub(super) const fn is(value: &'static str) -> Test {
    Test::Is(Cow::Borrowed(value))
}
