//! `ca`, `client_certificate` and `client_key` of a target: PEM files, read and matched at load.

use std::{io::Read as _, path::Path, sync::Arc};

use rustls::{
    Error, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{
    ClientCertificate, TargetTls,
    reader::{Node, Table, quoted},
};

/// More than any system's bundle of authorities; a device or a log named by mistake is not read to its end.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// `url` is the target's, when it has one that can be read.
pub(super) fn read_target_tls(table: &mut Table<'_>, url: Option<&url::Url>) -> TargetTls {
    let ca = table.take("ca");
    let certificate = table.take("client_certificate");
    let key = table.take("client_key");
    if url.is_some_and(|url| url.scheme() == "http") {
        for node in [&ca, &certificate, &key].into_iter().flatten() {
            node.place
                .fault("a key of TLS on an http target", "an https `url`");
        }
    }
    let pair = match (certificate, key) {
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
    TargetTls {
        authorities: ca.and_then(|node| read_authorities(&node)).map(Arc::new),
        client_certificate: pair.and_then(|(certificate, key)| read_pair(&certificate, &key)),
    }
}

fn read_authorities(node: &Node<'_>) -> Option<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    for certificate in read_chain(node)? {
        if let Err(error) = authorities.add(certificate) {
            let found = format!("a certificate that cannot be read ({error})");
            node.place.fault(found, "certificates of authorities");
            return None;
        }
    }
    Some(authorities)
}

fn read_pair(certificate: &Node<'_>, key: &Node<'_>) -> Option<ClientCertificate> {
    let chain = read_chain(certificate);
    let private_key = read_key(key);
    match CertifiedKey::from_der(chain?, private_key?, &aws_lc_rs::default_provider()) {
        Ok(pair) => return Some(ClientCertificate(Arc::new(pair))),
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

/// Not empty.
fn read_chain(node: &Node<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let text = read_pem(node)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => reject(node, "which holds no certificate", "certificates in PEM"),
        Err(error) => reject_pem(node, &error, "certificates in PEM"),
    }
    None
}

fn read_key(node: &Node<'_>) -> Option<PrivateKeyDer<'static>> {
    let text = read_pem(node)?;
    let key = PrivateKeyDer::from_pem_slice(&text);
    key.map_err(|error| match error {
        pem::Error::NoItemsFound => {
            reject(node, "which holds no private key", "a private key in PEM");
        }
        error => reject_pem(node, &error, "a private key in PEM"),
    })
    .ok()
}

fn read_pem(node: &Node<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let path = node.string("the path of a PEM file")?;
    let path = node.place.context.resolve(path);
    let mut text = Zeroizing::new(Vec::new());
    match read_to_end(&path, &mut text) {
        Ok(()) => Some(text),
        Err(error) => {
            let found = format!("which cannot be read ({error})");
            let expected = format!("a file that the gateway may read at {}", path.display());
            reject(node, &found, &expected);
            None
        }
    }
}

fn read_to_end(path: &Path, text: &mut Vec<u8>) -> std::io::Result<()> {
    let file = std::fs::File::open(path)?;
    file.take(PEM_BYTES_MAX).read_to_end(text).map(|_| ())
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
