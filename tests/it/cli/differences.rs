//! `check --diff`: what changes, and what becomes of what waits.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    thread,
};

use serde_json::{Value, json};

use super::program::{hookgate, hookgate_with, stderr, stdout};
use crate::support::gateway::temporary;

const OLD: &str = r#"
[routes.github]
path = "/hooks/github"
provider = "github"
event_id = { body = "sha256" }
secrets = [{ value = "canary-canary-old" }]
deliver = ["crm", "erp"]

[routes.gone]
path = "/gone"
provider = "stripe"
secrets = [{ file = "secret" }]
deliver = ["crm"]

[targets.crm]
url = "https://user.example.com/canary/in?canary"
headers = { Authorization = { value = "canary" } }
timeout = "3s"

[targets.erp]
url = "https://erp.example.com"

[targets.log]
url = "https://log.example.com"
paused = true

[targets.old]
url = "https://old.example.com"
"#;

/// With other secrets and addresses, and without some of it.
fn new() -> String {
    let text = OLD
        .replace("canary-old", "canary-new")
        .replace("[\"crm\", \"erp\"]", "[\"crm\", \"log\", \"new\"]")
        .replace("routes.gone", "routes.come")
        .replace("/gone", "/come")
        .replace("user.example.com/canary", "user.example.com/canary-2")
        .replace("{ value = \"canary\" }", "{ value = \"canary-2\" }")
        .replace(
            "timeout = \"3s\"",
            "timeout = \"5s\"\nretry = { max = \"5m\" }",
        )
        .replace("paused = true", "paused = false")
        .replace("targets.old", "targets.new");
    format!(
        "{text}\n[defaults.target]\nconcurrency = 7\n[server]\nworkers = 3\nbody_timeout = \"5s\"\n[admin]\ntoken = {{ value = \"canary-admin\" }}\n"
    )
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

const TOLD: &str = r#"changes from old.toml:
~ routes.github changed: new events go by the new `deliver`; what waits goes where it was to go
    deliver: ["crm", "erp"] → ["crm", "log", "new"]
    secrets[0].value: "…" → another
+ routes.come added: its callers are answered from now on
- routes.gone removed: its callers are answered 404; its events go on to their targets
~ targets.crm changed: what waits goes to the new address; how many wait is unknown while no gateway is asked (--admin URL)
    headers.Authorization.value: "…" → another
    retry.max: (none) → "5m"
    timeout: "3s" → "5s"
    url: "https://user.example.com/…" → another
~ targets.erp changed: what waits goes out by the new settings; how many wait is unknown while no gateway is asked (--admin URL)
    defaults.target.concurrency: (none) → 7
~ targets.log changed: what waits goes out now; how many wait is unknown while no gateway is asked (--admin URL)
    paused: true → false
+ targets.new added: it gets what is accepted from now on
- targets.old removed: its waiting deliveries become dead letters `target_removed`, which can be replayed when it is back; how many wait is unknown while no gateway is asked (--admin URL)
~ server.body_timeout: (none) → "5s"
~ server.workers: (none) → 3 (needs a restart)
~ admin.token.value: (none) → "…"
~ defaults.target.concurrency: (none) → 7
needs a restart: server.workers; all else takes effect with a reload
ok: routes.toml (2 routes, 4 targets, 4 warnings)
"#;

#[test]
fn what_changes_is_told_without_secrets() {
    let directory = temporary();
    let here = directory.path();
    write(here, "secret", "canary-canary");
    write(here, "old.toml", OLD);
    write(here, "routes.toml", &new());
    let output = hookgate(here, &["check", "--diff", "old.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), TOLD);
    assert!(!stderr(&output).contains("canary"), "{}", stderr(&output));

    // As `git show` would give it.
    let piped = hookgate_with(here, &["check", "--diff", "-"], OLD);
    assert_eq!(stdout(&piped), TOLD.replace("old.toml", "standard input"));

    let output = hookgate(here, &["check", "--diff", "old.toml", "--format", "json"]);
    assert!(!stdout(&output).contains("canary"), "{}", stdout(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let diff = &report["diff"];
    assert_eq!(diff["old"], "old.toml");
    assert_eq!(diff["restart"], json!(["server.workers"]));
    assert_eq!(
        diff["targets"][3],
        json!({ "name": "new", "kind": "added", "keys": [], "effect": "it gets what is accepted from now on" })
    );
    let timeout = json!({ "key": "timeout", "old": "\"3s\"", "new": "\"5s\"" });
    assert_eq!(diff["targets"][0]["keys"][2], timeout);
    assert_eq!(
        diff["settings"][1],
        json!({ "key": "server.workers", "old": null, "new": "3", "restart": true })
    );

    let same = hookgate(here, &["check", "--diff", "routes.toml"]);
    assert!(
        stdout(&same).starts_with("nothing changes from routes.toml\n"),
        "{}",
        stdout(&same)
    );
}

/// Everything beside routes and targets is a setting.
#[test]
fn no_table_is_left_out() {
    let directory = temporary();
    let here = directory.path();
    write(here, "secret", "canary-canary");
    write(here, "old.toml", OLD);
    let settings = [
        (
            "telemetry.otlp.endpoint = \"http://127.0.0.1:4318/canary\"",
            "~ telemetry.otlp.endpoint: (none) → \"http://127.0.0.1:4318/…\" (needs a restart)",
        ),
        (
            "log.accepted_lines_per_second = 3",
            "~ log.accepted_lines_per_second: (none) → 3",
        ),
        (
            "store.retention = \"9d\"",
            "~ store.retention: (none) → \"9d\"",
        ),
    ];
    for (line, told) in settings {
        write(here, "routes.toml", &format!("{line}\n{OLD}"));
        let output = hookgate(here, &["check", "--diff", "old.toml"]);
        let lines = stdout(&output);
        assert!(lines.lines().any(|line| line == told), "{lines}");
        assert!(!lines.contains("canary"), "{lines}");
        let restarts = told.ends_with("restart)");
        assert_eq!(lines.contains("\nneeds a restart: "), restarts, "{lines}");
    }
}

/// Names of the operator's that are also those of keys whose strings are shown.
#[test]
fn what_is_called_as_a_key_hides_its_secrets_too() {
    let directory = temporary();
    let here = directory.path();
    let names = ["schema", "require", "path", "name"];
    let of = |name: &str, secret: &str| {
        format!(
            r#"
[routes.{name}]
path = "/{name}"
provider = "github"
event_id = {{ body = "sha256" }}
secrets = [{{ value = "{secret}" }}]
deliver = ["{name}"]

[targets.{name}]
url = "https://{name}.example.com/{secret}"
headers = {{ {name} = {{ value = "{secret}" }}, schema-key = {{ value = "{secret}" }} }}
"#
        )
    };
    let text = |secret: &str| names.map(|name| of(name, secret)).concat();
    write(here, "old.toml", &text("canary-canary-1"));
    write(here, "routes.toml", &text("canary-canary-2"));
    let output = hookgate(here, &["check", "--diff", "old.toml"]);
    let told = stdout(&output) + &stderr(&output);
    let hidden = told.matches("value: \"…\" → another").count();
    assert_eq!(hidden, 3 * names.len(), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

/// A file elsewhere says the same of its directory, which is not the one that the gateway will read.
#[test]
fn another_directory_is_no_change() {
    let directory = temporary();
    let here = directory.path();
    std::fs::create_dir(here.join("old")).unwrap();
    for name in ["routes.toml", "old/routes.toml"] {
        write(here, name, OLD);
    }
    for name in ["secret", "old/secret"] {
        write(here, name, "canary-canary");
    }
    let output = hookgate(here, &["check", "--diff", "old/routes.toml"]);
    assert!(
        stdout(&output).starts_with("nothing changes"),
        "{}",
        stdout(&output)
    );
    // But what the files hold is.
    write(here, "old/secret", "canary-other");
    let output = hookgate(here, &["check", "--diff", "old/routes.toml"]);
    let told = stdout(&output);
    assert!(
        told.contains("~ routes.gone changed: what its variables or files hold has changed\n"),
        "{told}"
    );
    // An old file with faults cannot be compared.
    write(here, "old/routes.toml", "oops");
    let output = hookgate(here, &["check", "--diff", "old/routes.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("--> old/routes.toml:1:"),
        "{}",
        stderr(&output)
    );
    let output = hookgate(
        here,
        &["check", "--diff", "old/routes.toml", "--format", "json"],
    );
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&report["valid"], &report["file"]),
        (&json!(false), &json!("old/routes.toml"))
    );
}

/// The admin listener of a gateway, as far as it is asked.
#[test]
fn a_running_gateway_is_asked_how_many_wait() {
    let directory = temporary();
    let here = directory.path();
    write(here, "secret", "canary-canary");
    write(here, "old.toml", OLD);
    write(here, "routes.toml", &new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = format!("http://{}", listener.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = json!({ "targets": [
            { "name": "crm", "pending": 7 }, { "name": "old", "pending": 1 }, { "name": "log", "pending": 0 },
        ] })
        .to_string();
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        String::from_utf8(head).unwrap()
    });
    let output = hookgate(here, &["check", "--diff", "old.toml", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let head = answering.join().unwrap();
    assert!(head.starts_with("GET /api/v1/targets "), "{head}");
    let told = stdout(&output);
    for words in [
        "the new address; 7 deliveries wait\n",
        "when it is back; 1 delivery waits\n",
        "goes out now; 0 deliveries wait\n",
        "new settings; how many wait is unknown",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let output = hookgate(here, &["check", "--diff", "old.toml", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("Is the gateway running"),
        "{}",
        stderr(&output)
    );
}
