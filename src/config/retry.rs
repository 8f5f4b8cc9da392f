//! `retry` and `retry_on`.

use std::time::Duration;

use super::{
    Jitter, Retry, RetryOn, Wait,
    reader::{Node, Table},
    scalar::{DAY, HOUR, shown},
    store::KEPT_MAX,
};

const WAIT_MAX: Duration = DAY.saturating_mul(7);
const SCHEDULE_LENGTH_MAX: usize = 100;

/// What the table leaves out comes from `base`, where that is of the same kind.
pub(super) fn read_retry(node: Node<'_>, base: &Retry) -> Retry {
    let place = node.place.clone();
    let Some(mut table) = node.table("a table such as { first = \"1s\", max = \"1h\" }") else {
        return base.clone();
    };
    let schedule = table.take("schedule");
    let jitter = table.take("jitter").and_then(|node| read_jitter(&node));
    let give_up_after = table.take("give_up_after");
    let give_up_after = give_up_after.and_then(|node| node.duration(KEPT_MAX));
    let exponential = read_exponential(&mut table, base, jitter);
    table.finish();

    let wait = match (schedule, exponential) {
        (Some(_), Some(_)) => {
            place.fault(
                "both `schedule` and `first`, `factor` or `max`",
                "one or the other",
            );
            return base.clone();
        }
        (Some(schedule), None) => Wait::Schedule {
            delays: read_schedule(schedule),
            jitter: jitter.unwrap_or_else(|| jitter_of(&base.wait)),
        },
        (None, Some(exponential)) => exponential,
        (None, None) => with_jitter(base.wait.clone(), jitter),
    };
    // A schedule ends by itself, so it does not inherit the end of an endless backoff.
    let same_kind = std::mem::discriminant(&wait) == std::mem::discriminant(&base.wait);
    let inherited = match wait {
        Wait::Schedule { .. } => base.give_up_after.filter(|_| same_kind),
        Wait::Exponential { .. } => base.give_up_after.or(Some(3 * DAY)),
    };
    Retry {
        wait,
        give_up_after: give_up_after.or(inherited),
    }
}

/// `None` when none of its keys is there.
fn read_exponential(table: &mut Table<'_>, base: &Retry, jitter: Option<Jitter>) -> Option<Wait> {
    let (base_first, base_factor, base_max) = match base.wait {
        Wait::Exponential {
            first, factor, max, ..
        } => (first, factor, max),
        Wait::Schedule { .. } => (Duration::from_secs(1), 2.0, HOUR),
    };
    let first = table.take("first");
    let factor = table.take("factor");
    let max = table.take("max");
    let first_place = [&first, &max].into_iter().flatten().next();
    let first_place = first_place.map(|node| node.place.clone());
    if first.is_none() && factor.is_none() && max.is_none() {
        return None;
    }
    let first = first.and_then(|node| node.duration(WAIT_MAX));
    let max = max.and_then(|node| node.duration(WAIT_MAX));
    let (first, max) = (first.unwrap_or(base_first), max.unwrap_or(base_max));
    if let Some(place) = first_place.filter(|_| first > max) {
        let (first, max) = (shown(first), shown(max));
        place.fault(format!("first = {first}, max = {max}"), "first ≤ max");
    }
    let factor = factor.and_then(|node| read_factor(&node));
    Some(Wait::Exponential {
        first,
        factor: factor.unwrap_or(base_factor),
        max,
        jitter: jitter.unwrap_or_else(|| jitter_of(&base.wait)),
    })
}

fn read_factor(node: &Node<'_>) -> Option<f64> {
    let factor = node
        .number()
        .filter(|factor| (1.0..=100.0).contains(factor));
    if factor.is_none() {
        node.reject("a number from 1 to 100");
    }
    factor
}

fn read_jitter(node: &Node<'_>) -> Option<Jitter> {
    if node.value.as_str() == Some("full") {
        return Some(Jitter::Full);
    }
    let share = node.number().filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        node.reject("\"full\" or a number from 0 to 1");
    }
    share.map(Jitter::Ratio)
}

fn jitter_of(wait: &Wait) -> Jitter {
    match wait {
        Wait::Exponential { jitter, .. } | Wait::Schedule { jitter, .. } => *jitter,
    }
}

fn with_jitter(mut wait: Wait, new: Option<Jitter>) -> Wait {
    if let Some(new) = new {
        match &mut wait {
            Wait::Exponential { jitter, .. } | Wait::Schedule { jitter, .. } => *jitter = new,
        }
    }
    wait
}

fn read_schedule(node: Node<'_>) -> Vec<Duration> {
    let place = node.place.clone();
    let Some(items) = node.list("a list of durations such as [\"5s\", \"5m\"]") else {
        return Vec::new();
    };
    if !(1..=SCHEDULE_LENGTH_MAX).contains(&items.len()) {
        let found = format!("a list of {}", items.len());
        place.fault(found, format!("1 to {SCHEDULE_LENGTH_MAX} durations"));
    }
    items
        .iter()
        .filter_map(|item| item.duration(WAIT_MAX))
        .collect()
}

/// `"408"`, `"5xx"`, `"500-599"` and `"network"`.
pub(super) fn read_retry_on(node: Node<'_>) -> RetryOn {
    const SHAPE: &str = "\"408\", \"5xx\", \"500-599\" or \"network\"";
    let items = node.list("a list such as [\"429\", \"5xx\", \"network\"]");
    let mut statuses = Vec::new();
    let mut network = false;
    for item in items.unwrap_or_default() {
        if item.value.as_str() == Some("network") {
            network = true;
        } else if let Some(range) = item.parse(SHAPE, parse_statuses) {
            statuses.push(range);
        }
    }
    RetryOn::Listed { statuses, network }
}

/// An inclusive range of statuses that are no success.
fn parse_statuses(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| -> Option<u16> {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (low, high) = if let Some(class) = text.strip_suffix("xx") {
        (
            status(&format!("{class}00"))?,
            status(&format!("{class}99"))?,
        )
    } else if let Some((low, high)) = text.split_once('-') {
        (status(low)?, status(high)?)
    } else {
        (status(text)?, status(text)?)
    };
    (low <= high && low >= 300 && high <= 599).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_inclusive_ranges() {
        for (text, range) in [
            ("408", Some((408, 408))),
            ("5xx", Some((500, 599))),
            ("500-502", Some((500, 502))),
            ("2xx", None),
            ("502-500", None),
            ("x", None),
            ("+40", None),
            ("600", None),
        ] {
            assert_eq!(parse_statuses(text), range, "{text}");
        }
    }
}
