//! Faults of what callers must prove: the exact lines that are told.

use hookgate::providers::PRESETS;

use super::{check, file, route};

#[test]
fn verifiers() {
    let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    let unknown = format!(
        r#"routes.toml:4:12: routes.a.provider: found "githbu", expected one of {}; did you mean `github`?"#,
        names.join(", ")
    );
    check(
        file,
        &[
            (
                r#"[routes.a]
path = "/a"
verify = "none"
event_id = { json = "/id" }
deliver = []
provider = "github"
secrets = [{ env = "SECRET" }]"#,
                &[
                    "routes.toml:3:10: routes.a.verify: found \"none\" beside `provider`, expected verifiers that must pass too, or no `verify`",
                ],
            ),
            (
                r#"[routes.a]
path = "/a"
deliver = []
provider = "githbu"
secrets = [{ env = "SECRET" }]"#,
                &[&unknown],
            ),
        ],
    );
}

#[test]
fn what_stands_beside_a_provider() {
    check(
        route,
        &[
            (
                r#"provider = "hubspot"
secrets = [{ env = "SECRET" }]
scheme = "v4""#,
                &[
                    r#"routes.toml:1:1: routes.a.public_url: missing, expected the address that the provider calls and signs, such as "https://hooks.example.com/hooks/crm", or `public_url` in [server]"#,
                    r#"routes.toml:4:10: routes.a.scheme: found "v4", expected one of hubspot's: v3, v2, v1; did you mean `v3`?"#,
                ],
            ),
            (
                r#"provider = "gitlab"
secrets = [{ env = "SECRET" }]
scheme = "signing""#,
                &[
                    "routes.toml:3:12: routes.a.secrets[0]: found a secret of another kind than the scheme's, expected the secret as it was given out, with its prefix",
                ],
            ),
            (
                r#"provider = "square"
secrets = [{ env = "SECRET" }]
public_url = "https://hooks.example.com/a?b""#,
                &[
                    r#"routes.toml:4:14: routes.a.public_url: found a URL with a query, expected a URL without one"#,
                ],
            ),
            (
                r#"provider = "paypal""#,
                &[
                    r#"routes.toml:1:1: routes.a.params: missing, expected { webhook_id = "…" }: the webhook's id, as the PayPal dashboard shows it"#,
                ],
            ),
            (
                r#"provider = "paypal"
params = { webhook = "1" }
secrets = [{ env = "SECRET" }]"#,
                &[
                    "routes.toml:3:10: routes.a.params.webhook_id: missing, expected the webhook's id, as the PayPal dashboard shows it",
                    "routes.toml:3:12: routes.a.params.webhook: found an unknown key, expected `webhook_id`",
                    "routes.toml:4:11: routes.a.secrets: found secrets, but paypal is proven by a certificate, expected none",
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ env = "SECRET" }]
params = { id = "1" }"#,
                &[
                    "routes.toml:4:10: routes.a.params: found parameters, but github has none, expected no `params`",
                ],
            ),
            (
                r#"provider = "cidaas"
secrets = [{ env = "SECRET" }]"#,
                &[
                    r#"routes.toml:1:1: routes.a.verify: missing, expected how cidaas proves itself here, e.g. { api_key = { header = "X-Api-Key" }, keys = [ … ] }"#,
                    "routes.toml:3:11: routes.a.secrets: found a key that cidaas has no use for, expected `verify` beside `provider`",
                ],
            ),
            (
                r#"provider = "netlify"
secrets = [{ env = "SECRET" }]
scheme = "jwt"
tolerance = "5m""#,
                &[
                    "routes.toml:4:10: routes.a.scheme: found a scheme, but netlify has one token, expected no `scheme`",
                    "routes.toml:5:13: routes.a.tolerance: found a tolerance, but netlify signs no time, expected none",
                ],
            ),
            (
                r#"provider = "google-pubsub"
secrets = [{ env = "SECRET" }]
public_url = "https://hooks.example.com/a"
params = { service_account = "", jwks = "ftp://x" }"#,
                &[
                    "routes.toml:3:11: routes.a.secrets: found secrets, but the keys of google-pubsub are public, expected none",
                    r#"routes.toml:5:30: routes.a.params.service_account: found a string, expected the e-mail address of the subscription's service account"#,
                ],
            ),
            (
                r#"json_types = ["text/plain; charset=utf-8"]"#,
                &[
                    r#"routes.toml:2:15: routes.a.json_types[0]: found "text/plain; charset=utf-8", expected a content type without parameters, such as "text/plain""#,
                ],
            ),
        ],
    );
}

