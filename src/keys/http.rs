//! The fetcher over HTTP: one connection a fetch, no redirects, no cookies, nothing of the request that asks.

use std::{error::Error, sync::Arc, time::Duration};

use ::http::{
    HeaderMap, Method, Request,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT},
};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use url::{Host, Url};

use super::{DOCUMENT_BYTES_MAX, Document, FETCH_DEADLINE, FetchFault, FetchRequest, KeyFetcher};
use crate::outbound::{AddressGuard, GuardedResolver, NameService, Names, NamesFault};

/// The head of a response must fit into this many bytes.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

pub struct HttpFetcher {
    tls: ClientConfig,
    names: Arc<NameService>,
}

/// Why nothing can be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HttpFetcherFault {
    #[error(transparent)]
    Names(#[from] NamesFault),
    #[error(
        "keys are fetched over https, but the system has no certificate authorities to prove where from \
         (install the ca-certificates package)"
    )]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl HttpFetcher {
    /// `None`: the operating system's authorities.
    pub fn new(roots: Option<Arc<RootCertStore>>, names: &Names) -> Result<Self, HttpFetcherFault> {
        let roots = roots.map_or_else(native_roots, Ok)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let names = NameService::new(names)?;
        Ok(Self { tls, names })
    }
}

fn native_roots() -> Result<Arc<RootCertStore>, HttpFetcherFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match added {
        0 => Err(HttpFetcherFault::NoRoots),
        _ => Ok(Arc::new(roots)),
    }
}

/// Whether keys may be fetched from there: over https, or http from this very machine.
pub(crate) fn is_fetchable(url: &Url) -> bool {
    let on_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    plain && (url.scheme() == "https" || url.scheme() == "http" && on_loopback)
}

#[async_trait]
impl KeyFetcher for HttpFetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Document, FetchFault> {
        if !is_fetchable(&request.url) {
            return Err(FetchFault("an address that is not https".into()));
        }
        let guard = AddressGuard {
            place: "where its keys are configured".into(),
            allow_private: request.allow_private,
        };
        let host = request.url.host_str().unwrap_or_default();
        guard.check_literal(host).map_err(|error| told(&error))?;
        let mut http = HttpConnector::new_with_resolver(GuardedResolver {
            guard,
            names: self.names.clone(),
        });
        // Shared out among the addresses of a name.
        http.set_connect_timeout(Some(FETCH_DEADLINE));
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .build(connector);
        let response = client.request(http_request(request)?).await;
        let (head, body) = response.map_err(|error| told(&error))?.into_parts();
        let body = Limited::new(body, DOCUMENT_BYTES_MAX).collect().await;
        Ok(Document {
            status: head.status.as_u16(),
            max_age: max_age(&head.headers),
            body: body.map_err(|error| told(&*error))?.to_bytes(),
        })
    }
}

fn http_request(request: &FetchRequest) -> Result<Request<Full<Bytes>>, FetchFault> {
    let builder = Request::builder()
        .uri(request.url.as_str())
        .header(USER_AGENT, concat!("Hookgate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*");
    let built = match &request.json {
        None => builder.body(Full::default()),
        Some(json) => builder
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::copy_from_slice(json.as_bytes()).into()),
    };
    built.map_err(|error| told(&error))
}

/// `max-age`; nothing of what must not be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<_> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives
        .iter()
        .any(|name| name == "no-store" || name == "no-cache")
    {
        return Some(Duration::ZERO);
    }
    let age = directives
        .iter()
        .find_map(|one| one.strip_prefix("max-age="))?;
    age.parse().ok().map(Duration::from_secs)
}

/// With its causes, of which the last tells most.
fn told(error: &(dyn Error + 'static)) -> FetchFault {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    FetchFault(text)
}
