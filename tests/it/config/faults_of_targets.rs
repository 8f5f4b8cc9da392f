//! Faults of targets: the exact lines that are told.

use super::{check, file, target};

#[test]
fn targets() {
    check(
        file,
        &[
            (
                r#"[targets.CRM]
url = "https://crm.example.com""#,
                &[
                    r#"routes.toml:1:10: targets.CRM: found "CRM", expected a name of at most 64 of a-z, 0-9, `_` and `-` that begins with a letter or a digit"#,
                ],
            ),
            (
                "[targets.crm]",
                &[
                    r#"routes.toml:1:1: targets.crm.url: missing, expected a URL such as "https://crm.example.com/in""#,
                ],
            ),
            (
                r#"[defaults.target]
url = "https://crm.example.com""#,
                &[
                    "routes.toml:2:1: defaults.target.url: found an unknown key, expected `timeout`, `concurrency`, `retry`, `rate` or `breaker`",
                ],
            ),
            (
                r#"[defaults.route]
path = "/a""#,
                &["routes.toml:1:11: defaults.route: found an unknown key, expected `target`"],
            ),
        ],
    );
}

#[test]
fn targets_by_key() {
    check(
        target,
        &[
            (
                r#"url = "ftp://crm.example.com""#,
                &[
                    "routes.toml:2:7: targets.crm.url: found a URL of another scheme, expected http:// or https:// with a host and without credentials",
                ],
            ),
            (
                r#"url = "https://user:password@crm.example.com""#,
                &[
                    "routes.toml:2:7: targets.crm.url: found a URL with credentials, expected http:// or https:// with a host and without credentials",
                ],
            ),
            (
                r#"url = "https://""#,
                &[
                    "routes.toml:2:7: targets.crm.url: found a URL that cannot be read (empty host), expected http:// or https:// with a host and without credentials",
                ],
            ),
            (
                r#"timeout = "10 parsecs""#,
                &[
                    r#"routes.toml:2:11: targets.crm.timeout: found "10 parsecs", expected a duration such as "10s""#,
                ],
            ),
            (
                r#"timeout = "11m""#,
                &[
                    r#"routes.toml:2:11: targets.crm.timeout: found "11m", expected a duration from 1ms to 10m"#,
                ],
            ),
            (
                "concurrency = 10001",
                &[
                    "routes.toml:2:15: targets.crm.concurrency: found 10001, expected a number from 1 to 10000",
                ],
            ),
            (
                r#"timout = "10s""#,
                &[
                    "routes.toml:2:1: targets.crm.timout: found an unknown key; did you mean `timeout`?",
                ],
            ),
            (
                r#"colour = "red""#,
                &[
                    "routes.toml:2:1: targets.crm.colour: found an unknown key, expected `url`, `headers`, `timeout`, `concurrency`, `retry`, `retry_on`, `rate`, `breaker`, `paused`, `allow_private`, `sign`, `ca`, `client_certificate` or `client_key`",
                ],
            ),
            (
                r#"rate = "200""#,
                &[
                    r#"routes.toml:2:8: targets.crm.rate: found "200", expected a rate such as "500/s", "100/m" or "10/h""#,
                ],
            ),
            (
                r#"rate = { limit = "200/s", burst = 0 }"#,
                &[
                    "routes.toml:2:35: targets.crm.rate.burst: found 0, expected a number from 1 to 4294967295",
                ],
            ),
            (
                r#"breaker = "on""#,
                &[
                    r#"routes.toml:2:11: targets.crm.breaker: found "on", expected "off" or a table such as { failure_ratio = 0.7, open_for = "30s" }"#,
                ],
            ),
            (
                r#"breaker = { failure_ratio = 0, minimum = 0, window = "2h", open_for = "0s", half_open = 1 }"#,
                &[
                    "routes.toml:2:29: targets.crm.breaker.failure_ratio: found 0, expected a number above 0, at most 1",
                    "routes.toml:2:42: targets.crm.breaker.minimum: found 0, expected a number from 1 to 10000",
                    r#"routes.toml:2:54: targets.crm.breaker.window: found "2h", expected a duration from 1ms to 1h"#,
                    r#"routes.toml:2:71: targets.crm.breaker.open_for: found "0s", expected a duration from 1ms to 1h"#,
                    "routes.toml:2:77: targets.crm.breaker.half_open: found an unknown key, expected `failure_ratio`, `minimum`, `window` or `open_for`",
                ],
            ),
            (
                r#"headers = { Authorization = "Bearer x" }"#,
                &[
                    r#"routes.toml:2:29: targets.crm.headers.Authorization: found a string, expected { env = "NAME" }, { file = "PATH" } or { value = "…" }"#,
                ],
            ),
            (
                r#"headers = { Host = { value = "a" }, "a b" = { value = "a" }, X-A = { value = "a" }, x-a = { value = "b" } }"#,
                &[
                    "routes.toml:2:13: targets.crm.headers.Host: found `host`, expected a header that Hookgate does not set",
                    r#"routes.toml:2:37: targets.crm.headers."…": found a key that no header can have, expected the name of a header"#,
                    "routes.toml:2:85: targets.crm.headers.x-a: found `x-a` a second time, expected each header once",
                ],
            ),
            (
                r#"headers = { Authorization = { env = "NOT_SET" } }"#,
                &[
                    r#"routes.toml:2:37: targets.crm.headers.Authorization.env: found "NOT_SET", which is not set, expected a variable of the gateway's environment; set NOT_SET"#,
                ],
            ),
            (
                r#"headers = { Authorization = { env = "EMPTY" } }"#,
                &[
                    "routes.toml:2:29: targets.crm.headers.Authorization: found an empty secret in EMPTY, expected a value",
                ],
            ),
            (
                r#"retry = { first = "1s", schedule = ["5s"] }"#,
                &[
                    "routes.toml:2:9: targets.crm.retry: found both `schedule` and `first`, `factor` or `max`, expected one or the other",
                ],
            ),
            (
                r#"retry = { first = "2h" }"#,
                &[
                    "routes.toml:2:19: targets.crm.retry.first: found first = 2h, max = 1h, expected first ≤ max",
                ],
            ),
            (
                "retry = { factor = 0.5, jitter = 2 }",
                &[
                    "routes.toml:2:20: targets.crm.retry.factor: found 0.5, expected a number from 1 to 100",
                    r#"routes.toml:2:34: targets.crm.retry.jitter: found 2, expected "full" or a number from 0 to 1"#,
                ],
            ),
            (
                "retry = { schedule = [] }",
                &[
                    "routes.toml:2:22: targets.crm.retry.schedule: found a list of 0, expected 1 to 100 durations",
                ],
            ),
            (
                r#"retry = { schedule = ["5s", "soon"], jitter = "half" }"#,
                &[
                    r#"routes.toml:2:29: targets.crm.retry.schedule[1]: found "soon", expected a duration such as "10s""#,
                    r#"routes.toml:2:47: targets.crm.retry.jitter: found "half", expected "full" or a number from 0 to 1"#,
                ],
            ),
            (
                r#"retry_on = ["5xx", "200", "599-500", "disk"]"#,
                &[
                    r#"routes.toml:2:20: targets.crm.retry_on[1]: found "200", expected "408", "5xx", "500-599" or "network""#,
                    r#"routes.toml:2:27: targets.crm.retry_on[2]: found "599-500", expected "408", "5xx", "500-599" or "network""#,
                    r#"routes.toml:2:38: targets.crm.retry_on[3]: found "disk", expected "408", "5xx", "500-599" or "network""#,
                ],
            ),
            (
                "paused = 1",
                &["routes.toml:2:10: targets.crm.paused: found 1, expected true or false"],
            ),
        ],
    );
}

