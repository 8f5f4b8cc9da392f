//! What is shipped in `deploy/`, as far as the program itself judges it: the configurations, and a backup of the embedded
//! store as `docs/operations.md` tells it. `redis.conf` is in `it/outage/acl.rs`, the rest in `tests/ops/deploy.sh`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    client::Client,
    gateway::temporary,
    process::{Process, certificate},
};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(path)
}

/// The routes.toml in a ConfigMap: the block under its key, without the indent.
fn routes_of(manifest: &str) -> String {
    let text = fs::read_to_string(deploy(manifest)).unwrap();
    let (_, block) = text
        .split_once("\n  routes.toml: |\n")
        .expect("a routes.toml");
    let lines = block
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines: Vec<_> = lines
        .map(|line| line.get(4..).unwrap_or_default())
        .collect();
    lines.join("\n")
}

/// `text`, with the files that it names in a directory of the test's own.
fn with_files(text: &str, directory: &Path) -> String {
    let (certificate, key) = certificate();
    let mut text = text.to_owned();
    let named: Vec<_> = text
        .split('"')
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let of_files = ["/tls/", "/run/secrets/"];
    for path in named
        .iter()
        .filter(|path| of_files.iter().any(|of| path.starts_with(of)))
    {
        let content = match path.rsplit_once('.').map(|(_, end)| end) {
            Some("crt") => certificate.clone(),
            Some("key") => key.clone(),
            _ if path.ends_with("redis-url") => "redis://hookgate:secret@redis:6379\n".to_owned(),
            _ => "0123456789abcdef0123456789abcdef\n".to_owned(),
        };
        let here = directory.join(path.trim_start_matches('/').replace('/', "-"));
        fs::write(&here, content).unwrap();
        text = text.replace(
            &format!("\"{path}\""),
            &format!("{:?}", here.display().to_string()),
        );
    }
    text
}

#[test]
fn each_shipped_configuration_is_valid_and_warns_of_nothing_but_what_github_does_not_sign() {
    let compose = fs::read_to_string(deploy("config/routes.toml")).unwrap();
    let all = [
        compose,
        routes_of("kubernetes/configmap.yaml"),
        routes_of("kubernetes-embedded/configmap.yaml"),
    ];
    for text in all {
        let directory = temporary();
        let text = with_files(&text, directory.path());
        assert!(!text.contains("/run/secrets"), "{text}");
        fs::write(directory.path().join("routes.toml"), &text).unwrap();
        let output = hookgate(directory.path(), "check");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}\n{text}");
        let mut warnings = told.lines().filter(|line| line.contains("warning:"));
        let known =
            |line: &str| line.contains("routes.github: the signature (hmac) does not cover");
        assert!(warnings.all(known), "{told}");
    }
}

/// As `secret.yaml` has them: nobody can start with the values of a public file.
#[test]
fn an_empty_secret_is_refused() {
    let directory = temporary();
    let text = with_files(&routes_of("kubernetes/configmap.yaml"), directory.path());
    let secret = directory
        .path()
        .join("run-secrets-hookgate-github-webhook-secret");
    fs::write(secret, "").unwrap();
    fs::write(directory.path().join("routes.toml"), &text).unwrap();
    let output = hookgate(directory.path(), "check");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("routes.github.secrets"), "{told}");
}

fn hookgate(directory: &Path, command: &str) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    program
        .arg(command)
        .current_dir(directory)
        .env_remove("HOOKGATE_CONFIG");
    program.output().expect("the program runs")
}

/// What Debian calls the packages of all that the tests and the checks of `tests/ops` need.
const OF_DEBIAN: [&str; 9] = [
    "curl",
    "fish",
    "mandoc",
    "openssl",
    "prometheus",
    "python3-venv",
    "redis-server",
    "systemd",
    "zsh",
];

