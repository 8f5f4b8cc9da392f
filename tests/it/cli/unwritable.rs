//! Every command on a standard output that is a full disk, or a pipe whose reader has left; and on such a standard error.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    help::commands,
    program::{hookgate, spawn},
};
use crate::support::{
    PATIENCE,
    client::Client,
    gateway::temporary,
    process::{Process, free_addresses},
    wait_for,
};

/// As shells tell of a program that SIGPIPE ended.
const UNHEARD: i32 = 141;

/// A file that lacks the end, and says so nowhere, is worse than none.
const FULL: &str =
    "error: cannot write to standard output: No space left on device (os error 28)\n";

/// What needs no gateway.
const ALONE: [&str; 22] = [
    "",
    "--help",
    "--version",
    "help serve",
    "events list --help",
    "check",
    "check --format json",
    "check --diff -",
    "completions bash",
    "completions zsh",
    "demo --once",
    "explain --capture capture --route open",
    "explain --capture capture --route open --format json",
    "keys new --name me",
    "man",
    "providers",
    "providers --format json",
    "providers show github",
    "receive --listen 127.0.0.1:0",
    "schema",
    "schema --output schema.json",
    "test",
];

/// To the public listener.
const SENT: [&str; 2] = ["send --route open", "send --route open --count 2"];

/// `UID`, `REQUEST` and `REPLAY` are those of one event.
const OF_A_GATEWAY: [&str; 29] = [
    "events list",
    "events list --format json",
    "events list --route nobody",
    "events show UID",
    "events show UID --format json",
    "events show UID --body",
    "events tail --since 1h --limit 1",
    "events tail --since 1h --format json",
    "events replay UID",
    "events replay UID --format json",
    "events replay --route open --yes",
    "events replay --route open --yes --detach",
    "explain REQUEST",
    "explain REQUEST --format json",
    "health",
    "health --live",
    "rejections list",
    "rejections list --format json",
    "reload",
    "reload --format json",
    "replays list",
    "replays show REPLAY",
    "replays show REPLAY --follow",
    "secrets list",
    "secrets show asana",
    "targets list",
    "targets pause crm",
    "targets resume crm",
    "targets resume crm --format json",
];

/// What can be done once for a sink.
const ONCE: [&str; 2] = ["secrets forget asana", "replays cancel REPLAY"];

const TOML: &str = r#"
    [targets.crm]
    url = "http://127.0.0.1:1"
    allow_private = true

    [routes.open]
    path = "/open"
    verify = "none"
    event_id = { json = "/id" }
    deliver = ["crm"]

    [routes.asana]
    path = "/hooks/asana"
    provider = "asana"
    secrets = [{ handshake = true }]
    deliver = ["crm"]
"#;

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A pipe that nobody reads.
fn left() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The exit code of `hookgate ARGUMENTS`, and what it said on standard error.
async fn run(directory: &Path, arguments: &str, out: Stdio, err: Stdio) -> (i32, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .env_remove("HOOKGATE_CONFIG")
        .env_remove("HOOKGATE_ADMIN")
        .env_remove("HOOKGATE_ADMIN_TOKEN")
        .env_remove("RUST_LOG")
        .env("RUST_BACKTRACE", "1")
        .stdin(File::open(directory.join("routes.toml")).unwrap())
        .stdout(out)
        .stderr(err)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{arguments}: goes on"));
    let ended = ended.unwrap();
    let code = ended.status.code();
    let code = code.unwrap_or_else(|| panic!("{arguments}: {}", ended.status));
    (code, String::from_utf8(ended.stderr).unwrap())
}

/// That it ends as it should on both, quietly on the one and with one line on the other.
async fn check(directory: &Path, arguments: &str) {
    // What is said beside it: warnings, and of `demo` nothing.
    let errors = |told: String| {
        let (_, errors) = told.split_at(told.find("error: ").unwrap_or(told.len()));
        assert!(!told.contains("panicked"), "{arguments}: {told}");
        errors.to_owned()
    };
    let (code, told) = run(directory, arguments, full(), Stdio::piped()).await;
    assert_eq!((code, errors(told).as_str()), (1, FULL), "{arguments}");
    let (code, told) = run(directory, arguments, left(), Stdio::piped()).await;
    assert_eq!((code, errors(told).as_str()), (UNHEARD, ""), "{arguments}");
    // Nowhere to say it.
    let (code, _) = run(directory, arguments, full(), left()).await;
    assert_eq!(code, 1, "{arguments}");
}

