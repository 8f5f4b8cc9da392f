//! The JSON Schema and the reference of the keys, both made from one table of data.

use std::{fs, path::Path};

use hookgate::config::surface;

use super::{file, parse, route, target, verified};
use crate::support::schema;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[allow(clippy::disallowed_methods, reason = "whoever changes a row says so")]
/// `HOOKGATE_BLESS=1` writes it anew.
#[test]
fn the_tables_of_the_reference_are_those_of_the_program() {
    let path = project().join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let current = surface::reference(&text).unwrap();
    if std::env::var_os("HOOKGATE_BLESS").is_some() {
        fs::write(path, &current).unwrap();
        return;
    }
    let stale = std::iter::zip(text.lines(), current.lines()).find(|(is, should)| is != should);
    assert!(
        text == current,
        "docs/configuration.md is not current, from {stale:?} on: HOOKGATE_BLESS=1 cargo test --test it config::surface"
    );
}

/// The others of the tests are asked of where they load.
#[test]
fn the_schema_takes_the_shipped_configurations() {
    for name in [
        "routes.toml",
        "deploy/config/routes.toml",
        "tests/config/full.toml",
    ] {
        let text = fs::read_to_string(project().join(name)).unwrap();
        assert!(text.len() > 500, "{name}");
        schema::assert_takes(&text);
    }
}

/// What an editor can see without the files and the other keys that a key speaks of.
#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let server = |lines: &str| file(&format!("[server]\n{lines}"));
    let store = |lines: &str| file(&format!("[store]\n{lines}"));
    let hmac = |keys: &str| {
        verified(&format!(
            "hmac = {{ header = \"X-S\", algorithm = \"sha256\", encoding = \"hex\", {keys} }}\nsecrets = [{{ env = \"SECRET\" }}]"
        ))
    };
    let mistakes = [
        file("colour = \"red\""),
        file("[serve]\nlisten = \"127.0.0.1:1\""),
        "[targets.crm]\nurl = \"https://crm.example.com\"\n[routes.a]\n".to_owned(),
        server("listen = \"everywhere\""),
        server("listen = 8443"),
        server("max_body = \"16 parsecs\""),
        server("max_body = 0"),
        server("max_body = true"),
        server("head_timeout = \"10\""),
        server("head_timeout = 10"),
        server("idle_timeout = \"1 fortnight\""),
        server("workers = 0"),
        server("workers = 1.5"),
        server("workers = \"4\""),
        server("trusted_proxies = \"10.0.0.0/8\""),
        server("trusted_proxies = [\"everybody\"]"),
        server("allow_plain = \"yes\""),
        server("public_url = \"hooks.example.com\""),
        server("tls = { certificate = \"tls/server.crt\" }"),
        server("tls = { certificat = \"tls/server.crt\" }"),
        file("[admin]\ntoken = \"literal\""),
        file("[admin]\ntoken = { env = \"SECRET\", file = \"glia.secret\" }"),
        file("[admin]\ntoken = { env = \"SECRET\", not_after = 2026-12-31T00:00:00Z }"),
        store("url = \"mysql://localhost\""),
        store("url = \"data\""),
        store("durability = \"mostly\""),
        store("url = \"redis://127.0.0.1\"\nshards = 257"),
        store("spool = \"spool\""),
        store("retention_size = \"lots\""),
        file("[defaults.target]\nurl = \"https://crm.example.com\""),
        file("[targets.CRM]\nurl = \"https://crm.example.com\""),
        file("[targets.crm]\nurl = \"ftp://crm.example.com\""),
        file("[targets.crm]\ntimeout = \"5s\""),
        target("timout = \"10s\""),
        target("timeout = \"10 parsecs\""),
        target("concurrency = 10_001"),
        target("retry = \"3 times\""),
        target("retry = { first = \"1s\", schedule = [\"1s\"] }"),
        target("retry = { schedule = [] }"),
        target("retry = { factor = 0.5 }"),
        target("retry = { jitter = \"some\" }"),
        target("retry_on = [\"200\"]"),
        target("retry_on = [503]"),
        target("rate = \"500/d\""),
        target("rate = \"0/s\""),
        target("rate = { burst = 5 }"),
        target("breaker = \"on\""),
        target("breaker = { failure_ratio = 0.0 }"),
        target("headers = { \"X Y\" = { value = \"1\" } }"),
        target("headers = { X-Y = \"1\" }"),
        target("sign = { secrets = [] }"),
        target("client_key = \"tls/client.key\""),
        route("path = \"hooks\""),
        route("path = \"/a?b\""),
        route("methods = [\"DELETE\"]"),
        route("methods = []"),
        route("content = [\"yaml\"]"),
        route("json_types = [\"text\"]"),
        route("split = \"events\""),
        route("provider = \"githb\"\nsecrets = [{ env = \"SECRET\" }]"),
        route("secrets = [{ env = \"SECRET\" }]"),
        route("provider = \"github\"\nsecrets = [{ env = \"A NAME\" }]"),
        route("provider = \"github\"\nsecrets = [{ env = \"SECRET\", not_after = \"tomorrow\" }]"),
        route("provider = \"github\"\nsecrets = \"literal\""),
        route("tolerance = \"5m\""),
        route("verify = \"nobody\""),
        route("verify = []"),
        route("verify = { bearer = {} }"),
        route("verify = { bearer = {}, basic = {}, keys = [] }"),
        route("verify = { bearer = {}, keys = [{ name = \"a\", sha256 = \"abc\" }] }"),
        route(
            "verify = { api_key = {}, keys = [{ name = \"a\", sha256 = \"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\" }] }",
        ),
        route("event_id = \"/id\""),
        route("event_id = { json = \"id\" }"),
        route("event_id = { json = \"/id\", header = \"X-Id\" }"),
        route("event_id = { body = \"md5\" }"),
        route("event_id = []"),
        route("event_type = { json = [\"/a\", \"/b\"] }"),
        route("require = { \"/id\" = \"text\" }"),
        route("require = { id = \"string\" }"),
        route("schema = 5"),
        route("deliver = \"crm\""),
        route("deliver = [{ events = [\"push\"] }]"),
        route("deliver = [{ to = \"crm\", evens = [\"push\"] }]"),
        route("deliver = [{ to = \"crm\", on_dead = \"hold\" }]"),
        route("deliver = [{ to = \"crm\", order_by = \"/id\", on_dead = \"stop\" }]"),
        route("keep_headers = [\"X Tenant\"]"),
        route("allow_from = [\"here\"]"),
        route("respond = { status = 302 }"),
        route("respond = 202"),
        route("respond = { content_type = \"text/plain\" }"),
        route("enabled = 1"),
        route("keep_rejected = \"all\""),
        route("dedupe_window = \"-1d\""),
        hmac("colour = \"red\""),
        hmac("query = \"signature\""),
        hmac("prefix = \"a=\", version = \"v1\""),
        hmac("tolerance = \"5m\""),
        hmac("timestamp = { header = \"X-T\", unit = \"h\" }"),
        hmac("secret_form = \"base64\""),
        hmac("secret_form = { required = true }"),
        hmac("when = [{ header = \"X-V\" }]"),
        hmac("each = \"value\""),
        hmac("pairs = { separator = \"--\", key = \"v1\" }"),
        verified(
            "hmac = { header = \"X-S\", encoding = \"hex\" }\nsecrets = [{ env = \"SECRET\" }]",
        ),
        verified(
            "equal = { header = \"X-S\", encoding = \"hex\" }\nsecrets = [{ env = \"SECRET\" }]",
        ),
        verified(
            "hmac = { header = \"X-S\", algorithm = \"md5\", encoding = \"hex\" }\nsecrets = [{ env = \"SECRET\" }]",
        ),
        verified(
            "first_of = [{ hmac = { header = \"X-S\", algorithm = \"sha1\", encoding = \"hex\" } }]\nsecrets = [{ env = \"SECRET\" }]",
        ),
        verified("jwt = { jwks_url = \"http://issuer.example.com\", issuer = false }"),
        verified("jwt = { jwks_file = \"jwks.json\", issuer = true }"),
        verified("jwt = { jwks_file = \"jwks.json\", issuer = false, algorithms = [\"none\"] }"),
        verified("jwt = { jwks_file = \"jwks.json\", issuer = false, claims = { azp = 5 } }"),
    ];
    for text in &mistakes {
        assert!(parse(text).is_err(), "this loads:\n{text}");
        assert!(
            !schema::faults(text).is_empty(),
            "the schema takes:\n{text}"
        );
    }
}

