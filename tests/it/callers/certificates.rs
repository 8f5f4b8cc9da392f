//! `client_certificate`: mutual TLS.

use hookgate::clock::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::support::{
    client::{Client, Identity},
    gateway::Gateway,
};

const BODY: &str = r#"{"id":"evt_1"}"#;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Valid through the year `until`.
    pub(crate) fn certificate(&self, name: &str, until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }
}

const ROUTES: &str = r#"
[server.tls]
client_ca = "clients.pem"

[routes.named]
path = "/named"
verify = { client_certificate = { names = ["crm.example.com", "erp.example.com"] } }
event_id = { json = "/id" }
deliver = []

[routes.any]
path = "/any"
verify = { client_certificate = {} }
event_id = { json = "/id" }
deliver = []

[routes.open]
path = "/open"
verify = "none"
event_id = { json = "/id" }
deliver = []"#;

async fn status(client: &Client, path: &str) -> Result<u16, String> {
    let reply = client.try_send(http::Method::POST, path, &JSON, BODY).await;
    reply.map(|reply| reply.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_must_be_vouched_for_and_have_a_name_of_the_route() {
    let (own, other) = (Authority::new("partners"), Authority::new("strangers"));
    let gateway = Gateway::start_with(ROUTES, &[("clients.pem", &own.pem)]).await;
    let app = gateway.app();
    let client = |identity| {
        let (address, pem) = (app.public_addr(), app.certificate_pem());
        Client::https_as(address, pem, identity)
    };
    let named = client(Some(own.certificate("CRM.example.com", 2090)));
    let unnamed = client(Some(own.certificate("shop.example.com", 2090)));
    let nobody = client(None);
    for (who, caller, expected) in [
        ("named", &named, [200, 200, 200]),
        ("unnamed", &unnamed, [401, 200, 200]),
        ("nobody", &nobody, [401, 401, 200]),
    ] {
        for (path, expected) in ["/named", "/any", "/open"].into_iter().zip(expected) {
            // Twice: over the same connection, too.
            assert_eq!(status(caller, path).await, Ok(expected), "{who} {path}");
            assert_eq!(status(caller, path).await, Ok(expected), "{who} {path}");
        }
    }
    let stranger = client(Some(other.certificate("crm.example.com", 2090)));
    let refused = status(&stranger, "/open").await;
    assert!(
        refused.is_err(),
        "a stranger's certificate ends the connection: {refused:?}"
    );

    let metrics = gateway.metrics().await;
    let value = |name, labels: &[(&str, &str)]| metrics.value(name, labels);
    for (route, reason, expected) in [
        ("named", "invalid_client_certificate", 2.0),
        ("named", "missing_credentials", 2.0),
        ("any", "missing_credentials", 2.0),
    ] {
        let labels = [("route", route), ("reason", reason)];
        assert_eq!(value("hookgate_rejections_total", &labels), Some(expected));
    }
    let labels = [("route", "any"), ("credential", "client_certificate")];
    assert_eq!(value("hookgate_credential_uses_total", &labels), Some(4.0));
    gateway.finish().await;
}

/// The connection, or a session that is resumed, outlives it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_meanwhile_proves_nothing() {
    let own = Authority::new("partners");
    let gateway = Gateway::start_with(ROUTES, &[("clients.pem", &own.pem)]).await;
    let app = gateway.app();
    let identity = own.certificate("crm.example.com", 2090);
    let caller = Client::https_as(app.public_addr(), app.certificate_pem(), Some(identity));
    assert_eq!(status(&caller, "/any").await, Ok(200));
    let hand = gateway.hand.as_ref().unwrap();
    let in_2091 = Timestamp::from_secs(3_818_448_000);
    hand.step(in_2091);
    assert_eq!(status(&caller, "/any").await, Ok(401));
    gateway.finish().await;
}
