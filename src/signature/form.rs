//! The shapes of a signature's text.

use super::{ENTRIES_MAX, Form};

impl Form {
    /// Calls `take` with each signature in `value`, of at most [`ENTRIES_MAX`] entries. False when there are more.
    pub(super) fn signatures<'v>(&self, value: &'v [u8], mut take: impl FnMut(&'v [u8])) -> bool {
        match self {
            Self::Bare { prefix } => {
                if let Some(text) = value.strip_prefix(prefix.as_bytes()) {
                    take(text);
                }
                true
            }
            Self::Pairs { signature_key, .. } => {
                let named = |(key, _): &(&[u8], &[u8])| *key == signature_key.as_bytes();
                let first = self.pairs(value).take(ENTRIES_MAX);
                first.filter(named).for_each(|(_, text)| take(text));
                self.are_few(value)
            }
            Self::Versions { version } => {
                let named = |(key, _): &(&[u8], &[u8])| *key == version.as_bytes();
                let first = versions(value).take(ENTRIES_MAX);
                first.filter(named).for_each(|(_, text)| take(text));
                self.are_few(value)
            }
        }
    }

    /// `t=1,v1=2` → `(t, 1)`, `(v1, 2)`. Spaces around an entry do not count.
    pub(super) fn pairs<'v>(
        &self,
        value: &'v [u8],
    ) -> impl Iterator<Item = (&'v [u8], &'v [u8])> + use<'v> {
        let separator = self.separator().unwrap_or(b',');
        entries(value, separator).filter_map(|entry| split_at_byte(entry.trim_ascii(), b'='))
    }

    /// Whether a list holds an entry of this scheme's version; true of other forms.
    pub(super) fn has_entry(&self, value: &[u8]) -> bool {
        match self {
            Self::Bare { .. } | Self::Pairs { .. } => true,
            Self::Versions { version } => versions(value).any(|(key, _)| key == version.as_bytes()),
        }
    }

    fn are_few(&self, value: &[u8]) -> bool {
        let separators = |separator| value.iter().filter(|byte| **byte == separator).count();
        self.separator()
            .is_none_or(|separator| separators(separator) < ENTRIES_MAX)
    }

    /// Between entries. A separator is ASCII; what is not separates nothing.
    fn separator(&self) -> Option<u8> {
        match self {
            Self::Bare { .. } => None,
            Self::Pairs { separator, .. } => u8::try_from(*separator).ok(),
            Self::Versions { .. } => Some(b' '),
        }
    }
}

/// `v1,a v1,b` → `(v1, a)`, `(v1, b)`.
fn versions(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    entries(value, b' ').filter_map(|entry| split_at_byte(entry, b','))
}

fn entries(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    value.split(move |byte| *byte == separator)
}

fn split_at_byte(entry: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = entry.iter().position(|byte| *byte == separator)?;
    Some((&entry[..at], &entry[at + 1..]))
}
