//! One HTTP client a target: pooled connections that no other target shares.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, sign::SingleCertAndKey};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{DeliveryError, client_first::ClientFirst};
use crate::{
    config::{ClientCertificate, Target},
    outbound::{AddressGuard, GuardedResolver, NameService},
};

/// Connections that wait for a next request are closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that was opened and not used is read after this long.
const UNREAD_MAX: Duration = Duration::from_secs(1);
/// The head of a response must fit into this many bytes.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// Which certificate authorities prove an `https` target.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// The operating system's.
    #[default]
    Native,
    These(Arc<RootCertStore>),
}

/// The authorities of the targets that name none of their own; the system's are read only when one of them needs them.
pub(super) fn shared_roots<'t>(
    roots: &Roots,
    mut targets: impl Iterator<Item = &'t Target>,
) -> Result<Arc<RootCertStore>, DeliveryError> {
    let in_need =
        |target: &&Target| target.url.scheme() == "https" && target.tls.authorities.is_none();
    match (roots, targets.find(in_need)) {
        (Roots::These(roots), _) => Ok(roots.clone()),
        (Roots::Native, None) => Ok(Arc::new(RootCertStore::empty())),
        (Roots::Native, Some(target)) => native_roots(target).map(Arc::new),
    }
}

fn native_roots(target: &Target) -> Result<RootCertStore, DeliveryError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(DeliveryError::NoRoots {
        target: target.name.clone(),
        reason: errors.join("; "),
    })
}

pub(super) fn client(
    target: &Target,
    shared_roots: Arc<RootCertStore>,
    names: Arc<NameService>,
) -> Result<HttpClient, DeliveryError> {
    let guard = AddressGuard {
        place: format!("under [targets.{}]", target.name).into(),
        allow_private: target.allow_private,
    };
    let resolver = GuardedResolver {
        guard: guard.clone(),
        names,
    };
    let mut http = HttpConnector::new_with_resolver(resolver);
    // Shared out among the addresses of a name, so that one that swallows packets leaves time for the next.
    http.set_connect_timeout(Some(target.timeout));
    http.enforce_http(false);
    http.set_nodelay(true);
    let inner = HttpsConnectorBuilder::new()
        .with_tls_config(tls(target, shared_roots)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let connector = Connector {
        inner,
        guard,
        timeout: target.timeout,
    };
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(target.concurrency)
        .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
        // The request carries its own `Host`, made once a target.
        .set_host(false)
        .build(connector);
    Ok(client)
}

/// Of one target alone: sessions that are resumed were proven by its own authorities and certificate.
fn tls(target: &Target, shared_roots: Arc<RootCertStore>) -> Result<ClientConfig, DeliveryError> {
    let roots = target.tls.authorities.clone().unwrap_or(shared_roots);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DeliveryError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    Ok(match &target.tls.client_certificate {
        Some(ClientCertificate(pair)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.clone())))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Checks address literals, which skip the resolver, and bounds the time of connect and handshake: the
/// pool may go on connecting in the background after the attempt that began it has ended.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector<GuardedResolver>>,
    guard: AddressGuard,
    timeout: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = ClientFirst<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Err(error) = self.guard.check_literal(uri.host().unwrap_or_default()) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
                .map(|stream| ClientFirst::new(stream, UNREAD_MAX))
        })
    }
}
