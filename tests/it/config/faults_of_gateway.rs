//! Faults of listeners, the store and syntax: the exact lines that are told.

use super::{check, file};

#[test]
fn listeners() {
    check(
        file,
        &[
            (
                "routes = 1",
                &["routes.toml:1:10: routes: found 1, expected a table"],
            ),
            (
                "[log]\naccepted_lines_per_second = -1\naccepted = 3",
                &[
                    "routes.toml:2:29: log.accepted_lines_per_second: found -1, expected a number from 0 to 1000000",
                    "routes.toml:3:1: log.accepted: found an unknown key, expected `accepted_lines_per_second`",
                ],
            ),
            (
                r#"[server]
listen = "8443""#,
                &[
                    r#"routes.toml:2:10: server.listen: found "8443", expected an address and a port such as "127.0.0.1:8443""#,
                ],
            ),
            (
                r#"[server]
listen = "0.0.0.0:8443""#,
                &[
                    r#"routes.toml:2:10: server.listen: found "0.0.0.0:8443" without [server.tls], expected a certificate, or a loopback address"#,
                ],
            ),
            (
                r#"[server]
plain_listen = "10.0.0.1:80""#,
                &[
                    r#"routes.toml:2:16: server.plain_listen: found "10.0.0.1:80", expected a loopback address, or `allow_plain = true` beside it"#,
                ],
            ),
            (
                r#"[server]
plain_listen = "127.0.0.1:9090""#,
                &[
                    r#"routes.toml:1:1: admin.listen: found "127.0.0.1:9090", the address of server.plain_listen, expected another"#,
                ],
            ),
            (
                r#"[server]
public_url = "hooks.example.com""#,
                &[
                    "routes.toml:2:14: server.public_url: found a URL that cannot be read (relative URL without a base), expected http:// or https:// with a host and without credentials",
                ],
            ),
            (
                r#"[server]
public_url = "https://hooks.example.com/?a=1""#,
                &[
                    r#"routes.toml:2:14: server.public_url: found a URL with a query, expected a URL without one"#,
                ],
            ),
            (
                r#"[server]
trusted_proxies = ["10.0.0.1/8", "proxy"]"#,
                &[
                    r#"routes.toml:2:20: server.trusted_proxies[0]: found "10.0.0.1/8", expected "10.0.0.0/8""#,
                    r#"routes.toml:2:34: server.trusted_proxies[1]: found "proxy", expected a network such as "203.0.113.0/24""#,
                ],
            ),
            (
                r#"[server]
max_body = "1 parsec""#,
                &[
                    r#"routes.toml:2:12: server.max_body: found "1 parsec", expected a size such as "1MiB""#,
                ],
            ),
            (
                r#"[server]
max_body = "1GiB""#,
                &[
                    "routes.toml:1:1: server: found max_body = 1.0 GiB, max_body_in_flight = 256.0 MiB, expected max_body ≤ max_body_in_flight",
                ],
            ),
            (
                "[server]
body_timeout = 10",
                &[
                    r#"routes.toml:2:16: server.body_timeout: found 10, expected a duration such as "10s""#,
                ],
            ),
            (
                r#"[server]
head_timeout = "0s""#,
                &[
                    r#"routes.toml:2:16: server.head_timeout: found "0s", expected a duration from 1ms to 1h"#,
                ],
            ),
            (
                r#"[server]
idle_timeout = "2h""#,
                &[
                    r#"routes.toml:2:16: server.idle_timeout: found "2h", expected a duration from 1ms to 1h"#,
                ],
            ),
            (
                r#"[server]
max_connections = 0
max_connections_per_ip = "many"
workers = -1"#,
                &[
                    "routes.toml:2:19: server.max_connections: found 0, expected a number from 1 to 1000000",
                    r#"routes.toml:3:26: server.max_connections_per_ip: found "many", expected a number from 1 to 1000000"#,
                    "routes.toml:4:11: server.workers: found -1, expected a number from 1 to 1024",
                ],
            ),
            (
                r#"[server]
allow_plain = "yes""#,
                &[r#"routes.toml:2:15: server.allow_plain: found "yes", expected true or false"#],
            ),
            (
                r#"[server.tls]
certificate = "tls/server.crt""#,
                &[
                    "routes.toml:1:1: server.tls.private_key: missing, expected the path of a PEM file",
                ],
            ),
            (
                r#"[server.tls]
certificate = "tls/none.crt"
private_key = 1"#,
                &[
                    r#"routes.toml:2:15: server.tls.certificate: found "tls/none.crt", expected a file at FIXTURES/tls/none.crt"#,
                    "routes.toml:3:15: server.tls.private_key: found 1, expected the path of a PEM file",
                ],
            ),
            (
                r#"[server.tls]
certificate = "tls/server.crt"
private_key = "tls/server.key"
client_ca = "tls/none.pem""#,
                &[
                    "routes.toml:4:13: server.tls.client_ca: found \"tls/none.pem\", which cannot be read (No such file or directory (os error 2)), expected a file that the gateway may read at FIXTURES/tls/none.pem",
                ],
            ),
            (
                r#"[server]
listen = "0.0.0.0:8443"
[server.tls]
client_ca = "tls/ca.pem""#,
                &[
                    "routes.toml:3:1: server.tls.certificate: missing, expected the path of a PEM file",
                    "routes.toml:3:1: server.tls.private_key: missing, expected the path of a PEM file",
                ],
            ),
            (
                r#"[server.tls]
certificate = "tls/server.crt"
client_ca = "tls/server.key""#,
                &[
                    "routes.toml:1:1: server.tls.private_key: missing, expected the path of a PEM file",
                    "routes.toml:3:13: server.tls.client_ca: found \"tls/server.key\", which holds no certificate, expected certificates in PEM",
                ],
            ),
            (
                "server = 1",
                &["routes.toml:1:10: server: found 1, expected a table"],
            ),
            (
                r#"[admin]
listen = "0.0.0.0:9090""#,
                &[
                    r#"routes.toml:2:10: admin.listen: found "0.0.0.0:9090" without a token, expected `token = { env = "NAME" }` beside it, or a loopback address"#,
                ],
            ),
            (
                r#"[admin]
token = { env = "SHORT" }"#,
                &[
                    "routes.toml:2:9: admin.token: found a secret of fewer than 8 bytes in SHORT, expected at least 8 bytes",
                ],
            ),
            (
                r#"[admin]
token = { env = "TWO_LINES" }"#,
                &[
                    "routes.toml:2:9: admin.token: found a token with spaces or unprintable bytes, expected printable ASCII",
                ],
            ),
        ],
    );
}

#[test]
fn the_store() {
    check(
        file,
        &[
            (
                r#"[store]
url = "redis+sentinel://:password@a,b""#,
                &[
                    r#"routes.toml:2:7: store.url: found a redis+sentinel:// URL that cannot be read, expected "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/NAME[/DATABASE][?sentinel_user=USER&sentinel_password=PASSWORD]""#,
                ],
            ),
            (
                r#"[store]
url = "rediss+cluster://:password@a,b/1""#,
                &[
                    r#"routes.toml:2:7: store.url: found a rediss+cluster:// URL that cannot be read, expected "rediss+cluster://[USER:PASSWORD@]HOST[:PORT],…""#,
                ],
            ),
            (
                r#"[store]
url = "redis://:password@host:port""#,
                &[
                    r#"routes.toml:2:7: store.url: found a redis:// URL that cannot be read, expected "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]""#,
                ],
            ),
            (
                r#"[store]
url = "data""#,
                &[
                    r#"routes.toml:2:7: store.url: found a string without a scheme, expected "file:DIRECTORY", "redis://HOST:PORT", "redis+sentinel://HOST:PORT,…/NAME" or "redis+cluster://HOST:PORT,…" (rediss with TLS)"#,
                ],
            ),
            (
                r#"[store]
url = "postgres://host""#,
                &[
                    r#"routes.toml:2:7: store.url: found a URL of another scheme, expected "file:DIRECTORY", "redis://HOST:PORT", "redis+sentinel://HOST:PORT,…/NAME" or "redis+cluster://HOST:PORT,…" (rediss with TLS)"#,
                ],
            ),
            (
                r#"[store]
shards = 0"#,
                &[
                    "routes.toml:2:10: store.shards: found shards of an embedded store, expected none: only Redis has them",
                    "routes.toml:2:10: store.shards: found 0, expected a number from 1 to 256",
                ],
            ),
            (
                r#"[store]
url = "redis://a"
shards = 257"#,
                &["routes.toml:3:10: store.shards: found 257, expected a number from 1 to 256"],
            ),
            (
                r#"[store]
url = "redis://a"
ca = "tls/ca.pem""#,
                &[
                    "routes.toml:3:6: store.ca: found a key of TLS of a store without it, expected a rediss:// URL",
                ],
            ),
            (
                r#"[store]
url = "rediss://a"
ca = "full.toml"
client_key = "tls/client.key""#,
                &[
                    "routes.toml:1:1: store.client_certificate: missing, expected the path of the certificate of `client_key`",
                    r#"routes.toml:3:6: store.ca: found "full.toml", which holds no certificate, expected certificates in PEM"#,
                ],
            ),
            (
                r#"[store]
url = "rediss://a"
client_certificate = "tls/client.pem"
client_key = "tls/other.key""#,
                &[
                    r#"routes.toml:4:14: store.client_key: found "tls/other.key", which does not belong to `client_certificate`, expected the key of that certificate"#,
                ],
            ),
            (
                r#"[store]
durability = "sometimes""#,
                &[
                    r#"routes.toml:2:14: store.durability: found "sometimes", expected "always", "everysec" or "memory""#,
                ],
            ),
            (
                r#"[store]
retention = "3 fortnights"
retention_size = 0
dedupe_window = "0s""#,
                &[
                    r#"routes.toml:2:13: store.retention: found "3 fortnights", expected a duration such as "10s""#,
                    r#"routes.toml:3:18: store.retention_size: found 0, expected a size such as "1MiB""#,
                    r#"routes.toml:4:17: store.dedupe_window: found "0s", expected a duration from 1ms to 3650d"#,
                ],
            ),
            (
                r#"[store]
retentoin = "3d""#,
                &[
                    "routes.toml:2:1: store.retentoin: found an unknown key; did you mean `retention`?",
                ],
            ),
        ],
    );
}

#[test]
fn the_spool() {
    check(
        file,
        &[
            (
                r#"[store]
spool = "file:spool""#,
                &[
                    "routes.toml:2:9: store.spool: found a spool beside a store that is a directory itself, expected no `spool`, or a `url` of Redis",
                ],
            ),
            (
                r#"[store]
url = "file:data"
spool = "file:data""#,
                &[
                    "routes.toml:3:9: store.spool: found a spool beside a store that is a directory itself, expected no `spool`, or a `url` of Redis",
                ],
            ),
            (
                r#"[store]
url = "redis://host"
spool = "file:data/tls""#,
                &[
                    "routes.toml:3:9: store.spool: found the directory of the self-signed certificate, expected a directory of its own",
                ],
            ),
            (
                r#"[store]
url = "redis://host"
spool = "spool""#,
                &[r#"routes.toml:3:9: store.spool: found "spool", expected "file:DIRECTORY""#],
            ),
            (
                r#"[store]
url = "redis://host"
spool = "file:""#,
                &[r#"routes.toml:3:9: store.spool: found "file:", expected "file:DIRECTORY""#],
            ),
            (
                r#"[store]
url = "redis://:password@host:port"
spool = "file:spool""#,
                &[
                    r#"routes.toml:2:7: store.url: found a redis:// URL that cannot be read, expected "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]""#,
                ],
            ),
        ],
    );
}

#[test]
fn syntax() {
    check(
        file,
        &[
            (
                "[server
listen = 1",
                &["routes.toml:1:8: found a fault of syntax: unclosed table, expected `]`"],
            ),
            (
                "a = 
b = 1
c = = 2",
                &[
                    "routes.toml:1:5: found a fault of syntax: string values must be quoted, expected literal string",
                    "routes.toml:3:5: found a fault of syntax: extra `=`, expected nothing",
                    "routes.toml:3:7: found a fault of syntax: unexpected key or value, expected newline, `#`",
                ],
            ),
            (
                r#"[store]
url = "file:a"
url = "file:b""#,
                &["routes.toml:3:1: found a fault of syntax: duplicate key"],
            ),
            (
                "serve = 1",
                &["routes.toml:1:1: serve: found an unknown key; did you mean `server`?"],
            ),
        ],
    );
}
