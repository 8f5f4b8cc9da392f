//! Judging a request's signature.

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::Choice;

use super::{
    Algorithm, Encoding, Form, Headers, KeyedScheme, KeyedSecret, Message, Method, Part, Proven,
    Refusal, Repeated, Scheme, Source, TimestampRule, Unit,
    mac::{DIGEST_BYTES_MAX, Digest},
};
use crate::clock::Timestamp;

/// Entries that a signature header may list, of whatever kind. More is malformed.
pub const ENTRIES_MAX: usize = 16;

/// Which secret proves the request, and that of which scheme: the first that applies judges, alone.
pub fn verify(
    schemes: &[KeyedScheme],
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Proven, Refusal> {
    let first = schemes.first().ok_or(Refusal::MissingSignature)?;
    let secret = first
        .scheme
        .verify(&first.secrets, message.headers, message.body, now)?;
    Ok(Proven { scheme: 0, secret })
}

impl Scheme {
    /// The index in `secrets` of the first that proves the request and has not expired.
    ///
    /// Every secret is tried against every signature, and a missing or malformed header costs the
    /// same MACs as a wrong signature, so the time tells nothing. When several refusals apply, the
    /// first of these is told (to the operator only): `RepeatedHeader`, `MissingSignature`,
    /// `MissingTimestamp`, `MalformedSignature`, `StaleTimestamp`, `SignatureMismatch`,
    /// `ExpiredKey`. So a stale request is called stale even when its signature is wrong too, and
    /// an expired key is told only when nothing else was wrong.
    ///
    /// In a list, entries of other kinds and entries that do not decode are skipped; a list in
    /// which none decodes is malformed. Hex may be of either case, base64 is the standard alphabet
    /// with padding. `now` is cut to the rule's unit, as the providers' own libraries do.
    fn verify<H: Headers + ?Sized>(
        &self,
        secrets: &[KeyedSecret],
        headers: &H,
        body: &[u8],
        now: Timestamp,
    ) -> Result<usize, Refusal> {
        let mut reading = Reading::new(self, headers);
        let signatures = reading.signatures();
        let pieces: Vec<&[u8]> = self.signed.iter().map(|p| reading.value(p, body)).collect();
        reading.judge_timestamp(body, now);
        let verdict = try_all(secrets, &signatures, &pieces, now);
        match reading.refusal {
            Some(refusal) => Err(refusal),
            None => verdict,
        }
    }
}

/// The security headers of one request, and what is wrong with them so far.
struct Reading<'h, 's, H: ?Sized> {
    scheme: &'s Scheme,
    headers: &'h H,
    /// The signature header's value; empty when it is missing.
    value: &'h [u8],
    refusal: Option<Refusal>,
}

impl<'h, 's, H: Headers + ?Sized> Reading<'h, 's, H> {
    fn new(scheme: &'s Scheme, headers: &'h H) -> Self {
        let mut reading = Self {
            scheme,
            headers,
            value: b"",
            refusal: None,
        };
        if let Source::Headers(names) = &scheme.signature
            && let Some(name) = names.first()
        {
            reading.value = reading.header(name, Refusal::MissingSignature);
        }
        reading
    }

    /// Notes `refusal` unless a weightier one is known.
    fn refuse(&mut self, refusal: Refusal) {
        let known = self.refusal.get_or_insert(refusal);
        if weight(refusal) > weight(*known) {
            *known = refusal;
        }
    }

    /// Empty when it is not there exactly once.
    fn header(&mut self, name: &str, missing: Refusal) -> &'h [u8] {
        match self.headers.unique(name) {
            Ok(Some(value)) => return value,
            Ok(None) => self.refuse(missing),
            Err(Repeated) => self.refuse(Refusal::RepeatedHeader),
        }
        b""
    }

    /// A pair of the signature header that must stand in it once.
    fn pair(&mut self, name: &str, missing: Refusal) -> &'h [u8] {
        let mut values = pairs(self.value).filter(|(key, _)| *key == name.as_bytes());
        match (values.next(), values.next()) {
            (Some((_, value)), None) => return value,
            (None, _) => self.refuse(missing),
            (Some(_), Some(_)) => self.refuse(Refusal::MalformedSignature),
        }
        b""
    }

    /// What `part` stands for in this request.
    fn value<'v>(&mut self, part: &'v Part, body: &'v [u8]) -> &'v [u8]
    where
        'h: 'v,
    {
        let is_timestamp = matches!(&self.scheme.timestamp, Some(rule) if rule.source == *part);
        let missing = |otherwise| match is_timestamp {
            true => Refusal::MissingTimestamp,
            false => otherwise,
        };
        match part {
            Part::Literal(text) => text.as_bytes(),
            Part::Body => body,
            Part::Header(name) => self.header(name, missing(Refusal::MissingSignature)),
            Part::Pair(name) => self.pair(name, missing(Refusal::MalformedSignature)),
            _ => {
                self.refuse(Refusal::MalformedSignature);
                b""
            }
        }
    }

    fn judge_timestamp(&mut self, body: &[u8], now: Timestamp) {
        let scheme = self.scheme;
        if let Some(rule) = &scheme.timestamp {
            let text = self.value(&rule.source, body);
            if !rule.admits(text, now) {
                self.refuse(Refusal::StaleTimestamp);
            }
        }
    }

    /// Every signature of the header that decodes.
    fn signatures(&mut self) -> Vec<Digest> {
        let scheme = self.scheme;
        let value = self.value;
        let decoded = match &scheme.form {
            Form::Bare { prefix } => value
                .strip_prefix(prefix.as_bytes())
                .and_then(|text| scheme.decode(text))
                .into_iter()
                .collect(),
            Form::Pairs { signature_key, .. } => pairs(value)
                .take(ENTRIES_MAX)
                .filter(|(key, _)| *key == signature_key.as_bytes())
                .filter_map(|(_, text)| scheme.decode(text))
                .collect(),
            Form::Versions { version } => versions(value)
                .take(ENTRIES_MAX)
                .filter(|(key, _)| *key == version.as_bytes())
                .filter_map(|(_, text)| scheme.decode(text))
                .collect::<Vec<_>>(),
        };
        if decoded.is_empty() || scheme.form.entries(value) > ENTRIES_MAX {
            self.refuse(Refusal::MalformedSignature);
        }
        decoded
    }
}

