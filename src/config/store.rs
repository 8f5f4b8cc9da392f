//! `[store]`.

use std::{path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::{
    Durability, RedisUrl, Store, StoreUrl,
    credentials::{read_text, warn_of_literal},
    reader::{Node, Place, Table},
    redis_url::{self, URL_SHAPE},
    scalar::DAY,
    tls::TlsKeys,
};

/// The longest that anything is kept or remembered.
pub(super) const KEPT_MAX: Duration = DAY.saturating_mul(3650);

/// Each is asked now and then, and has a connection.
const SHARDS_MAX: u64 = 256;
/// Two for each primary of the smallest cluster.
const CLUSTER_SHARDS: u16 = 6;

const SPOOL_SHAPE: &str = "\"file:DIRECTORY\"";
/// Below the directory of the data: where a self-signed certificate is kept.
const TLS: &str = "tls";

/// The store's settings, and the `dedupe_window` that routes inherit.
pub(super) fn read_store(mut table: Table<'_>) -> (Store, Duration) {
    let witness = table.witness_keys(&["url", "ca", "client_certificate", "client_key"]);
    let place = table.place.clone();
    let embedded = || StoreUrl::Embedded {
        directory: default_directory(&place),
    };
    let url = table.take("url").map_or_else(|| Some(embedded()), read_url);
    let shards = read_shards(&mut table, url.as_ref());
    let url = read_certificates(&mut table, url);
    let connection = witness.fingerprint(&format!("{url:?}"));
    let durability = table.take("durability").and_then(|node| {
        node.choice(&[
            ("always", Durability::Always),
            ("everysec", Durability::Everysec),
            ("memory", Durability::Memory),
        ])
    });
    let is_embedded = matches!(url, Some(StoreUrl::Embedded { .. }));
    let spool = table
        .take("spool")
        .and_then(|node| read_spool(node, is_embedded));
    let store = Store {
        url: url.unwrap_or_else(embedded),
        connection,
        durability: durability.unwrap_or(Durability::Always),
        retention: table.duration("retention", 3 * DAY, KEPT_MAX),
        retention_size: table.size("retention_size", 10 * 1024 * 1024 * 1024),
        spool,
        shards,
    };
    let dedupe_window = table.duration("dedupe_window", 4 * DAY, KEPT_MAX);
    table.finish();
    (store, dedupe_window)
}

/// Where a self-signed certificate is kept: beside the data, if there is a directory of it.
pub(super) fn tls_directory(store: &Store, place: &Place<'_>) -> PathBuf {
    match &store.url {
        StoreUrl::Embedded { directory } => directory.join(TLS),
        StoreUrl::Redis(_) => default_directory(place).join(TLS),
    }
}

fn default_directory(place: &Place<'_>) -> PathBuf {
    place.resolve("data")
}

/// Only beside a store that can be away, and in a directory of its own.
fn read_spool(node: Node<'_>, is_embedded: bool) -> Option<PathBuf> {
    let place = node.place.clone();
    let directory = node.parse(SPOOL_SHAPE, |text| {
        let path = text.strip_prefix("file:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        (!path.is_empty()).then(|| place.resolve(path))
    })?;
    if is_embedded {
        place.fault(
            "a spool beside a store that is a directory itself",
            "no `spool`, or a `url` of Redis",
        );
        return None;
    }
    if directory == default_directory(&place).join(TLS) {
        place.fault(
            "the directory of the self-signed certificate",
            "a directory of its own",
        );
        return None;
    }
    Some(directory)
}

/// A string, or a secret when the address holds a password. Only its scheme is ever shown.
fn read_url(node: Node<'_>) -> Option<StoreUrl> {
    let place = node.place.clone();
    let text = if node.is_table() {
        read_text(node)?
    } else {
        let text = Zeroizing::new(node.secret().string(URL_SHAPE)?.to_owned());
        if has_password(&text) {
            warn_of_literal(&place);
        }
        text
    };
    let Some((scheme, rest)) = text.split_once(':') else {
        place.fault("a string without a scheme", URL_SHAPE);
        return None;
    };
    match scheme {
        "file" if !rest.is_empty() => Some(StoreUrl::Embedded {
            directory: place.resolve(rest.strip_prefix("//").unwrap_or(rest)),
        }),
        "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster"
        | "rediss+cluster" => {
            let url = RedisUrl::parse(&text);
            if url.is_none() {
                place.fault(
                    format!("a {scheme}:// URL that cannot be read"),
                    redis_url::shape(scheme),
                );
            }
            url.map(StoreUrl::Redis)
        }
        _ => {
            place.fault("a URL of another scheme", URL_SHAPE);
            None
        }
    }
}

/// Of a user, or alone.
fn has_password(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let user = rest.rsplit_once('@').map(|(user, _)| user);
    let password = user.and_then(|user| user.split_once(':'));
    password.is_some_and(|(_, password)| !password.is_empty())
}

fn read_shards(table: &mut Table<'_>, url: Option<&StoreUrl>) -> u16 {
    let default = match url {
        Some(StoreUrl::Redis(RedisUrl::Cluster { .. })) => CLUSTER_SHARDS,
        _ => 1,
    };
    let Some(node) = table.take("shards") else {
        return default;
    };
    if matches!(url, Some(StoreUrl::Embedded { .. })) {
        node.place
            .fault("shards of an embedded store", "none: only Redis has them");
    }
    let shards = node.integer(1..=SHARDS_MAX);
    shards
        .and_then(|shards| u16::try_from(shards).ok())
        .unwrap_or(default)
}

/// The URL with what `ca`, `client_certificate` and `client_key` say.
fn read_certificates(table: &mut Table<'_>, url: Option<StoreUrl>) -> Option<StoreUrl> {
    let keys = TlsKeys::take(table);
    let certificates = keys.of_redis();
    match url? {
        url if keys.is_empty() => Some(url),
        StoreUrl::Redis(servers) if servers.is_tls() => {
            let with = servers.with_certificates(&certificates);
            if with.is_err() {
                keys.refuse("a file that the client of Redis cannot use", "PEM");
            }
            with.ok().map(StoreUrl::Redis)
        }
        _ => {
            keys.refuse("a key of TLS of a store without it", "a rediss:// URL");
            None
        }
    }
}
