//! Certificates for servers on 127.0.0.1.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use redis::{ConnectionInfo, TlsCertificates};
use tempfile::TempDir;

/// One certificate, which is its own authority, in files.
pub(crate) struct Certificate {
    directory: TempDir,
    pem: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        // Another test may have installed it before.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::default();
        let address = IpAddr::from([127, 0, 0, 1]);
        parameters.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("a file");
        };
        write("redis.crt", &pem);
        write("redis.key", &key.serialize_pem());
        Self { directory, pem }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("redis.crt")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.path().join("redis.key")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// For a server that shows it on this port.
    pub(crate) fn options(&self, port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("tls-port", port.to_string()),
            ("tls-cert-file", self.path("redis.crt")),
            ("tls-key-file", self.path("redis.key")),
            ("tls-ca-cert-file", self.path("redis.crt")),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    /// For a client that trusts it.
    pub(crate) fn trusted(&self) -> TlsCertificates {
        TlsCertificates {
            client_tls: None,
            root_cert: Some(self.pem.clone().into_bytes()),
        }
    }

    /// To a server on this port, from a client that trusts it.
    pub(crate) fn connection(&self, port: u16) -> ConnectionInfo {
        let url = format!("rediss://127.0.0.1:{port}/");
        let client = redis::Client::build_with_tls(url, self.trusted()).expect("certificates");
        client.get_connection_info().clone()
    }
}
