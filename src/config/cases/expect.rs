//! What is expected.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Known, document, named, one_of, text};
use crate::config::reader::{Node, Place, Table};

/// What is compared; at least one of them.
#[derive(Debug, Default)]
pub struct Expect {
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// Of each event.
    pub id: Option<Vec<String>>,
    /// Of each event.
    pub event_type: Option<Vec<String>>,
    /// Whether each event is one that came before.
    pub duplicate: Option<Vec<bool>>,
    /// Sorted, as the next two.
    pub targets: Option<Vec<String>>,
    /// Targets whose `when` does not want the event.
    pub filtered: Option<Vec<String>>,
    /// Targets whose expressions fail on it.
    pub failed: Option<Vec<String>>,
    /// What targets are sent; of several events a list.
    pub bodies: BTreeMap<String, Value>,
    pub answer: Option<Value>,
}

pub(super) fn read_expect(node: Node<'_>, known: &Known<'_>) -> Option<Expect> {
    const SHAPE: &str = "a table such as { status = 200, targets = [\"crm\"] }";
    let mut table = node.table(SHAPE)?;
    let place = table.place.clone();
    if table.is_empty() {
        place.fault("nothing", SHAPE);
    }
    let status = table
        .take("status")
        .and_then(|node| node.integer(100..=599));
    let reason = table
        .take("reason")
        .and_then(|node| named(&node, known.reasons, "why requests are refused"));
    let mut targets = |key| {
        let node = table.take(key)?;
        let items = node.list("a list of targets such as [\"crm\"]")?;
        let names = items
            .iter()
            .filter_map(|item| named(item, known.targets, "the name of a target"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        Some(names)
    };
    let (all, filtered, failed) = (targets("targets"), targets("filtered"), targets("failed"));
    let texts = |node: Node<'_>| node.one_or_many().iter().filter_map(text).collect();
    let truths = |node: Node<'_>| {
        node.one_or_many()
            .iter()
            .filter_map(Node::boolean)
            .collect()
    };
    let expect = Expect {
        status: status.and_then(|status| u16::try_from(status).ok()),
        reason,
        id: table.take("id").map(texts),
        event_type: table.take("type").map(texts),
        duplicate: table.take("duplicate").map(truths),
        targets: all,
        filtered,
        failed,
        bodies: table
            .take("bodies")
            .map(|node| read_bodies(node, known))
            .unwrap_or_default(),
        answer: table.take("answer").map(|node| document(&node)),
    };
    table.finish();
    Some(expect)
}

fn read_bodies(node: Node<'_>, known: &Known<'_>) -> BTreeMap<String, Value> {
    const SHAPE: &str = "a table such as { crm = { ticket = 1 } }";
    let at = node.place.clone();
    let entries = node.table(SHAPE).map(Table::named);
    if entries.as_ref().is_some_and(Vec::is_empty) {
        at.fault("nothing", SHAPE);
    }
    let entries = entries.unwrap_or_default();
    let body = |(name, place, node): (String, Place<'_>, Node<'_>)| {
        if !known.targets.contains(&name.as_str()) {
            let expected = one_of("the name of a target", known.targets);
            place.unknown(&name, &expected, known.targets.iter().copied());
        }
        (name, document(&node))
    };
    entries.into_iter().map(body).collect()
}
