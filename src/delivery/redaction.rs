//! What a target echoes of the secrets that it was sent is not kept.

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use crate::config::Secret;

/// Shorter values are in many texts, and no secrets.
const SECRET_BYTES_MIN: usize = 8;
const MARK: &[u8] = b"[secret]";

/// The values to look for, the longest first: one may hold another.
pub(super) struct Redaction(Vec<Zeroizing<Vec<u8>>>);

impl Redaction {
    /// Of each value the whole and its last word, which is the credential of `Bearer …` and `Basic …`.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s Secret>) -> Self {
        let mut values: Vec<_> = secrets
            .flat_map(|secret| {
                let whole = secret.expose().trim_ascii();
                let last = whole.rsplit(u8::is_ascii_whitespace).next();
                [Some(whole), last].into_iter().flatten()
            })
            .filter(|value| value.len() >= SECRET_BYTES_MIN)
            .map(|value| Zeroizing::new(value.to_vec()))
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    /// So many bytes more than are kept have to be looked at: a value may begin within and end beyond.
    pub(super) fn overlap(&self) -> usize {
        self.0.first().map_or(0, |value| value.len())
    }

    /// At most `bytes_max` of `text`, without the values.
    pub(super) fn keep(&self, text: Bytes, bytes_max: usize) -> Bytes {
        let mut left = &text[..];
        let mut kept = BytesMut::new();
        while let Some((at, length)) = self.first_in(left) {
            kept.extend_from_slice(&left[..at]);
            kept.extend_from_slice(MARK);
            left = &left[at + length..];
        }
        if kept.is_empty() {
            return text.slice(..text.len().min(bytes_max));
        }
        kept.extend_from_slice(left);
        kept.truncate(bytes_max);
        kept.freeze()
    }

    /// Where the first value stands, and its length; at one place the longest.
    fn first_in(&self, text: &[u8]) -> Option<(usize, usize)> {
        (0..text.len()).find_map(|at| {
            let value = self.0.iter().find(|value| text[at..].starts_with(value))?;
            Some((at, value.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, bytes_max: usize) -> String {
        let secrets = ["Bearer canary-token", "production", "short", "canary-t"].map(Secret::new);
        let redaction = Redaction::new(secrets.iter());
        let kept = redaction.keep(Bytes::copy_from_slice(text.as_bytes()), bytes_max);
        String::from_utf8(kept.to_vec()).unwrap()
    }

    #[test]
    fn a_value_and_its_credential_are_not_kept() {
        for (text, expected) in [
            ("ok", "ok"),
            ("", ""),
            ("got Bearer canary-token!", "got [secret]!"),
            ("canary-token, canary-token", "[secret], [secret]"),
            ("canary-tanary-token", "[secret]anary-token"),
            ("a short text of production", "a short text of [secret]"),
        ] {
            assert_eq!(kept(text, 1000), expected, "{text}");
        }
    }

    #[test]
    fn a_value_at_the_end_of_what_is_kept_leaves_no_beginning() {
        assert_eq!(kept("1234canary-token5678", 8), "1234[sec");
        assert_eq!(kept("1234canary-token5678", 14), "1234[secret]56");
        assert_eq!(kept("12345678", 4), "1234");
    }
}
