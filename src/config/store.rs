//! `[store]`.

use std::{path::PathBuf, time::Duration};

use redis::IntoConnectionInfo as _;
use zeroize::Zeroizing;

use super::{
    Durability, Store, StoreUrl,
    credentials::read_text,
    reader::{Context, Node, Table},
    scalar::DAY,
};

/// The longest that anything is kept or remembered.
pub(super) const KEPT_MAX: Duration = DAY.saturating_mul(3650);

const URL_SHAPE: &str = "\"file:DIRECTORY\", \"redis://HOST:PORT\" or \"rediss://HOST:PORT\"";

/// The store's settings, and the `dedupe_window` that routes inherit.
pub(super) fn read_store(mut table: Table<'_>) -> (Store, Duration) {
    let context = table.place.context;
    let url = table.take("url").and_then(read_url);
    let durability = table.take("durability").and_then(|node| {
        node.choice(&[
            ("always", Durability::Always),
            ("everysec", Durability::Everysec),
            ("memory", Durability::Memory),
        ])
    });
    let store = Store {
        url: url.unwrap_or_else(|| StoreUrl::Embedded {
            directory: default_directory(context),
        }),
        durability: durability.unwrap_or(Durability::Always),
        retention: table.duration("retention", 3 * DAY, KEPT_MAX),
        retention_size: table.size("retention_size", 10 * 1024 * 1024 * 1024),
        spool: None,
        shards: 1,
    };
    let dedupe_window = table.duration("dedupe_window", 4 * DAY, KEPT_MAX);
    table.finish();
    (store, dedupe_window)
}

/// Where a self-signed certificate is kept: beside the data, if there is a directory of it.
pub(super) fn tls_directory(store: &Store, context: &Context<'_>) -> PathBuf {
    match &store.url {
        StoreUrl::Embedded { directory } => directory.join("tls"),
        StoreUrl::Redis(_) => default_directory(context).join("tls"),
    }
}

fn default_directory(context: &Context<'_>) -> PathBuf {
    context.resolve("data")
}

/// A string, or a secret when the address holds a password. Only its scheme is ever shown.
fn read_url(node: Node<'_>) -> Option<StoreUrl> {
    let place = node.place.clone();
    let text = if node.is_table() {
        read_text(node)?
    } else {
        Zeroizing::new(node.secret().string(URL_SHAPE)?.to_owned())
    };
    let Some((scheme, rest)) = text.split_once(':') else {
        place.fault("a string without a scheme", URL_SHAPE);
        return None;
    };
    match scheme {
        "file" if !rest.is_empty() => Some(StoreUrl::Embedded {
            directory: place
                .context
                .resolve(rest.strip_prefix("//").unwrap_or(rest)),
        }),
        "redis" | "rediss" => {
            let connection = text.as_str().into_connection_info().ok();
            // TLS that does not verify its peer is compiled out.
            let connection = connection.filter(|connection| connection.addr().is_supported());
            if connection.is_none() {
                place.fault(
                    format!("a {scheme}:// URL that cannot be read"),
                    format!("\"{scheme}://[USER:PASSWORD@]HOST[:PORT][/DATABASE]\""),
                );
            }
            connection.map(|connection| StoreUrl::Redis(connection.into()))
        }
        "redis+sentinel" | "redis+cluster" => {
            place.fault(
                format!("{scheme}://, which is not supported yet"),
                URL_SHAPE,
            );
            None
        }
        _ => {
            place.fault("a URL of another scheme", URL_SHAPE);
            None
        }
    }
}
