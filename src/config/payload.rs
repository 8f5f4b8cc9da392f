//! `require` and `schema`: what a payload must look like.

use std::fs;

use super::{
    Kind, Pointer, Requirement, Schemas,
    reader::{Node, quoted},
};

const ERROR_CHARS_MAX: usize = 300;
const SCHEMA_BYTES_MAX: u64 = 4 * 1024 * 1024;

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
    let path = node.place.context.resolve(name);
    let fault = |what: &str, error: &dyn std::fmt::Display| {
        // A schema's fault may repeat a good part of the schema.
        let error: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
        let found = format!("{}, {what} ({error})", quoted(name));
        node.place.fault(found, "a JSON Schema");
    };
    let size = fs::metadata(&path)
        .map_err(|error| fault("which cannot be read", &error))
        .ok()?
        .len();
    if size > SCHEMA_BYTES_MAX {
        fault("which is too large", &format!("{size} bytes"));
        return None;
    }
    let bytes = fs::read(&path)
        .map_err(|error| fault("which cannot be read", &error))
        .ok()?;
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