#[test]
fn tls_by_key() {
    check(
        target,
        &[
            (
                r#"ca = "tls/none.pem""#,
                &[
                    r#"routes.toml:2:6: targets.crm.ca: found "tls/none.pem", which cannot be read (No such file or directory (os error 2)), expected a file that the gateway may read at FIXTURES/tls/none.pem"#,
                ],
            ),
            (
                r#"ca = "tls/server.crt""#,
                &[
                    r#"routes.toml:2:6: targets.crm.ca: found "tls/server.crt", which holds no certificate, expected certificates in PEM"#,
                ],
            ),
            (
                r#"ca = "tls/broken.pem""#,
                &[
                    r#"routes.toml:2:6: targets.crm.ca: found "tls/broken.pem", which cannot be read (a section does not end), expected certificates in PEM"#,
                ],
            ),
            (
                r#"ca = "tls""#,
                &[
                    r#"routes.toml:2:6: targets.crm.ca: found "tls", which cannot be read (Is a directory (os error 21)), expected a file that the gateway may read at FIXTURES/tls"#,
                ],
            ),
            (
                "ca = true",
                &["routes.toml:2:6: targets.crm.ca: found true, expected the path of a PEM file"],
            ),
            (
                r#"client_certificate = "tls/client.pem""#,
                &[
                    "routes.toml:1:1: targets.crm.client_key: missing, expected the path of the key of `client_certificate`",
                ],
            ),
            (
                r#"client_key = "tls/client.key""#,
                &[
                    "routes.toml:1:1: targets.crm.client_certificate: missing, expected the path of the certificate of `client_key`",
                ],
            ),
            (
                r#"client_certificate = "tls/client.pem"
client_key = "tls/other.key""#,
                &[
                    r#"routes.toml:3:14: targets.crm.client_key: found "tls/other.key", which does not belong to `client_certificate`, expected the key of that certificate"#,
                ],
            ),
            (
                r#"client_certificate = "tls/version-1.pem"
client_key = "tls/client.key""#,
                &[
                    r#"routes.toml:2:22: targets.crm.client_certificate: found "tls/version-1.pem", whose first certificate cannot be used (Other(OtherError(UnsupportedCertVersion))), expected an X.509 certificate of version 3"#,
                ],
            ),
            (
                r#"client_certificate = "tls/server.crt"
client_key = "tls/server.key""#,
                &[
                    r#"routes.toml:2:22: targets.crm.client_certificate: found "tls/server.crt", which holds no certificate, expected certificates in PEM"#,
                    r#"routes.toml:3:14: targets.crm.client_key: found "tls/server.key", which holds no private key, expected a private key in PEM"#,
                ],
            ),
            (
                r#"client_certificate = "tls/client.pem"
client_key = "tls/broken.pem""#,
                &[
                    r#"routes.toml:3:14: targets.crm.client_key: found "tls/broken.pem", which cannot be read (a section does not end), expected a private key in PEM"#,
                ],
            ),
            (
                r#"url = "http://crm.example.com"
ca = "tls/ca.pem"
client_certificate = "tls/client.pem"
client_key = "tls/client.key""#,
                &[
                    "routes.toml:3:6: targets.crm.ca: found a key of TLS on an http target, expected an https `url`",
                    "routes.toml:4:22: targets.crm.client_certificate: found a key of TLS on an http target, expected an https `url`",
                    "routes.toml:5:14: targets.crm.client_key: found a key of TLS on an http target, expected an https `url`",
                ],
            ),
        ],
    );
}

