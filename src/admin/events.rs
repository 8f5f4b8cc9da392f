//! `/api/v1/events`: what is stored, and what became of it.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    State,
    guard::{MayChange, MayRead},
    parameters::{FILTER, Parameters, malformed, uid},
    problem::Problem,
};
use crate::{
    event::{AttemptRecord, DeliveryState},
    store::{
        DeliveryName, Replayed, StoredDelivery, StoredEvent,
        listing::{EventSummary, Query},
    },
};

/// Events of one page.
const LIMIT_MAX: u32 = 500;
const LIMIT: u32 = 50;

/// The newest first. A page may be short, even empty, while there is a `next`: one request looks at a bounded number.
pub(super) async fn list(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let known: Vec<&str> = FILTER.into_iter().chain(["cursor", "limit"]).collect();
    let mut parameters = Parameters::of_query(request.query_string(), &known)?;
    let limit = parameters.number("limit", 1..=LIMIT_MAX, LIMIT)?;
    let query = Query {
        filter: parameters.filter()?,
        newest_first: true,
        cursor: parameters.take("cursor"),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let page = state.sources.store.list(&query).await?;
    let events: Vec<_> = page.events.iter().map(summary).collect();
    Ok(HttpResponse::Ok().json(json!({ "events": events, "next": page.next })))
}

/// With headers, body and all attempts.
pub(super) async fn get(
    _: MayRead,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Parameters::of_query(request.query_string(), &[])?;
    let stored = stored(&state, uid(&path)?).await?;
    Ok(HttpResponse::Ok().json(whole(&stored)))
}

/// Of all settled deliveries of the event, or of that to one target.
pub(super) async fn replay(
    _: MayChange,
    path: Path<String>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of_query(request.query_string(), &["target"])?;
    let target = parameters.take("target");
    let stored = stored(&state, uid(&path)?).await?;
    let of_target = |delivery: &&StoredDelivery| {
        target
            .as_ref()
            .is_none_or(|target| **target == *delivery.target)
    };
    let meant: Vec<_> = stored.deliveries.iter().filter(of_target).collect();
    if meant.is_empty() {
        return Err(malformed("target", "a target that this event goes to"));
    }
    let (known, removed): (Vec<_>, Vec<_>) = meant.into_iter().partition(|delivery| {
        let mut targets = state.sources.targets.iter();
        targets.any(|target| target.name == delivery.target)
    });
    if known.is_empty() {
        let detail = "The target is no longer in the configuration: nobody would deliver.";
        return Err(Problem::new(StatusCode::CONFLICT, "target_removed", detail));
    }
    let names: Vec<_> = known.iter().map(|d| name(stored.event.uid, d)).collect();
    let answers = state.sources.store.replay(&names).await?;
    let deliveries = names.iter().zip(answers).map(|(name, answer)| {
        let result = match answer {
            Replayed::Due => "due",
            Replayed::Pending => "pending",
            Replayed::Unknown => "unknown",
        };
        json!({ "target": &*name.target, "result": result })
    });
    let removed = removed
        .iter()
        .map(|delivery| json!({ "target": &*delivery.target, "result": "target_removed" }));
    let deliveries: Vec<_> = deliveries.chain(removed).collect();
    Ok(HttpResponse::Ok().json(json!({ "deliveries": deliveries })))
}

async fn stored(state: &State, uid: Uuid) -> Result<StoredEvent, Problem> {
    let stored = state.sources.store.get(uid).await?;
    stored.ok_or_else(|| Problem::unknown("The event"))
}

fn name(uid: Uuid, delivery: &StoredDelivery) -> DeliveryName {
    DeliveryName {
        uid,
        target: delivery.target.clone(),
    }
}

fn summary(event: &EventSummary) -> Value {
    let deliveries = event.deliveries.iter().map(|delivery| {
        let mut shown = delivery_head(delivery);
        shown["last_attempt"] = delivery.last_attempt().map_or(Value::Null, attempt);
        shown
    });
    json!({
        "uid": event.uid,
        "route": &*event.route,
        "id": &*event.id,
        "type": event.event_type.as_deref(),
        "received_at": event.received_at.to_string(),
        "body_bytes": event.body_bytes,
        "deliveries": deliveries.collect::<Vec<_>>(),
    })
}

fn whole(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    let headers = event.headers.iter();
    let headers = headers.map(|(name, value)| json!({ "name": &**name, "value": &**value }));
    let deliveries = stored.deliveries.iter().map(|delivery| {
        let mut shown = delivery_head(delivery);
        shown["history"] = delivery.history.iter().map(attempt).collect();
        shown
    });
    let (encoding, body) = match std::str::from_utf8(&event.body) {
        Ok(text) => ("utf-8", text.to_owned()),
        Err(_) => ("base64", STANDARD.encode(&event.body)),
    };
    json!({
        "uid": event.uid,
        "route": &*event.route,
        "id": &*event.id,
        "type": event.event_type.as_deref(),
        "credential": event.credential.as_deref(),
        "received_at": event.received_at.to_string(),
        "content_type": event.content_type.as_deref(),
        "headers": headers.collect::<Vec<_>>(),
        "body_bytes": event.body.len(),
        "body_encoding": encoding,
        "body": body,
        "deliveries": deliveries.collect::<Vec<_>>(),
    })
}

/// `reason` only of a dead letter.
fn delivery_head(delivery: &StoredDelivery) -> Value {
    let (state, reason) = match delivery.state {
        DeliveryState::Pending => ("pending", None),
        DeliveryState::Delivered => ("delivered", None),
        DeliveryState::Dead(reason) => ("dead", Some(reason.as_str())),
        DeliveryState::Filtered => ("filtered", None),
    };
    json!({
        "target": &*delivery.target,
        "state": state,
        "reason": reason,
        "attempts": delivery.attempts,
        "replayed_at": delivery.replayed_at.map(|at| at.to_string()),
    })
}

/// What a response holds that is not UTF-8 is shown as U+FFFD.
fn attempt(record: &AttemptRecord) -> Value {
    json!({
        "started_at": record.started_at.to_string(),
        "duration_ms": record.duration.as_secs_f64() * 1000.0,
        "status": record.status,
        "error": record.error,
        "response_head": String::from_utf8_lossy(&record.response_head),
    })
}
