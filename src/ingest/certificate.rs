//! The certificate that a caller has shown: whose it is, and for how long.

use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

use crate::clock::Timestamp;

/// What is known of a certificate that one of `server.tls.client_ca` vouched for when the connection was made.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    /// The subject alternative names (DNS, URI, e-mail); of a certificate that has none, the common name.
    names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl PeerCertificate {
    /// `None` when the leaf cannot be read; then nobody has shown a certificate.
    pub fn read(leaf: &[u8]) -> Option<Self> {
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let validity = leaf.validity();
        Some(Self {
            names: names(&leaf),
            not_before: Timestamp::from_secs(validity.not_before.timestamp()),
            not_after: Timestamp::from_secs(validity.not_after.timestamp()),
        })
    }

    /// Whether it still holds and has one of these names, in whatever case; no names: any. A connection, or a session that
    /// was resumed, may have outlived the certificate.
    pub(super) fn proves(&self, names: &[String], now: Timestamp) -> bool {
        let has = |wanted: &String| {
            self.names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(wanted))
        };
        let is_named = names.is_empty() || names.iter().any(has);
        is_named && self.not_before <= now && now <= self.not_after
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    // An extension that cannot be read, or stands twice, names nobody; nor does the common name then.
    match leaf.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name)
                | GeneralName::URI(name)
                | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect(),
        Ok(None) => {
            let common = leaf.subject().iter_common_name();
            common
                .filter_map(|name| name.as_str().ok())
                .map(str::to_owned)
                .collect()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn certificate(names: Vec<SanType>, common_name: &str) -> PeerCertificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2028, 1, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PeerCertificate::read(made.der()).unwrap()
    }

    fn proves(certificate: &PeerCertificate, name: &str) -> bool {
        certificate.proves(&[name.to_owned()], NOW)
    }

    #[test]
    fn alternative_names_are_names_and_the_common_name_then_is_not() {
        let names = vec![
            SanType::DnsName("crm.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/crm".try_into().unwrap()),
            SanType::Rfc822Name("crm@example.com".try_into().unwrap()),
        ];
        let shown = certificate(names, "partner");
        for name in [
            "CRM.example.com",
            "spiffe://example.com/crm",
            "crm@example.com",
        ] {
            assert!(proves(&shown, name), "{name}");
        }
        for name in ["partner", "example.com", "other.example.com", ""] {
            assert!(!proves(&shown, name), "{name}");
        }
        assert!(shown.proves(&[], NOW), "of whatever name");
    }

    #[test]
    fn without_alternative_names_the_common_name_is_one() {
        let shown = certificate(Vec::new(), "partner");
        assert!(proves(&shown, "partner"));
        assert!(!proves(&shown, "other"));
    }

    #[test]
    fn it_proves_nothing_outside_of_its_time() {
        let shown = certificate(Vec::new(), "partner");
        for (seconds, expected) in [
            (1_767_225_599, false),
            (1_767_225_600, true),
            (1_830_297_600, true),
            (1_830_297_601, false),
        ] {
            assert_eq!(
                shown.proves(&[], Timestamp::from_secs(seconds)),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        assert!(PeerCertificate::read(b"").is_none());
        assert!(PeerCertificate::read(&[0x30; 64]).is_none());
    }
}
