//! `hookgate test`: requests that come again within a case.

use serde_json::Value;
use tempfile::TempDir;

use super::program::{hookgate, stderr, stdout};
use crate::support::gateway::Gateway;

const ROUTES: &str = r#"
[targets.crm]
url = "https://crm.example.com"
[targets.audit]
url = "https://audit.example.com"

[routes.signed]
path = "/signed"
provider = "standard-webhooks"
secrets = [{ value = "whsec_dGhlIGZpcnN0IHNlY3JldA==" }, { value = "whsec_dGhlIHNlY29uZCBzZWNyZXQ=" }]
dedupe_window = "1h"
deliver = ["crm"]

[routes.hashed]
path = "/hashed"
verify = "none"
methods = ["POST", "PUT"]
event_id = { body = "sha256" }
deliver = ["crm", { to = "audit", when = ".n == 1" }]

[routes.list]
path = "/list"
verify = "none"
event_id = { json = "/id" }
split = "/events"
deliver = ["crm"]

[routes.posted]
path = "/both"
verify = "none"
methods = ["POST"]
event_id = { body = "sha256" }
deliver = ["crm"]

[routes.got]
path = "/both"
verify = "none"
methods = ["GET"]
event_id = { body = "sha256" }
deliver = ["audit"]

[routes.asana]
path = "/asana"
provider = "asana"
secrets = [{ handshake = true }]
deliver = ["crm"]

[routes.asana-told]
path = "/asana-told"
provider = "asana"
secrets = [{ value = "0123456789abcdef0123456789abcdef" }]
deliver = ["crm"]
"#;

fn files(cases: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("routes.toml"), ROUTES).unwrap();
    std::fs::write(directory.path().join("routes.test.toml"), cases).unwrap();
    directory
}

/// One case with these lines, and what is told of its differences: each `what`, `expected`, `got`.
fn differences(lines: &str) -> Vec<[String; 3]> {
    let directory = files(&format!("[[case]]\nname = \"a case\"\n{lines}\n"));
    let output = hookgate(directory.path(), &["test", "--format", "json"]);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{lines}: {}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let found = report["cases"][0]["differences"].as_array().unwrap();
    assert_eq!(found.is_empty(), code == Some(0), "{report}");
    let told =
        |one: &Value| ["what", "expected", "got"].map(|key| one[key].as_str().unwrap().to_owned());
    found.iter().map(told).collect()
}

