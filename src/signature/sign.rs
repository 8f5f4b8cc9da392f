//! Signing as a provider would.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Encoding, Form, KeyedSecret, Part, Scheme, Source, Unit, mac::Digest};
use crate::clock::Timestamp;

/// What a provider knows when it signs a request.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The value of every signed header that is neither the timestamp nor in `headers`.
    pub id: &'a str,
    pub timestamp: Timestamp,
    pub body: &'a [u8],
    /// Values of signed headers, by name in any case.
    pub headers: &'a [(String, String)],
}

impl Scheme {
    /// The headers that carry the signature, names in lower case: the timestamp and the other
    /// signed headers first, the signature last. None stands twice.
    pub fn sign(&self, secret: &KeyedSecret, given: &Signing<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        let mut pairs = Vec::new();
        let source = self.timestamp.as_ref().map(|rule| &rule.source);
        for part in source.into_iter().chain(self.signed.iter()) {
            let (list, name) = match part {
                Part::Header(name) => (&mut headers, name),
                Part::Pair(name) => (&mut pairs, name),
                _ => continue,
            };
            let value = self.value(part, name, given);
            if !list.iter().any(|(known, _)| known == name) {
                list.push((name.to_string(), value));
            }
        }
        let signature = self.encode(&self.digest(secret, given));
        let Source::Headers(names) = &self.signature else {
            return headers;
        };
        let name = names.first().map_or("", |name| name);
        headers.push((name.to_owned(), self.form.render(&pairs, &signature)));
        headers
    }

    /// [`Scheme::sign`] with every secret that has not ended: the header lists their signatures, in order.
    /// Only for [`Form::Versions`], whose header holds more than one; of other forms the first signature stands.
    pub fn sign_with_all(
        &self,
        secrets: &[KeyedSecret],
        given: &Signing<'_>,
    ) -> Vec<(String, String)> {
        let ended = |secret: &&KeyedSecret| {
            let not_after = secret.validity.not_after;
            not_after.is_some_and(|not_after| not_after < given.timestamp)
        };
        let mut current = secrets.iter().filter(|secret| !ended(secret));
        let Some(first) = current.next() else {
            return Vec::new();
        };
        let mut headers = self.sign(first, given);
        if let (Form::Versions { .. }, Some((_, value))) = (&self.form, headers.last_mut()) {
            for secret in current {
                let signature = self.encode(&self.digest(secret, given));
                value.push(' ');
                value.push_str(&self.form.render(&[], &signature));
            }
        }
        headers
    }

    fn digest(&self, secret: &KeyedSecret, given: &Signing<'_>) -> Digest {
        let values: Vec<String> = self
            .signed
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.to_string(),
                Part::Header(name) | Part::Pair(name) => self.value(part, name, given),
                _ => String::new(),
            })
            .collect();
        let pieces: Vec<&[u8]> = std::iter::zip(self.signed.iter(), &values)
            .map(|(part, value)| match part {
                Part::Body => given.body,
                _ => value.as_bytes(),
            })
            .collect();
        secret.mac.digest(&pieces)
    }

    /// What stands in the header or pair `part`, whose name is `name`.
    fn value(&self, part: &Part, name: &str, given: &Signing<'_>) -> String {
        if let Some(rule) = self.timestamp.as_ref().filter(|rule| rule.source == *part) {
            return match rule.unit {
                Unit::Seconds => given.timestamp.as_secs().to_string(),
                Unit::Millis | Unit::Rfc3339 => given.timestamp.as_millis().to_string(),
            };
        }
        let named = given
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map_or_else(|| given.id.to_owned(), |(_, value)| value.clone())
    }

    fn encode(&self, digest: &Digest) -> String {
        match self.encoding {
            Encoding::Hex => hex::encode(digest.as_bytes()),
            Encoding::Text => String::new(),
            Encoding::Base64 => STANDARD.encode(digest.as_bytes()),
        }
    }
}

impl Form {
    fn render(&self, pairs: &[(String, String)], signature: &str) -> String {
        match self {
            Self::Bare { prefix } => format!("{prefix}{signature}"),
            Self::Versions { version } => format!("{version},{signature}"),
            Self::Pairs { signature_key, .. } => {
                let mut text = String::new();
                for (name, value) in pairs {
                    text.push_str(&format!("{name}={value},"));
                }
                text + &format!("{signature_key}={signature}")
            }
        }
    }
}
