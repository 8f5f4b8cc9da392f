//! The certificate: the configured one, or a self-signed one for localhost that is made once and kept.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    clock::Timestamp,
    config::{Fingerprint, Tls},
};

/// What the public listener serves with.
pub struct Identity {
    pub config: Arc<ServerConfig>,
    /// The chain, leaf first.
    pub certificate_pem: String,
    pub not_after: Timestamp,
    /// Who judges callers that show a certificate; without it none is asked for.
    pub(super) callers: Option<Arc<dyn ClientCertVerifier>>,
    /// Of all that it was made from.
    fingerprint: Fingerprint,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} {}: {source}; let the user that the gateway runs as read it", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds no PEM {what}: {source}; it must begin with -----BEGIN", path.display())]
    Pem {
        what: &'static str,
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} and {} do not go together: {source}; take the key that the certificate was made for", certificate.display(), private_key.display())]
    Pair {
        certificate: PathBuf,
        private_key: PathBuf,
        source: rustls::Error,
    },
    #[error("{} is not a certificate that can be read: {message}", path.display())]
    Certificate { path: PathBuf, message: String },
    #[error(
        "cannot keep a self-signed certificate in {}: {source}; make it writable to the user that the gateway runs as, or \
         name a certificate in [server.tls]",
        directory.display()
    )]
    Keep {
        directory: PathBuf,
        source: io::Error,
    },
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
}

impl Identity {
    /// With `callers`, a caller may show a certificate that these authorities vouch for; another one ends the handshake.
    pub fn load(
        tls: &Tls,
        callers: Option<Arc<RootCertStore>>,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        match tls {
            Tls::Files {
                certificate,
                private_key,
            } => read(certificate, private_key, callers),
            Tls::SelfSigned { directory } => self_signed(directory, callers, now),
        }
    }

    /// Whether both have the same chain, key and authorities. Sessions of one are not resumed with the other.
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

fn read(
    certificate: &Path,
    private_key: &Path,
    callers: Option<Arc<RootCertStore>>,
) -> Result<Identity, TlsError> {
    let certificate_pem = read_file("certificate", certificate)?;
    let key_pem = read_file("private key", private_key)?;
    let pem_error = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem_error("certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(pem_error("private key", private_key))?;
    let not_after = not_after(&chain, certificate)?;
    let fingerprint = fingerprint(&certificate_pem, &key_pem, callers.as_deref());
    let callers = callers.map(client_verifier).transpose()?;
    let config = server_config(chain, key, callers.clone()).map_err(|source| TlsError::Pair {
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
        source,
    })?;
    Ok(Identity {
        config: Arc::new(config),
        certificate_pem,
        not_after,
        callers,
        fingerprint,
    })
}

fn fingerprint(chain: &str, key: &str, callers: Option<&RootCertStore>) -> Fingerprint {
    let mut parts = vec![chain.as_bytes(), key.as_bytes()];
    for authority in callers.iter().flat_map(|store| &store.roots) {
        parts.push(authority.subject.as_ref());
        parts.push(authority.subject_public_key_info.as_ref());
        parts.push(authority.name_constraints.as_deref().unwrap_or_default());
    }
    Fingerprint::of(&parts)
}

fn read_file(what: &'static str, path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

fn not_after(chain: &[CertificateDer<'_>], path: &Path) -> Result<Timestamp, TlsError> {
    let unreadable = |message: String| TlsError::Certificate {
        path: path.to_owned(),
        message,
    };
    let leaf = chain
        .first()
        .ok_or_else(|| unreadable("it holds no certificate".into()))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(leaf).map_err(|error| unreadable(error.to_string()))?;
    Ok(Timestamp::from_secs(
        parsed.validity().not_after.timestamp(),
    ))
}

fn client_verifier(callers: Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    // Which routes ask for one is not known yet: a caller without a certificate is let in.
    WebPkiClientVerifier::builder_with_provider(callers, Arc::new(aws_lc_rs::default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Setup(rustls::Error::General(error.to_string())))
}

/// TLS 1.2 and 1.3, HTTP/1.1, sessions resumed by ticket without state. Each configuration has keys for its tickets of its own:
/// a session says who the caller was, and nobody asks the authorities about it again.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    callers: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(callers.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// A kept certificate is made anew when less than this is left of it.
const RENEW_BEFORE_MS: i64 = 24 * 60 * 60 * 1000;
const VALID_YEARS: i32 = 5;

fn self_signed(
    directory: &Path,
    callers: Option<Arc<RootCertStore>>,
    now: Timestamp,
) -> Result<Identity, TlsError> {
    let (certificate, private_key) = (
        directory.join("localhost.crt"),
        directory.join("localhost.key"),
    );
    if certificate.exists() && private_key.exists() {
        let kept = read(&certificate, &private_key, callers.clone())?;
        if kept.not_after.as_millis() - now.as_millis() > RENEW_BEFORE_MS {
            return Ok(kept);
        }
    }
    let made = make(now)?;
    let keep = || {
        // It may be the first to make the store's directory, whose events are nobody else's to read.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        write_private(&private_key, made.signing_key.serialize_pem().as_bytes())?;
        fs::write(&certificate, made.cert.pem())
    };
    keep().map_err(|source| TlsError::Keep {
        directory: directory.to_owned(),
        source,
    })?;
    read(&certificate, &private_key, callers)
}

fn make(now: Timestamp) -> Result<rcgen::CertifiedKey<rcgen::KeyPair>, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = rcgen::CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Hookgate on localhost");
    let year = jiff::Timestamp::from_millisecond(now.as_millis()).map_or(2026, |at| {
        i32::from(at.to_zoned(jiff::tz::TimeZone::UTC).year())
    });
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + VALID_YEARS, 1, 1);
    let signing_key = rcgen::KeyPair::generate()?;
    let cert = params.self_signed(&signing_key)?;
    Ok(rcgen::CertifiedKey { cert, signing_key })
}

/// Readable by the owner only.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(bytes)
}
