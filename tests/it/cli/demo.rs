//! `demo`: what a newcomer sees first.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::program::{SHIPPED, hookgate, spawn, stderr, stdout};
use crate::support::gateway::temporary;

/// What the table must show: request, answer, deliveries.
const ROWS: [(&str, &str, &str); 17] = [
    ("github: a push ", "200 accepted", "audit"),
    ("glia: a chat started", "200 accepted", "crm"),
    ("tickets: a new ticket", "200 accepted", "support"),
    ("cidaas: USER_CREATED", "200 accepted", "audit, crm"),
    ("cidaas: a login", "200 accepted", "audit "),
    ("shop: an order", "200 accepted", "inventory, notify, crm"),
    ("github: the same push again", "200 duplicate", "-"),
    ("github: the body forged", "401", "-"),
    ("glia: a wrong API key", "401", "-"),
    ("shop: signed an hour ago", "401", "-"),
    (
        "tickets: malformed JSON",
        "400 invalid_json, line 3 column",
        "-",
    ),
    (
        "glia: a field is missing",
        "422 schema_violation, /customerId",
        "-",
    ),
    ("tickets: a body too large", "413 body_too_large", "-"),
    ("an unknown path", "404 unknown_path", "-"),
    ("github: GET", "405 method_not_allowed", "-"),
    (
        "tickets: support fails twice",
        "200 accepted",
        "support (500, 500, 204)",
    ),
    (
        "tickets: support never takes it",
        "200 accepted",
        "support (410): dead letter",
    ),
];

/// Runs it once in `directory`; it must come out as expected.
fn demo_once(directory: &Path) -> String {
    let output = hookgate(directory, &["demo", "--once"]);
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{table}{}", stderr(&output));
    table
}

#[test]
fn every_kind_of_request_comes_out_as_expected_without_any_file() {
    let directory = temporary();
    let table = demo_once(directory.path());
    for (request, answer, delivered) in ROWS {
        let row = table.lines().find(|line| line.contains(request));
        let row = row.unwrap_or_else(|| panic!("no row {request}: {table}"));
        assert!(
            row.contains(answer) && row.contains(&format!(" {delivered}")),
            "{row}"
        );
        assert!(row.contains(" ms") && row.contains(" ok"), "{row}");
    }
    assert!(
        table.contains(&format!("All {} came out as expected.", ROWS.len())),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "colours in what is no terminal");
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "the demo leaves nothing behind where it is run");
}

#[test]
fn it_runs_the_project_s_own_routes() {
    let table = demo_once(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(table.contains("with routes of routes.toml"), "{table}");
}

/// The ports of the first are taken for the second.
#[test]
fn two_at_once_do_not_collide() {
    let directory = temporary();
    let tables = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| demo_once(directory.path())));
        runs.map(|run| run.join().unwrap())
    });
    assert!(
        tables
            .iter()
            .all(|table| table.contains("came out as expected"))
    );
}

/// So that "as expected" is worth something.
#[test]
fn what_comes_out_otherwise_is_told_and_fails() {
    let directory = temporary();
    let other = SHIPPED.replace("deliver = [\"audit\"]", "deliver = [\"crm\"]");
    assert_ne!(other, SHIPPED);
    std::fs::write(directory.path().join("routes.toml"), other).unwrap();
    let output = hookgate(directory.path(), &["demo", "--once"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let table = stdout(&output);
    assert_eq!(
        table.matches("FAILED: a delivery to audit").count(),
        1,
        "{table}"
    );
    assert!(table.contains("1 of 17 FAILED."), "{table}");
}

#[test]
fn it_stays_up_with_commands_that_work_and_leaves_nothing_behind() {
    let directory = temporary();
    let mut child = spawn(directory.path(), &["demo"]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    for line in lines.map_while(Result::ok) {
        let last = line.contains("hookgate serve");
        told.push(line.trim().to_owned());
        if last {
            break;
        }
    }
    std::fs::write(directory.path().join("routes.toml"), SHIPPED).unwrap();
    let sends: Vec<_> = told
        .iter()
        .filter_map(|line| line.strip_prefix("hookgate "))
        .collect();
    assert_eq!(sends.len(), 2, "{told:?}");
    for send in sends {
        let output = hookgate(directory.path(), &send.split(' ').collect::<Vec<_>>());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{send}: {}{}",
            stdout(&output),
            stderr(&output)
        );
    }
    let ca = told
        .iter()
        .find_map(|line| line.split_once("--ca "))
        .unwrap()
        .1;
    assert!(Path::new(ca).is_file(), "{ca}");

    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!Path::new(ca).exists(), "{ca} is left behind");
}
