//! `[server]`, `[server.tls]` and `[admin]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use bytesize::ByteSize;
use rustls::RootCertStore;

use super::{
    Admin, AdminToken, Role, Server, Tls,
    credentials::{read_named_token, read_token},
    reader::{Node, Place, Table, quoted},
    scalar::{HOUR, MINUTE},
    tls::{check_own, read_authorities},
};

const MIB: u64 = 1024 * 1024;

/// The addresses that listeners have taken so far, each with its key.
pub(super) type Taken = Vec<(String, SocketAddr)>;

/// The listener's settings, and the `max_body` that routes inherit.
pub(super) fn read_server(
    mut table: Table<'_>,
    default_tls: &Path,
    taken: &mut Taken,
) -> (Server, usize) {
    let (listen, listen_place) = read_listen(&mut table, 8443, taken);
    let (tls, client_authorities) = match table.take("tls") {
        Some(node) => node.table("a table").map_or((None, None), |table| {
            read_tls(table, listen.ip().is_loopback())
        }),
        None => {
            if !listen.ip().is_loopback() {
                let found = format!("\"{listen}\" without [server.tls]");
                listen_place.fault(found, "a certificate, or a loopback address");
            }
            (None, None)
        }
    };
    let max_body = bytes(table.size("max_body", MIB));
    let server = Server {
        listen,
        tls: tls.unwrap_or_else(|| Tls::SelfSigned {
            directory: default_tls.to_owned(),
        }),
        client_authorities,
        public_url: read_public_url(&mut table),
        plain_listen: read_plain_listen(&mut table, taken),
        trusted_proxies: table
            .take("trusted_proxies")
            .map(Node::networks)
            .unwrap_or_default(),
        head_timeout: table.duration("head_timeout", Duration::from_secs(10), HOUR),
        body_timeout: table.duration("body_timeout", Duration::from_secs(10), HOUR),
        idle_timeout: table.duration("idle_timeout", Duration::from_secs(75), HOUR),
        max_connections_per_ip: table.count("max_connections_per_ip", 256, 1_000_000),
        max_connections: table.count("max_connections", 10_000, 1_000_000),
        max_body_in_flight: bytes(table.size("max_body_in_flight", 256 * MIB)),
        shutdown_grace: table.duration("shutdown_grace", MINUTE / 2, HOUR),
        workers: table.count("workers", cores(), 1024),
    };
    if max_body > server.max_body_in_flight {
        let [one, all] = [max_body, server.max_body_in_flight].map(|size| ByteSize(size as u64));
        let found = format!("max_body = {one}, max_body_in_flight = {all}");
        let expected = "max_body ≤ max_body_in_flight";
        table.place.fault(found, expected);
    }
    table.finish();
    (server, max_body)
}

/// The address of a listener, by default on loopback, and the place to tell faults about it at.
fn read_listen<'a>(
    table: &mut Table<'a>,
    default_port: u16,
    taken: &mut Taken,
) -> (SocketAddr, Place<'a>) {
    let node = table.take("listen");
    let default_place = || Place {
        path: format!("{}.listen", table.place.path),
        ..table.place.clone()
    };
    let place = node
        .as_ref()
        .map_or_else(default_place, |node| node.place.clone());
    let address = node.and_then(|node| node.socket());
    let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, default_port)));
    take_address(address, &place, taken);
    (address, place)
}

/// No two listeners on one address.
fn take_address(address: SocketAddr, place: &Place<'_>, taken: &mut Taken) {
    let same = |(_, other): &&(String, SocketAddr)| *other == address && address.port() != 0;
    if let Some((other, _)) = taken.iter().find(same) {
        place.fault(format!("\"{address}\", the address of {other}"), "another");
    }
    taken.push((place.path.clone(), address));
}

/// Request targets are appended to it, so it ends before any query.
fn read_public_url(table: &mut Table<'_>) -> Option<url::Url> {
    let node = table.take("public_url")?;
    let url = node.http_url()?;
    if url.query().is_some() {
        node.place.fault("a URL with a query", "a URL without one");
    }
    Some(url)
}

