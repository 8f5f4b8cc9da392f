//! `check --diff OLD`: what the new configuration changes, and what becomes of deliveries that wait.

use std::collections::HashMap;

use http::Method;
use serde::Serialize;

use crate::{
    cli::{BOLD, GREEN, RED, YELLOW, admin::Admin},
    config::{Change, ChangeKind, Config, KeyChange, Keys, diff, surface},
};

/// A valid configuration and what it says.
pub(super) type Loaded = (Config, Keys);

#[derive(Serialize)]
pub(super) struct Report {
    /// As it was named.
    old: String,
    routes: Vec<Changed>,
    targets: Vec<Changed>,
    /// Of all other tables.
    settings: Vec<Setting>,
    /// Key paths of what takes effect only when the gateway is started anew.
    restart: Vec<String>,
}

#[derive(Serialize)]
struct Changed {
    name: String,
    kind: ChangeKind,
    /// Of what is changed: below its own table, or with the whole path where it takes them from elsewhere.
    keys: Vec<KeyChange>,
    /// What becomes of callers and of events that are there.
    effect: String,
    /// Deliveries that wait for a removed or changed target, by the gateway that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

#[derive(Serialize)]
struct Setting {
    #[serde(flatten)]
    change: KeyChange,
    restart: bool,
}

/// What changes from `old`, which is called `name`, to `new`. `admin`: the gateway that runs with the old one.
pub(super) fn report(
    name: String,
    (old, old_keys): &Loaded,
    (new, new_keys): &Loaded,
    admin: Option<&Admin>,
) -> Result<Report, String> {
    let diff = diff(old, new);
    let waiting = match admin {
        Some(admin) if !diff.targets.is_empty() => Some(waiting(admin)?),
        _ => None,
    };
    let keys = |prefix: &str| old_keys.changes(new_keys, prefix);
    let routes = diff.routes.iter().map(|change| {
        let keys = own_keys(&keys, "routes", change, &["server", "store"]);
        Changed {
            effect: of_route(change.kind, &keys),
            name: change.name.clone(),
            kind: change.kind,
            keys,
            waiting: None,
        }
    });
    let targets = diff.targets.iter().map(|change| {
        let keys = own_keys(&keys, "targets", change, &["defaults.target"]);
        let waiting = waiting
            .as_ref()
            .filter(|_| change.kind != ChangeKind::Added);
        let waiting = waiting.and_then(|all| all.get(&change.name).copied());
        let paused = |config: &Config| {
            let target = config.targets.get(change.name.as_str());
            target.is_some_and(|target| target.paused)
        };
        Changed {
            effect: of_target(change.kind, &keys, paused(old), paused(new), waiting),
            name: change.name.clone(),
            kind: change.kind,
            keys,
            waiting,
        }
    });
    let sections = surface::WHOLE.keys().map(|key| key.name);
    let of_gateway = sections
        .filter(|section| !["routes", "targets"].contains(section))
        .flat_map(|section| {
            let changes = old_keys.changes(new_keys, section).into_iter();
            changes.map(move |change| KeyChange {
                key: format!("{section}.{}", change.key),
                ..change
            })
        });
    let settings: Vec<_> = of_gateway
        .map(|change| Setting {
            restart: needs_restart(&diff.restart, &change.key),
            change,
        })
        .collect();
    // Relative paths of files in two directories differ though both say the same: the gateway will read the new one where
    // it read the old one.
    let said = |key: &&String| {
        let mut said = settings.iter();
        said.any(|setting| needs_restart(std::slice::from_ref(*key), &setting.change.key))
    };
    let restart = diff.restart.iter().filter(said).cloned().collect();
    Ok(Report {
        old: name,
        routes: routes.collect(),
        targets: targets.collect(),
        settings,
        restart,
    })
}

/// The certificates of Redis and the parts of its URL go with its URL.
fn needs_restart(restart: &[String], key: &str) -> bool {
    const OF_URL: [&str; 3] = ["store.ca", "store.client_certificate", "store.client_key"];
    restart.iter().any(|known| {
        key == known
            || key.starts_with(&format!("{known}."))
            || known == "store.url" && OF_URL.contains(&key)
    })
}

/// Those of its own table; where that stays the same, those of the tables that it takes something from.
fn own_keys(
    keys: &dyn Fn(&str) -> Vec<KeyChange>,
    kind: &str,
    change: &Change,
    inherited: &[&str],
) -> Vec<KeyChange> {
    if change.kind != ChangeKind::Changed {
        return Vec::new();
    }
    let own = keys(&format!("{kind}.{}", change.name));
    if !own.is_empty() {
        return own;
    }
    const TAKEN: [&str; 3] = ["max_body", "public_url", "dedupe_window"];
    let from = inherited.iter().flat_map(|section| {
        let changes = keys(section).into_iter();
        let taken =
            changes.filter(|change| kind == "targets" || TAKEN.contains(&change.key.as_str()));
        taken.map(move |change| KeyChange {
            key: format!("{section}.{}", change.key),
            ..change
        })
    });
    from.collect()
}

fn of_route(kind: ChangeKind, keys: &[KeyChange]) -> String {
    let has = |wanted: &str| keys.iter().any(|change| change.key == wanted);
    let drops = keys.iter().any(|change| change.key.starts_with("deliver"));
    let mut effects = Vec::new();
    match kind {
        ChangeKind::Added => return "its callers are answered from now on".to_owned(),
        ChangeKind::Removed => {
            return "its callers are answered 404; its events go on to their targets".to_owned();
        }
        ChangeKind::Changed => {}
    }
    if has("path") {
        effects.push("callers of the old path are answered 404");
    }
    if has("enabled") {
        effects.push("callers are answered 403 while `enabled` is false");
    }
    if drops {
        effects.push("new events go by the new `deliver`; what waits goes where it was to go");
    }
    if keys.is_empty() {
        effects.push("what its variables or files hold has changed");
    }
    if effects.is_empty() {
        effects.push("new requests are judged by it; what waits goes on to its targets");
    }
    effects.join("; ")
}

fn of_target(
    kind: ChangeKind,
    keys: &[KeyChange],
    was_paused: bool,
    is_paused: bool,
    waiting: Option<u64>,
) -> String {
    let count = match waiting {
        Some(1) => "1 delivery waits".to_owned(),
        Some(count) => format!("{count} deliveries wait"),
        None => "how many wait is unknown while no gateway is asked (--admin URL)".to_owned(),
    };
    let what = match kind {
        ChangeKind::Added => return "it gets what is accepted from now on".to_owned(),
        ChangeKind::Removed => {
            "its waiting deliveries become dead letters `target_removed`, which can be replayed when it is back"
        }
        ChangeKind::Changed if is_paused && !was_paused => {
            "what waits, and what comes, waits until it is resumed"
        }
        ChangeKind::Changed if was_paused && !is_paused => "what waits goes out now",
        ChangeKind::Changed if keys.iter().any(|change| change.key == "url") => {
            "what waits goes to the new address"
        }
        ChangeKind::Changed if keys.is_empty() => {
            "what its variables or files hold has changed; what waits goes out by it"
        }
        ChangeKind::Changed => "what waits goes out by the new settings",
    };
    format!("{what}; {count}")
}

/// Deliveries that wait, by target.
fn waiting(admin: &Admin) -> Result<HashMap<String, u64>, String> {
    let answer = admin.ask(Method::GET, &["targets"])?;
    let targets = answer["targets"].as_array().cloned();
    let targets = targets.ok_or("the gateway's answer has no list of targets")?;
    let one = |target: &serde_json::Value| {
        Some((
            target["name"].as_str()?.to_owned(),
            target["pending"].as_u64()?,
        ))
    };
    Ok(targets.iter().filter_map(one).collect())
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for (kind, changes) in [("routes", &self.routes), ("targets", &self.targets)] {
            for change in changes {
                lines.extend(change.lines(kind));
            }
        }
        for setting in &self.settings {
            let note = if setting.restart {
                " (needs a restart)"
            } else {
                ""
            };
            lines.push(format!(
                "{YELLOW}~{YELLOW:#} {}{note}",
                told(&setting.change)
            ));
        }
        if lines.is_empty() && self.restart.is_empty() {
            return format!("nothing changes from {}\n", self.old);
        }
        if !self.restart.is_empty() {
            lines.push(format!(
                "{YELLOW}needs a restart{YELLOW:#}: {}; all else takes effect with a reload",
                self.restart.join(", ")
            ));
        }
        format!("changes from {}:\n{}\n", self.old, lines.join("\n"))
    }
}

impl Changed {
    fn lines(&self, kind: &str) -> Vec<String> {
        let (style, sign, word) = match self.kind {
            ChangeKind::Added => (GREEN, '+', "added"),
            ChangeKind::Removed => (RED, '-', "removed"),
            ChangeKind::Changed => (YELLOW, '~', "changed"),
        };
        let name = &self.name;
        let mut lines = vec![format!(
            "{style}{sign}{style:#} {BOLD}{kind}.{name}{BOLD:#} {word}: {}",
            self.effect
        )];
        lines.extend(
            self.keys
                .iter()
                .map(|change| format!("    {}", told(change))),
        );
        lines
    }
}

/// `timeout: "3s" → "5s"`
fn told(KeyChange { key, old, new }: &KeyChange) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    match (old, new) {
        (Some(old), Some(new)) if old == new => format!("{key}: {old} → another"),
        _ => format!("{key}: {} → {}", shown(old), shown(new)),
    }
}
