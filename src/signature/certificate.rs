//! Certificates that a request names: which may be fetched, and the key in them.

use url::{Host, Url};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    KeySource, KeyedScheme, Message, Refusal,
    content::{Reading, Request},
    secret::der_of_pem,
    verify::judge_of,
};
use crate::clock::Timestamp;

/// The address of the certificate that the scheme which judges `message` needs; `None` when it needs none.
///
/// `Err` when the request names none, or one that may not be fetched. Nobody has proven anything yet: whoever fetches
/// bounds time and size, and fetches an address once for many requests.
pub fn certificate_url(
    schemes: &[KeyedScheme],
    message: &Message<'_>,
) -> Result<Option<Url>, Refusal> {
    let request = Request::new(message);
    let Some((index, refusal)) = judge_of(schemes, &request) else {
        return Ok(None);
    };
    let scheme = &schemes[index].scheme;
    let KeySource::Certificate { url, .. } = &scheme.key else {
        return Ok(None);
    };
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let mut reading = Reading::new(scheme, &request, None);
    let signatures = reading.signatures();
    let text = reading.piece(url, &signatures.only);
    if let Some(refusal) = reading.refusal {
        return Err(refusal);
    }
    let text = std::str::from_utf8(text.bytes(b"")).ok();
    let allowed = text.and_then(|text| scheme.key.allowed(text));
    allowed.map(Some).ok_or(Refusal::MalformedSignature)
}

impl KeySource {
    /// `text` as an address, if a certificate may come from there.
    ///
    /// It must be written as it is meant: https, one of the hosts by name, no port, user, query or fragment, nothing
    /// escaped and no step upwards in the path.
    pub fn allowed(&self, text: &str) -> Option<Url> {
        let Self::Certificate {
            hosts, path_ends, ..
        } = self
        else {
            return None;
        };
        let url = Url::parse(text).ok()?;
        let Some(Host::Domain(host)) = url.host() else {
            return None;
        };
        let plain = url.as_str() == text
            && url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.contains(['%', '\\', '@']);
        let named = hosts.iter().any(|pattern| is_host(host, pattern));
        (plain && named && url.path().ends_with(&**path_ends)).then_some(url)
    }
}

/// In a pattern: a label that is a region of Amazon's. Under the same domain a label may also be a service where anybody
/// has a name of his own: `sns.s3.amazonaws.com` is a bucket.
pub const REGION: &str = "{region}";

/// Whether `host` is what `pattern` says: a first label `*` stands for one or more labels, any other for one, and
/// [`REGION`] for a region.
pub fn is_host(host: &str, pattern: &str) -> bool {
    let plain = |label: &str| {
        let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        !label.is_empty() && label.bytes().all(inner)
    };
    if !host.split('.').all(plain) {
        return false;
    }
    let (labels, wanted) = (host.rsplit('.'), pattern.rsplit('.'));
    let (labels, wanted): (Vec<_>, Vec<_>) = (labels.collect(), wanted.collect());
    let open = wanted.last() == Some(&"*");
    let fits = match open {
        true => labels.len() >= wanted.len(),
        false => labels.len() == wanted.len(),
    };
    fits && std::iter::zip(&labels, &wanted).all(|(label, wanted)| match *wanted {
        "*" => true,
        REGION => is_region(label),
        wanted => *label == wanted,
    })
}

/// Two words or more and a number at the end, such as `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let all = |word: &str, is: fn(&u8) -> bool| !word.is_empty() && word.as_bytes().iter().all(is);
    let Some((words, number)) = label.rsplit_once('-') else {
        return false;
    };
    let is_word = |word: &str| all(word, u8::is_ascii_lowercase);
    words.contains('-') && words.split('-').all(is_word) && all(number, u8::is_ascii_digit)
}

/// Why a certificate gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("no X.509 certificate, in PEM or DER")]
    Unreadable,
    #[error("a certificate that is not valid yet")]
    Early,
    #[error("a certificate that has expired")]
    Expired,
}

/// The public key (SPKI in DER) of a certificate in PEM, of several the first, or in DER.
///
/// That it is the provider's is known by where it was fetched; who signed it is not looked at.
pub fn key_of_certificate(bytes: &[u8], now: Timestamp) -> Result<Vec<u8>, CertificateFault> {
    let pem = der_of_pem(bytes, "CERTIFICATE");
    let der = pem.as_ref().map_or(bytes, |der| der.as_slice());
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| CertificateFault::Unreadable)?;
    let validity = certificate.validity();
    if now.as_secs() < validity.not_before.timestamp() {
        return Err(CertificateFault::Early);
    }
    if now.as_secs() > validity.not_after.timestamp() {
        return Err(CertificateFault::Expired);
    }
    Ok(certificate.public_key().raw.to_vec())
}
