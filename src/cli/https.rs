//! A small HTTPS client: what `send` and `demo` call a gateway with.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// The whole exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More of an answer is not read, unless it is asked for.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Whose certificates are believed.
pub(super) enum Trust<'a> {
    /// Those in this PEM, and no others.
    Pem(&'a str),
    /// The system's certificate authorities.
    System,
}

/// Sends requests; connections are kept alive and shared by clones.
#[derive(Clone)]
pub(super) struct Https {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    answer_bytes_max: usize,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From sending to the answer's end.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Https {
    /// `Err` tells in words why TLS cannot be set up.
    pub(super) fn new(trust: &Trust<'_>) -> Result<Self, String> {
        Self::showing(trust, None)
    }

    /// With a certificate of its own: chain and key, both PEM.
    pub(super) fn showing(trust: &Trust<'_>, own: Option<(&str, &str)>) -> Result<Self, String> {
        let roots = match trust {
            Trust::Pem(pem) => roots_of(pem)?,
            Trust::System => system_roots(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots);
        let tls = match own {
            None => tls.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
                let chain = chain.map_err(|error| format!("--cert: not a certificate: {error}"))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
                let key = key.map_err(|error| format!("--cert-key: not a private key: {error}"))?;
                tls.with_client_auth_cert(chain, key)
                    .map_err(|error| format!("--cert and --cert-key: {error}"))?
            }
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            client,
            answer_bytes_max: ANSWER_BYTES_MAX,
        })
    }

    pub(super) fn with_answers_up_to(self, answer_bytes_max: usize) -> Self {
        Self {
            answer_bytes_max,
            ..self
        }
    }

    /// `Err` tells in words, with every cause, why there is no whole answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let began = Instant::now();
        let exchange = async {
            let response = self.client.request(request).await;
            let (head, body) = response.map_err(|error| tell(&error))?.into_parts();
            let body = Limited::new(body, self.answer_bytes_max).collect().await;
            let body = body.map_err(|error| tell(&*error))?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
                took: began.elapsed(),
            })
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
    }
}

/// The text of a PEM file.
pub(super) fn read_pem(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the certificate {}: {error}", path.display()))
}

fn roots_of(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("not a certificate: {error}"))?;
        let added = roots.add(certificate);
        added.map_err(|error| format!("not a certificate to trust: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the file holds no certificate in PEM".into());
    }
    Ok(roots)
}

/// Certificates of the system that cannot be read are left out, as everywhere.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// An error with all its causes, none told twice.
fn tell(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.ends_with(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}