/// On a machine that has none of it, and an `apt-get` that only notes what it is asked for.
#[test]
fn what_is_needed_is_asked_for_by_the_names_that_packages_have() {
    let directory = temporary();
    let found = Command::new("sh")
        .args([
            "-c",
            "for name in bash cat env id; do command -v $name; done",
        ])
        .output()
        .unwrap();
    for tool in String::from_utf8(found.stdout).unwrap().lines() {
        let name = Path::new(tool).file_name().unwrap();
        symlink(tool, directory.path().join(name)).unwrap();
    }
    let manager = directory.path().join("apt-get");
    let asked = directory.path().join("asked");
    let noting = format!("#!/usr/bin/env bash\necho \"$*\" >> {}\n", asked.display());
    fs::write(&manager, noting).unwrap();
    fs::set_permissions(&manager, fs::Permissions::from_mode(0o755)).unwrap();

    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ops");
    let checks = fs::read_dir(checks).unwrap().map(|entry| entry.unwrap());
    let checks: Vec<_> = checks
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect();
    let lines = checks.iter().flat_map(|text| text.lines());
    let mut calls: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("deploy/setup "))
        .collect();
    assert!(calls.len() > 2, "{calls:?}");
    calls.push("");
    for call in calls {
        let output = Command::new(deploy("setup"))
            .args(call.split_whitespace())
            .env("PATH", directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("could not be installed"), "{call}: {told}");
    }
    let asked = fs::read_to_string(asked).unwrap();
    let installs = asked
        .lines()
        .filter_map(|line| line.strip_prefix("install --yes --no-install-recommends "));
    let asked: BTreeSet<_> = installs.flat_map(str::split_whitespace).collect();
    assert_eq!(asked, BTreeSet::from(OF_DEBIAN));
}

const OPEN: &str = r#"
[targets.later]
url = "http://127.0.0.1:1"
allow_private = true
paused = true

[routes.open]
path = "/open"
verify = "none"
event_id = { json = "/id" }
deliver = ["later"]
"#;

/// The copy is made while webhooks come in, and holds all that was answered before it began.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_store_in_use_has_all_that_was_answered() {
    let mut gateway = Process::spawn(OPEN).await;
    for id in 0..20 {
        post(&gateway.client, &id.to_string(), "accepted").await;
    }
    let restored = temporary();
    fs::create_dir(restored.path().join("data")).unwrap();
    let from = gateway.directory.path().join("data/hookgate.db");
    let to = restored.path().join("data/hookgate.db");
    let statement = backup_statement().replace("/backup/hookgate.db", &to.display().to_string());
    let copying = tokio::task::spawn_blocking(move || {
        let connection = rusqlite::Connection::open(from).unwrap();
        connection.execute_batch(&statement).unwrap();
    });
    let mut id = 20;
    while !copying.is_finished() {
        post(&gateway.client, &id.to_string(), "accepted").await;
        id += 1;
    }
    copying.await.unwrap();
    // The store goes on as if nothing had been.
    post(&gateway.client, "after", "accepted").await;
    assert!(gateway.terminate().await.success());

    // The disk is lost: the copy takes the store's place.
    let data = gateway.directory.path().join("data");
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(&to, data.join("hookgate.db")).unwrap();
    gateway.restart().await;
    for id in 0..20 {
        post(&gateway.client, &id.to_string(), "duplicate").await;
    }
    let pending = gateway.metrics().await;
    let pending = pending.sum("hookgate_pending_deliveries", r#"target="later""#);
    assert!(pending >= 20.0, "{pending}");
    post(&gateway.client, "after", "accepted").await;
}

/// The statement that `docs/operations.md` gives to `sqlite3`.
fn backup_statement() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let start = page.find("VACUUM INTO").expect("how to back up");
    page[start..].split('"').next().unwrap().to_owned()
}

async fn post(client: &Client, id: &str, outcome: &str) {
    let body = format!("{{\"id\":\"{id}\"}}");
    let headers = [("Content-Type", "application/json")];
    let reply = client.post("/open", &headers, body).await;
    assert_eq!(reply.outcome(), outcome, "{id}");
}
