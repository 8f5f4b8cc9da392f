//! The caller's trace goes on, and spans reach a collector.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hookgate::{
    clock::Timestamp,
    config::{self, Secret},
    metrics::{Labels, Metrics},
    trace::{self, Kind, Sink as _, TraceContext, otlp::Otlp},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;

use crate::support::{
    process::Process,
    receiver::{Receiver, Reply},
    wait_for,
};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const CANARY: &str = "canary-traces-77c1";
const TOKEN: &str = "Bearer canary-collector";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn configuration(target: &Receiver, telemetry: &str) -> String {
    let url = target.url();
    format!(
        "{telemetry}
        [targets.crm]
        url = \"{url}\"
        allow_private = true
        retry = {{ first = \"1ms\", max = \"5ms\" }}
        [routes.open]
        path = \"/hooks/open\"
        verify = \"none\"
        event_id = {{ json = \"/id\" }}
        deliver = [\"crm\"]"
    )
}

fn exporting(collector: &Receiver) -> String {
    // The path is the gateway's to know.
    let url = collector.url();
    let url = url.trim_end_matches("/in");
    format!(
        "[telemetry.otlp]
        endpoint = \"{url}\"
        headers = {{ Authorization = {{ env = \"COLLECTOR_TOKEN\" }} }}"
    )
}

async fn post(gateway: &Process, id: &str, traceparent: Option<&str>) -> uuid::Uuid {
    let body = format!(r#"{{"id":"{id}","text":"{CANARY}"}}"#);
    let mut headers = vec![JSON];
    headers.extend(traceparent.map(|value| ("traceparent", value)));
    let reply = gateway.client.post("/hooks/open", &headers, body).await;
    assert_eq!(reply.status, 200);
    reply.uid()
}

/// What the collector has got, as soon as it is so many.
async fn spans(collector: &Receiver, count: usize) -> Vec<Span> {
    wait_for("the spans", async || {
        let spans = all_spans(collector);
        (spans.len() >= count).then_some(spans)
    })
    .await
}

fn all_spans(collector: &Receiver) -> Vec<Span> {
    let requests = collector.requests().into_iter().map(|request| {
        assert_eq!((&*request.method, &*request.path), ("POST", "/v1/traces"));
        assert_eq!(request.header("authorization"), Some(TOKEN));
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        ExportTraceServiceRequest::decode(&*request.body).unwrap()
    });
    let resources = requests.flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// Spans that no collector has, by why.
const DROPPED: &str = "hookgate_spans_dropped_total";

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pairs = span.attributes.iter().map(|pair| {
        let value = pair.value.as_ref().unwrap().value.as_ref().unwrap();
        (&*pair.key, text(value))
    });
    pairs.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_and_its_attempts_are_spans_of_the_callers_trace() {
    let (collector, target) = (Receiver::start().await, Receiver::start().await);
    target.script([Reply::status(503)]);
    let toml = configuration(&target, &exporting(&collector));
    let mut gateway = Process::spawn_with(&toml, &[("COLLECTOR_TOKEN", TOKEN)]).await;
    let uid = post(&gateway, "1", Some(CALLER)).await;
    let got = target.wait_for(2).await;
    let told = got
        .iter()
        .map(|request| TraceContext::parse(request.header("traceparent").unwrap()).unwrap());
    let told: Vec<_> = told.collect();
    let spans = spans(&collector, 3).await;

    let caller = TraceContext::parse(CALLER).unwrap();
    let of_kind = |kind: SpanKind| {
        let mut found: Vec<_> = spans.iter().filter(|span| span.kind() == kind).collect();
        found.sort_by_key(|span| attributes(span).get("hookgate.attempt").cloned());
        found
    };
    let ([request], [first, second]) = (
        &of_kind(SpanKind::Server)[..],
        &of_kind(SpanKind::Client)[..],
    ) else {
        panic!("{spans:?}")
    };
    assert_eq!(request.parent_span_id, caller.parent);
    assert_eq!(attributes(request)["hookgate.event"], uid.to_string());
    assert!(request.end_time_unix_nano > request.start_time_unix_nano);
    for (attempt, told, status) in [(first, told[0], "503"), (second, told[1], "200")] {
        assert_eq!(attempt.trace_id, caller.trace);
        assert_eq!(attempt.parent_span_id, request.span_id);
        assert_eq!(
            (&told.trace[..], &told.parent[..]),
            (&*attempt.trace_id, &*attempt.span_id)
        );
        assert_eq!(attributes(attempt)["http.response.status_code"], status);
    }
    assert_eq!(gateway.metrics().await.sum(DROPPED, "reason="), 0.0);
    // The log tells the trace, too.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let log = gateway.stderr();
    assert!(
        log.lines()
            .any(|line| line.contains("attempt") && line.contains(trace)),
        "{log}"
    );
    for request in collector.requests() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(!body.contains(CANARY));
    }
    assert!(!log.contains(CANARY) && !log.contains(TOKEN));
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_program_ends() {
    let (collector, target) = (Receiver::start().await, Receiver::start().await);
    let toml = configuration(&target, &exporting(&collector));
    let mut gateway = Process::spawn_with(&toml, &[("COLLECTOR_TOKEN", TOKEN)]).await;
    let uid = post(&gateway, "1", None).await;
    target.wait_for(1).await;
    assert!(gateway.terminate().await.success());
    let spans = all_spans(&collector);
    assert_eq!(spans.len(), 2, "{}", gateway.stderr());
    // A trace that begins here is the event's.
    assert!(spans.iter().all(|span| span.trace_id == uid.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_does_not_sample_is_passed_on_and_not_exported() {
    let (collector, target) = (Receiver::start().await, Receiver::start().await);
    let toml = configuration(&target, &exporting(&collector));
    let mut gateway = Process::spawn_with(&toml, &[("COLLECTOR_TOKEN", TOKEN)]).await;
    post(&gateway, "1", Some(UNSAMPLED)).await;
    let got = target.wait_for(1).await;
    assert_eq!(got[0].header("traceparent"), Some(UNSAMPLED));
    assert!(gateway.terminate().await.success());
    assert_eq!(all_spans(&collector).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_a_trace_is_passed_on_as_it_came_and_nonsense_is_not() {
    let target = Receiver::start().await;
    let gateway = Process::spawn(&configuration(&target, "")).await;
    for (nth, (came, goes)) in [
        (Some(CALLER), Some(CALLER)),
        (Some("00-1-2-01"), None),
        (None, None),
    ]
    .into_iter()
    .enumerate()
    {
        post(&gateway, &nth.to_string(), came).await;
        let got = target.wait_for(nth + 1).await;
        assert_eq!(got[nth].header("traceparent"), goes, "{came:?}");
    }
}

/// What other programs on the machine are told by it must not reach our collector, nor lead spans elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_changes_neither_where_spans_go_nor_what_goes_along() {
    let (collector, target) = (Receiver::start().await, Receiver::start().await);
    let toml = configuration(&target, &exporting(&collector));
    let environment = [
        ("COLLECTOR_TOKEN", TOKEN),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-other=1,authorization=other",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let mut gateway = Process::spawn_with(&toml, &environment).await;
    post(&gateway, "1", None).await;
    target.wait_for(1).await;
    assert!(gateway.terminate().await.success());
    // They are asserted to have our token, and to be readable.
    assert_eq!(all_spans(&collector).len(), 2, "{}", gateway.stderr());
    for request in collector.requests() {
        assert_eq!(request.header("x-other"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_lost_are_counted_and_told_of_with_the_cause() {
    let (collector, target) = (Receiver::start().await, Receiver::start().await);
    collector.always(Reply::status(401));
    let gone = "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:9\"".to_owned();
    for (telemetry, reason, cause) in [
        (exporting(&collector), "refused", "401"),
        (gone, "no_answer", "Connection refused"),
    ] {
        let toml = configuration(&target, &telemetry);
        let mut gateway = Process::spawn_with(&toml, &[("COLLECTOR_TOKEN", TOKEN)]).await;
        post(&gateway, "1", None).await;
        target.wait_for(1).await;
        let counted = wait_for("the request and the attempt", async || {
            let metrics = gateway.metrics().await;
            let counted = metrics.sum(DROPPED, "reason=");
            (counted == 2.0).then(|| metrics.value(DROPPED, &[("reason", reason)]))
        })
        .await;
        assert_eq!(counted, Some(2.0), "{reason}");
        assert!(gateway.terminate().await.success());
        let log = gateway.stderr();
        let mut told = log
            .lines()
            .filter(|line| line.contains("the collector did not take spans"))
            .peekable();
        assert!(told.peek().is_some(), "{log}");
        assert!(
            told.all(|line| line.contains(cause) && line.contains("spans=")),
            "{log}"
        );
        assert!(!log.contains("ERROR") && !log.contains(TOKEN), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_is_gone_holds_nothing_up() {
    let (hangs, target) = (Receiver::start().await, Receiver::start().await);
    hangs.always(Reply::hang());
    let gone = "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:9\"".to_owned();
    for telemetry in [exporting(&hangs), gone] {
        let toml = configuration(&target, &telemetry);
        let mut gateway = Process::spawn_with(&toml, &[("COLLECTOR_TOKEN", TOKEN)]).await;
        let before = target.requests().len();
        for nth in 0..50 {
            post(&gateway, &nth.to_string(), None).await;
        }
        target.wait_for(before + 50).await;
        assert!(gateway.terminate().await.success());
    }
}

fn span(number: u64) -> trace::Span {
    trace::Span {
        trace: [7; 16],
        id: number.to_be_bytes(),
        parent: None,
        kind: Kind::Client,
        name: "deliver crm".to_owned(),
        began: Timestamp::from_millis(1_000),
        took: Duration::from_millis(1),
        error: None,
        attributes: Vec::new(),
    }
}

/// While the collector keeps the first batch waiting, more come than may wait.
#[tokio::test(flavor = "multi_thread")]
async fn each_span_reaches_the_collector_or_is_counted() {
    const SPANS: u64 = 10_000;
    const WAIT_MAX: u64 = 8_192;
    const BATCH_MAX: u64 = 512;
    let collector = Receiver::start().await;
    collector.always(Reply::held());
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let dropped = Metrics::new(&labels).unwrap().spans_dropped;
    let settings = config::Otlp {
        endpoint: collector
            .url()
            .replace("/in", "/v1/traces")
            .parse()
            .unwrap(),
        headers: vec![(http::header::AUTHORIZATION, Secret::new(TOKEN))],
        sample: 1.0,
    };
    let runtime = tokio::runtime::Handle::current();
    let otlp = Arc::new(Otlp::start(&settings, runtime, dropped.clone()).unwrap());
    for number in 1..=SPANS {
        otlp.take(span(number));
    }
    let lost = dropped.queue_full.get();
    let beyond = SPANS - WAIT_MAX;
    assert!((beyond - BATCH_MAX..=beyond).contains(&lost), "{lost}");
    collector.release(1_000);
    let ended = otlp.clone();
    tokio::task::spawn_blocking(move || ended.end())
        .await
        .unwrap();
    let mut came: Vec<_> = all_spans(&collector)
        .into_iter()
        .map(|span| span.span_id)
        .collect();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len() as u64, SPANS - lost);
    assert_eq!(dropped.queue_full.get(), lost);
    assert_eq!((dropped.refused.get(), dropped.no_answer.get()), (0, 0));
}
