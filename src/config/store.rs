//! `[store]`.

use std::{path::PathBuf, time::Duration};

use redis::{ClientTlsConfig, TlsCertificates};
use zeroize::Zeroizing;

use super::{
    Durability, RedisUrl, Store, StoreUrl,
    credentials::read_text,
    reader::{Context, Node, Place, Table, quoted},
    redis_url::{self, URL_SHAPE},
    scalar::DAY,
};

/// The longest that anything is kept or remembered.
pub(super) const KEPT_MAX: Duration = DAY.saturating_mul(3650);

/// Each is asked now and then, and has a connection.
const SHARDS_MAX: u64 = 256;
/// Two for each primary of the smallest cluster.
const CLUSTER_SHARDS: u16 = 6;
/// More than any bundle of authorities.
const CERTIFICATES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The store's settings, and the `dedupe_window` that routes inherit.
pub(super) fn read_store(mut table: Table<'_>) -> (Store, Duration) {
    let context = table.place.context;
    let embedded = || StoreUrl::Embedded {
        directory: default_directory(context),
    };
    let url = table.take("url").map_or_else(|| Some(embedded()), read_url);
    let shards = read_shards(&mut table, url.as_ref());
    let url = read_certificates(&mut table, url);
    let durability = table.take("durability").and_then(|node| {
        node.choice(&[
            ("always", Durability::Always),
            ("everysec", Durability::Everysec),
            ("memory", Durability::Memory),
        ])
    });
    let store = Store {
        url: url.unwrap_or_else(embedded),
        durability: durability.unwrap_or(Durability::Always),
        retention: table.duration("retention", 3 * DAY, KEPT_MAX),
        retention_size: table.size("retention_size", 10 * 1024 * 1024 * 1024),
        spool: None,
        shards,
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

/// The URL with what `ca` and `client_certificate` say.
fn read_certificates(table: &mut Table<'_>, url: Option<StoreUrl>) -> Option<StoreUrl> {
    let place = table.place.clone();
    let ca = table.take("ca");
    let own = table.take("client_certificate");
    let Some(first) = ca.as_ref().or(own.as_ref()) else {
        return url;
    };
    let place = Place {
        offset: first.place.offset,
        path: first.place.path.clone(),
        ..place
    };
    let certificates = TlsCertificates {
        root_cert: ca.and_then(|node| read_pem(&node)),
        client_tls: own.and_then(read_client_certificate),
    };
    match url? {
        StoreUrl::Redis(servers) if servers.is_tls() => {
            let with = servers.with_certificates(&certificates);
            if with.is_err() {
                place.fault("certificates that cannot be read", "PEM");
            }
            with.ok().map(StoreUrl::Redis)
        }
        _ => {
            place.fault("certificates for a store without TLS", "a rediss:// URL");
            None
        }
    }
}

fn read_client_certificate(node: Node<'_>) -> Option<ClientTlsConfig> {
    let mut table = node.table("{ certificate = \"PATH\", private_key = \"PATH\" }")?;
    let expected = "the path of a PEM file";
    let certificate = table.require("certificate", expected);
    let private_key = table.require("private_key", expected);
    table.finish();
    Some(ClientTlsConfig {
        client_cert: read_pem(&certificate?)?,
        client_key: read_pem(&private_key?)?,
    })
}

/// The bytes of a file that holds something in PEM.
fn read_pem(node: &Node<'_>) -> Option<Vec<u8>> {
    let name = node.string("the path of a PEM file")?;
    let path = node.place.context.resolve(name);
    let fault = |what: String| {
        let found = format!("{}, {what}", quoted(name));
        node.place.fault(found, "a PEM file");
    };
    let read = || {
        let size = std::fs::metadata(&path)?.len();
        (size <= CERTIFICATES_BYTES_MAX)
            .then(|| std::fs::read(&path))
            .transpose()
    };
    match read() {
        Ok(Some(bytes)) if bytes.windows(11).any(|part| part == b"-----BEGIN ") => Some(bytes),
        Ok(Some(_)) => {
            fault("which holds nothing in PEM".to_owned());
            None
        }
        Ok(None) => {
            fault("which is too large".to_owned());
            None
        }
        Err(error) => {
            fault(format!("which cannot be read ({error})"));
            None
        }
    }
}