/// Cleartext carries payloads and API keys, so it leaves the machine only where the file says so.
fn read_plain_listen(table: &mut Table<'_>, taken: &mut Taken) -> Option<SocketAddr> {
    let allowed = table.flag("allow_plain", false);
    let node = table.take("plain_listen")?;
    let listen = node.socket()?;
    if !listen.ip().is_loopback() && !allowed {
        node.reject("a loopback address, or `allow_plain = true` beside it");
    }
    take_address(listen, &node.place, taken);
    Some(listen)
}

/// Both files, or neither where a self-signed certificate will do; and who may vouch for callers.
fn read_tls(mut table: Table<'_>, is_loopback: bool) -> (Option<Tls>, Option<Arc<RootCertStore>>) {
    let client_ca = table.take("client_ca");
    let (certificate, private_key) = (table.take("certificate"), table.take("private_key"));
    let may_be_made = is_loopback && client_ca.is_some();
    if certificate.is_some() || private_key.is_some() || !may_be_made {
        for (key, node) in [("certificate", &certificate), ("private_key", &private_key)] {
            if node.is_none() {
                table.place.missing(key, "the path of a PEM file");
            }
        }
    }
    let tls = certificate
        .and_then(|node| {
            let path = read_path(&node)?;
            check_own(&node, &path);
            Some(path)
        })
        .zip(private_key.and_then(|node| read_path(&node)))
        .map(|(certificate, private_key)| Tls::Files {
            certificate,
            private_key,
        });
    table.finish();
    let authorities = client_ca.and_then(|node| read_authorities(&node));
    (tls, authorities.map(Arc::new))
}

/// The path of a file that exists, told from the directory of the configuration.
fn read_path(node: &Node<'_>) -> Option<PathBuf> {
    let text = node.string("the path of a PEM file")?;
    let path = node.place.resolve(text);
    node.place.context.look_at(&path);
    if !node.place.context.is_file(&path) {
        node.reject(format!("a file at {}", path.display()));
    }
    Some(path)
}

/// `[admin]`: no token is needed where only this machine can ask.
pub(super) fn read_admin(mut table: Table<'_>, taken: &mut Taken) -> Admin {
    let (listen, listen_place) = read_listen(&mut table, 9090, taken);
    let token = table.take("token");
    let named = table.take("tokens");
    table.finish();
    if token.is_none() && named.is_none() && !listen.ip().is_loopback() {
        listen_place.fault(
            format!("\"{listen}\" without a token"),
            "`token = { env = \"NAME\" }` beside it, or a loopback address",
        );
    }
    let first = token.and_then(read_token).map(|secret| AdminToken {
        name: "admin".into(),
        role: Role::Write,
        secret,
    });
    let mut tokens: Vec<_> = first.into_iter().collect();
    if let Some(node) = named {
        read_tokens(node, &mut tokens);
    }
    Admin { listen, tokens }
}

/// No two of one name, nor with one secret: logs could not tell who has asked.
fn read_tokens(node: Node<'_>, tokens: &mut Vec<AdminToken>) {
    const SHAPE: &str = "a list such as [{ name = \"grafana\", role = \"read\", env = \"NAME\" }]";
    let place = node.place.clone();
    let items = node.secret().list(SHAPE);
    if items.as_ref().is_some_and(Vec::is_empty) {
        place.fault("an empty list", "at least one token, or no `tokens`");
    }
    for item in items.unwrap_or_default() {
        let place = item.place.clone();
        let Some(token) = read_named_token(item) else {
            continue;
        };
        if tokens.iter().any(|other| other.name == token.name) {
            let found = format!("{} a second time", quoted(&token.name));
            place.fault(found, "another name; `token` is called \"admin\"");
        }
        let same = |other: &AdminToken| other.secret.expose() == token.secret.expose();
        if tokens.iter().any(same) {
            place.fault("the secret of another token", "each secret once");
        }
        tokens.push(token);
    }
}

pub(super) fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}
