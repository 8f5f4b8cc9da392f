//! What is different between two configurations.

use std::collections::HashMap;

use super::{Config, Fingerprint};

/// What a reload changes, and what it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In the order of the new configuration; those that are removed follow.
    pub routes: Vec<Change>,
    /// By name; those that are removed follow.
    pub targets: Vec<Change>,
    /// Key paths of what is different and takes effect only when the gateway is started anew.
    pub restart: Vec<String>,
}

/// A route or target that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub kind: ChangeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

impl Diff {
    /// Whether all routes and targets stay, and nothing waits for a restart.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.targets.is_empty() && self.restart.is_empty()
    }
}

/// What is different in `new`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let routes = |config: &Config| -> Vec<(String, Fingerprint)> {
        let routes = config.routes.iter();
        routes
            .map(|route| (route.name.to_string(), route.fingerprint))
            .collect()
    };
    let targets = |config: &Config| -> Vec<(String, Fingerprint)> {
        let targets = config.targets.values();
        targets
            .map(|target| (target.name.to_string(), target.fingerprint))
            .collect()
    };
    Diff {
        routes: changes(&routes(old), &routes(new)),
        targets: changes(&targets(old), &targets(new)),
        restart: restart(old, new),
    }
}

fn changes(old: &[(String, Fingerprint)], new: &[(String, Fingerprint)]) -> Vec<Change> {
    let change = |name: &String, kind| Change {
        name: name.clone(),
        kind,
    };
    let by_name = |all: &[(String, Fingerprint)]| all.iter().cloned().collect::<HashMap<_, _>>();
    let (before, after) = (by_name(old), by_name(new));
    let came = new
        .iter()
        .filter_map(|(name, fingerprint)| match before.get(name) {
            None => Some(change(name, ChangeKind::Added)),
            Some(same) if same == fingerprint => None,
            Some(_) => Some(change(name, ChangeKind::Changed)),
        });
    let went = old.iter().filter(|(name, _)| !after.contains_key(name));
    let went = went.map(|(name, _)| change(name, ChangeKind::Removed));
    came.chain(went).collect()
}

/// Where traces go, as it can be compared.
fn exported(config: &Config) -> Option<Fingerprint> {
    let otlp = config.otlp.as_ref()?;
    let sample = otlp.sample.to_bits().to_be_bytes();
    let mut parts = vec![otlp.endpoint.as_str().as_bytes(), &sample];
    for (name, value) in &otlp.headers {
        parts.extend([name.as_str().as_bytes(), value.expose()]);
    }
    Some(Fingerprint::of(&parts))
}

/// What sockets, threads and the store are made from at the start.
fn restart(old: &Config, new: &Config) -> Vec<String> {
    let (server, other) = (&old.server, &new.server);
    let (store, other_store) = (&old.store, &new.store);
    #[rustfmt::skip]
    let differs = [
        ("server.listen", server.listen != other.listen),
        ("server.plain_listen", server.plain_listen != other.plain_listen),
        ("server.head_timeout", server.head_timeout != other.head_timeout),
        ("server.idle_timeout", server.idle_timeout != other.idle_timeout),
        ("server.max_connections", server.max_connections != other.max_connections),
        ("server.max_connections_per_ip", server.max_connections_per_ip != other.max_connections_per_ip),
        ("server.max_body_in_flight", server.max_body_in_flight != other.max_body_in_flight),
        ("server.workers", server.workers != other.workers),
        ("server.shutdown_grace", server.shutdown_grace != other.shutdown_grace),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("store.url", store.connection != other_store.connection),
        ("store.durability", store.durability != other_store.durability),
        ("store.spool", store.spool != other_store.spool),
        ("store.shards", store.shards != other_store.shards),
        ("telemetry.otlp", exported(old) != exported(new)),
    ];
    let differs = differs.iter().filter(|(_, differs)| *differs);
    differs.map(|(key, _)| (*key).to_owned()).collect()
}