/// With a configuration, cases and a captured request.
fn furnished() -> Arc<TempDir> {
    let directory = temporary();
    let addresses = free_addresses().map(|address| address.to_string());
    let toml = crate::support::gateway::complete(TOML, &addresses[0], &addresses[1]);
    let cases = "[[case]]\nname = \"a\"\nroute = \"open\"\nexpect = { status = 200 }\n";
    let capture = "POST /open HTTP/1.1\nHost: a\nContent-Type: application/json\n\n{\"id\": \"1\"}";
    for (name, text) in [
        ("routes.toml", toml.as_str()),
        ("routes.test.toml", cases),
        ("capture", capture),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_ends_a_command() {
    let directory = furnished();
    for arguments in ALONE {
        check(directory.path(), arguments).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_told_and_cannot_be_written_ends_a_command() {
    let mut gateway = Process::spawn(TOML).await;
    let json = [("Content-Type", "application/json")];
    let posted = gateway.client.post("/open", &json, "{\"id\": \"1\"}").await;
    let (uid, request) = (posted.uid().to_string(), posted.header("x-request-id"));
    let request = request.unwrap().to_owned();
    let refused = gateway.client.post("/open", &json, "{").await;
    assert_eq!(refused.status, 400);
    let path = gateway.directory.path().to_owned();
    let admin = gateway.admin_address;
    let asked = |arguments: &str, replay: &str| {
        let arguments = arguments.replace("UID", &uid).replace("REQUEST", &request);
        format!(
            "{} --admin http://{admin}",
            arguments.replace("REPLAY", replay)
        )
    };
    let shake = async || {
        let secret = [("X-Hook-Secret", "canary-secret")];
        let shaken = gateway.client.post("/hooks/asana", &secret, "{}").await;
        assert_eq!(shaken.status, 200);
    };
    let replay = async || {
        let body = r#"{"route": "open"}"#;
        let begun = gateway
            .admin
            .send(Method::POST, "/api/v1/replays", &json, body);
        begun.await.json()["id"].as_str().unwrap().to_owned()
    };
    shake().await;
    let begun = replay().await;
    for arguments in OF_A_GATEWAY {
        check(&path, &asked(arguments, &begun)).await;
    }
    for arguments in SENT {
        check(&path, arguments).await;
    }
    for arguments in ONCE {
        for (out, code) in [(full(), 1), (left(), UNHEARD)] {
            // A secret that is there already, or a replay that nobody cancelled, changes nothing.
            drop(
                gateway
                    .client
                    .post("/hooks/asana", &[("X-Hook-Secret", "canary-secret")], "{}")
                    .await,
            );
            let arguments = asked(arguments, &replay().await);
            let (ended, told) = run(&path, &arguments, out, Stdio::piped()).await;
            let expected = if code == 1 { FULL } else { "" };
            assert_eq!((ended, told.as_str()), (code, expected), "{arguments}");
        }
    }
    // A tail that has nothing to say learns of it too.
    let silent = asked("events tail --route nobody", "");
    let (code, told) = run(&path, &silent, left(), Stdio::piped()).await;
    assert_eq!((code, told.as_str()), (UNHEARD, ""));
    assert!(gateway.terminate().await.success());
}

/// The tables above have every command but one, which says nothing on standard output.
#[test]
fn every_command_is_tried() {
    let all = commands();
    let is_whole = |words: &Vec<String>| {
        let mut others = all.iter();
        !others.any(|other| other.len() > words.len() && other.starts_with(words))
    };
    let tried = ALONE.iter().chain(&SENT).chain(&OF_A_GATEWAY).chain(&ONCE);
    let tried: Vec<_> = tried.collect();
    let mut untried = Vec::new();
    for words in all.iter().filter(|words| is_whole(words)) {
        let words = words.join(" ");
        let is_this = |one: &&&str| **one == words || one.starts_with(&format!("{words} "));
        if !tried.iter().any(is_this) {
            untried.push(words);
        }
    }
    assert_eq!(untried, ["serve"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_cannot_be_written_changes_no_verdict() {
    let directory = furnished();
    std::fs::write(directory.path().join("broken.toml"), "[server]\nlisten = 1").unwrap();
    for (arguments, code) in [
        ("serv", 64),
        ("events", 64),
        ("check", 0),
        ("check broken.toml", 64),
        ("serve --config broken.toml", 64),
        ("serve --config broken.toml --log-format json", 64),
        ("send --route open --config broken.toml", 64),
        ("explain --capture missing --route open", 64),
        ("providers show nobody", 64),
        ("test missing.test.toml", 64),
        ("events list --admin http://127.0.0.1:1", 1),
        ("reload --admin http://127.0.0.1:1", 1),
    ] {
        for err in [full(), left()] {
            let (ended, _) = run(directory.path(), arguments, Stdio::piped(), err).await;
            assert_eq!(ended, code, "{arguments}");
        }
    }
}

/// Its logs are written to standard error, by whoever has something to log.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_log_cannot_be_written_goes_on() {
    for (format, err) in [("text", full()), ("json", full()), ("text", left())] {
        let directory = temporary();
        let [public, admin] = free_addresses();
        let toml = crate::support::gateway::complete(TOML, &public.to_string(), &admin.to_string());
        std::fs::write(directory.path().join("routes.toml"), toml).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["serve", "--log-format", format])
            .current_dir(directory.path())
            .env_remove("HOOKGATE_CONFIG")
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(err)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = Client::plain(admin);
        wait_for("a gateway that is ready", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{format}: the gateway ended: {ended:?}");
            let reply = client.try_send(Method::GET, "/readyz", &[], "").await;
            reply.ok().filter(|reply| reply.status.is_success())
        })
        .await;
        let arguments = ["send", "--route", "open"];
        let path = directory.path().to_owned();
        let sent = tokio::task::spawn_blocking(move || hookgate(&path, &arguments))
            .await
            .unwrap();
        assert_eq!(sent.status.code(), Some(0), "{format}: {sent:?}");
        let reloaded = client.send(Method::POST, "/api/v1/reload", &[], "").await;
        assert_eq!(reloaded.status, 200, "{format}");
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap();
        assert_eq!(ended.unwrap().code(), Some(0), "{format}");
    }
}

/// What comes when nobody reads any more is taken, answered, and the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_nobody_reads_ends() {
    let [address, _] = free_addresses();
    let listen = address.to_string();
    let mut child = spawn(temporary().path(), &["receive", "--listen", &listen]);
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert_eq!(line, format!("listening on http://{address}\n"));
    drop(out);
    let client = Client::plain(address);
    let reply = client.send(Method::POST, "/crm", &[], "{}").await;
    assert_eq!(reply.status, 204);
    let ended = wait_for("its end", async || child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(UNHEARD));
}
