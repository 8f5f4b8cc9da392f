//! Spans to a collector, by OTLP over HTTP.

use std::{
    error::Error,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry::{
    InstrumentationScope, Key, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        self as sdk, BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks,
        SpanProcessor as _,
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::runtime::Handle;

use super::{Kind, Sink, Span, Value};
use crate::{config, metrics::SpansDropped, rate::Lines};

/// Spans that wait to be sent; more are dropped.
const QUEUE_MAX: usize = 8192;
/// Of one request to the collector.
const BATCH_MAX: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
/// So much of a collector's answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Lines a second that tell of batches that were lost, and of spans that did not come into one.
const LOST_PER_SECOND: NonZeroU32 = NonZeroU32::MIN;

/// Sends spans in batches, on a thread of its own. A batch that the collector does not take is dropped, and so are spans
/// that find the queue full.
pub struct Otlp {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    ended: AtomicBool,
    waiting: Waiting,
    dropped: SpansDropped,
    full: Lines,
}

/// How many spans are in the processor's queue, or were just taken out of it. The processor drops what finds its queue
/// full, and tells nobody: what is counted here first never does.
type Waiting = Arc<AtomicUsize>;

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtlpFault {
    #[error("telemetry.otlp: the exporter cannot be made: {0}")]
    Build(#[from] ExporterBuildError),
    #[error(
        "telemetry.otlp: the endpoint is https, but the system has no certificate authorities to prove it by \
         (install the ca-certificates package)"
    )]
    NoRoots,
    #[error("telemetry.otlp: TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Otlp {
    /// Requests run on `runtime`, which must outlive this. `dropped` counts what is lost.
    pub fn start(
        settings: &config::Otlp,
        runtime: Handle,
        dropped: SpansDropped,
    ) -> Result<Self, OtlpFault> {
        let (cause, waiting) = (Arc::default(), Waiting::default());
        let client = Collector {
            client: client(&settings.endpoint)?,
            headers: headers(settings),
            runtime,
            cause: Arc::clone(&cause),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.endpoint.as_str())
            .with_timeout(TIMEOUT)
            .build()?;
        let exporter = Told {
            exporter,
            cause,
            waiting: Arc::clone(&waiting),
            dropped: dropped.clone(),
            lost: Lines::new(LOST_PER_SECOND, Instant::now()),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(EXPORT_EVERY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        processor.set_resource(&resource());
        let scope = InstrumentationScope::builder("hookgate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Self {
            processor,
            scope,
            ended: AtomicBool::new(false),
            waiting,
            dropped,
            full: Lines::new(LOST_PER_SECOND, Instant::now()),
        })
    }

    /// Sends what waits, and then no more. Blocks for some seconds at most.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Err(error) = self.processor.shutdown_with_timeout(TIMEOUT) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

impl Sink for Otlp {
    fn take(&self, span: Span) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        if self.has_place() {
            return self.processor.on_end(data(span, &self.scope));
        }
        self.dropped.queue_full.inc();
        if let Some(left_out) = self.full.take(Instant::now()) {
            tracing::warn!(
                left_out,
                "too many spans wait for the collector: one more is lost"
            );
        }
    }
}

impl Otlp {
    /// Takes one in the queue, if there is one.
    fn has_place(&self) -> bool {
        let one_more = |waiting| (waiting < QUEUE_MAX).then_some(waiting + 1);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Relaxed);
        self.waiting.fetch_update(set, fetch, one_more).is_ok()
    }
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say what they say everywhere.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let told = Resource::builder().with_attribute(version.clone()).build();
    let name = told.get(&Key::from_static_str("service.name"));
    match name {
        Some(name) if !name.as_str().starts_with("unknown_service") => told,
        _ => Resource::builder()
            .with_attribute(version)
            .with_service_name("hookgate")
            .build(),
    }
}

fn headers(settings: &config::Otlp) -> HeaderMap {
    let headers = settings.headers.iter();
    headers
        .filter_map(|(name, value)| {
            let mut value = HeaderValue::from_bytes(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        })
        .collect()
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let began = SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(span.began.as_millis()).unwrap_or(0));
    let attributes = span
        .attributes
        .into_iter()
        .map(|(name, value)| match value {
            Value::Text(text) => KeyValue::new(name, text),
            Value::Number(number) => KeyValue::new(name, number),
        });
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace),
            SpanId::from_bytes(span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span
            .parent
            .map_or(SpanId::INVALID, |(id, _)| SpanId::from_bytes(id)),
        parent_span_is_remote: span.parent.is_some_and(|(_, remote)| remote),
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: began,
        end_time: began + span.took,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.error {
            Some(error) => Status::error(error),
            None => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

fn client(endpoint: &url::Url) -> Result<Http, OtlpFault> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(TIMEOUT));
    http.enforce_http(false);
    let roots = match endpoint.scheme() {
        "https" => native_roots()?,
        _ => RootCertStore::empty(),
    };
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector))
}

fn native_roots() -> Result<RootCertStore, OtlpFault> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => Err(OtlpFault::NoRoots),
        _ => Ok(roots),
    }
}

/// Why the last request to the collector had no answer. The exporter does not tell.
type Cause = Arc<Mutex<Option<String>>>;

/// Counts what is lost, and tells of each batch that is, so many a second: the SDK would tell of all of them.
#[derive(Debug)]
struct Told {
    exporter: SpanExporter,
    cause: Cause,
    waiting: Waiting,
    dropped: SpansDropped,
    lost: Lines,
}

impl sdk::SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let result = self.exporter.export(batch).await;
        let cause = lock(&self.cause).take();
        let Err(error) = result else { return Ok(()) };
        let counter = match cause {
            Some(_) => &self.dropped.no_answer,
            None => &self.dropped.refused,
        };
        counter.inc_by(spans as u64);
        if let Some(left_out) = self.lost.take(Instant::now()) {
            let error = cause.unwrap_or_else(|| error.to_string());
            tracing::warn!(
                spans,
                error,
                left_out,
                "the collector did not take spans: they are lost"
            );
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

fn lock(cause: &Cause) -> std::sync::MutexGuard<'_, Option<String>> {
    cause.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The exporter's thread is none of a runtime: the request runs on ours, and the thread waits for it.
#[derive(Debug)]
struct Collector {
    client: Http,
    headers: HeaderMap,
    runtime: Handle,
    cause: Cause,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut head, body) = request.into_parts();
        // The exporter adds those of `OTEL_EXPORTER_OTLP_HEADERS`, which may be meant for another collector than ours.
        let content_type = head.headers.remove(CONTENT_TYPE);
        head.headers = self.headers.clone();
        head.headers
            .extend(content_type.map(|value| (CONTENT_TYPE, value)));
        let request = Request::from_parts(head, Full::new(body));
        let sent = send(self.client.clone(), request);
        let timed = async move { tokio::time::timeout(TIMEOUT, sent).await };
        let answer = self.runtime.spawn(timed).await?;
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".into()));
        *lock(&self.cause) = answer.as_ref().err().map(|error| chain(error.as_ref()));
        answer
    }
}

/// With all that it came of.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

async fn send(client: Http, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = client.request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
