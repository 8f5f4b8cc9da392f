//! `deliver`, `rate` and `respond`.

use std::{num::NonZeroU32, time::Duration};

use super::{
    Deliver, OrderBy, Rate, Respond, RespondBody,
    error::closest,
    identity::pointer,
    reader::{Node, Table},
    scalar::{HOUR, MINUTE},
};
use crate::expression::Expression;

/// Targets of one route: the embedded store numbers an event's deliveries in ten bits.
const DELIVER_MAX: usize = 1024;
const RESPOND_BODY_BYTES_MAX: usize = 64 * 1024;

/// Required, so that nobody leaves it out by mistake; an empty list only stores.
pub(super) fn read_deliver(table: &mut Table<'_>, targets: &[String], typed: bool) -> Vec<Deliver> {
    const SHAPE: &str =
        "a list of targets such as [\"crm\"]; [] stores events and sends them nowhere";
    let items = table.require("deliver", SHAPE).and_then(|node| {
        let place = node.place.clone();
        let items = node.list(SHAPE)?;
        if items.len() > DELIVER_MAX {
            let found = format!("{} targets", items.len());
            place.fault(found, format!("at most {DELIVER_MAX}"));
        }
        Some(items)
    });
    let mut delivers: Vec<Deliver> = Vec::new();
    for item in items.unwrap_or_default() {
        let Some((to, deliver)) = read_line(item, typed) else {
            continue;
        };
        if !targets.iter().any(|target| **target == *deliver.to) {
            let names = targets.iter().map(String::as_str);
            to.place.unknown(&deliver.to, "the name of a target", names);
        } else if delivers.iter().any(|other| other.to == deliver.to) {
            to.reject("each target once");
        }
        delivers.push(deliver);
    }
    delivers
}

/// The name of a target, or `{ to, events, when, transform, order_by, on_dead }`; with what named the target.
fn read_line(node: Node<'_>, typed: bool) -> Option<(Node<'_>, Deliver)> {
    if node.value.is_str() {
        let to = node.string("the name of a target")?.into();
        let deliver = Deliver {
            to,
            events: Vec::new(),
            order: None,
            when: None,
            transform: None,
        };
        return Some((node, deliver));
    }
    let mut table = node.table("the name of a target, or { to = \"crm\", events = [\"push\"] }")?;
    let to = table.require("to", "the name of a target");
    let events = table.take("events");
    let order = read_order(&mut table);
    let when = table.take("when").and_then(read_expression);
    let transform = table.take("transform").and_then(read_expression);
    table.finish();
    let events = events.map(|node| {
        if !typed {
            node.place.fault(
                "`events` on a route without `event_type`",
                "`event_type = { json = \"/event\" }` on the route",
            );
        }
        read_events(node)
    });
    let node = to?;
    let to = node.string("the name of a target")?.into();
    let events = events.unwrap_or_default();
    let deliver = Deliver {
        to,
        events,
        order,
        when,
        transform,
    };
    Some((node, deliver))
}

/// jq, checked whole: each of its faults is told with its place in the expression.
fn read_expression(node: Node<'_>) -> Option<Expression> {
    let source = node.string("an expression of jq such as '.priority == \"high\"'")?;
    let faults = match Expression::parse(source) {
        Ok(expression) => return Some(expression),
        Err(faults) => faults,
    };
    for fault in faults {
        let found = format!(
            "{} (line {}, column {} of the expression)",
            fault.found, fault.line, fault.column
        );
        match fault.unknown {
            None => node.place.fault(found, fault.expected),
            Some(unknown) => {
                let close = closest(&unknown.name, unknown.known).map(str::to_owned);
                node.place.note(Some(found), Some(fault.expected), close);
            }
        }
    }
    None
}

