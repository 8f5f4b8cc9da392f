//! What the log tells of reloads.

use crate::{
    admin::control::{Applied, Changes, Refusal},
    config::{Change, ChangeKind, Warning},
    metrics::Metrics,
};

/// Names that one line tells.
const NAMES_MAX: usize = 20;

pub(super) fn changes(of: Vec<Change>) -> Changes {
    let mut changes = Changes::default();
    for change in of {
        match change.kind {
            ChangeKind::Added => changes.added.push(change.name),
            ChangeKind::Removed => changes.removed.push(change.name),
            ChangeKind::Changed => changes.changed.push(change.name),
        }
    }
    for names in [
        &mut changes.added,
        &mut changes.removed,
        &mut changes.changed,
    ] {
        names.sort_unstable();
    }
    changes
}

pub(super) fn applied(applied: &Applied, warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        routes = told(&applied.routes),
        targets = told(&applied.targets),
        "configuration reloaded"
    );
    if !applied.needs_restart.is_empty() {
        let keys = applied.needs_restart.join(", ");
        tracing::warn!(
            keys,
            "these changes count only after a restart; the rest is in use"
        );
    }
}

pub(super) fn refused(refusal: &Refusal) {
    match refusal {
        Refusal::Faults(faults) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
        }
        Refusal::Unusable(reason) => tracing::error!("{reason}"),
    }
    tracing::error!("configuration not reloaded: the one before stays in use");
}

pub(super) fn retired(deliveries: u64, metrics: &Metrics) {
    metrics.retired.inc_by(deliveries);
    if deliveries > 0 {
        tracing::warn!(
            deliveries,
            "deliveries of removed targets became dead letters"
        );
    }
}

/// E.g. `added orders; removed crm, mail`; or `unchanged`.
fn told(changes: &Changes) -> String {
    let mut text = String::new();
    for (what, names) in [
        ("added", &changes.added),
        ("removed", &changes.removed),
        ("changed", &changes.changed),
    ] {
        if names.is_empty() {
            continue;
        }
        let between = if text.is_empty() { "" } else { "; " };
        let shown = names[..names.len().min(NAMES_MAX)].join(", ");
        text.push_str(&format!("{between}{what} {shown}"));
        if names.len() > NAMES_MAX {
            text.push_str(&format!(" and {} more", names.len() - NAMES_MAX));
        }
    }
    if text.is_empty() {
        text.push_str("unchanged");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_changed_and_is_no_longer_for_a_thousand_names() {
        assert_eq!(told(&Changes::default()), "unchanged");
        let changes = Changes {
            added: vec!["a".into()],
            removed: vec!["b".into(), "c".into()],
            changed: vec!["d".into()],
        };
        assert_eq!(told(&changes), "added a; removed b, c; changed d");
        let many = Changes {
            changed: (0..1000).map(|n| format!("route-{n}")).collect(),
            ..Changes::default()
        };
        let line = told(&many);
        assert!(
            line.ends_with(" and 980 more") && line.len() < 300,
            "{line}"
        );
    }
}
