//! An event, its deliveries and their attempts, as the API tells them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::Moment;
use crate::{
    event::{AttemptRecord, DeliveryState},
    store::{StoredDelivery, StoredEvent, listing},
};

/// An event without its headers and body.
#[derive(Serialize, ToSchema)]
pub(super) struct EventSummary {
    /// Hookgate's id.
    uid: Uuid,
    route: String,
    /// The provider's id.
    id: String,
    r#type: Option<String>,
    /// What the caller proved itself with, by name.
    credential: Option<String>,
    /// Of the request that brought it.
    request_id: Option<String>,
    received_at: Moment,
    body_bytes: usize,
    deliveries: Vec<DeliverySummary>,
}

#[derive(Serialize, ToSchema)]
struct DeliverySummary {
    #[serde(flatten)]
    head: DeliveryHead,
    last_attempt: Option<Attempt>,
}

/// The whole event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventShown {
    /// Hookgate's id.
    uid: Uuid,
    route: String,
    /// The provider's id.
    id: String,
    r#type: Option<String>,
    /// What the caller proved itself with, by name.
    credential: Option<String>,
    /// Of the request that brought it.
    request_id: Option<String>,
    received_at: Moment,
    content_type: Option<String>,
    /// Those that the route keeps.
    headers: Vec<Header>,
    body_bytes: usize,
    body_encoding: Encoding,
    /// The exact bytes that arrived, so encoded.
    body: String,
    deliveries: Vec<Delivery>,
}

#[derive(Serialize, ToSchema)]
struct Header {
    /// In lower case.
    name: String,
    value: String,
}

/// How bytes are written as a string.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(super) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

#[derive(Serialize, ToSchema)]
struct Delivery {
    #[serde(flatten)]
    head: DeliveryHead,
    /// Every attempt, the oldest first, those before a replay too.
    history: Vec<Attempt>,
}

#[derive(Serialize, ToSchema)]
struct DeliveryHead {
    target: String,
    state: StateName,
    /// Why it is a dead letter; of others `null`.
    #[schema(examples("refused", "gave_up"))]
    reason: Option<&'static str>,
    /// Made since the last replay.
    attempts: u32,
    replayed_at: Option<Moment>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = DeliveryState)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateName {
    /// Due, waiting for a retry, or under way.
    Pending,
    Delivered,
    /// Given up: a dead letter.
    Dead,
    /// Not sent: the route's `when` said no.
    Filtered,
}

#[derive(Serialize, ToSchema)]
struct Attempt {
    started_at: Moment,
    duration_ms: f64,
    /// The target's answer; `null` when there was none.
    status: Option<u16>,
    /// Why there was none.
    error: Option<String>,
    /// The begin of the answer's body. What is not UTF-8 is U+FFFD.
    response_head: String,
}

impl EventSummary {
    pub(super) fn of(event: &listing::EventSummary) -> Self {
        let deliveries = event.deliveries.iter().map(|delivery| DeliverySummary {
            head: DeliveryHead::of(delivery),
            last_attempt: delivery.last_attempt().map(Attempt::of),
        });
        Self {
            uid: event.uid,
            route: event.route.to_string(),
            id: event.id.to_string(),
            r#type: event.event_type.as_deref().map(str::to_owned),
            credential: event.credential.as_deref().map(str::to_owned),
            request_id: event.request_id.as_deref().map(str::to_owned),
            received_at: event.received_at.into(),
            body_bytes: event.body_bytes,
            deliveries: deliveries.collect(),
        }
    }
}

impl EventShown {
    pub(super) fn of(stored: &StoredEvent) -> Self {
        let event = &stored.event;
        let headers = event.headers.iter().map(|(name, value)| Header {
            name: name.to_string(),
            value: value.to_string(),
        });
        let deliveries = stored.deliveries.iter().map(|delivery| Delivery {
            head: DeliveryHead::of(delivery),
            history: delivery.history.iter().map(Attempt::of).collect(),
        });
        let (body_encoding, body) = encoded(&event.body);
        Self {
            uid: event.uid,
            route: event.route.to_string(),
            id: event.id.to_string(),
            r#type: event.event_type.as_deref().map(str::to_owned),
            credential: event.credential.as_deref().map(str::to_owned),
            request_id: event.request_id.as_deref().map(str::to_owned),
            received_at: event.received_at.into(),
            content_type: event.content_type.as_deref().map(str::to_owned),
            headers: headers.collect(),
            body_bytes: event.body.len(),
            body_encoding,
            body,
            deliveries: deliveries.collect(),
        }
    }
}

/// As text where it is text.
pub(super) fn encoded(bytes: &[u8]) -> (Encoding, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Encoding::Utf8, text.to_owned()),
        Err(_) => (Encoding::Base64, STANDARD.encode(bytes)),
    }
}

impl DeliveryHead {
    fn of(delivery: &StoredDelivery) -> Self {
        let (state, reason) = match delivery.state {
            DeliveryState::Pending => (StateName::Pending, None),
            DeliveryState::Delivered => (StateName::Delivered, None),
            DeliveryState::Dead(reason) => (StateName::Dead, Some(reason.as_str())),
            DeliveryState::Filtered => (StateName::Filtered, None),
        };
        Self {
            target: delivery.target.to_string(),
            state,
            reason,
            attempts: delivery.attempts,
            replayed_at: delivery.replayed_at.map(Moment),
        }
    }
}

impl Attempt {
    fn of(record: &AttemptRecord) -> Self {
        Self {
            started_at: record.started_at.into(),
            duration_ms: record.duration.as_secs_f64() * 1000.0,
            status: record.status,
            error: record.error.clone(),
            response_head: String::from_utf8_lossy(&record.response_head).into_owned(),
        }
    }
}
