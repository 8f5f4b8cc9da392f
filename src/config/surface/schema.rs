//! The rows as a JSON Schema.

use serde_json::{Map, Value, json};

use super::{Key, Rule, Section, Shape, Usual, WHOLE, sections};
use crate::providers::PRESETS;

/// Of `routes.toml`: JSON Schema, draft 2020-12. Dates of TOML are text.
pub fn schema() -> Value {
    let mut whole = of_section(&WHOLE);
    whole.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    whole.insert("title".to_owned(), json!("Hookgate's routes.toml"));
    let tables = sections()
        .into_iter()
        .filter(|(name, _)| *name != WHOLE.name);
    let tables: Map<_, _> = tables
        .map(|(name, section)| (name.to_owned(), Value::Object(of_section(section))))
        .collect();
    whole.insert("$defs".to_owned(), Value::Object(tables));
    Value::Object(whole)
}

fn of_section(section: &Section) -> Map<String, Value> {
    let properties: Map<_, _> = section
        .keys()
        .map(|key| (key.name.to_owned(), of_key(key)))
        .collect();
    let required = section.keys().filter(|key| key.is_required());
    let required: Vec<_> = required.map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("additionalProperties".to_owned(), json!(false));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    let rules: Vec<_> = section.rules.iter().map(of_rule).collect();
    if !rules.is_empty() {
        object.insert("allOf".to_owned(), json!(rules));
    }
    object
}

pub(super) fn of_key(key: &Key) -> Value {
    let mut schema = of_shape(&key.shape);
    let usual = match key.usual {
        Usual::Is(_) | Usual::Words("") => String::new(),
        Usual::Required => " Required.".to_owned(),
        Usual::But(value, rest) => format!(" Default: `{value}`{rest}."),
        Usual::Words(words) => format!(" Default: {words}."),
    };
    schema.insert(
        "description".to_owned(),
        json!(sentence(&unlinked(key.meaning)) + &unlinked(&usual)),
    );
    let default = match key.usual {
        Usual::Is(value) | Usual::But(value, _) => json_of(value),
        Usual::Required | Usual::Words(_) => None,
    };
    if let Some(default) = default {
        schema.insert("default".to_owned(), default);
    }
    if let Some(example) = json_of(key.example) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    Value::Object(schema)
}

impl Key {
    pub(super) fn is_required(&self) -> bool {
        matches!(self.usual, Usual::Required)
    }
}

fn of_shape(shape: &Shape) -> Map<String, Value> {
    let schema = match shape {
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::False => json!({ "const": false }),
        Shape::Integer(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Shape::Number(from, to) => json!({ "type": "number", "minimum": from, "maximum": to }),
        Shape::Above(from, to) => {
            json!({ "type": "number", "exclusiveMinimum": from, "maximum": to })
        }
        Shape::Text("") => json!({ "type": "string" }),
        Shape::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Choice(names) => json!({ "enum": names }),
        Shape::Provider => {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            json!({ "enum": names })
        }
        Shape::List(min, inner) => {
            let mut list = json!({ "type": "array", "items": of_shape(inner) });
            if *min > 0 {
                list["minItems"] = json!(min);
            }
            list
        }
        Shape::OneOf(shapes) => {
            let shapes: Vec<_> = shapes.iter().map(of_shape).collect();
            json!({ "anyOf": shapes })
        }
        Shape::Table(section) => json!({ "$ref": format!("#/$defs/{}", section.name) }),
        Shape::Named(pattern, inner) => {
            let mut object = json!({ "type": "object", "additionalProperties": of_shape(inner) });
            if !pattern.is_empty() {
                object["propertyNames"] = json!({ "pattern": pattern });
            }
            object
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn of_rule(rule: &Rule) -> Value {
    let has = |key: &&str| json!({ "required": [key] });
    let each = |keys: &[&str]| keys.iter().map(has).collect::<Vec<_>>();
    match rule {
        Rule::One(keys) => json!({ "oneOf": each(keys) }),
        Rule::Some(keys) => json!({ "anyOf": each(keys) }),
        Rule::AtMostOne(keys) => {
            let pairs = keys.iter().enumerate().flat_map(|(index, one)| {
                let others = keys[index + 1..].iter();
                others.map(move |other| json!({ "not": { "required": [one, other] } }))
            });
            json!({ "allOf": pairs.collect::<Vec<_>>() })
        }
        Rule::Together(keys) => {
            let dependent = keys.iter().map(|key| ((*key).to_owned(), json!(keys)));
            json!({ "dependentRequired": Value::Object(dependent.collect()) })
        }
        Rule::Needs(key, other) => json!({ "dependentRequired": { *key: [other] } }),
    }
}

/// A value of TOML as JSON. `None`: it is none.
pub(super) fn json_of(literal: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {literal}")).ok()?;
    Some(plain(table.remove("value")?))
}

/// As tools that check TOML by JSON Schema see it.
pub fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Datetime(at) => Value::String(at.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        toml::Value::Table(table) => {
            let entries = table.into_iter();
            Value::Object(entries.map(|(key, value)| (key, plain(value))).collect())
        }
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    let mut sentence = first.unwrap_or_default() + chars.as_str();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// Links are relative to `docs/`, where no editor is: their names stay, those of pages with the folder.
fn unlinked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(name, after)| {
            let (target, after) = after.split_once(')')?;
            (!name.contains(['[', '`', '"'])).then_some((name, target, after))
        });
        out.push_str(before);
        match parts {
            Some((name, target, after)) => {
                match name == target {
                    true => out.push_str(&format!("docs/{name}")),
                    false => out.push_str(name),
                }
                rest = after;
            }
            None => {
                out.push('[');
                rest = link;
            }
        }
    }
    out + rest
}
