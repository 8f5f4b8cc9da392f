//! An HTTPS client with keep-alive that trusts one certificate, and a plain one for the admin listener.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::Value;
use uuid::Uuid;

use super::PATIENCE;

/// Shorter than the admin listener keeps an idle connection: one that it is about to close takes no request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The name in the gateway's certificate.
pub const SERVER_NAME: &str = "localhost";

/// A certificate with its chain, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The value of a header that stands once; `None` when it is absent.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().expect("a header of visible ASCII");
        assert!(values.next().is_none(), "{name} stands more than once");
        Some(value)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} ({})", self.text(), self.status))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `accepted` or `duplicate`: what a 2xx of Hookgate's own form says.
    #[track_caller]
    pub fn outcome(&self) -> String {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()["status"].as_str().expect("a status").to_owned()
    }

    /// The event's uid, from a 2xx of Hookgate's own form.
    #[track_caller]
    pub fn uid(&self) -> Uuid {
        let json = self.json();
        let uid = json["event"].as_str().expect("an event uid");
        uid.parse().expect("a UUID")
    }
}

/// Every event that a client was told is accepted, with the body that it had sent.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<(Uuid, Bytes)>>>);

impl Ledger {
    /// Takes down an answer, when it says `accepted`; any other is ignored.
    pub fn note(&self, reply: &Reply, sent: &[u8]) {
        let Ok(json) = serde_json::from_slice::<Value>(&reply.body) else {
            return;
        };
        let uid = json["event"].as_str().and_then(|uid| uid.parse().ok());
        if let (true, Some("accepted"), Some(uid)) =
            (reply.status.is_success(), json["status"].as_str(), uid)
        {
            self.lock().push((uid, Bytes::copy_from_slice(sent)));
        }
    }

    pub fn entries(&self) -> Vec<(Uuid, Bytes)> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Uuid, Bytes)>> {
        self.0.lock().expect("no holder of the ledger panics")
    }
}

/// Sends to one address. Connections are pooled and kept alive; clones share them.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    pub ledger: Ledger,
}

impl Client {
    /// HTTPS, trusting only `certificate_pem`.
    pub fn https(address: SocketAddr, certificate_pem: &str) -> Self {
        let tls = tls_config(certificate_pem, rustls::ALL_VERSIONS);
        Self::with(tls, format!("https://{address}"), None)
    }

    /// The same, showing a certificate if it is asked for one.
    pub fn https_as(
        address: SocketAddr,
        certificate_pem: &str,
        identity: Option<Identity>,
    ) -> Self {
        let mut tls = tls_config(certificate_pem, rustls::ALL_VERSIONS);
        if let Some((chain, key)) = identity {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let pair = CertifiedKey::from_der(chain, key, &provider).expect("a pair");
            tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
        }
        Self::with(tls, format!("https://{address}"), None)
    }

    /// Plain HTTP.
    pub fn plain(address: SocketAddr) -> Self {
        let tls = tls_config("", rustls::ALL_VERSIONS);
        Self::with(tls, format!("http://{address}"), Some(IDLE_TIMEOUT))
    }

    fn with(tls: ClientConfig, base: String, idle_timeout: Option<Duration>) -> Self {
        let name = ServerName::try_from(SERVER_NAME).expect("a server name");
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .build();
        Self {
            http: legacy::Client::builder(TokioExecutor::new())
                .pool_idle_timeout(idle_timeout)
                .build(connector),
            base,
            ledger: Ledger::default(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        self.send(Method::POST, path, headers, body).await
    }

    /// Panics when there is no reply.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("no reply from {}{path}: {error}", self.base))
    }

    /// `Err` tells why there is no whole reply: refused, reset, closed, or silent for [`PATIENCE`].
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Reply, String> {
        let sent = Bytes::copy_from_slice(body.as_ref());
        // The payload of a GET is its query.
        let query = path.split_once('?').filter(|_| method == Method::GET);
        let payload = query.map_or(&sent[..], |(_, query)| query.as_bytes());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(sent.clone())).expect("a request");
        let reply = within(PATIENCE, self.exchange(request)).await?;
        self.ledger.note(&reply, payload);
        Ok(reply)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let response = self.http.request(request).await.map_err(|e| tell(&e))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| tell(&e))?.to_bytes();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(format!("silent for {limit:?}")))
}

/// An error with all its causes.
fn tell(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Trusts the certificates in `pem`, and no others.
pub fn tls_config(pem: &str, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.expect("a certificate in PEM"))
            .expect("a certificate to trust");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions that the provider knows")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