#[test]
fn verifiers_by_key() {
    check(
        route,
        &[
            (
                r#"provider = "github""#,
                &[
                    r#"routes.toml:1:1: routes.a.secrets: missing, expected a list of secrets such as [{ env = "NAME" }]"#,
                ],
            ),
            (
                r#"provider = "github"
secrets = []"#,
                &[
                    "routes.toml:3:11: routes.a.secrets: found an empty list, expected at least one secret",
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ env = "NOT_SET" }]"#,
                &[
                    r#"routes.toml:3:20: routes.a.secrets[0].env: found "NOT_SET", which is not set, expected a variable of the gateway's environment; set NOT_SET"#,
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ file = "none.secret" }]"#,
                &[
                    r#"routes.toml:3:21: routes.a.secrets[0].file: found "none.secret", which cannot be read (No such file or directory (os error 2)), expected a file that the gateway may read at FIXTURES/none.secret"#,
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ env = "SHORT" }, { env = "EMPTY" }, {}, { env = "SECRET", not_after = 2026-12-31 }]"#,
                &[
                    "routes.toml:3:12: routes.a.secrets[0]: found a secret of fewer than 8 bytes in SHORT, expected at least 8 bytes",
                    "routes.toml:3:31: routes.a.secrets[1]: found an empty secret in EMPTY, expected at least 8 bytes",
                    r#"routes.toml:3:50: routes.a.secrets[2]: found none or several of `env`, `file` and `value`, expected { env = "NAME" }, { file = "PATH" } or { value = "…" }"#,
                    "routes.toml:3:84: routes.a.secrets[3].not_after: found 2026-12-31, expected a moment with its offset such as 2026-12-31T00:00:00Z",
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ handshake = true }]"#,
                &[
                    r#"routes.toml:3:11: routes.a.secrets: found a secret from a handshake, but GitHub gives none, expected a list of secrets such as [{ env = "NAME" }]"#,
                ],
            ),
            (
                r#"provider = "asana"
secrets = [{ handshake = true }, { env = "SECRET" }]"#,
                &[
                    "routes.toml:3:11: routes.a.secrets: found a secret from a handshake that does not stand alone, expected [{ handshake = true }], or secrets that are known",
                ],
            ),
            (
                r#"provider = "asana"
secrets = [{ handshake = false }]"#,
                &[
                    "routes.toml:3:11: routes.a.secrets: found a secret from a handshake that does not stand alone, expected [{ handshake = true }], or secrets that are known",
                ],
            ),
            (
                r#"provider = "asana"
secrets = [{ handshake = true, not_after = 2027-01-01T00:00:00Z }]"#,
                &[
                    "routes.toml:3:11: routes.a.secrets: found a secret from a handshake that does not stand alone, expected [{ handshake = true }], or secrets that are known",
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ env = "SECRET" }]
verify_token = { env = "SECRET" }"#,
                &[
                    "routes.toml:4:16: routes.a.verify_token: found a verify token, but GitHub shows none, expected none",
                ],
            ),
            (
                r#"provider = "meta"
secrets = [{ env = "SECRET" }]
verify_token = { env = "SHORT" }"#,
                &[
                    "routes.toml:4:16: routes.a.verify_token: found a secret of fewer than 8 bytes in SHORT, expected at least 8 bytes",
                ],
            ),
            (
                r#"verify = "none"
verify_token = { env = "SECRET" }
scheme = "v1""#,
                &[
                    "routes.toml:3:16: routes.a.verify_token: found a key that goes with `provider`, expected `provider`, or not this key",
                    "routes.toml:4:10: routes.a.scheme: found a key that goes with `provider`, expected `provider`, or not this key",
                ],
            ),
            (
                r#"provider = "standard-webhooks"
secrets = [{ env = "SECRET" }]"#,
                &[
                    "routes.toml:3:12: routes.a.secrets[0]: found a secret that does not fit (the secret is not base64), expected the secret as it was given out",
                ],
            ),
            (
                r#"provider = "github"
secrets = [{ env = "SECRET" }]
tolerance = "5m""#,
                &[
                    "routes.toml:4:13: routes.a.tolerance: found a tolerance, but github signs no time, expected none",
                ],
            ),
            (
                r#"secrets = [{ env = "SECRET" }]
tolerance = "5m""#,
                &[
                    "routes.toml:2:11: routes.a.secrets: found a key that goes with `provider`, expected it within `verify`",
                    "routes.toml:3:13: routes.a.tolerance: found a key that goes with `provider`, expected it within `verify`",
                ],
            ),
            (
                r#"verify = "all""#,
                &[
                    r#"routes.toml:2:10: routes.a.verify: found a string, expected "none", a table such as { hmac = { … }, secrets = [ … ] }, or a list of them"#,
                ],
            ),
            (
                "verify = []",
                &[
                    r#"routes.toml:2:10: routes.a.verify: found an empty list, expected "none", a table such as { hmac = { … }, secrets = [ … ] }, or a list of them"#,
                ],
            ),
            (
                "verify = { keys = [] }",
                &[
                    "routes.toml:2:10: routes.a.verify: found none or several of `api_key`, `bearer`, `basic`, `query_key`, `jwt`, `client_certificate`, `hmac`, `hash`, `equal`, `ed25519`, `ecdsa_p256`, `rsa`, `first_of`, expected one of them in each table; all tables of a list must pass",
                ],
            ),
            (
                "verify = { oauth = {}, keys = [] }",
                &[
                    "routes.toml:2:12: routes.a.verify.oauth: found an unknown key, expected `api_key`, `bearer`, `basic`, `query_key`, `jwt`, `client_certificate`, `hmac`, `hash`, `equal`, `ed25519`, `ecdsa_p256`, `rsa`, `first_of`, `keys`, `secrets` or `params`",
                ],
            ),
            (
                "verify = { query_key = { name = \"\" }, secrets = [] }",
                &[
                    "routes.toml:2:10: routes.a.verify.keys: missing, expected a list such as [{ name = \"crm-2026\", sha256 = \"…\" }]",
                    "routes.toml:2:33: routes.a.verify.query_key.name: found \"\", expected the name of a parameter such as \"key\"",
                    "routes.toml:2:49: routes.a.verify.secrets: found a key that this verifier does not have, expected `keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
                ],
            ),
            (
                r#"verify = { query_key = { name = "key" }, keys = [{ name = "a", sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }] }
methods = ["GET"]
content = ["form"]"#,
                &[
                    "routes.toml:1:1: routes.a: found `query_key` on a route that takes GET, whose query string is the payload, expected another verifier, or no GET: else the key would be stored and sent on",
                ],
            ),
            (
                "verify = { client_certificate = { names = [] } }",
                &[
                    "routes.toml:1:1: routes.a: found `client_certificate` without `server.tls.client_ca`, expected `client_ca = \"clients.pem\"` in [server.tls]: who may vouch for callers",
                    "routes.toml:2:43: routes.a.verify.client_certificate.names: found an empty list, expected at least one name, or no `names` for any",
                ],
            ),
            (
                "verify = { client_certificate = { names = [\"*.example.com\"] }, keys = [] }",
                &[
                    "routes.toml:1:1: routes.a: found `client_certificate` without `server.tls.client_ca`, expected `client_ca = \"clients.pem\"` in [server.tls]: who may vouch for callers",
                    "routes.toml:2:44: routes.a.verify.client_certificate.names[0]: found \"*.example.com\", expected a name such as \"crm.example.com\"",
                    "routes.toml:2:71: routes.a.verify.keys: found a key that this verifier does not have, expected `keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
                ],
            ),
            (
                "verify = { bearer = {}, basic = {}, keys = [] }",
                &[
                    "routes.toml:2:10: routes.a.verify: found none or several of `api_key`, `bearer`, `basic`, `query_key`, `jwt`, `client_certificate`, `hmac`, `hash`, `equal`, `ed25519`, `ecdsa_p256`, `rsa`, `first_of`, expected one of them in each table; all tables of a list must pass",
                ],
            ),
            (
                "verify = { bearer = {}, secrets = [] }",
                &[
                    r#"routes.toml:2:10: routes.a.verify.keys: missing, expected a list such as [{ name = "crm-2026", sha256 = "…" }]"#,
                    "routes.toml:2:35: routes.a.verify.secrets: found a key that this verifier does not have, expected `keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
                ],
            ),
            (
                r#"verify = { api_key = {}, keys = [{ name = "a", sha256 = "abc" }] }"#,
                &[
                    "routes.toml:2:22: routes.a.verify.api_key.header: missing, expected the name of a header",
                    "routes.toml:2:57: routes.a.verify.keys[0].sha256: found a string, expected the SHA-256 of the key, 64 hex digits",
                ],
            ),
            (
                r#"verify = { basic = { realm = "x" }, keys = [{ name = "" }] }"#,
                &[
                    "routes.toml:2:22: routes.a.verify.basic.realm: found an unknown key, expected none",
                    "routes.toml:2:45: routes.a.verify.keys[0].sha256: missing, expected the SHA-256 of the key, 64 hex digits",
                    "routes.toml:2:54: routes.a.verify.keys[0].name: found a string, expected a name of 1 to 64 printable characters",
                ],
            ),
            (
                r#"verify = { bearer = {}, keys = [
  { name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" },
  { name = "a", sha256 = "1111111111111111111111111111111111111111111111111111111111111111" },
] }"#,
                &[
                    r#"routes.toml:4:3: routes.a.verify.keys[1]: found "a" a second time, expected another name"#,
                ],
            ),
            (
                r#"verify = { hmac = {}, secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:19: routes.a.verify.hmac.header: missing, expected the header that holds the signature",
                    r#"routes.toml:2:19: routes.a.verify.hmac.algorithm: missing, expected "sha1", "sha256" or "sha512""#,
                    r#"routes.toml:2:19: routes.a.verify.hmac.encoding: missing, expected "hex" or "base64""#,
                ],
            ),
            (
                r#"verify = { hmac = { header = "X-S", algorithm = "md5", encoding = "hex" } }"#,
                &[
                    r#"routes.toml:2:10: routes.a.verify.secrets: missing, expected a list of secrets such as [{ env = "NAME" }]"#,
                    r#"routes.toml:2:49: routes.a.verify.hmac.algorithm: found "md5", expected "sha1", "sha256" or "sha512""#,
                ],
            ),
            (
                r#"verify = { hmac = { header = "X-S", algorithm = "sha1", encoding = "hex", signed = "{header:X-T}" }, secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:19: routes.a.verify.hmac.signed: found a template that leaves out the body, expected a template with {body}: what is not signed can be forged; write allow_unsigned_body = true where the provider signs no more",
                ],
            ),
            (
                r#"verify = { hmac = { header = "X-S", algorithm = "sha1", encoding = "hex", tolerance = "5m" }, secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:87: routes.a.verify.hmac.tolerance: found a tolerance without `timestamp`, expected both or neither",
                ],
            ),
            (
                r#"verify = { hmac = { header = "X-S", algorithm = "sha1", encoding = "hex", timestamp = { unit = "min" }, tolerance = "5d" }, secrets = [{ env = "SECRET" }] }"#,
                &[
                    "routes.toml:2:87: routes.a.verify.hmac.timestamp.header: missing, expected the header that holds the time",
                    r#"routes.toml:2:96: routes.a.verify.hmac.timestamp.unit: found "min", expected "s", "ms" or "rfc3339""#,
                    r#"routes.toml:2:117: routes.a.verify.hmac.tolerance: found "5d", expected a duration from 1ms to 1d"#,
                ],
            ),
        ],
    );
}

#[test]
fn keys_that_prove_nothing() {
    check(
        route,
        &[
            (
                r#"verify = { bearer = {}, keys = [{ name = "a", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }] }"#,
                &[
                    "routes.toml:2:56: routes.a.verify.keys[0].sha256: found a string, expected the SHA-256 of the key, 64 hex digits",
                ],
            ),
            (
                r#"verify = { bearer = {}, keys = [
  { name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" },
  { name = "b", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" },
] }"#,
                &[
                    "routes.toml:4:3: routes.a.verify.keys[1]: found the digest of another key, expected each key once",
                ],
            ),
            (
                r#"provider = "standard-webhooks"
secrets = [{ value = "whsec_QUJD" }]"#,
                &[
                    "routes.toml:3:12: routes.a.secrets[0]: found a secret whose base64 holds too few bytes, expected at least 8",
                ],
            ),
        ],
    );
}