/// `order_by = "/customerId"`, and what a dead letter does to those behind it.
fn read_order(table: &mut Table<'_>) -> Option<OrderBy> {
    let order_by = table.take("order_by");
    let on_dead = table.take("on_dead");
    if order_by.is_none() && on_dead.is_some() {
        let expected = "the JSON pointer whose equal values are in order";
        table.place.missing("order_by", expected);
    }
    let order_by = order_by.filter(|node| {
        let is_whole = node.value.as_str() == Some("");
        if is_whole {
            node.reject("a JSON pointer such as \"/customerId\", not the whole document");
        }
        !is_whole
    });
    let hold = on_dead.and_then(|node| node.choice(&[("continue", false), ("hold", true)]));
    Some(OrderBy {
        pointer: pointer(&order_by?)?,
        hold: hold.unwrap_or(false),
    })
}

fn read_events(node: Node<'_>) -> Vec<wildmatch::WildMatch> {
    let place = node.place.clone();
    let items = node.list("a list of event types such as [\"push\", \"issue*\"]");
    if items.as_ref().is_some_and(Vec::is_empty) {
        place.fault(
            "an empty list",
            "at least one event type, or no `events` for all",
        );
    }
    let glob = |item: &Node<'_>| {
        item.parse("an event type such as \"push\" or \"issue*\"", |text| {
            (1..=256)
                .contains(&text.len())
                .then(|| wildmatch::WildMatch::new(text))
        })
    };
    items.unwrap_or_default().iter().filter_map(glob).collect()
}

/// `"500/s"` or `{ limit = "500/s", burst = 1000 }`.
pub(super) fn read_rate(node: Node<'_>) -> Option<Rate> {
    const SHAPE: &str = "a rate such as \"500/s\", \"100/m\" or \"10/h\"";
    if !node.is_table() {
        let (limit, period) = node.parse(SHAPE, parse_rate)?;
        return Some(Rate {
            limit,
            period,
            burst: limit,
        });
    }
    let mut table = node.table(SHAPE)?;
    let limit = table.require("limit", SHAPE);
    let burst = table.take("burst");
    table.finish();
    let burst = burst
        .and_then(|node| node.integer(1..=u64::from(u32::MAX)))
        .and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
    let (limit, period) = limit?.parse(SHAPE, parse_rate)?;
    Some(Rate {
        limit,
        period,
        burst: burst.unwrap_or(limit),
    })
}

fn parse_rate(text: &str) -> Option<(NonZeroU32, Duration)> {
    let (limit, unit) = text.split_once('/')?;
    let period = match unit {
        "s" => Duration::from_secs(1),
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    Some((limit.parse().ok()?, period))
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: 200,
            body: None,
        }
    }
}

/// `{ status, content_type, body }`.
pub(super) fn read_respond(node: Node<'_>) -> Respond {
    let place = node.place.clone();
    let Some(mut table) = node.table("a table such as { status = 202 }") else {
        return Respond::default();
    };
    let status = table
        .take("status")
        .and_then(|node| node.integer(200..=299));
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    let content_type = table.take("content_type");
    let body = table.take("body");
    table.finish();
    if content_type.is_some() && body.is_none() {
        place.missing("body", "the body that `content_type` speaks of");
    }
    if let Some(node) = body.as_ref().filter(|_| matches!(status, 204 | 205)) {
        node.reject(format!("none: an answer of status {status} has no body"));
    }
    let content_type = content_type.and_then(|node| {
        node.parse("a content type such as \"text/plain\"", |text| {
            let fits = text.contains('/') && http::HeaderValue::from_str(text).is_ok();
            fits.then(|| text.to_owned())
        })
    });
    let body = body.and_then(|node| {
        let shape = format!("a string of at most {RESPOND_BODY_BYTES_MAX} bytes");
        node.parse(&shape, |text| {
            (text.len() <= RESPOND_BODY_BYTES_MAX).then(|| text.to_owned())
        })
    });
    Respond {
        status,
        body: body.map(|body| RespondBody {
            content_type: content_type.unwrap_or_else(|| "text/plain; charset=utf-8".to_owned()),
            body,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit_and_are_never_zero() {
        let per_minute = (NonZeroU32::new(100).unwrap(), MINUTE);
        assert_eq!(parse_rate("100/m"), Some(per_minute));
        for bad in ["0/s", "5", "5/d", "-1/s", "/s", "5/"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
