//! Sample bodies: what `send` sends when no body is given, and what the demo varies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::{EventIdSource, Field, Kind, Pointer, Route, Verifier, Verify},
    payload::{self, Content},
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

/// What a sample is sent as: the first kind that the route takes.
pub(super) fn content_type(route: &Route) -> &str {
    match (route.json_types.first(), route.content.first()) {
        (Some(own), _) => own,
        (None, Some(Content::Form)) => payload::FORM,
        (None, Some(Content::Xml)) => Content::Xml.media_type(),
        (None, Some(Content::Any)) if !route.content.contains(&Content::Json) => {
            "application/octet-stream"
        }
        _ => Content::Json.media_type(),
    }
}

/// A body that `route` takes, of the kind that [`content_type`] says; of a route for GET a form, its query string.
pub(super) fn sample(route: &Route, naming: &Naming<'_>) -> Vec<u8> {
    let document = body_for(route, naming);
    let is_get = route.methods.first().is_some_and(|method| method == "GET");
    match (is_get, route.content.first()) {
        _ if !route.json_types.is_empty() => document.to_string().into_bytes(),
        (true, _) | (_, Some(Content::Form)) => form(&document),
        (false, Some(Content::Xml)) => xml(&document),
        _ => document.to_string().into_bytes(),
    }
}

/// Its members as fields; what is deeper goes, as the whole, into the field `payload`, which is opened.
fn form(document: &Value) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match document.as_object() {
        Some(members)
            if !members
                .values()
                .any(|one| one.is_object() || one.is_array()) =>
        {
            for (name, value) in members {
                form.append_pair(name, &text(value));
            }
        }
        _ => {
            form.append_pair("payload", &document.to_string());
        }
    }
    form.finish().into_bytes()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An object of one member is its root.
fn xml(document: &Value) -> Vec<u8> {
    let mut out = String::from("<?xml version=\"1.0\"?>");
    match document.as_object() {
        Some(members) if members.len() == 1 => elements(members, &mut out),
        Some(members) => {
            out.push_str("<event>");
            elements(members, &mut out);
            out.push_str("</event>");
        }
        None => out.push_str("<event/>"),
    }
    out.into_bytes()
}

fn elements(members: &Map<String, Value>, out: &mut String) {
    for (name, value) in members {
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for one in list {
            out.push_str(&format!("<{name}>"));
            match one {
                Value::Object(members) => elements(members, out),
                one => {
                    let text = text(one).replace('&', "&amp;").replace('<', "&lt;");
                    out.push_str(&text);
                }
            }
            out.push_str(&format!("</{name}>"));
        }
    }
}

/// The document of a body that `route` takes: the provider's own example where one is known, with every required
/// value put in, and the id and the type where the route reads them from the body. A route that splits gets a list of one.
pub(super) fn body_for(route: &Route, naming: &Naming<'_>) -> Value {
    let mut body = example(&route.name, naming.now);
    for pointer in signed_pointers(route) {
        if at(&body, &pointer).is_none() {
            put(&mut body, &pointer, value_of(Kind::Object, naming.now));
        }
    }
    let ids = match route.event_id.first() {
        Some(EventIdSource::Fields(fields)) => fields.as_slice(),
        // The same body would be the same event.
        Some(EventIdSource::BodySha256) if body.is_object() => {
            body["sample"] = value_of(Kind::String, naming.now);
            &[]
        }
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
        } else if matches!(at(&body, pointer), None | Some(Value::Null)) {
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
    match &route.split {
        None => body,
        Some(list) => {
            let mut whole = Value::Null;
            put(&mut whole, list, Value::Array(vec![body]));
            whole
        }
    }
}

/// The document with another id, where the route reads one place of it for that.
pub(super) fn named(route: &Route, mut document: Value, id: &str) -> Option<Value> {
    let Some(EventIdSource::Fields(fields)) = route.event_id.first() else {
        return None;
    };
    let [Field::Json(pointer)] = fields.as_slice() else {
        return None;
    };
    put(&mut document, pointer, id.into());
    Some(document)
}

/// Elements that must be there to be signed.
fn signed_pointers(route: &Route) -> Vec<Pointer> {
    let Verify::All(verifiers) = &route.verify else {
        return Vec::new();
    };
    let schemes = verifiers.iter().flat_map(|verifier| match verifier {
        Verifier::Signature(verifier) => verifier.schemes.as_slice(),
        _ => &[],
    });
    let each = schemes.filter_map(|keyed| keyed.scheme.each.as_deref());
    each.filter_map(|pointer| Pointer::parse(pointer).ok())
        .collect()
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
    let found = at(body, pointer);
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

/// What stands at `pointer`; `*` is the first element.
fn at<'v>(body: &'v Value, pointer: &Pointer) -> Option<&'v Value> {
    pointer.tokens().iter().try_fold(body, |value, token| {
        if &**token == "*" {
            return value.as_array()?.first();
        }
        match value {
            Value::Array(items) => items.get(token.parse::<usize>().ok()?),
            value => value.get(&**token),
        }
    })
}

/// Sets what stands at `pointer`; what is on the way and no object becomes one, at `*` a list of one element.
fn put(body: &mut Value, pointer: &Pointer, value: Value) {
    let mut at = body;
    for token in pointer.tokens() {
        if &**token == "*" {
            if at.as_array().is_none_or(Vec::is_empty) {
                *at = Value::Array(vec![Value::Null]);
            }
            at = &mut at[0];
            continue;
        }
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