/// Which of two refusals is told: the one that weighs more.
const fn weight(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::RepeatedHeader => 5,
        Refusal::MissingSignature => 4,
        Refusal::MissingTimestamp => 3,
        Refusal::MalformedSignature => 2,
        Refusal::StaleTimestamp => 1,
        // Verdicts of the comparison, which only count when all headers are in order.
        Refusal::SignatureMismatch | Refusal::ExpiredKey => 0,
    }
}

/// One MAC for every secret, compared with every signature, without an early exit.
fn try_all(
    secrets: &[KeyedSecret],
    signatures: &[Digest],
    pieces: &[&[u8]],
    now: Timestamp,
) -> Result<usize, Refusal> {
    let mut proven = None;
    let mut expired = false;
    for (index, secret) in secrets.iter().enumerate() {
        let digest = secret.mac.digest(pieces);
        let compare = |any: Choice, signature: &Digest| any | digest.ct_eq(signature);
        let matches = bool::from(signatures.iter().fold(Choice::from(0), compare));
        let is_past = !secret.validity.holds(now);
        if matches && !is_past {
            proven = proven.or(Some(index));
        }
        expired |= matches && is_past;
    }
    proven.ok_or(match expired {
        true => Refusal::ExpiredKey,
        false => Refusal::SignatureMismatch,
    })
}

/// `t=1,v1=2` → `(t, 1)`, `(v1, 2)`. Spaces around an entry do not count.
fn pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    entries(value, b',').filter_map(|entry| split_at_byte(entry.trim_ascii(), b'='))
}

/// `v1,a v1,b` → `(v1, a)`, `(v1, b)`.
fn versions(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    entries(value, b' ').filter_map(|entry| split_at_byte(entry, b','))
}

fn entries(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    value.split(move |b| *b == separator)
}

fn split_at_byte(entry: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = entry.iter().position(|b| *b == separator)?;
    Some((&entry[..at], &entry[at + 1..]))
}

impl Form {
    fn entries(&self, value: &[u8]) -> usize {
        match self {
            Self::Bare { .. } => 1,
            Self::Pairs { .. } => entries(value, b',').count(),
            Self::Versions { .. } => entries(value, b' ').count(),
        }
    }
}

impl Scheme {
    /// `None` unless `text` is a whole digest of the scheme's algorithm.
    fn decode(&self, text: &[u8]) -> Option<Digest> {
        let Method::Hmac(algorithm) = self.method else {
            return None;
        };
        let len = algorithm.digest_bytes();
        // Base64 is decoded in groups of three bytes.
        let mut buffer = [0; DIGEST_BYTES_MAX + 2];
        match self.encoding {
            Encoding::Hex => hex::decode_to_slice(text, &mut buffer[..len]).ok()?,
            Encoding::Base64 if text.len() == len.div_ceil(3) * 4 => {
                let decoded = STANDARD.decode_slice(text, &mut buffer).ok()?;
                (decoded == len).then_some(())?;
            }
            Encoding::Base64 | Encoding::Text => return None,
        }
        Some(Digest::new(&buffer[..len]))
    }
}

impl Algorithm {
    const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl TimestampRule {
    /// Whether `text` is a moment near enough to `now`. Digits only: no sign, no space, no fraction.
    fn admits(&self, text: &[u8], now: Timestamp) -> bool {
        let Some(at) = self.unit.parse(text) else {
            return false;
        };
        let now = match self.unit {
            Unit::Seconds => Timestamp::from_secs(now.as_secs()),
            Unit::Millis | Unit::Rfc3339 => now,
        };
        self.past.is_none_or(|past| now.since(at) <= past)
            && self.future.is_none_or(|future| at.since(now) <= future)
    }
}

impl Unit {
    fn parse(self, text: &[u8]) -> Option<Timestamp> {
        if !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let millis = match self {
            Self::Seconds => number.checked_mul(1000)?,
            Self::Millis | Self::Rfc3339 => number,
        };
        Some(Timestamp::from_millis(millis))
    }
}
