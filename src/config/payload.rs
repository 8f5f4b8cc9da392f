//! `content`, `split`, `require` and `schema`: what a payload is, and what it must look like.

use super::{
    EventIdSource, Field, Kind, Pointer, Requirement, Route, Schemas,
    identity::{ONE_PLACE, has_star},
    reader::{Node, Place, quoted},
};
use crate::payload::Content;

const ERROR_CHARS_MAX: usize = 300;
const SCHEMA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The kinds of a route that says nothing else: `defaults`.
pub(super) fn read_content(node: Option<Node<'_>>, defaults: &[Content]) -> Vec<Content> {
    const KINDS: [(&str, Content); 4] = [
        ("json", Content::Json),
        ("form", Content::Form),
        ("xml", Content::Xml),
        ("any", Content::Any),
    ];
    let Some(node) = node else {
        return defaults.to_vec();
    };
    let place = node.place.clone();
    let Some(items) = node.list("a list such as [\"json\", \"form\"]") else {
        return defaults.to_vec();
    };
    if items.is_empty() {
        place.fault("an empty list", "at least one kind of content");
    }
    let mut contents = Vec::new();
    for item in items {
        match item.choice(&KINDS) {
            Some(content) if contents.contains(&content) => item.reject("each kind once"),
            content => contents.extend(content),
        }
    }
    contents
}

/// Nothing is found in a body of which nothing is read.
pub(super) fn check_content(route: &Route, place: &Place<'_>) {
    if route.content != [Content::Any] || takes_get(route) {
        return;
    }
    let is_json = |field: &Field| matches!(field, Field::Json(_));
    let id_is_read = route.event_id.iter().any(|source| match source {
        EventIdSource::Fields(fields) => fields.iter().any(is_json),
        EventIdSource::BodySha256 => false,
    });
    let read = [
        ("event_id", id_is_read),
        ("event_type", route.event_type.iter().any(is_json)),
        ("require", !route.require.is_empty()),
        ("schema", route.schema.is_some()),
        (
            "order_by",
            route.deliver.iter().any(|deliver| deliver.order.is_some()),
        ),
        (
            "when",
            route.deliver.iter().any(|deliver| deliver.when.is_some()),
        ),
        (
            "transform",
            route
                .deliver
                .iter()
                .any(|deliver| deliver.transform.is_some()),
        ),
    ];
    let names = read.iter().filter(|(_, is_read)| *is_read);
    let names: Vec<_> = names.map(|(name, _)| format!("`{name}`")).collect();
    if !names.is_empty() {
        let found = format!(
            "only \"any\", of which nothing is read, beside {} that reads the payload",
            names.join(", ")
        );
        place.fault(found, "\"json\", \"form\" or \"xml\" too");
    }
}

/// An element is JSON within JSON, and has an id of its own.
pub(super) fn check_split(route: &Route, place: &Place<'_>) {
    if route.content != [Content::Json] {
        place.fault(
            "`split` beside other content than JSON",
            "content = [\"json\"]",
        );
    }
    if takes_get(route) {
        place.fault("`split` beside the method GET", "other methods");
    }
    let is_of_all = |source: &EventIdSource| match source {
        EventIdSource::Fields(fields) => {
            fields.iter().all(|field| matches!(field, Field::Header(_)))
        }
        EventIdSource::BodySha256 => false,
    };
    if route.event_id.iter().any(is_of_all) {
        place.fault(
            "`split` beside an event id that is one for all elements",
            "event_id = { json = \"/id\" }, read from each, or { body = \"sha256\" }",
        );
    }
}

fn takes_get(route: &Route) -> bool {
    route.methods.iter().any(|method| method == "GET")
}

/// Pointer = type, in the order of the file.
pub(super) fn read_require(node: Node<'_>) -> Vec<Requirement> {
    let table = node.table("a table such as { \"/id\" = \"string\" }");
    let entries = table.map(|table| table.named()).unwrap_or_default();
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), kind));
    let mut requirements = Vec::new();
    for (text, place, node) in entries {
        let pointer = Pointer::parse(&text).map_err(|error| {
            place.fault(
                quoted(&text),
                format!("a JSON pointer such as \"/id\" ({error})"),
            );
        });
        if pointer.as_ref().is_ok_and(has_star) {
            place.fault(quoted(&text), ONE_PLACE);
        }
        if let (Ok(pointer), Some(kind)) = (pointer, node.choice(&kinds)) {
            requirements.push(Requirement { pointer, kind });
        }
    }
    requirements
}

/// One path for all events, or a table of them by event type; `"*"` stands for all others.
pub(super) fn read_schemas(node: Node<'_>, typed: bool) -> Schemas {
    let mut schemas = Schemas::default();
    if !node.is_table() {
        schemas.others = read_schema(&node);
        return schemas;
    }
    let table = node.table("a path, or a table of paths by event type");
    for (event_type, place, node) in table.map(|table| table.named()).unwrap_or_default() {
        let schema = read_schema(&node);
        if event_type == "*" {
            schemas.others = schema;
            continue;
        }
        if !typed {
            place.fault(
                "a schema of one event type on a route without `event_type`",
                "`event_type`, or the key \"*\"",
            );
        }
        schemas
            .by_type
            .extend(schema.map(|schema| (event_type, schema)));
    }
    schemas
}

/// Formats are checked, patterns run in linear time, and nothing is fetched.
fn read_schema(node: &Node<'_>) -> Option<jsonschema::Validator> {
    let name = node.string("the path of a JSON Schema")?;
    let path = node.place.resolve(name);
    let fault = |what: &str, error: &dyn std::fmt::Display| {
        // A schema's fault may repeat a good part of the schema.
        let error: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
        let found = format!("{}, {what} ({error})", quoted(name));
        node.place.fault(found, "a JSON Schema");
    };
    let read = node.place.context.read(&path, SCHEMA_BYTES_MAX + 1);
    let bytes = read
        .map_err(|error| fault("which cannot be read", &error))
        .ok()?;
    if bytes.len() as u64 > SCHEMA_BYTES_MAX {
        fault(
            "which is too large",
            &format!("more than {SCHEMA_BYTES_MAX} bytes"),
        );
        return None;
    }
    let schema: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| fault("which is not JSON", &error))
        .ok()?;
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&schema)
        .map_err(|error| fault("which is no schema", &error))
        .ok()
}
