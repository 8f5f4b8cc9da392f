//! `event_id` and `event_type`: where an event says what it is.

use super::{
    EventIdSource, Field, Pointer,
    reader::{Node, Table},
    verify::Proven,
};
use crate::providers::{IdPlace, Place as PresetPlace};

const ID_SHAPE: &str = "{ json = \"/id\" }, { header = \"X-Event-Id\" } or { body = \"sha256\" }";
const TYPE_SHAPE: &str = "{ json = \"/event\" } or { header = \"X-Event-Type\" }";

/// What the route says, else what its preset says; empty only after a fault.
pub(super) fn read_event_id(table: &mut Table<'_>, proof: &Proven) -> Vec<EventIdSource> {
    if let Some(node) = table.take("event_id") {
        return read_sources(node, ID_SHAPE, read_id_source);
    }
    let places = proof.preset.map_or(&[][..], |preset| preset.event_id);
    // A provider whose name could not be read may have had a place of its own.
    if places.is_empty() && !proof.preset_is_unknown {
        table.place.missing(
            "event_id",
            format!("where the event's id stands: {ID_SHAPE}"),
        );
    }
    places.iter().filter_map(id_source).collect()
}

/// What the route says, else what its preset says; and whether events of this route have a type,
/// as far as can be told after faults.
pub(super) fn read_event_type(table: &mut Table<'_>, proof: &Proven) -> (Vec<Field>, bool) {
    if let Some(node) = table.take("event_type") {
        let read = |node| single_field(node, TYPE_SHAPE);
        return (read_sources(node, TYPE_SHAPE, read), true);
    }
    let places = proof.preset.map_or(&[][..], |preset| preset.event_type);
    let fields: Vec<_> = places.iter().filter_map(field_of).collect();
    let typed = !fields.is_empty() || proof.preset_is_unknown;
    (fields, typed)
}

fn id_source(place: &IdPlace) -> Option<EventIdSource> {
    match place {
        IdPlace::One(place) => Some(EventIdSource::Fields(vec![field_of(place)?])),
        IdPlace::Joined(places) => {
            let fields: Option<_> = places.iter().map(field_of).collect();
            fields.map(EventIdSource::Fields)
        }
        IdPlace::BodySha256 => Some(EventIdSource::BodySha256),
    }
}

/// `None` for a pointer that is none: the presets' own tests rule that out.
fn field_of(place: &PresetPlace) -> Option<Field> {
    match place {
        PresetPlace::Json(pointer) => Pointer::parse(pointer).ok().map(Field::Json),
        PresetPlace::Header(name) => Some(Field::Header((*name).to_owned())),
    }
}

fn read_sources<'a, T>(
    node: Node<'a>,
    shape: &str,
    read: impl Fn(Node<'a>) -> Option<T>,
) -> Vec<T> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        place.fault("an empty list", shape);
    }
    nodes.into_iter().filter_map(read).collect()
}

fn read_id_source(node: Node<'_>) -> Option<EventIdSource> {
    let place = node.place.clone();
    let mut table = node.table(ID_SHAPE)?;
    let json = table.take("json");
    let header = table.take("header");
    let body = table.take("body");
    let known = table.finish();
    match (json, header, body) {
        (Some(node), None, None) => read_pointers(node),
        (None, Some(node), None) => {
            let name = node.header_name()?;
            Some(EventIdSource::Fields(vec![Field::Header(name)]))
        }
        (None, None, Some(node)) => node
            .choice(&[("sha256", ())])
            .map(|()| EventIdSource::BodySha256),
        (None, None, None) if !known => None,
        _ => {
            place.fault("none or several of `json`, `header` and `body`", ID_SHAPE);
            None
        }
    }
}

/// One pointer, or several whose values are the id together.
fn read_pointers(node: Node<'_>) -> Option<EventIdSource> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        place.fault("an empty list", "at least one JSON pointer");
        return None;
    }
    let fields: Option<Vec<_>> = nodes
        .iter()
        .map(|node| parsed(node).map(Field::Json))
        .collect();
    fields.map(EventIdSource::Fields)
}

fn single_field(node: Node<'_>, shape: &str) -> Option<Field> {
    let place = node.place.clone();
    let mut table = node.table(shape)?;
    let json = table.take("json");
    let header = table.take("header");
    let known = table.finish();
    match (json, header) {
        (Some(node), None) => parsed(&node).map(Field::Json),
        (None, Some(node)) => node.header_name().map(Field::Header),
        (None, None) if !known => None,
        _ => {
            place.fault("none or several of `json` and `header`", shape);
            None
        }
    }
}

/// A pointer to one place.
pub(super) fn pointer(node: &Node<'_>) -> Option<Pointer> {
    let pointer = parsed(node)?;
    if has_star(&pointer) {
        node.reject(ONE_PLACE);
        return None;
    }
    Some(pointer)
}

pub(super) const ONE_PLACE: &str =
    "a JSON pointer to one place: `*` is only for `event_id` and `event_type`";

/// Whether it stands for every element of a list.
pub(super) fn has_star(pointer: &Pointer) -> bool {
    pointer.tokens().iter().any(|token| &**token == "*")
}

fn parsed(node: &Node<'_>) -> Option<Pointer> {
    let text = node.string("a JSON pointer such as \"/id\"")?;
    Pointer::parse(text)
        .map_err(|error| node.reject(format!("a JSON pointer such as \"/id\" ({error})")))
        .ok()
}