#[test]
fn signatures_by_key() {
    check(
        target,
        &[
            (
                "sign = true",
                &[
                    r#"routes.toml:2:8: targets.crm.sign: found true, expected a table such as { secrets = [{ env = "NAME" }] }"#,
                ],
            ),
            (
                "sign = {}",
                &[
                    r#"routes.toml:2:8: targets.crm.sign.secrets: missing, expected a list of secrets such as [{ env = "NAME" }]"#,
                ],
            ),
            (
                "sign = { secrets = [] }",
                &[
                    "routes.toml:2:20: targets.crm.sign.secrets: found an empty list, expected at least one secret",
                ],
            ),
            (
                r#"sign = { secrets = [{ env = "NOT_SET" }] }"#,
                &[
                    r#"routes.toml:2:29: targets.crm.sign.secrets[0].env: found "NOT_SET", which is not set, expected a variable of the gateway's environment; set NOT_SET"#,
                ],
            ),
            (
                r#"sign = { secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:21: targets.crm.sign.secrets[0]: found a secret that does not fit (the secret is not base64), expected the secret as it was given out",
                ],
            ),
            (
                r#"sign = { secrets = [{ env = "TICKETS_SECRET", not_after = 2100-01-01T00:00:00Z }] }"#,
                &[
                    "routes.toml:2:20: targets.crm.sign.secrets: found only secrets with `not_after`, expected one without, that signs when they have ended",
                ],
            ),
            (
                r#"sign = { secrets = [{ env = "TICKETS_SECRET" }], id = "webhook-id" }"#,
                &[
                    "routes.toml:2:50: targets.crm.sign.id: found an unknown key, expected `secrets`",
                ],
            ),
        ],
    );
}
