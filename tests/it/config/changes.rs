//! What changes from one configuration to the next: fingerprints, the files that were looked at, and what needs a restart.

use std::{cell::RefCell, collections::HashMap, fs};

use hookgate::config::{ChangeKind, Config, Diff, diff};

use super::{fixtures, parse, target};
use crate::support::gateway::temporary;

const OLD: &str = r#"
[routes.a]
path = "/a"
provider = "github"
secrets = [{ env = "SECRET" }]
deliver = ["crm"]

[routes.b]
path = "/b"
verify = "none"
event_id = { json = "/id" }
deliver = []

[targets.crm]
url = "https://crm.example.com"
headers = { X-Tenant = { value = "one" } }

[targets.erp]
url = "https://erp.example.com"
timeout = "3s"
"#;

fn load(text: &str) -> Config {
    parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

/// From `OLD` with a header and a tail, to the same with others.
fn between(old: &str, new: &str) -> Diff {
    diff(&load(old), &load(new))
}

/// `routes.a` of the same, and so on: which have changed.
fn changed(old: &str, new: &str) -> Vec<String> {
    let diff = between(old, new);
    let told = |kind: &str, changes: &[hookgate::config::Change]| -> Vec<String> {
        let one = |change: &hookgate::config::Change| match change.kind {
            ChangeKind::Added => format!("+{kind}.{}", change.name),
            ChangeKind::Removed => format!("-{kind}.{}", change.name),
            ChangeKind::Changed => format!("~{kind}.{}", change.name),
        };
        changes.iter().map(one).collect()
    };
    [
        told("routes", &diff.routes),
        told("targets", &diff.targets),
        diff.restart,
    ]
    .concat()
}

#[test]
fn what_means_the_same_is_the_same() {
    let moved = format!("# a comment\n\n[server]\nmax_connections = 10000\n{OLD}");
    let quoted = OLD.replace("\"/a\"", "'/a'");
    let turned = OLD.replace(
        "url = \"https://erp.example.com\"\ntimeout = \"3s\"",
        "timeout = \"3s\"\nurl = \"https://erp.example.com\"",
    );
    let dotted = OLD.replace(
        "headers = { X-Tenant = { value = \"one\" } }",
        "headers.X-Tenant.value = \"one\"",
    );
    for same in [OLD, &moved, &quoted, &turned, &dotted] {
        assert!(between(OLD, same).is_empty(), "{same}");
    }
    assert_ne!(turned, OLD);
}

#[test]
fn what_a_table_says_and_takes_from_elsewhere_counts() {
    let with = |head: &str| format!("{head}\n{OLD}");
    let cases: [(String, &[&str]); 12] = [
        (OLD.replace("\"/b\"", "\"/c\""), &["~routes.b"]),
        (OLD.replace("\"one\"", "\"two\""), &["~targets.crm"]),
        (
            OLD.replace("[routes.b]", "[routes.c]"),
            &["+routes.c", "-routes.b"],
        ),
        (
            OLD.replace("[targets.erp]", "[targets.era]"),
            &["+targets.era", "-targets.erp"],
        ),
        (
            with("[defaults.target]\nconcurrency = 7"),
            &["~targets.crm", "~targets.erp"],
        ),
        (
            with("[defaults.target]\ntimeout = \"4s\""),
            &["~targets.crm"],
        ),
        (
            with("[defaults.target]\nretry = { give_up_after = \"1d\" }"),
            &["~targets.crm", "~targets.erp"],
        ),
        (
            with("[server]\nmax_body = \"2MiB\""),
            &["~routes.a", "~routes.b"],
        ),
        (
            with("[server]\npublic_url = \"https://hooks.example.com\""),
            &["~routes.a", "~routes.b"],
        ),
        (
            with("[server]\nbody_timeout = \"1s\"\ntrusted_proxies = [\"10.0.0.1\"]"),
            &[],
        ),
        (
            with("[store]\nretention = \"9d\"\nretention_size = \"1GiB\""),
            &[],
        ),
        // GitHub's routes have a window of their own.
        (
            with("[store]\ndedupe_window = \"9d\""),
            &["~routes.a", "~routes.b"],
        ),
    ];
    for (new, expected) in cases {
        assert_ne!(new, OLD);
        assert_eq!(changed(OLD, &new), expected, "{new}");
    }
}

#[test]
fn what_the_gateway_was_started_with_needs_a_restart() {
    let cases = [
        ("server", "listen = \"127.0.0.1:1\"", "server.listen"),
        (
            "server",
            "plain_listen = \"127.0.0.1:1\"",
            "server.plain_listen",
        ),
        ("server", "head_timeout = \"1s\"", "server.head_timeout"),
        ("server", "idle_timeout = \"1s\"", "server.idle_timeout"),
        ("server", "max_connections = 1", "server.max_connections"),
        (
            "server",
            "max_connections_per_ip = 1",
            "server.max_connections_per_ip",
        ),
        (
            "server",
            "max_body_in_flight = \"2MiB\"",
            "server.max_body_in_flight",
        ),
        ("server", "workers = 1000", "server.workers"),
        ("server", "shutdown_grace = \"1s\"", "server.shutdown_grace"),
        ("admin", "listen = \"127.0.0.1:1\"", "admin.listen"),
        ("store", "url = \"file:elsewhere\"", "store.url"),
        ("store", "durability = \"memory\"", "store.durability"),
    ];
    for (section, line, key) in cases {
        let new = format!("[{section}]\n{line}\n{OLD}");
        assert_eq!(changed(OLD, &new), [key], "{line}");
    }
    let redis = |lines: &str| format!("[store]\nurl = \"redis://127.0.0.1\"\n{lines}\n{OLD}");
    for (line, key) in [
        ("spool = \"file:spool\"", "store.spool"),
        ("shards = 3", "store.shards"),
    ] {
        assert_eq!(changed(&redis(""), &redis(line)), [key]);
    }
    // The password alone.
    let from = |user: &str| format!("[store]\nurl = \"redis://{user}@127.0.0.1\"\n{OLD}");
    assert_eq!(changed(&from("a:b"), &from("a:c")), ["store.url"]);
}

/// A directory whose files say all that a route and a target can say in files.
#[test]
fn what_variables_and_files_hold_counts() {
    let directory = temporary();
    let here = directory.path();
    let fixture = |name: &str| fs::read(fixtures().join(name)).unwrap();
    let files = [
        ("secret", b"canary-canary".to_vec()),
        ("header", b"one".to_vec()),
        ("schema.json", b"{}".to_vec()),
        ("jwks.json", fixture("jwks.json")),
        ("ca.pem", fixture("tls/ca.pem")),
        ("client.pem", fixture("tls/client.pem")),
        ("client.key", fixture("tls/client.key")),
    ];
    for (name, content) in &files {
        fs::write(here.join(name), content).unwrap();
    }
    let text = r#"
[routes.a]
path = "/a"
provider = "github"
secrets = [{ file = "secret" }]
deliver = []
[routes.b]
path = "/b"
verify = { jwt = { jwks_file = "jwks.json", issuer = false, audience = false } }
event_id = { json = "/id" }
schema = "schema.json"
deliver = []
[targets.crm]
url = "https://crm.example.com"
headers = { X-Tenant = { file = "header" }, X-Kind = { env = "KIND" } }
ca = "ca.pem"
client_certificate = "client.pem"
client_key = "client.key"
"#;
    let kind = RefCell::new("one".to_owned());
    let load = || {
        let env = |name: &str| (name == "KIND").then(|| kind.borrow().clone());
        Config::parse(text, "routes.toml", here, &env).unwrap()
    };
    let before = load();
    let expected: Vec<_> = {
        let mut paths: Vec<_> = files.iter().map(|(name, _)| here.join(name)).collect();
        paths.sort();
        paths
    };
    assert_eq!(before.files, expected);
    let longer = |name: &str, tail: &[u8]| {
        let mut content = fs::read(here.join(name)).unwrap();
        content.extend(tail);
        fs::write(here.join(name), content).unwrap();
    };
    let mut before = before;
    let mut expect = |routes: &[&str], targets: &[&str], why: &str| {
        let after = load();
        let diff = diff(&before, &after);
        let names = |changes: &[hookgate::config::Change]| -> Vec<String> {
            changes.iter().map(|change| change.name.clone()).collect()
        };
        assert_eq!(
            (names(&diff.routes), names(&diff.targets)),
            (
                routes.iter().map(|name| (*name).to_owned()).collect(),
                targets.iter().map(|name| (*name).to_owned()).collect(),
            ),
            "{why}"
        );
        before = after;
    };
    expect(&[], &[], "nothing");
    for (name, routes, targets) in [
        ("secret", &["a"][..], &[][..]),
        ("schema.json", &["b"], &[]),
        ("jwks.json", &["b"], &[]),
        ("header", &[], &["crm"]),
        ("ca.pem", &[], &["crm"]),
        ("client.pem", &[], &["crm"]),
        ("client.key", &[], &["crm"]),
    ] {
        longer(
            name,
            if name == "header" || name == "secret" {
                b"x"
            } else {
                b"\n"
            },
        );
        expect(routes, targets, name);
    }
    *kind.borrow_mut() = "two".to_owned();
    expect(&[], &["crm"], "the variable");
}

#[test]
fn what_was_looked_for_is_known_after_faults_too() {
    let text = target("headers = { X-Tenant = { file = \"absent\" } }\nca = \"absent.pem\"");
    let faults = parse(&text).unwrap_err();
    let looked = [fixtures().join("absent"), fixtures().join("absent.pem")];
    assert_eq!(faults.files(), looked);

    let directory = temporary();
    let path = directory.path().join("routes.toml");
    let files = || match Config::load(&path) {
        Ok(config) => config.files,
        Err(faults) => faults.files().to_vec(),
    };
    assert_eq!(files(), [path.as_path()]);
    fs::write(&path, "oops").unwrap();
    assert_eq!(files(), [path.as_path()]);
    fs::write(&path, super::file("")).unwrap();
    assert_eq!(files(), [path.as_path()]);
    let certificate = "[server.tls]\ncertificate = \"server.crt\"\nprivate_key = \"server.key\"";
    fs::write(&path, super::file(certificate)).unwrap();
    let beside = |name: &str| directory.path().join(name);
    assert_eq!(
        files(),
        [path.clone(), beside("server.crt"), beside("server.key")]
    );
}

/// A table is told from another of the same bytes in other places.
#[test]
fn lists_and_texts_do_not_run_together() {
    let one = |list: &str| {
        format!(
            "[routes.a]\npath = \"/a\"\nverify = \"none\"\nevent_id = {{ json = \"/id\" }}\ndeliver = []\nkeep_headers = {list}"
        )
    };
    let lists = ["[\"a\", \"b\"]", "[\"ab\"]", "[\"a\"]", "[]"];
    let configs: Vec<_> = lists.iter().map(|list| load(&one(list))).collect();
    let prints: HashMap<_, _> = configs
        .iter()
        .zip(lists)
        .map(|(config, list)| (list, config.routes[0].fingerprint))
        .collect();
    for (list, print) in &prints {
        let others = prints.iter().filter(|(other, _)| other != &list);
        assert!(
            others.into_iter().all(|(_, other)| other != print),
            "{list}"
        );
    }
}