/// Each passes as it stands, and fails with the second text in the place of the first, at this place.
#[test]
fn what_comes_again_is_known_again() {
    let cases = [
        // The same delivery, and then within the window and at its end, counted from what was accepted.
        (
            r#"route = "signed"
            id = "m-1"
            expect = { status = 200, duplicate = false, targets = ["crm"] }
            [[case.again]]
            expect = { status = 200, duplicate = true, id = "m-1", targets = [], bodies = {crm = 1} }"#,
            ", bodies = {crm = 1}",
            "",
            "again[0].bodies.crm",
        ),
        (
            r#"route = "signed"
            id = "m-1"
            expect = { duplicate = false }
            [[case.again]]
            after = "59m"
            expect = { duplicate = true }
            [[case.again]]
            after = "59s"
            expect = { duplicate = true }
            [[case.again]]
            after = "1s"
            expect = { duplicate = false, targets = ["crm"] }
            [[case.again]]
            after = "59m"
            expect = { duplicate = true }"#,
            "\"59s\"",
            "\"60s\"",
            "again[1].duplicate",
        ),
        // The id counts, where it is no digest of the body.
        (
            r#"route = "signed"
            id = "m-1"
            json = { a = 1 }
            expect = { duplicate = false, bodies = { crm = { a = 1 } } }
            [[case.again]]
            json = { a = 2 }
            expect = { status = 200, duplicate = true, targets = [] }
            [[case.again]]
            id = "m-2"
            expect = { duplicate = false, id = "m-2", bodies = { crm = { a = 1 } } }"#,
            "json = { a = 2 }",
            "id = \"m-3\"",
            "again[0].duplicate",
        ),
        (
            r#"route = "hashed"
            json = { n = 1 }
            expect = { duplicate = false, targets = ["audit", "crm"] }
            [[case.again]]
            method = "PUT"
            expect = { duplicate = true, targets = [], filtered = [] }
            [[case.again]]
            json = { n = 2 }
            expect = { duplicate = false, targets = ["crm"], filtered = ["audit"] }"#,
            "method = \"PUT\"",
            "json = { n = 3 }",
            "again[0].duplicate",
        ),
        // What the program makes up is the same again.
        (
            r#"route = "hashed"
            expect = { duplicate = false }
            [[case.again]]
            after = "1h"
            expect = { duplicate = true }"#,
            "after = \"1h\"",
            "json = {}",
            "again[0].duplicate",
        ),
        // What is refused is not remembered; what is wrong with it can be put right, or come later.
        (
            r#"route = "signed"
            bad_signature = true
            expect = { status = 401, duplicate = [] }
            [[case.again]]
            stale = true
            expect = { status = 401, reason = "stale_timestamp" }
            [[case.again]]
            bad_signature = false
            expect = { status = 200, duplicate = false }
            [[case.again]]
            secret = "whsec_YW5vdGhlciBzZWNyZXQ="
            expect = { status = 401 }
            [[case.again]]
            bad_signature = false
            secret = "whsec_dGhlIHNlY29uZCBzZWNyZXQ="
            expect = { duplicate = true }
            [[case.again]]
            sign = false
            expect = { status = 401, targets = [] }"#,
            "sign = false",
            "bad_signature = false",
            "again[4].status",
        ),
        // Of a list each by itself, of one request too.
        (
            r#"route = "list"
            json = { events = [{ id = "1" }, { id = "2" }, { id = "1" }] }
            expect = { duplicate = [false, false, true], id = ["1", "2", "1"], bodies = { crm = [{ id = "1" }, { id = "2" }] } }
            [[case.again]]
            json = { events = [{ id = "2" }, { id = "3" }] }
            expect = { duplicate = [true, false], targets = ["crm"], bodies = { crm = { id = "3" } } }
            [[case.again]]
            expect = { duplicate = [true, true, true], targets = [] }"#,
            "[true, false]",
            "[false, false]",
            "again[0].duplicate",
        ),
        // What the program makes up is of the route that takes it.
        (
            r#"path = "/both"
            method = "POST"
            expect = { duplicate = false, targets = ["crm"] }
            [[case.again]]
            method = "GET"
            expect = { duplicate = false, targets = ["audit"] }
            [[case.again]]
            expect = { duplicate = true }"#,
            "method = \"GET\"",
            "method = \"POST\"",
            "again[0].duplicate",
        ),
        // The secret that a handshake gave proves what follows, and is the only one.
        (
            r#"route = "asana"
            headers = { X-Hook-Secret = "0123456789abcdef0123456789abcdef" }
            body = ""
            expect = { status = 200, duplicate = [] }
            [[case.again]]
            headers = {}
            secret = "0123456789abcdef0123456789abcdef"
            json = { events = [{ action = "changed" }] }
            expect = { status = 200, duplicate = false }
            [[case.again]]
            expect = { status = 200 }
            [[case.again]]
            headers = { X-Hook-Secret = "f123456789abcdef0123456789abcdef" }
            expect = { status = 403, reason = "handshake_refused" }"#,
            "secret = \"0123",
            "secret = \"f123",
            "again[0].status",
        ),
        // A route that awaits none takes none.
        (
            r#"route = "asana-told"
            headers = { X-Hook-Secret = "0123456789abcdef0123456789abcdef" }
            body = ""
            expect = { status = 403, reason = "handshake_refused" }"#,
            "403",
            "200",
            "status",
        ),
    ];
    for (lines, from, to, place) in cases {
        // What is told of a body in the first would never pass.
        let (passes, fails) = match to {
            "" => (lines.replace(from, ""), lines.to_owned()),
            to => (lines.to_owned(), lines.replacen(from, to, 1)),
        };
        assert_ne!(passes, fails, "{lines}");
        assert_eq!(differences(&passes), [[""; 3]; 0], "{passes}");
        let found = differences(&fails);
        assert!(
            found.first().is_some_and(|[what, ..]| what == place),
            "{found:?}"
        );
    }
}

