//! Redis over TLS.

use std::{net::IpAddr, sync::Arc};

use hookgate::{
    config::Durability,
    store::{
        Store as _,
        redis::{Options, RedisStore},
    },
};
use redis::{ConnectionInfo, TlsCertificates};

use super::{event, is_accepted, metrics};
use crate::support::redis::{RedisServer, free_port};

struct Certificate {
    certificate: String,
    private_key: String,
}

impl Certificate {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        let address = IpAddr::from([127, 0, 0, 1]);
        parameters.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
        Self {
            certificate: parameters.self_signed(&key).unwrap().pem(),
            private_key: key.serialize_pem(),
        }
    }
}

/// To a server that shows its certificate, from a client that trusts `trusted`.
fn connection(port: u16, trusted: &Certificate) -> ConnectionInfo {
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(trusted.certificate.clone().into_bytes()),
    };
    let url = format!("rediss://127.0.0.1:{port}/");
    let client = redis::Client::build_with_tls(url, certificates).unwrap();
    client.get_connection_info().clone()
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_is_checked() {
    // Another test may have installed it before.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let (own, other) = (Certificate::new(), Certificate::new());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = file("redis.crt", &own.certificate);
    let private_key = file("redis.key", &own.private_key);
    let port = free_port();
    let _server = RedisServer::with(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &certificate),
        ("tls-key-file", &private_key),
        ("tls-ca-cert-file", &certificate),
        ("tls-auth-clients", "no"),
    ]);

    let trusting = connection(port, &own);
    let store = RedisStore::open(Options::new(trusting, Durability::Always), metrics()).await;
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    assert!(is_accepted(
        &store.accept(Arc::new(event("a"))).await.unwrap()
    ));

    let doubting = connection(port, &other);
    let refused = RedisStore::open(Options::new(doubting, Durability::Always), metrics()).await;
    let fault = refused.err().expect("a refusal").to_string();
    assert!(fault.contains("certificate"), "{fault}");
    assert_eq!(fault.lines().count(), 1, "{fault}");
}
