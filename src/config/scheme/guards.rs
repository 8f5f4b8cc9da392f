//! `when`: what a request must have for a scheme to apply to it.

use super::{read_place, read_word};
use crate::{
    config::reader::Node,
    signature::{Guard, Test},
};

pub(super) fn read_guards(node: Option<Node<'_>>) -> Option<Vec<Guard>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let nodes = node.list("a list such as [{ header = \"X-Signature-Version\", is = \"1\" }]")?;
    nodes.into_iter().map(read_guard).collect()
}

fn read_guard(node: Node<'_>) -> Option<Guard> {
    const SHAPE: &str = "one of `present = true`, `is`, `starts_with` and `contains`";
    let mut table =
        node.table("a table such as { header = \"X-Signature-Version\", is = \"1\" }")?;
    let place = table.place.clone();
    let guarded = read_place(&mut table, "a header, or `json` or `query`");
    let present = table.take("present");
    let is = table.take("is");
    let start = table.take("starts_with");
    let part = table.take("contains");
    table.finish();
    let text = |node: &Node<'_>| read_word(node);
    let test = match (present, is, start, part) {
        (Some(node), None, None, None) => match node.boolean()? {
            true => Some(Test::Present),
            false => {
                node.reject("true");
                None
            }
        },
        (None, Some(node), None, None) => text(&node).map(Test::Is),
        (None, None, Some(node), None) => text(&node).map(Test::StartsWith),
        (None, None, None, Some(node)) => text(&node).map(Test::Contains),
        _ => {
            place.fault("no test, or several", SHAPE);
            None
        }
    };
    Some(Guard {
        place: guarded?,
        test: test?,
    })
}
