//! What a scheme reads and covers.

use super::{KeySource, Part, Scheme, Source};

impl Scheme {
    /// All that is read from a request, but for the signature.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let certificate = match &self.key {
            KeySource::Certificate { url, .. } => Some(url),
            KeySource::Secrets => None,
        };
        let guards = self.guards.iter().map(|guard| &guard.place);
        let time = self.timestamp.iter().map(|rule| &rule.source);
        let rest = time.chain(guards).chain(&self.body_sha256);
        self.signed.iter().chain(rest).chain(certificate)
    }

    /// Whether anything is read from the body's document.
    pub fn reads_document(&self) -> bool {
        let is_json = |part: &Part| matches!(part, Part::Json(_) | Part::JsonLines(_));
        matches!(self.signature, Source::Json(_))
            || self.each.is_some()
            || self.parts().any(is_json)
    }

    /// Whether the signature covers all of the body, itself or by a digest of it. A checksum is none: anyone can keep
    /// it while changing the body.
    pub fn covers_body(&self) -> bool {
        let holds_body = |part: &Part| matches!(part, Part::Body | Part::SortedForm);
        self.body_sha256.is_some() || self.signed.iter().any(holds_body)
    }
}
