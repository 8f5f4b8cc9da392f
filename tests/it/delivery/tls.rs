//! Targets over https.

use std::{sync::Arc, time::Duration};

use hookgate::{
    config::{ClientCertificate, TargetTls},
    delivery::Roots,
    event::Outcome,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};

use super::rig::{Rig, error, event, target};
use crate::support::{model::Model, receiver::Receiver};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two by the same name: each is then an unknown issuer where the other is trusted.
        let name = uuid::Uuid::now_v7().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn store(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }

    fn roots(&self) -> Roots {
        Roots::These(self.store())
    }

    /// A certificate for `name` with its key; `change` makes it another than a good one.
    fn certificate(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }

    /// A server's settings with a certificate for `name`.
    fn server(&self, name: &str) -> ServerConfig {
        serve(self.certificate(name, |_| ()), None)
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// `callers`: whose certificate a caller has to show.
fn serve((chain, key): Pair, callers: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(callers) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(callers.store(), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}

fn client_certificate((chain, key): Pair) -> Option<ClientCertificate> {
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    Some(ClientCertificate(Arc::new(pair.unwrap())))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_out_of_its_time_is_refused() {
    let own = Authority::new();
    for (from, to, expected) in [
        (2000, 2001, "certificate expired"),
        (3000, 3001, "certificate not valid yet"),
    ] {
        let certificate = own.certificate("localhost", |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        let receiver = Receiver::start_tls(serve(certificate, None)).await;
        let crm = target("crm", &receiver.named_url());
        let rig = Rig::start_with([crm], Model::new(), own.roots());
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
        let text = error(&settled);
        assert!(
            text.starts_with("connect: ") && text.contains(expected),
            "{text}"
        );
        assert_eq!(receiver.requests().len(), 0);
    }
}

/// A target's own authorities stand in the place of the system's, for this target alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_s_own_authorities_replace_the_others() {
    let (own, system) = (Authority::new(), Authority::new());
    for (server, authorities, is_proven) in [
        (&own, Some(&own), true),
        (&own, None, false),
        (&system, Some(&own), false),
        (&system, None, true),
    ] {
        let receiver = Receiver::start_tls(server.server("localhost")).await;
        let mut crm = target("crm", &receiver.named_url());
        crm.tls.authorities = authorities.map(Authority::store);
        let rig = Rig::start_with([crm], Model::new(), system.roots());
        let settled = rig.first_settlement().await;
        assert_eq!(
            settled.outcome == Outcome::Delivered,
            is_proven,
            "{settled:?}"
        );
        if !is_proven {
            assert!(error(&settled).contains("UnknownIssuer"), "{settled:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_asks_for_a_certificate_is_shown_it() {
    let (servers, callers) = (Authority::new(), Authority::new());
    let shown = |by: &Authority| client_certificate(by.certificate("gateway", |_| ()));
    // The large one is refused while it is being written.
    let sizes = [2, 4 << 20];
    let cases = [
        (shown(&callers), None),
        (shown(&servers), Some("UnknownCA")),
        (None, Some("CertificateRequired")),
    ];
    for ((certificate, refusal), size) in
        cases.iter().flat_map(|case| sizes.map(|size| (case, size)))
    {
        let server = serve(servers.certificate("localhost", |_| ()), Some(&callers));
        let receiver = Receiver::start_tls(server).await;
        let mut crm = target("crm", &receiver.named_url());
        crm.tls = TargetTls {
            authorities: Some(servers.store()),
            client_certificate: certificate.clone(),
        };
        let rig = Rig::start([crm]);
        let mut event = event("evt_1", &["crm"]);
        event.body = vec![b' '; size].into();
        rig.send(event).await;
        let settled = rig.model.wait_for_settled(1).await.remove(0);
        match refusal {
            None => assert_eq!(settled.outcome, Outcome::Delivered, "{settled:?}"),
            Some(refusal) => {
                assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
                assert!(error(&settled).contains(refusal), "{settled:?}");
                assert_eq!(receiver.requests().len(), 0);
            }
        }
    }
}
