//! Traces: the caller's `traceparent` (W3C Trace Context) is taken over and passed on; where spans are exported, each accepted
//! event has one, and below it each attempt of its deliveries.
//!
//! Nothing is stored for it. The ids of an event's trace and span come from its uid, those of an attempt from the event, the
//! target and the time, so that whichever gateway makes the attempt, after whatever restart, tells the same story.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{clock::Timestamp, event::Event};

pub mod otlp;

pub const TRACEPARENT: &str = "traceparent";

/// Of a trace: 16 bytes, not all zero.
pub type TraceId = [u8; 16];
/// Of a span: 8 bytes, not all zero.
pub type SpanId = [u8; 8];

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    /// The caller's span.
    pub parent: SpanId,
    pub sampled: bool,
}

impl TraceContext {
    /// `None`: not one that the specification (W3C Trace Context, level 1) lets anybody take over.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (version, rest) = (bytes.get(..2)?, bytes.get(2..55)?);
        let more = match version {
            b"ff" => return None,
            // Later versions may say more, after another dash.
            b"00" => bytes.len() == 55,
            _ => bytes.len() == 55 || bytes[55] == b'-',
        };
        let [b'-', rest @ ..] = rest else { return None };
        let ((trace, rest), _) = (rest.split_at_checked(32)?, hex::<1>(version)?);
        let [b'-', rest @ ..] = rest else { return None };
        let (parent, rest) = rest.split_at_checked(16)?;
        let [b'-', flags @ ..] = rest else {
            return None;
        };
        let context = Self {
            trace: hex(trace)?,
            parent: hex(parent)?,
            sampled: hex::<1>(flags)?[0] & 1 == 1,
        };
        let is_whole = more && context.trace != [0; 16] && context.parent != [0; 8];
        is_whole.then_some(context)
    }

    /// The one that an event came with.
    pub fn of_event(event: &Event) -> Option<Self> {
        let mut headers = event.headers.iter();
        let (_, value) = headers.find(|(name, _)| &**name == TRACEPARENT)?;
        Self::parse(value)
    }

    /// The trace's id, as it is shown.
    pub fn id(&self) -> String {
        ::hex::encode(self.trace)
    }

    /// As a header's value, of version 00.
    pub fn header(&self) -> String {
        let mut text = String::with_capacity(55);
        // Writing to a String cannot fail.
        let _always_ok = write!(
            text,
            "00-{}-{}-{:02x}",
            ::hex::encode(self.trace),
            ::hex::encode(self.parent),
            u8::from(self.sampled)
        );
        text
    }
}