#[test]
fn the_schema_says_what_each_key_is_for() {
    let schema = surface::schema();
    let file = &schema["properties"]["server"];
    assert_eq!(file["$ref"], "#/$defs/server");
    let timeout = &schema["$defs"]["target"]["properties"]["timeout"];
    assert_eq!(timeout["default"], "10s");
    assert_eq!(timeout["examples"][0], "5s");
    let mut described = 0;
    let tables = schema["$defs"].as_object().unwrap().values();
    for table in tables.chain([&schema]) {
        assert_eq!(table["additionalProperties"], false, "{table}");
        for (key, property) in table["properties"].as_object().unwrap() {
            let meaning = property["description"].as_str().unwrap();
            assert!(meaning.len() > 10, "{key}: {meaning:?}");
            // Links are for where the reference is read.
            assert!(!meaning.contains("]("), "{key}: {meaning:?}");
            assert_eq!(property["examples"].as_array().unwrap().len(), 1, "{key}");
            described += 1;
        }
    }
    assert!(described > 180, "{described}");
}

/// Those of tables that have no table of their own there stand in its prose.
#[test]
fn the_reference_names_every_key() {
    let reference = fs::read_to_string(project().join("docs/configuration.md")).unwrap();
    let named = |key: &str| {
        let standing = |after: char| {
            let words = reference.match_indices(key);
            let mut words = words.map(|(at, _)| (&reference[..at], &reference[at + key.len()..]));
            words.any(|(before, rest)| {
                before.ends_with(['`', ' ', '.', '[']) && rest.starts_with(after)
            })
        };
        ['`', ' ', '.', ']'].into_iter().any(standing)
    };
    let mut asked = 0;
    for section in surface::sections().values() {
        for key in section.keys() {
            assert!(named(key.name), "{} of {}", key.name, section.name);
            asked += 1;
        }
    }
    assert!(asked > 180, "{asked}");
}
