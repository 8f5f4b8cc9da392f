//! Secrets: where they may come from, and that nothing shows them.

use hookgate::config::{Verifier, Verify};

use super::{ROUTE, fixtures, parse, target, told, warnings};

fn github(secrets: &str) -> String {
    format!(
        "[routes.github]\npath = \"/g\"\nprovider = \"github\"\ndeliver = []\nsecrets = [{secrets}]\n"
    )
}

/// The warnings that say `words`.
fn about(words: &str, config: &hookgate::config::Config) -> Vec<String> {
    let told = warnings(config).into_iter();
    told.filter(|told| told.contains(words)).collect()
}

#[test]
fn a_literal_secret_loads_with_a_warning() {
    let config = parse(&github(r#"{ value = "canary-canary" }"#)).unwrap();
    assert_eq!(
        about("a secret is written", &config),
        [
            "routes.toml:5:12: routes.github.secrets[0]: a secret is written in this file; name an `env` or a `file` instead"
        ]
    );
    assert!(format!("{config:?}").contains("name: \"secrets[0]\""));
}

/// What a provider shows, or gives, when its address is registered.
#[test]
fn what_belongs_to_handshakes_is_read() {
    let route = |lines: &str| {
        let text = format!("[routes.a]\npath = \"/a\"\ndeliver = []\n{lines}\n");
        parse(&text).unwrap_or_else(|faults| panic!("{faults}"))
    };
    let secrets = r#"secrets = [{ env = "SECRET" }]"#;
    let meta = format!("provider = \"meta\"\n{secrets}");
    let config = route(&format!("{meta}\nverify_token = {{ env = \"SECRET\" }}"));
    assert_eq!(about("register", &config), [""; 0]);
    let token = config.routes[0].verify_token.as_ref().unwrap();
    assert_eq!(token.expose(), b"canary-canary");
    assert!(!format!("{config:?}").contains("canary-canary"));

    let config = route(&meta);
    assert!(config.routes[0].verify_token.is_none());
    assert_eq!(
        about("register", &config),
        [
            "routes.toml:1:1: routes.a: Meta cannot register this address before `verify_token` says what it shows then; add `verify_token = { env = \"NAME\" }`"
        ]
    );

    let config = route("provider = \"asana\"\nsecrets = [{ handshake = true }]");
    let Verify::All(verifiers) = &config.routes[0].verify else {
        panic!("{config:?}");
    };
    let [Verifier::Signature(verifier)] = verifiers.as_slice() else {
        panic!("{config:?}");
    };
    assert!(verifier.secret_from_handshake);
    assert!(!verifier.schemes.is_empty());
    assert!(
        verifier
            .schemes
            .iter()
            .all(|keyed| keyed.secrets.is_empty())
    );
    let credentials = verifiers[0].credentials();
    assert_eq!(credentials.len(), 1);
    assert_eq!(&*credentials[0], "handshake");
}

#[test]
fn a_literal_header_warns_only_where_it_is_a_credential() {
    let target = |header: &str| {
        format!(
            "[targets.crm]\nurl = \"https://crm.example.com\"\nheaders = {{ {header} = {{ value = \"canary\" }} }}\n{ROUTE}"
        )
    };
    let told = |header: &str| {
        let config = parse(&target(header)).unwrap();
        about("a secret is written", &config).len()
    };
    assert_eq!((told("X-Environment"), told("Authorization")), (0, 1));
}

#[test]
fn a_timestamp_that_is_not_signed_warns() {
    let text = r#"
[routes.a]
path = "/a"
event_id = { json = "/id" }
deliver = []
[routes.a.verify]
hmac = { header = "X-Signature", algorithm = "sha256", encoding = "hex", timestamp = { header = "X-Timestamp" } }
secrets = [{ env = "SECRET" }]
"#;
    let config = parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        about("timestamp", &config),
        [
            "routes.toml:7:8: routes.a.verify.hmac: the timestamp is not part of `signed`, so anyone can renew an old request; add it to `signed` if the provider signs it; else the route rests on its `dedupe_window`"
        ]
    );
}

/// Editors end files with a newline, and no secret ends with one.
#[test]
fn the_newline_at_the_end_of_a_secret_file_is_no_part_of_it() {
    let config = parse(&target(
        "headers = { Authorization = { file = \"glia.secret\" } }",
    ));
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let (_, value) = &config.targets["crm"].headers[0];
    assert_eq!(value.expose(), b"canary-glia-secret");
}

#[test]
fn a_redis_url_may_come_from_the_environment() {
    let config = parse(&format!(
        "[store]\nurl = {{ env = \"REDIS_URL\" }}\n{ROUTE}"
    ))
    .unwrap();
    assert_eq!(format!("{:?}", config.store.url), "redis://127.0.0.1:6379");
    let config = parse(&format!(
        "[store]\nurl = \"rediss://:canary@host:6380\"\n{ROUTE}"
    ));
    assert_eq!(
        format!("{:?}", config.unwrap().store.url),
        "rediss://host:6380"
    );
}

#[test]
fn the_passwords_of_sentinels_and_clusters_are_not_shown() {
    for (url, shown, shards) in [
        (
            "rediss+sentinel://u:canary@a,b:7/main?sentinel_password=canary",
            "rediss+sentinel://a:26379,b:7/main",
            1,
        ),
        (
            "redis+cluster://:canary@a,b:7",
            "redis+cluster://a:6379,b:7",
            6,
        ),
    ] {
        let config = parse(&format!("[store]\nurl = \"{url}\"\n{ROUTE}"));
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(format!("{:?}", config.store.url), shown);
        assert_eq!(config.store.shards, shards);
    }
}

#[test]
fn a_loaded_configuration_shows_no_secret() {
    let text = std::fs::read_to_string(fixtures().join("full.toml")).unwrap();
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let shown = format!("{config:?}");
    assert!(
        shown.contains("GITHUB_WEBHOOK_SECRET"),
        "it shows something"
    );
    assert!(!shown.contains("canary"), "{shown}");
    // A derived `Debug` of bytes would show them as numbers.
    assert!(!shown.contains("99, 97, 110, 97, 114, 121"), "{shown}");
}

/// Secrets in every wrong place that an operator might put them.
#[test]
fn no_fault_shows_a_secret() {
    let texts = [
        github(r#""canary-secret""#),
        github(r#"{ value = "canary" }"#),
        github(r#"{ canary_secret = true }"#),
        github(r#"{ vlaue = "canary-secret" }"#),
        github(r#"{ env = "canary-secret" }"#),
        github(r#"{ value = ["canary"] }"#),
        github(r#"{ env = "SHORT" }"#),
        github(r#"{ env = "SECRET", value = "canary-secret" }"#),
        github("").replace("secrets = []", "secrets = \"canary\""),
        format!("[admin]\ntoken = \"canary-secret\"\n{ROUTE}"),
        format!("[admin]\ntoken = {{ value = \"canary secret\" }}\n{ROUTE}"),
        format!("[store]\nurl = \"redis://:canary@host:notaport\"\n{ROUTE}"),
        format!("[store]\nurl = \"redis+cluster://:canary@host/1\"\n{ROUTE}"),
        format!("[store]\nurl = \"redis+sentinel://h/main?sentinel_pass=canary\"\n{ROUTE}"),
        format!("[store]\nurl = \"mysql://:canary@host\"\n{ROUTE}"),
        format!("[store]\nurl = \"canary\"\n{ROUTE}"),
        format!("[server]\npublic_url = \"https://user:canary@host\"\n{ROUTE}"),
        format!("[targets.crm]\nurl = \"https://user:canary@host\"\n{ROUTE}"),
        format!("[targets.crm]\nurl = \"ftp://host/canary\"\n{ROUTE}"),
        format!(
            "[targets.crm]\nurl = \"https://host\"\nheaders = {{ Authorization = \"canary\" }}\n{ROUTE}"
        ),
        format!("[targets.crm]\nurl = \"https://host\"\nheaders = \"canary\"\n{ROUTE}"),
        format!(
            "[targets.crm]\nurl = \"https://host\"\nheaders = {{ A = {{ env = \"TWO_LINES\" }} }}\n{ROUTE}"
        ),
        ROUTE.replace(
            "\"none\"",
            "{ bearer = {}, keys = [{ name = \"a\", sha256 = \"canary\" }] }",
        ),
        ROUTE.replace("\"none\"", "{ bearer = {}, keys = [\"canary\"] }"),
        "[admin]\ntoken = { value = \"canary".to_owned(),
    ];
    for text in texts {
        let lines = told(&text);
        assert!(!lines.is_empty());
        for line in lines {
            assert!(!line.contains("canary"), "{line}");
        }
    }
}