/// The same requests to a gateway with a store: its answers are what the cases must expect.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_says_the_same() {
    const ROUTE: &str = r#"
        [routes.list]
        path = "/list"
        verify = "none"
        event_id = { json = "/id" }
        split = "/events"
        deliver = []
    "#;
    let lists = [
        r#"[{ "id": "1", "n": 1 }, { "id": "2", "n": 1 }]"#,
        r#"[{ "id": "1", "n": 1 }]"#,
        r#"[{ "id": "1", "n": 2 }, { "id": "3", "n": 1 }, { "id": "3", "n": 2 }]"#,
        r#"[{ "id": "3", "n": 1 }, { "id": "2", "n": 1 }]"#,
    ];
    let gateway = Gateway::start_now(ROUTE).await;
    let mut cases = "[[case]]\nname = \"a\"\nroute = \"list\"\n".to_owned();
    for (index, list) in lists.into_iter().enumerate() {
        let body = format!(r#"{{"events": {list}}}"#);
        let json = [("Content-Type", "application/json")];
        let answer = gateway.client.post("/list", &json, body.clone()).await;
        let answer = answer.json();
        let events = answer["events"].as_array().unwrap().iter();
        let duplicates: Vec<_> = events.map(|event| event["status"] == "duplicate").collect();
        if index > 0 {
            cases += "[[case.again]]\n";
        }
        cases += &format!("body = '{body}'\nexpect = {{ duplicate = {duplicates:?} }}\n");
    }
    gateway.stop().await;
    assert!(cases.contains("[true, false, true]"), "{cases}");
    let directory = files(&cases);
    let output = hookgate(directory.path(), &["test"]);
    let told = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}\n{cases}");
}

#[test]
fn what_differs_of_a_repeat_is_told_with_its_number() {
    let found = differences(
        r#"route = "signed"
        id = "m-1"
        expect = { status = 202 }
        [[case.again]]
        expect = { duplicate = false, targets = ["crm"] }
        [[case.again]]
        stale = true
        expect = { duplicate = true }"#,
    );
    let found: Vec<_> = found
        .iter()
        .map(|one| one.each_ref().map(String::as_str))
        .collect();
    assert_eq!(
        found[..4],
        [
            ["status", "202", "200"],
            ["again[0].duplicate", "false", "true"],
            ["again[0].targets", "crm", "none"],
            ["again[1].duplicate", "true", "none"],
        ]
    );
    assert_eq!(found[4][..2], ["again[1].status", "an event"]);
    assert!(found[4][2].starts_with("401 stale_timestamp"), "{found:?}");
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn one_case_knows_nothing_of_another() {
    let case = |name| {
        format!(
            "[[case]]\nname = \"{name}\"\nroute = \"signed\"\nid = \"m-1\"\nexpect = {{ duplicate = false }}\n"
        )
    };
    let directory = files(&(case("a") + &case("b")));
    let output = hookgate(directory.path(), &["test"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn faults_of_a_repeat_are_told_with_their_places() {
    let expected = "expect = { status = 200 }";
    for (lines, fault) in [
        (
            "again = 5",
            "case[0].again: found 5, expected tables under [[case.again]]",
        ),
        (
            "again = [5]",
            "case[0].again[0]: found 5, expected a table under [[case.again]]",
        ),
        (
            "[[case.again]]\nafter = \"1h\"",
            "routes.test.toml:5:1: case[0].again[0].expect: missing, expected what is to become of it",
        ),
        (
            &format!("[[case.again]]\nafter = \"soon\"\n{expected}"),
            "routes.test.toml:6:9: case[0].again[0].after: found \"soon\", expected a duration such as \"10s\"",
        ),
        (
            &format!("[[case.again]]\nafter = \"0s\"\n{expected}"),
            "case[0].again[0].after: found \"0s\", expected a duration from 1ms to 3650d",
        ),
        (
            &format!("[[case.again]]\nroute = \"list\"\n{expected}"),
            "case[0].again[0].route: found an unknown key",
        ),
        (
            &format!("[[case.again]]\nat = 2026-01-01T00:00:00Z\n{expected}"),
            "case[0].again[0].at: found an unknown key",
        ),
        (
            &format!(
                "[[case.again]]\n{expected}\n[[case.again]]\nsign = false\nid = \"a\"\n{expected}"
            ),
            "case[0].again[1].id: found `id` beside `sign = false`",
        ),
        (
            &format!("[[case.again]]\nstale = true\nbad_signature = true\n{expected}"),
            "found both `bad_signature` and `stale`",
        ),
        (
            "[[case.again]]\nexpect = { duplicate = \"yes\" }",
            "case[0].again[0].expect.duplicate: found \"yes\", expected true or false",
        ),
        (
            "[[case.again]]\nexpect = { targets = [\"cmr\"] }",
            "case[0].again[0].expect.targets[0]: found \"cmr\", expected the name of a target",
        ),
    ] {
        let directory = files(&format!(
            "[[case]]\nname = \"a\"\nroute = \"signed\"\nexpect = {{ status = 200 }}\n{lines}\n"
        ));
        let output = hookgate(directory.path(), &["test"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{lines}: {told}");
        assert!(told.contains(fault), "{lines}: {told}");
    }
}
