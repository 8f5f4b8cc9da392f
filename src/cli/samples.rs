//! Sample bodies: what `send` sends when no body is given, and what the demo varies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::{EventIdSource, Field, Kind, Pointer, Route},
};

/// The API keys of the demo routes. Their digests stand in the project's `routes.toml`.
pub(super) const DEMO_KEYS: [(&str, &str); 2] =
    [("glia", "demo-glia-key"), ("cidaas", "demo-cidaas-key")];

/// What a test event is called, besides its body.
pub(super) struct Naming<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) event_type: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// A body that `route` takes: the provider's own example where one is known, with every required
/// value put in, and the id and the type where the route reads them from the body.
pub(super) fn body_for(route: &Route, naming: &Naming<'_>) -> Value {
    let mut body = example(&route.name, naming.now);
    let ids = match route.event_id.first() {
        Some(EventIdSource::Fields(fields)) => fields.as_slice(),
        _ => &[],
    };
    for pointer in ids.iter().filter_map(pointer_of) {
        ensure(&mut body, pointer, Kind::String, naming.now);
    }
    if let ([Field::Json(pointer)], Some(id)) = (ids, naming.id) {
        put(&mut body, pointer, id.into());
    }
    if let Some(Field::Json(pointer)) = route.event_type.first() {
        if let Some(event_type) = naming.event_type {
            put(&mut body, pointer, event_type.into());
        } else if matches!(body.pointer(pointer.as_str()), None | Some(Value::Null)) {
            put(&mut body, pointer, "test".into());
        }
    }
    for requirement in &route.require {
        ensure(
            &mut body,
            &requirement.pointer,
            requirement.kind,
            naming.now,
        );
    }
    body
}

/// The examples of the project's own routes; for any other an object to be filled.
pub(super) fn example(route: &str, now: Timestamp) -> Value {
    let now = now.to_string();
    match route {
        "github" => json!({
            "ref": "refs/heads/main",
            "repository": { "full_name": "octo/hello" },
            "pusher": { "name": "octocat" },
        }),
        "glia" => json!({ "event": "chat_started", "customerId": "12345", "timestamp": now }),
        "tickets" => json!({
            "ticket_id": 67890,
            "customer": "Jamie Smith",
            "priority": "high",
            "issue": "Password reset not working",
        }),
        "cidaas" => json!({
            "event_time": now,
            "event_type": "USER_CREATED",
            "current_context": "user",
            "data": { "sub": Uuid::now_v7().to_string(), "provider": "self" },
        }),
        "shop" => json!({
            "id": format!("evt_{}", Uuid::now_v7().simple()),
            "type": "order.created",
            "order": { "number": "A-1001", "items": [{ "sku": "MUG-1", "quantity": 2 }], "total_cents": 4990 },
        }),
        _ => json!({}),
    }
}

fn pointer_of(field: &Field) -> Option<&Pointer> {
    match field {
        Field::Json(pointer) => Some(pointer),
        Field::Header(_) => None,
    }
}

/// Leaves a value of the right kind as it is.
fn ensure(body: &mut Value, pointer: &Pointer, kind: Kind, now: Timestamp) {
    let found = body.pointer(pointer.as_str());
    if !found.is_some_and(|value| is_kind(value, kind)) {
        put(body, pointer, value_of(kind, now));
    }
}

fn is_kind(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::String => value.is_string(),
        Kind::Number => value.is_number(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Object => value.is_object(),
        Kind::Array => value.is_array(),
        Kind::Null => value.is_null(),
        Kind::Any => true,
        Kind::DateTime => value
            .as_str()
            .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        Kind::Uuid => value
            .as_str()
            .is_some_and(|text| text.len() == 36 && Uuid::try_parse(text).is_ok()),
    }
}

/// New each time, where that can be: two samples are two events.
fn value_of(kind: Kind, now: Timestamp) -> Value {
    match kind {
        Kind::String | Kind::Any => format!("sample-{}", Uuid::now_v7().simple()).into(),
        Kind::Number => json!(1.5),
        Kind::Integer => now.as_millis().into(),
        Kind::Boolean => true.into(),
        Kind::Object => json!({}),
        Kind::Array => json!([]),
        Kind::Null => Value::Null,
        Kind::DateTime => now.to_string().into(),
        Kind::Uuid => Uuid::now_v7().to_string().into(),
    }
}

/// Sets what stands at `pointer`; what is on the way and no object becomes one.
fn put(body: &mut Value, pointer: &Pointer, value: Value) {
    let mut at = body;
    for token in pointer.tokens() {
        let index = token.parse::<usize>().ok();
        let in_array =
            index.filter(|&index| at.as_array().is_some_and(|items| index < items.len()));
        at = match in_array {
            Some(index) => &mut at[index],
            None => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                &mut at[&**token]
            }
        };
    }
    *at = value;
}
