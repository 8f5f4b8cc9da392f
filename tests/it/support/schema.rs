//! The JSON Schema of `routes.toml`, as an editor judges by it.

use std::sync::LazyLock;

use hookgate::config::surface;
use jsonschema::Validator;

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&surface::schema()).unwrap());

/// What is wrong with `text`, each with its place; empty when nothing is.
pub fn faults(text: &str) -> Vec<String> {
    let document = surface::plain(toml::Value::Table(toml::from_str(text).unwrap()));
    let faults = SCHEMA.iter_errors(&document);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

#[track_caller]
pub fn assert_takes(text: &str) {
    let faults = faults(text);
    assert!(faults.is_empty(), "the schema refuses: {faults:#?}\n{text}");
}