/// Lower case only, as the specification has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = digits.iter().all(|digit| !digit.is_ascii_uppercase());
    (is_lower && ::hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    /// The span that this one is a part of, and whether that is another program's.
    pub parent: Option<(SpanId, bool)>,
    pub kind: Kind,
    pub name: String,
    pub began: Timestamp,
    pub took: Duration,
    /// What went wrong, if something did.
    pub error: Option<String>,
    pub attributes: Vec<(&'static str, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that came in.
    Server,
    /// A request that went out.
    Client,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Arc<str>),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// Where spans go. Never waits: what it cannot take it drops.
pub trait Sink: Send + Sync {
    fn take(&self, span: Span);
}

/// Makes the spans of what is exported.
#[derive(Clone, Default)]
pub struct Tracer(Option<Exporting>);

#[derive(Clone)]
struct Exporting {
    sink: Arc<dyn Sink>,
    /// The share of the traces begun here that are exported, of 2⁶⁴: of a trace all or nothing.
    share: u128,
}

impl Tracer {
    /// `sample`: the share (0.0–1.0) of the traces that begin here; of those that callers began, whether they are exported
    /// is the callers' word.
    pub fn new(sink: Arc<dyn Sink>, sample: f64) -> Self {
        // Saturates at both ends.
        let share = (sample * 2_f64.powi(64)) as u128;
        Self(Some(Exporting { sink, share }))
    }

    /// The span of an accepted request. `None`: it is not exported.
    pub fn request(&self, event: &Event) -> Option<Open> {
        let (exporting, trace, caller) = self.traced(event)?;
        Some(exporting.open(Span {
            trace,
            id: request_span(event),
            parent: caller.map(|caller| (caller, true)),
            kind: Kind::Server,
            name: format!("receive {}", event.route),
            began: event.received_at,
            took: Duration::ZERO,
            error: None,
            attributes: of_event(event),
        }))
    }

    /// The span of an attempt that begins; `number` counts from 1. `None`: it is not exported.
    pub fn attempt(
        &self,
        event: &Event,
        target: &str,
        number: u32,
        began: Timestamp,
    ) -> Option<Open> {
        let (exporting, trace, _) = self.traced(event)?;
        let mut attributes = of_event(event);
        attributes.push(("hookgate.target", target.into()));
        attributes.push(("hookgate.attempt", Value::Number(number.into())));
        Some(exporting.open(Span {
            trace,
            id: span(
                &[event.uid.as_bytes(), target.as_bytes()],
                began.as_millis(),
            ),
            parent: Some((request_span(event), false)),
            kind: Kind::Client,
            name: format!("deliver {target}"),
            began,
            took: Duration::ZERO,
            error: None,
            attributes,
        }))
    }

    /// Of what is exported: its trace, and the caller's span.
    fn traced(&self, event: &Event) -> Option<(&Exporting, TraceId, Option<SpanId>)> {
        let exporting = self.0.as_ref()?;
        match TraceContext::of_event(event) {
            Some(caller) => {
                caller
                    .sampled
                    .then_some((exporting, caller.trace, Some(caller.parent)))
            }
            None => exporting
                .samples(event)
                .then(|| (exporting, *event.uid.as_bytes(), None)),
        }
    }
}

impl Exporting {
    /// By bits of the uid that are as good as random.
    fn samples(&self, event: &Event) -> bool {
        let lot = xxh3_64_with_seed(event.uid.as_bytes(), 0);
        u128::from(lot) < self.share
    }

    fn open(&self, span: Span) -> Open {
        Open {
            span: Box::new(span),
            sink: self.sink.clone(),
        }
    }
}

/// A span that has not ended.
pub struct Open {
    span: Box<Span>,
    sink: Arc<dyn Sink>,
}

impl Open {
    /// What a part of it, in another program, is to be told.
    pub fn traceparent(&self) -> String {
        let context = TraceContext {
            trace: self.span.trace,
            parent: self.span.id,
            sampled: true,
        };
        context.header()
    }

    pub fn set(&mut self, name: &'static str, value: Value) {
        self.span.attributes.push((name, value));
    }

    pub fn fail(&mut self, error: String) {
        self.span.error = Some(error);
    }

    /// It began then and took so long.
    pub fn end(mut self, began: Timestamp, took: Duration) {
        (self.span.began, self.span.took) = (began, took);
        self.sink.take(*self.span);
    }
}

fn of_event(event: &Event) -> Vec<(&'static str, Value)> {
    let uid = Value::Text(event.uid.to_string().into());
    let mut attributes = vec![
        ("hookgate.route", Value::Text(event.route.clone())),
        ("hookgate.event", uid),
        ("hookgate.event_id", Value::Text(event.id.clone())),
    ];
    if let Some(event_type) = &event.event_type {
        attributes.push(("hookgate.event_type", Value::Text(event_type.clone())));
    }
    attributes
}

fn request_span(event: &Event) -> SpanId {
    span(&[event.uid.as_bytes()], 0)
}

fn span(parts: &[&[u8]], at: i64) -> SpanId {
    let seed = u64::from_be_bytes(at.to_be_bytes());
    xxh3_64_with_seed(&parts.concat(), seed)
        .max(1)
        .to_be_bytes()
}

#[cfg(test)]
mod tests;
