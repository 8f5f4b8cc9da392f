//! Certificates, and who may vouch for callers.

use http::Method;
use rcgen::{CertificateParams, KeyPair};

use super::rig::{Rig, SECRET, literal, post, route};
use crate::{
    callers::certificates::Authority,
    support::client::{Client, SERVER_NAME},
};

const NO_TARGET: &str = "deliver = []";

/// A certificate that ends with the year, and its key.
fn pair(until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 12, 31);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Whether a new connection is shaken with this certificate.
async fn is_served(rig: &Rig, certificate: &str) -> bool {
    let client = Client::https(rig.process.public, certificate);
    let reply = client.try_send(Method::GET, "/nowhere", &[], "").await;
    reply.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pair_is_served_once_both_of_it_are_there_and_open_connections_stay() {
    let rig = Rig::start(&route("one", &literal(SECRET), NO_TARGET)).await;
    let old = rig.process.certificate_pem.clone();
    let (certificate, key) = pair(2071);
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    let ends = async || {
        let metrics = rig.metrics().await;
        let value = metrics.value("hookgate_tls_certificate_not_after_timestamp_seconds", &[]);
        value.unwrap()
    };
    let before = ends().await;

    rig.put("server.crt", &certificate);
    rig.until(0, 1).await;
    assert!(is_served(&rig, &old).await, "half a pair ended the other");
    assert!(!is_served(&rig, &certificate).await);
    assert_eq!(ends().await, before);
    let log = rig.process.stderr();
    assert!(
        log.contains("server.crt and server.key do not go together"),
        "{log}"
    );

    rig.put("server.key", &key);
    rig.until(1, 1).await;
    assert!(is_served(&rig, &certificate).await);
    assert!(!is_served(&rig, &old).await);
    assert_eq!(ends().await, 3_218_745_600.0);
    // Trusts the old one alone: it can only be the connection that it had.
    assert_eq!(rig.post("one", "b", SECRET).await, 200);

    rig.put("server.key", "no key at all");
    rig.until(1, 2).await;
    assert!(is_served(&rig, &certificate).await);
}

const BY_CERTIFICATE: &str = r#"
[server.tls]
client_ca = "clients.pem"

[routes.any]
path = "/any"
verify = { client_certificate = {} }
event_id = { json = "/id" }
deliver = []
"#;

async fn call(client: &Client, id: &str) -> Result<u16, String> {
    let json = [("content-type", "application/json")];
    let body = format!(r#"{{"id":"{id}"}}"#);
    let reply = client.try_send(Method::POST, "/any", &json, body).await;
    reply.map(|reply| reply.status.as_u16())
}

/// Neither by the connection that it has, nor by resuming the session of another.
#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_vouches_for_any_more_passes_no_longer() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let rig = Rig::start(&route("one", &literal(SECRET), NO_TARGET)).await;
    rig.put("clients.pem", &first.pem);
    rig.reload(BY_CERTIFICATE).await;
    let caller = |authority: &Authority| {
        let identity = authority.certificate("crm.example.com", 2090);
        let certificate = &rig.process.certificate_pem;
        Client::https_as(rig.process.public, certificate, Some(identity))
    };
    let (one, two) = (caller(&first), caller(&second));
    assert_eq!(call(&one, "a").await, Ok(200));
    assert!(call(&two, "b").await.is_err());

    // Both, while callers go over: nobody notices.
    rig.put("clients.pem", [first.pem.as_str(), &second.pem].concat());
    assert!(rig.hang_up().await);
    assert_eq!(call(&one, "c").await, Ok(200));
    assert_eq!(call(&two, "d").await, Ok(200));

    rig.put("clients.pem", &second.pem);
    assert!(rig.hang_up().await);
    assert_eq!(call(&one, "e").await, Ok(401), "by its old connection");
    let again = call(&one, "f").await;
    assert!(again.is_err(), "by its old session: {again:?}");
    assert_eq!(call(&two, "g").await, Ok(200));
}

/// Sessions are not lost for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_certificate_stays_the_same() {
    let rig = Rig::start(&route("one", &literal(SECRET), NO_TARGET)).await;
    let raw = rig.process.certificate_pem.clone();
    for name in ["two", "three"] {
        rig.reload(&route(name, &literal(SECRET), NO_TARGET)).await;
        let client = Client::https(rig.process.public, &raw);
        assert_eq!(post(&client, name, "a", SECRET).await.status.as_u16(), 200);
    }
}
