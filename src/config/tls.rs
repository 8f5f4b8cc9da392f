//! `ca`, `client_certificate` and `client_key` of a target or of Redis: PEM files, read and matched at load.

use std::{path::Path, sync::Arc};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::{
    Error, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{
    ClientCertificate, TargetTls,
    caution::{check_authorities, check_chain},
    reader::{Node, Table, quoted},
};

/// More than any system's bundle of authorities; a device or a log named by mistake is not read to its end.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The keys that say how a server is proven and how the gateway proves itself to it, with where they stand.
pub(super) struct TlsKeys<'a> {
    ca: Option<Node<'a>>,
    /// A certificate and its key.
    own: Option<(Node<'a>, Node<'a>)>,
}

impl<'a> TlsKeys<'a> {
    pub(super) fn take(table: &mut Table<'a>) -> Self {
        let ca = table.take("ca");
        let own = match (table.take("client_certificate"), table.take("client_key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => {
                let expected = "the path of the key of `client_certificate`";
                table.place.missing("client_key", expected);
                None
            }
            (None, Some(_)) => {
                let expected = "the path of the certificate of `client_key`";
                table.place.missing("client_certificate", expected);
                None
            }
            (None, None) => None,
        };
        Self { ca, own }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.own.is_none()
    }

    /// They mean nothing where there is no TLS.
    pub(super) fn refuse(&self, found: &str, expected: &str) {
        let own = self
            .own
            .iter()
            .flat_map(|(certificate, key)| [certificate, key]);
        for node in self.ca.iter().chain(own) {
            node.place.fault(found, expected);
        }
    }

    pub(super) fn of_target(&self) -> TargetTls {
        TargetTls {
            authorities: self.authorities().map(|(roots, _)| Arc::new(roots)),
            client_certificate: self
                .pair()
                .map(|(pair, _)| ClientCertificate(Arc::new(pair))),
        }
    }

    /// As text, which is what the client of Redis takes.
    pub(super) fn of_redis(&self) -> TlsCertificates {
        TlsCertificates {
            root_cert: self.authorities().map(|(_, text)| text.to_vec()),
            client_tls: self.pair().map(|(_, [certificate, key])| ClientTlsConfig {
                client_cert: certificate.to_vec(),
                client_key: key.to_vec(),
            }),
        }
    }

    fn authorities(&self) -> Option<(RootCertStore, Text)> {
        let node = self.ca.as_ref()?;
        let text = read_pem(node)?;
        Some((authorities_of(node, &text)?, text))
    }

    fn pair(&self) -> Option<(CertifiedKey, [Text; 2])> {
        let (certificate, key) = self.own.as_ref()?;
        let (chain_text, key_text) = (read_pem(certificate), read_pem(key));
        let chain = chain_text
            .as_ref()
            .and_then(|text| chain(certificate, text));
        if let Some(chain) = &chain {
            check_chain(certificate, chain.iter().map(AsRef::as_ref));
        }
        let private_key = key_text.as_ref().and_then(|text| private_key(key, text));
        match CertifiedKey::from_der(chain?, private_key?, &aws_lc_rs::default_provider()) {
            Ok(pair) => return Some((pair, [chain_text?, key_text?])),
            Err(Error::InconsistentKeys(_)) => {
                let problem = "which does not belong to `client_certificate`";
                reject(key, problem, "the key of that certificate");
            }
            Err(Error::InvalidCertificate(error)) => {
                let problem = format!("whose first certificate cannot be used ({error})");
                reject(certificate, &problem, "an X.509 certificate of version 3");
            }
            Err(error) => {
                let problem = format!("which cannot be used ({error})");
                reject(key, &problem, "a key of RSA, ECDSA or Ed25519");
            }
        }
        None
    }
}

/// Warns of the gateway's own certificate when it is about to end. Whether it can be used is found out at the start.
pub(super) fn check_own(node: &Node<'_>, path: &Path) {
    let Ok(text) = node.place.context.read(path, PEM_BYTES_MAX) else {
        return;
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .collect();
    check_chain(node, chain.iter().map(AsRef::as_ref));
}

/// The authorities of a PEM file.
pub(super) fn read_authorities(node: &Node<'_>) -> Option<RootCertStore> {
    authorities_of(node, &read_pem(node)?)
}

fn authorities_of(node: &Node<'_>, text: &[u8]) -> Option<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    let chain = chain(node, text)?;
    check_authorities(node, chain.iter().map(AsRef::as_ref));
    for certificate in chain {
        if let Err(error) = authorities.add(certificate) {
            let found = format!("a certificate that cannot be read ({error})");
            node.place.fault(found, "certificates of authorities");
            return None;
        }
    }
    Some(authorities)
}

/// Of a file; it may hold a key.
type Text = Zeroizing<Vec<u8>>;

/// Not empty.
fn chain(node: &Node<'_>, text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => reject(node, "which holds no certificate", "certificates in PEM"),
        Err(error) => reject_pem(node, &error, "certificates in PEM"),
    }
    None
}

fn private_key(node: &Node<'_>, text: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_slice(text);
    key.map_err(|error| match error {
        pem::Error::NoItemsFound => {
            reject(node, "which holds no private key", "a private key in PEM");
        }
        error => reject_pem(node, &error, "a private key in PEM"),
    })
    .ok()
}

fn read_pem(node: &Node<'_>) -> Option<Text> {
    let path = node.string("the path of a PEM file")?;
    let path = node.place.resolve(path);
    match node.place.context.read(&path, PEM_BYTES_MAX) {
        Ok(text) => Some(text),
        Err(error) => {
            let found = format!("which cannot be read ({error})");
            let expected = format!("a file that the gateway may read at {}", path.display());
            reject(node, &found, &expected);
            None
        }
    }
}

/// The library's words can hold a line of the file, which may be one of the key.
fn reject_pem(node: &Node<'_>, error: &pem::Error, expected: &str) {
    let problem = match error {
        pem::Error::MissingSectionEnd { .. } => "a section does not end",
        pem::Error::IllegalSectionStart { .. } => "a section does not begin as it should",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it is not PEM",
    };
    reject(node, &format!("which cannot be read ({problem})"), expected);
}

fn reject(node: &Node<'_>, problem: &str, expected: &str) {
    let name = node.value.as_str().unwrap_or_default();
    node.place
        .fault(format!("{}, {problem}", quoted(name)), expected);
}
