//! Every key that a configuration says, with its value as it may be shown: what `check --diff` compares.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::reader::quoted;

/// By key path, e.g. `targets.crm.retry.max`.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<String, Said>);

#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// As it stands. Never shown.
    exact: String,
    shown: String,
}

/// A key that says something else now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyChange {
    /// Below the prefix that was asked for.
    pub key: String,
    /// `None`: it did not stand there. `"…"`: it may be a secret.
    pub old: Option<String>,
    pub new: Option<String>,
}

/// Keys whose strings are no secrets, and say what changes. Of an address only the host is shown, of all others nothing.
#[rustfmt::skip]
const SHOWN: [&str; 82] = [
    "algorithm", "algorithms", "allow_from", "body_sha256", "body_timeout", "breaker", "ca", "certificate", "client_ca",
    "client_certificate", "client_key", "content", "content_type", "dedupe_window", "deliver", "durability", "each", "encoding",
    "env", "event_id", "event_type", "events", "file", "first", "future", "give_up_after", "head_timeout", "header",
    "idle_timeout", "include", "jitter", "json", "json_types", "jwks_file", "keep_headers", "leeway", "limit", "listen", "max",
    "max_age", "max_body", "max_body_in_flight", "methods", "name", "names", "numbered_header", "on_dead", "open_for", "order_by",
    "paired_headers", "path", "plain_listen", "private_key", "provider", "query", "rate", "retention", "retention_size", "retry",
    "retry_on", "role", "schedule", "schema", "scheme", "secret_form", "separator", "shutdown_grace", "sig", "signed", "split",
    "spool", "timeout", "timestamp", "to", "tolerance", "transform", "trusted_proxies", "unit", "verify", "version", "when",
    "window",
];
/// Tables of a route whose keys are an operator's own words, and whose values are no secrets.
const SHOWN_BELOW: [&str; 2] = ["require", "schema"];
const ADDRESSES: [&str; 4] = ["endpoint", "jwks_url", "public_url", "url"];
const HIDDEN: &str = "…";

impl Keys {
    pub(super) fn add(&mut self, table: &DeTable<'_>) {
        self.add_table(table, "", false);
    }

    fn add_table(&mut self, table: &DeTable<'_>, path: &str, shown: bool) {
        for (key, value) in table {
            let key = key.get_ref().as_ref();
            let shown = shown || is_route(path) && SHOWN_BELOW.contains(&key);
            let path = match path {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            };
            self.add_value(value.get_ref(), &path, key, shown);
        }
    }

    fn add_value(&mut self, value: &DeValue<'_>, path: &str, key: &str, shown: bool) {
        match value {
            DeValue::Table(table) if !table.is_empty() => self.add_table(table, path, shown),
            DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.add_value(item.get_ref(), &path, key, shown);
                }
            }
            _ => {
                let said = Said {
                    exact: exact(value),
                    shown: shown_as(value, key, shown),
                };
                self.0.insert(path.to_owned(), said);
            }
        }
    }

    /// What is different in `new` below `prefix`, e.g. `targets.crm`.
    pub fn changes(&self, new: &Self, prefix: &str) -> Vec<KeyChange> {
        let below = |keys: &Self| -> BTreeMap<String, (String, String)> {
            let own = keys.0.iter().filter_map(|(path, said)| {
                let rest = path.strip_prefix(prefix)?;
                let key = rest
                    .strip_prefix('.')
                    .or_else(|| rest.is_empty().then_some(""))?;
                Some((key.to_owned(), (said.exact.clone(), said.shown.clone())))
            });
            own.collect()
        };
        let (old, new) = (below(self), below(new));
        let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        let differs = names
            .into_iter()
            .filter(|name| old.get(*name) != new.get(*name));
        differs
            .map(|name| KeyChange {
                key: name.clone(),
                old: old.get(name).map(|(_, shown)| shown.clone()),
                new: new.get(name).map(|(_, shown)| shown.clone()),
            })
            .collect()
    }
}

/// Routes, targets and headers may be called as a key is.
fn is_route(path: &str) -> bool {
    let name = path.strip_prefix("routes.");
    name.is_some_and(|name| !name.contains('.'))
}

/// Two values that mean the same are written the same.
fn exact(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| exact(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "{}".to_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(at) => at.to_string(),
    }
}

fn shown_as(value: &DeValue<'_>, key: &str, shown: bool) -> String {
    match value {
        DeValue::String(text) if shown || SHOWN.contains(&key) => quoted(text),
        DeValue::String(text) if ADDRESSES.contains(&key) => address(text),
        DeValue::String(_) => format!("\"{HIDDEN}\""),
        DeValue::Array(items) => {
            let items = items.iter();
            let items: Vec<_> = items
                .map(|item| shown_as(item.get_ref(), key, shown))
                .collect();
            format!("[{}]", items.join(", "))
        }
        other => exact(other),
    }
}

/// The scheme and the host: paths and queries of webhook addresses are often secret, and so is a user.
fn address(text: &str) -> String {
    let host = url::Url::parse(text).ok().and_then(|url| {
        let host = url.host_str()?;
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let rest = if matches!(url.path(), "" | "/") {
            ""
        } else {
            "/…"
        };
        Some(format!("\"{}://{host}{port}{rest}\"", url.scheme()))
    });
    host.unwrap_or_else(|| format!("\"{HIDDEN}\""))
}
