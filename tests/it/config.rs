//! `routes.toml`: what loads, what does not, and what is said about it.

#![allow(
    clippy::unwrap_used,
    reason = "what a test builds on is there, or the test fails"
)]

use std::path::{Path, PathBuf};

use hookgate::config::{Config, Faults};

mod cautions;
mod changes;
mod faults_of_callers;
mod faults_of_gateway;
mod faults_of_routes;
mod faults_of_schemes;
mod faults_of_targets;
mod includes;
mod jwt;
mod loads;
mod providers;
mod schemes;
mod secrets;
mod snippets;

/// Where the fixtures are, and what relative paths in them start from.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// As people are told them.
fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

/// Everything that holds a secret here has `canary` in it.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        "HOOKGATE_ADMIN_TOKEN" => "canary-admin-token",
        "CRM_TOKEN" => "Bearer canary-crm",
        "GITHUB_WEBHOOK_SECRET" => "canary-github-new",
        "GITHUB_WEBHOOK_SECRET_OLD" => "canary-github-old",
        "TICKETS_SECRET" => "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk=",
        "SECRET" => "canary-canary",
        "AUDIT_SECRET" => "Y2FuYXJ5LWF1ZGl0LWNhbmFyeQ==",
        "REDIS_URL" => "redis://gate:canary@127.0.0.1:6379/2",
        "SHORT" => "canary",
        "EMPTY" => "",
        "TWO_LINES" => "canary\ncanary",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, "routes.toml", &fixtures(), &environment)
}

/// The lines that are told about `text`, wherever the fixtures are on this machine.
#[track_caller]
fn told(text: &str) -> Vec<String> {
    let Err(faults) = parse(text) else {
        panic!("this loads:\n{text}");
    };
    let here = fixtures().display().to_string();
    let told = faults.to_string().replace(&here, "FIXTURES");
    told.lines().map(str::to_owned).collect()
}

/// What stands in a file, and the lines that are told about it.
type Case<'a> = (&'a str, &'a [&'a str]);

/// `complete` makes whole files of what stands in the cases.
#[track_caller]
fn check(complete: fn(&str) -> String, cases: &[Case<'_>]) {
    assert!(!cases.is_empty());
    for (text, lines) in cases {
        assert_eq!(told(&complete(text)), *lines, "\n{text}");
    }
}

/// A whole file: with a route without faults unless it has routes.
fn file(text: &str) -> String {
    let route = if text.contains("routes") { "" } else { ROUTE };
    format!("{text}\n{route}")
}

/// A target with these lines, first in its file.
fn target(lines: &str) -> String {
    let base = [("url", r#"url = "https://crm.example.com""#)];
    format!("[targets.crm]\n{lines}\n{}{ROUTE}", without(lines, &base))
}

/// A whole file, whose route is verified as `lines` say.
fn verified(lines: &str) -> String {
    format!(
        "[routes.a]\npath = \"/a\"\nevent_id = {{ json = \"/id\" }}\ndeliver = []\nenabled = true\n[routes.a.verify]\n{lines}\n"
    )
}

/// A route with these lines, first in its file; the target `crm` exists.
fn route(lines: &str) -> String {
    let base = [
        ("path", r#"path = "/a""#),
        ("verify", r#"verify = "none""#),
        ("event_id", r#"event_id = { json = "/id" }"#),
        ("deliver", "deliver = []"),
    ];
    let with_provider = lines.contains("provider =");
    let base = &base.map(|(key, line)| match key {
        "verify" if with_provider => (key, ""),
        _ => (key, line),
    });
    let target = "[targets.crm]\nurl = \"https://crm.example.com\"";
    format!("[routes.a]\n{lines}\n{}{target}\n", without(lines, base))
}

/// The lines of `base` whose keys `lines` does not have.
fn without(lines: &str, base: &[(&str, &str)]) -> String {
    let given = |key: &str| {
        lines
            .lines()
            .any(|line| line.starts_with(&format!("{key} =")))
    };
    let left = base.iter().filter(|(key, _)| !given(key));
    left.map(|(_, line)| format!("{line}\n")).collect()
}

/// A route without faults, to put beside what a test is about.
const ROUTE: &str = r#"
[routes.fine]
path = "/fine"
verify = "none"
event_id = { json = "/id" }
deliver = []
"#;

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[routes.a]
path = "a"
provider = "github"
secrets = [{ env = "NOT_SET" }, "literal"]
deliver = ["crn"]

[targets.crm]
timeout = "10 parsecs"
colour = "red"

[server]
listen = "everywhere"

[store]
durability = "mostly"

[routes.b]
path = "/b"
"#;
    let lines = told(text);
    let places: Vec<_> = lines
        .iter()
        .map(|line| line.splitn(5, ':').take(4).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(
        places,
        [
            "routes.toml:3:8: routes.a.path",
            "routes.toml:5:20: routes.a.secrets[0].env",
            "routes.toml:5:33: routes.a.secrets[1]",
            "routes.toml:6:12: routes.a.deliver[0]",
            "routes.toml:8:1: targets.crm.url",
            "routes.toml:9:11: targets.crm.timeout",
            "routes.toml:10:1: targets.crm.colour",
            "routes.toml:13:10: server.listen",
            "routes.toml:16:14: store.durability",
            "routes.toml:18:1: routes.b.verify",
            "routes.toml:18:1: routes.b.event_id",
            "routes.toml:18:1: routes.b.deliver",
        ]
    );
}

#[test]
fn a_fault_is_data_too() {
    let faults = parse(&target("timout = \"10s\"")).unwrap_err();
    let [fault] = faults.as_slice() else {
        panic!("{faults}");
    };
    assert_eq!((fault.line, fault.column), (2, 1));
    assert_eq!(fault.key, "targets.crm.timout");
    assert_eq!(fault.did_you_mean.as_deref(), Some("timeout"));
}

/// A file that is still being written is refused or loads, and nothing worse.
#[test]
fn a_file_cut_anywhere_does_no_harm() {
    let text = std::fs::read_to_string(fixtures().join("full.toml")).unwrap();
    let mut refused = 0;
    for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
        if let Err(faults) = parse(&text[..cut]) {
            refused += 1;
            assert!(!faults.as_slice().is_empty());
            assert!(!faults.to_string().contains("canary"), "{faults}");
        }
    }
    assert!(refused > text.len() / 2, "{refused} of {}", text.len());
}
