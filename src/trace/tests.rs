use std::sync::Mutex;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::event::{BodyDigest, EventKey};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn what_the_specification_allows_is_taken_over_as_it_is() {
    for text in [
        TRACE,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    ] {
        let context = TraceContext::parse(text).unwrap();
        assert_eq!(context.header(), text);
    }
    for text in [
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
    ] {
        assert_eq!(
            TraceContext::parse(text),
            TraceContext::parse(TRACE),
            "{text}"
        );
    }
}

#[test]
fn what_it_does_not_allow_is_nothing() {
    let whole = TRACE;
    for length in 0..whole.len() {
        assert_eq!(TraceContext::parse(&whole[..length]), None, "{length}");
    }
    for text in [
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        " 0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
    ] {
        assert_eq!(TraceContext::parse(text), None, "{text}");
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Span>>);

impl Sink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

fn event(uid: u128, traceparent: Option<&str>) -> Event {
    let header = |value: &str| (TRACEPARENT.into(), value.into());
    Event {
        uid: Uuid::from_u128(uid),
        key: EventKey::new("github", "1"),
        route: "github".into(),
        id: "1".into(),
        event_type: None,
        request_id: None,
        credential: None,
        received_at: Timestamp::from_millis(1_000),
        dedupe_window: Duration::from_secs(1),
        content_type: None,
        headers: traceparent.map(header).into_iter().collect(),
        body: Bytes::new(),
        digest: BodyDigest::of(b""),
        deliveries: Vec::new(),
        together: false,
    }
}

#[test]
fn an_attempt_is_a_part_of_its_event_which_is_a_part_of_what_called() {
    let kept = Arc::new(Kept::default());
    let tracer = Tracer::new(kept.clone(), 0.0);
    let event = event(7, Some(TRACE));
    let at = event.received_at;
    tracer.request(&event).unwrap().end(at, Duration::ZERO);
    let attempt = tracer.attempt(&event, "crm", 1, at).unwrap();
    let told = TraceContext::parse(&attempt.traceparent()).unwrap();
    attempt.end(at, Duration::ZERO);
    let spans = kept.0.lock().unwrap();
    let [request, attempt] = &spans[..] else {
        panic!("{spans:?}")
    };
    let caller = TraceContext::parse(TRACE).unwrap();
    assert_eq!(request.parent, Some((caller.parent, true)));
    assert_eq!(attempt.parent, Some((request.id, false)));
    assert_eq!([request.trace, attempt.trace], [caller.trace; 2]);
    assert_eq!((told.trace, told.parent), (attempt.trace, attempt.id));
}

#[test]
fn each_attempt_has_an_id_of_its_own() {
    let tracer = Tracer::new(Arc::new(Kept::default()), 1.0);
    let told = |uid, target, at| {
        let at = Timestamp::from_millis(at);
        let attempt = tracer.attempt(&event(uid, None), target, 1, at).unwrap();
        attempt.traceparent()
    };
    let first = told(1, "crm", 5);
    assert_eq!(first, told(1, "crm", 5));
    for other in [told(1, "crm", 6), told(1, "audit", 5), told(2, "crm", 5)] {
        assert_ne!(first, other);
    }
}

/// Whether it is exported is decided once a trace, wherever it is asked.
#[test]
fn the_share_of_traces_begun_here_is_exported_and_of_callers_what_they_say() {
    let tracer = |sample| Tracer::new(Arc::new(Kept::default()), sample);
    let exported = |sample, parent| {
        let tracer = tracer(sample);
        let one = |uid: u128| {
            let event = event(uid, parent);
            let request = tracer.request(&event).is_some();
            let attempt = tracer.attempt(&event, "crm", 1, event.received_at);
            assert_eq!(request, attempt.is_some());
            request
        };
        (1..=1000).filter(|&uid| one(uid)).count()
    };
    assert_eq!(exported(1.0, None), 1000);
    assert_eq!(exported(0.0, None), 0);
    let tenth = exported(0.1, None);
    assert!((60..140).contains(&tenth), "{tenth}");
    let unsampled = TRACE.replace("-01", "-00");
    assert_eq!(exported(0.0, Some(TRACE)), 1000);
    assert_eq!(exported(1.0, Some(&unsampled)), 0);
    assert!(Tracer::default().request(&event(1, Some(TRACE))).is_none());
}
