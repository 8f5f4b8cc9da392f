//! Targets over https.

use std::{sync::Arc, time::Duration};

use hookgate::{delivery::Roots, event::Outcome};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::rig::{Rig, error, target};
use crate::support::{model::Model, receiver::Receiver};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn roots(&self) -> Roots {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Roots::These(Arc::new(roots))
    }

    /// A server's settings with a certificate for `name`.
    fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_target_is_proven_by_its_authority_and_name() {
    let (own, other) = (Authority::new(), Authority::new());
    let retry = Outcome::Retry(Duration::from_millis(4));
    for (roots, name, by_name, expected, text) in [
        (&own, "localhost", true, Outcome::Delivered, None),
        (&own, "127.0.0.1", false, Outcome::Delivered, None),
        (
            &own,
            "elsewhere",
            true,
            retry.clone(),
            Some("not valid for name"),
        ),
        (
            &other,
            "localhost",
            true,
            retry,
            Some("invalid peer certificate"),
        ),
    ] {
        let receiver = Receiver::start_tls(own.server(name)).await;
        let url = match by_name {
            true => receiver.named_url(),
            false => receiver.url(),
        };
        let crm = target("crm", &url);
        let rig = Rig::start_with([crm], Model::new(), roots.roots());
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, expected, "{name}: {settled:?}");
        if let Some(text) = text {
            assert!(error(&settled).starts_with("connect: "), "{settled:?}");
            assert!(error(&settled).contains(text), "{settled:?}");
            assert_eq!(
                receiver.requests().len(),
                0,
                "nothing is sent to a stranger"
            );
        }
    }
}
