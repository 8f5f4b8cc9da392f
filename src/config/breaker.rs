//! `breaker`.

use std::time::Duration;

use super::{Breaker, reader::Node, scalar::HOUR};

const MINIMUM_MAX: u64 = 10_000;
const REST_MAX: Duration = HOUR;

/// What the table leaves out comes from `base`; from the built-in one where that is off.
pub(super) fn read_breaker(node: Node<'_>, base: Option<Breaker>) -> Option<Breaker> {
    const SHAPE: &str = "\"off\" or a table such as { failure_ratio = 0.7, open_for = \"30s\" }";
    if node.value.as_str() == Some("off") {
        return None;
    }
    let base = base.unwrap_or_default();
    let Some(mut table) = node.table(SHAPE) else {
        return Some(base);
    };
    let failure_ratio = table.take("failure_ratio");
    let minimum = table.take("minimum");
    let window = table.duration("window", base.window, REST_MAX);
    let open_for = table.duration("open_for", base.open_for, REST_MAX);
    table.finish();
    let minimum = minimum.and_then(|node| node.integer(1..=MINIMUM_MAX));
    let minimum = minimum.and_then(|minimum| u32::try_from(minimum).ok());
    Some(Breaker {
        failure_ratio: failure_ratio
            .and_then(|node| read_ratio(&node))
            .unwrap_or(base.failure_ratio),
        minimum: minimum.unwrap_or(base.minimum),
        window,
        open_for,
    })
}

fn read_ratio(node: &Node<'_>) -> Option<f64> {
    let ratio = node.number().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0);
    if ratio.is_none() {
        node.reject("a number above 0, at most 1");
    }
    ratio
}
