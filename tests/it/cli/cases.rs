//! `hookgate test`: cases that pass, cases that do not and how that is told, faults of their files; and `schema`.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::program::{SHIPPED, hookgate, hookgate_where, stderr, stdout};

const SHIPPED_CASES: &str = include_str!("../../../routes.test.toml");
const DOCUMENTED: &str = include_str!("../../../docs/testing.md");

/// Three targets: one gets all, one by type, one by `when` and transformed; secrets that are not here.
const ROUTES: &str = r#"
[targets.all]
url = "https://all.example.com"
[targets.some]
url = "https://some.example.com"
[targets.urgent]
url = "https://urgent.example.com"

[routes.signed]
path = "/signed"
provider = "standard-webhooks"
secrets = [{ env = "THE_SECRET" }, { file = "/run/secrets/signed" }]
event_type = { json = "/type" }
deliver = [
  "all",
  { to = "some", events = ["order.*"] },
  { to = "urgent", when = ".urgent", transform = "{n: .number, sum: (.a + .b)}" },
]

[routes.open]
path = "/open"
verify = "none"
methods = ["POST", "GET"]
content = ["json", "form"]
event_id = { json = "/id" }
allow_from = ["203.0.113.0/24"]
respond = { status = 202, body = "thank you" }
deliver = ["all"]

[routes.list]
path = "/list"
verify = "none"
event_id = { json = "/id" }
split = "/events"
deliver = ["all"]
"#;

const STAND: &str = r#"
[env]
THE_SECRET = "whsec_dGhlIGZpcnN0IHNlY3JldA=="
[files]
"/run/secrets/signed" = "whsec_dGhlIHNlY29uZCBzZWNyZXQ="
"#;

fn files(routes: &str, cases: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("routes.toml"), routes).unwrap();
    std::fs::write(directory.path().join("routes.test.toml"), cases).unwrap();
    directory
}

/// One case of `ROUTES` with these lines: whether it passes, and what is told.
fn test(lines: &str) -> (bool, String) {
    let directory = files(
        ROUTES,
        &format!("{STAND}\n[[case]]\nname = \"a case\"\n{lines}\n"),
    );
    let output = hookgate(directory.path(), &["test"]);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{lines}: {}", stderr(&output));
    (code == Some(0), stdout(&output))
}

/// Each passes with the first lines, and fails with the second in the place of `expect`.
#[test]
fn what_becomes_of_a_request_is_compared_with_what_is_expected() {
    let cases = [
        // Who gets it: by type, and by `when`, which a real worker evaluates.
        (
            "route = \"signed\"\nid = \"m-1\"\njson = { type = \"order.new\", urgent = false }",
            "{ status = 200, id = \"m-1\", type = \"order.new\", targets = [\"all\", \"some\"], filtered = [\"urgent\"], failed = [] }",
            &[
                "{ targets = [\"all\"] }",
                "{ targets = [\"all\", \"some\", \"urgent\"] }",
                "{ filtered = [] }",
                "{ id = \"m-2\" }",
                "{ type = \"order.old\" }",
                "{ status = 202 }",
                "{ status = 401 }",
                "{ reason = \"signature_mismatch\" }",
                "{ bodies = { urgent = {} } }",
            ][..],
        ),
        (
            "route = \"signed\"\nsign = true\njson = { type = \"cart\", urgent = true, number = 7, a = 1, b = 2 }",
            "{ targets = [\"urgent\", \"all\"], bodies = { urgent = { n = 7, sum = 3 }, all = { a = 1, b = 2, number = 7, type = \"cart\", urgent = true } } }",
            &[
                "{ bodies = { urgent = { n = 7, sum = 4 } } }",
                "{ bodies = { urgent = { n = 7 } } }",
                "{ bodies = { urgent = '{\"n\":8,\"sum\":3}' } }",
                "{ bodies = { all = { n = 7, sum = 3 } } }",
            ],
        ),
        // What fails on an event is told apart from what does not want it.
        (
            "route = \"signed\"\nsign = true\njson = { type = \"cart\", urgent = true, a = 1, b = \"x\" }",
            "{ targets = [\"all\"], filtered = [], failed = [\"urgent\"] }",
            &["{ failed = [] }", "{ filtered = [\"urgent\"] }"],
        ),
        // Signatures: right ones by either secret, wrong ones, old ones, none.
        (
            "route = \"signed\"\nsecret = \"whsec_dGhlIHNlY29uZCBzZWNyZXQ=\"",
            "{ status = 200 }",
            &["{ status = 401 }"],
        ),
        (
            "route = \"signed\"\nsecret = \"whsec_YW5vdGhlciBzZWNyZXQ=\"",
            "{ status = 401, reason = \"signature_mismatch\", targets = [], id = [] }",
            &[
                "{ status = 200 }",
                "{ reason = \"stale_timestamp\" }",
                "{ targets = [\"all\"] }",
            ],
        ),
        (
            "route = \"signed\"\nbad_signature = true",
            "{ status = 401 }",
            &["{ status = 200 }"],
        ),
        (
            "route = \"signed\"\nstale = true",
            "{ status = 401 }",
            &["{ status = 200 }"],
        ),
        (
            "route = \"signed\"\nat = 2020-01-01T00:00:00Z\nsign = true",
            "{ status = 200 }",
            &["{ status = 401 }"],
        ),
        (
            "route = \"signed\"\nat = 2020-01-01T00:00:00Z\njson = { type = \"a\" }\nheaders = { webhook-id = \"m\", webhook-timestamp = \"1577836800\", webhook-signature = \"v1,AAAA\" }",
            "{ status = 401, reason = \"malformed_signature\" }",
            &["{ status = 200 }"],
        ),
        // Where it comes from, how it is called, what it is.
        (
            "route = \"open\"\naddress = \"203.0.113.7\"\njson = { id = \"1\" }",
            "{ status = 202, answer = \"thank you\", bodies = { all = '{\"id\":\"1\"}' } }",
            &["{ status = 200 }", "{ answer = \"thanks\" }"],
        ),
        (
            "route = \"open\"\njson = { id = \"1\" }",
            "{ status = 403, reason = \"source_not_allowed\" }",
            &["{ status = 202 }"],
        ),
        (
            "path = \"/open\"\nmethod = \"GET\"\nquery = \"id=7&a=b\"\naddress = \"203.0.113.7\"",
            "{ status = 202, id = \"7\", bodies = { all = \"id=7&a=b\" } }",
            &["{ id = \"8\" }", "{ bodies = { all = \"id=7&a=c\" } }"],
        ),
        (
            "route = \"open\"\nbody = \"id=8\"\ncontent_type = \"application/x-www-form-urlencoded\"\naddress = \"203.0.113.7\"",
            "{ status = 202, id = \"8\" }",
            &["{ id = \"9\" }"],
        ),
        (
            "route = \"open\"\nbody = \"id=8\"\naddress = \"203.0.113.7\"",
            "{ status = 400, reason = \"invalid_json\" }",
            &["{ status = 202 }"],
        ),
        (
            "route = \"open\"\nbody = \"<id>8</id>\"\ncontent_type = \"text/xml\"\naddress = \"203.0.113.7\"",
            "{ status = 415 }",
            &["{ status = 202 }"],
        ),
        (
            "path = \"/nowhere\"",
            "{ status = 404, reason = \"unknown_path\" }",
            &["{ status = 200 }"],
        ),
        (
            "route = \"open\"\nmethod = \"DELETE\"",
            "{ status = 405 }",
            &["{ status = 404 }"],
        ),
        // The elements of a list are events of their own.
        (
            "route = \"list\"\njson = { events = [{ id = \"1\" }, { id = \"2\" }] }",
            "{ status = 200, id = [\"1\", \"2\"], targets = [\"all\"], bodies = { all = [{ id = \"1\" }, { id = \"2\" }] } }",
            &[
                "{ id = [\"1\"] }",
                "{ id = [\"2\", \"1\"] }",
                "{ bodies = { all = [{ id = \"1\" }] } }",
                "{ bodies = { all = [{ id = \"1\" }, { id = \"3\" }] } }",
            ],
        ),
    ];
    let mut refuted = 0;
    for (request, right, wrong) in cases {
        let (passes, told) = test(&format!("{request}\nexpect = {right}"));
        assert!(passes, "{request}\n{right}\n{told}");
        assert!(
            told.contains("✓ a case") && told.contains("1 case passed"),
            "{told}"
        );
        for expect in wrong {
            let (passes, told) = test(&format!("{request}\nexpect = {expect}"));
            assert!(!passes, "{request}\n{expect}\n{told}");
            assert!(told.contains("✗ a case (routes.test.toml:"), "{told}");
            refuted += 1;
        }
    }
    assert!(refuted > 30, "{refuted}");
}

#[test]
fn what_differs_is_told_with_its_place() {
    let request = "route = \"signed\"\nsign = true\njson = { type = \"cart\", urgent = true, number = 7, a = 1, b = 2 }";
    let told = |expect: &str| test(&format!("{request}\nexpect = {expect}")).1;
    for (expect, lines) in [
        (
            "{ bodies = { urgent = { n = 7, sum = 4, old = true } } }",
            &[
                "bodies.urgent /old\n        expected true\n        got      nothing",
                "bodies.urgent /sum\n        expected 4\n        got      3",
            ][..],
        ),
        (
            "{ status = 401, targets = [\"some\"] }",
            &[
                "status\n        expected 401\n        got      200",
                "targets\n        expected some\n        got      all, urgent",
            ],
        ),
    ] {
        let told = told(expect);
        for line in lines {
            assert!(told.contains(line), "{told}");
        }
        assert!(told.contains("failed: 1 of 1 case"), "{told}");
    }
    // Not a word of what it is signed with.
    assert!(!told("{ status = 500 }").contains("dGhl"));
    // Why a request was refused is told though only its targets were asked for.
    let (_, told) = test("route = \"open\"\njson = {}\nexpect = { targets = [\"all\"] }");
    assert!(told.contains("403 source_not_allowed"), "{told}");
}

#[test]
fn a_program_is_told_in_json() {
    let cases = format!(
        "{STAND}[[case]]\nname = \"good\"\nroute = \"signed\"\nsign = true\nexpect = {{ status = 200 }}\n[[case]]\nname = \"bad\"\nroute = \"signed\"\nexpect = {{ status = 200 }}\n"
    );
    let directory = files(ROUTES, &cases);
    let output = hookgate(directory.path(), &["test", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&told["passed"], &told["failed"]), (&1.into(), &1.into()));
    assert_eq!(told["cases"][0]["differences"], Value::Array(Vec::new()));
    let bad = &told["cases"][1];
    assert_eq!(
        (&bad["name"], &bad["file"], &bad["line"]),
        (&"bad".into(), &"routes.test.toml".into(), &11.into())
    );
    assert_eq!(bad["differences"][0]["what"], "status");
    assert_eq!(bad["differences"][0]["expected"], "200");

    let output = hookgate(directory.path(), &["test", "--filter", "goo"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("1 case passed"));
}

#[test]
fn files_are_found_beside_the_configuration_and_may_be_named() {
    let directory = files(
        ROUTES,
        &format!(
            "{STAND}[[case]]\nname = \"one\"\nroute = \"signed\"\nsign = true\nexpect = {{ status = 200 }}\n"
        ),
    );
    let more = "[[case]]\nname = \"two\"\npath = \"/nowhere\"\nexpect = { status = 404 }\n";
    std::fs::write(
        directory.path().join("more.test.toml"),
        format!("{STAND}{more}"),
    )
    .unwrap();
    std::fs::write(
        directory.path().join("other.toml"),
        format!("{STAND}{more}"),
    )
    .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let config = directory.path().join("routes.toml");
    let config = config.to_str().unwrap();
    for (at, arguments, count) in [
        (directory.path(), &["test"][..], "2 cases"),
        (directory.path(), &["test", "other.toml"], "1 case "),
        (
            directory.path(),
            &["test", "other.toml", "routes.test.toml"],
            "2 cases",
        ),
        (elsewhere.path(), &["test", "--config", config], "2 cases"),
    ] {
        let output = hookgate(at, arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}{}",
            stdout(&output),
            stderr(&output)
        );
        assert!(
            stdout(&output).contains(count),
            "{arguments:?}: {}",
            stdout(&output)
        );
    }
    // A body in a file, and its own place is where its path starts.
    std::fs::write(
        directory.path().join("body.json"),
        "{\"id\": \"from a file\"}",
    )
    .unwrap();
    let named = format!(
        "{STAND}[[case]]\nname = \"file\"\nroute = \"open\"\naddress = \"203.0.113.1\"\nfile = \"body.json\"\nexpect = {{ id = \"from a file\" }}\n"
    );
    std::fs::write(directory.path().join("routes.test.toml"), named).unwrap();
    let output = hookgate(elsewhere.path(), &["test", "--config", config]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

/// What the environment of the machine says does not count where the file says otherwise.
#[test]
fn secrets_of_the_file_stand_in_for_those_of_the_machine() {
    let case = "[[case]]\nname = \"a\"\nroute = \"signed\"\nsecret = \"whsec_dGhlIGZpcnN0IHNlY3JldA==\"\nexpect = { status = 200 }\n";
    let directory = files(ROUTES, &format!("{STAND}{case}"));
    let environment = [("THE_SECRET", "whsec_b2YgcHJvZHVjdGlvbiBpdHNlbGY=")];
    let output = hookgate_where(&environment, directory.path(), &["test"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    // Without them, what is missing is told, and where it may stand.
    let directory = files(ROUTES, case);
    let output = hookgate(directory.path(), &["test"]);
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    for part in [
        "THE_SECRET",
        "/run/secrets/signed",
        "[env] and [files] of routes.test.toml",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_certificate_is_shown_by_the_case() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/tls");
    let routes = format!(
        "[server.tls]\nclient_ca = {:?}\n[routes.a]\npath = \"/a\"\nverify = {{ client_certificate = {{}} }}\nevent_id = {{ json = \"/id\" }}\ndeliver = []\n",
        tls.join("ca.pem")
    );
    let with = format!("certificate = {:?}", tls.join("client.pem"));
    for (line, status, code) in [(with.as_str(), 200, 0), ("", 401, 0), ("", 200, 1)] {
        let case = format!(
            "[[case]]\nname = \"a\"\nroute = \"a\"\njson = {{ id = \"1\" }}\n{line}\nexpect = {{ status = {status} }}\n"
        );
        let directory = files(&routes, &case);
        let output = hookgate(directory.path(), &["test"]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}{}",
            stdout(&output),
            stderr(&output)
        );
    }
}

#[test]
fn faults_of_a_file_are_told_with_their_places() {
    let whole = |lines: &str| {
        let mut case = format!("[[case]]\n{lines}\n");
        for (key, line) in [
            ("name", "name = \"a\""),
            ("route", "route = \"open\""),
            ("expect", "expect = { status = 200 }"),
        ] {
            let has = |key: &str| lines.lines().any(|line| line.starts_with(key));
            if !(has(key) || key == "route" && has("path")) {
                case += &format!("{line}\n");
            }
        }
        case + STAND
    };
    let faults = [
        (
            "expect = { bodies = {} }",
            "routes.test.toml:2:21: case[0].expect.bodies: found nothing, expected a table such as { crm = { ticket = 1 } }",
        ),
        (
            "json = { n = [99999999999999999999] }",
            "routes.test.toml:2:8: case[0].json: found a number that cannot be told in JSON, expected numbers of at most 64 bits, neither `inf` nor `nan`",
        ),
        (
            "expect = { answer = nan }",
            "routes.test.toml:2:21: case[0].expect.answer: found a number that cannot be told in JSON, expected numbers of at most 64 bits, neither `inf` nor `nan`",
        ),
        (
            "nam = \"a\"",
            "routes.test.toml:2:1: case[0].nam: found an unknown key; did you mean `name`?",
        ),
        (
            "route = \"opn\"",
            "routes.test.toml:2:9: case[0].route: found \"opn\", expected the name of a route: one of signed, open, list; did you mean `open`?",
        ),
        (
            "path = \"open\"",
            "routes.test.toml:2:8: case[0].path: found \"open\", expected a path such as \"/hooks/crm\"",
        ),
        (
            "method = \"FETCH\"",
            "routes.test.toml:2:10: case[0].method: found \"FETCH\", expected \"POST\"",
        ),
        (
            "headers = \"X\"",
            "routes.test.toml:2:11: case[0].headers: found \"X\", expected a table",
        ),
        ("headers = { \"X Y\" = \"1\" }", "case[0].headers.\"X Y\""),
        (
            "body = 1",
            "routes.test.toml:2:8: case[0].body: found 1, expected a string",
        ),
        (
            "body = \"\"\njson = {}",
            "found several of `body`, `json` and `file`",
        ),
        (
            "file = \"absent.json\"",
            "case[0].file: found \"absent.json\", which cannot be read",
        ),
        (
            "address = \"here\"",
            "case[0].address: found \"here\", expected an address",
        ),
        (
            "at = \"noon\"",
            "case[0].at: found \"noon\", expected a moment",
        ),
        (
            "sign = \"yes\"",
            "case[0].sign: found \"yes\", expected true or false",
        ),
        (
            "sign = false\nstale = true",
            "case[0].stale: found `stale` beside `sign = false`",
        ),
        (
            "stale = true\nbad_signature = true",
            "found both `bad_signature` and `stale`",
        ),
        (
            "secret = 123456789",
            "case[0].secret: found a number, expected a string",
        ),
        (
            "expect = {}",
            "routes.test.toml:2:10: case[0].expect: found nothing, expected a table",
        ),
        (
            "expect = { staus = 200 }",
            "case[0].expect.staus: found an unknown key; did you mean `status`?",
        ),
        (
            "expect = { status = 2000 }",
            "case[0].expect.status: found 2000, expected a number from 100 to 599",
        ),
        (
            "expect = { reason = \"bad\" }",
            "case[0].expect.reason: found \"bad\", expected why requests are refused: one of ",
        ),
        (
            "expect = { targets = [\"al\"] }",
            "case[0].expect.targets[0]: found \"al\", expected the name of a target: one of all, some, urgent; did you mean `all`?",
        ),
        (
            "expect = { bodies = { al = {} } }",
            "case[0].expect.bodies.al",
        ),
        ("name = 5", "case[0].name: found 5, expected a string"),
    ];
    for (lines, fault) in faults {
        let directory = files(ROUTES, &whole(lines));
        let output = hookgate(directory.path(), &["test"]);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{lines}: {}",
            stdout(&output)
        );
        assert!(
            stderr(&output).contains(fault),
            "{lines}: {}",
            stderr(&output)
        );
        assert!(
            !stderr(&output).contains("123456789"),
            "{}",
            stderr(&output)
        );
    }
    for (cases, told) in [
        ("[env]\nA = 1\n", "env.A: found a number, expected a string"),
        ("case = 5", "case: found 5, expected tables under [[case]]"),
        (
            "[[cases]]\n",
            "cases: found an unknown key; did you mean `case`?",
        ),
        ("[[case]\n", "routes.test.toml:1:"),
        ("[[case]]\nname = \"a\"\n", "case[0].route: missing"),
    ] {
        let directory = files(
            &ROUTES
                .replace(
                    "env = \"THE_SECRET\"",
                    "value = \"whsec_dGhlIGZpcnN0IHNlY3JldA==\"",
                )
                .replace(", { file = \"/run/secrets/signed\" }", ""),
            cases,
        );
        let output = hookgate(directory.path(), &["test"]);
        assert_eq!(output.status.code(), Some(64), "{cases}");
        assert!(
            stderr(&output).contains(told),
            "{cases}: {}",
            stderr(&output)
        );
    }
    let twice = format!(
        "{STAND}{0}{0}",
        "[[case]]\nname = \"a\"\nroute = \"open\"\nexpect = { status = 200 }\n"
    );
    let output = hookgate(files(ROUTES, &twice).path(), &["test"]);
    assert!(
        stderr(&output).contains("found \"a\" a second time"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn no_cases_are_a_failure_that_says_what_to_do() {
    let none = tempfile::tempdir().unwrap();
    std::fs::write(none.path().join("routes.toml"), SHIPPED).unwrap();
    let empty = files(SHIPPED, "");
    for (directory, arguments, told) in [
        (
            &none,
            &["test"][..],
            "no cases: write some to routes.test.toml",
        ),
        (
            &empty,
            &["test"],
            "no [[case]] in routes.test.toml; `hookgate test --help` shows one",
        ),
        (&empty, &["test", "absent.toml"], "absent.toml"),
    ] {
        let output = hookgate(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(
            stderr(&output).contains(told),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    let shipped = files(SHIPPED, SHIPPED_CASES);
    let output = hookgate(shipped.path(), &["test", "--filter", "no such case"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("no case has \"no such case\" in its name"));
}

#[test]
fn the_shipped_cases_pass_and_name_every_shipped_route() {
    let directory = files(SHIPPED, SHIPPED_CASES);
    let output = hookgate(directory.path(), &["test"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    for name in ["github", "glia", "tickets", "cidaas", "shop"] {
        assert!(
            SHIPPED_CASES.contains(&format!("route = \"{name}\"")),
            "{name}"
        );
    }
    // They notice a change of what they are about.
    for (from, to) in [
        (
            "events = [\"USER_*\"]",
            "events = [\"USER_CREATED\", \"LOGIN_*\"]",
        ),
        (
            "\"/timestamp\" = \"date-time\"",
            "\"/timestamp\" = \"string\"",
        ),
        (
            "path = \"/hooks/shop\"\nverify = { hmac",
            "path = \"/hooks/nobody\"\nverify = { hmac",
        ),
    ] {
        let changed = SHIPPED.replace(from, to);
        assert_ne!(changed, SHIPPED, "{from}");
        let output = hookgate(files(&changed, SHIPPED_CASES).path(), &["test"]);
        assert_eq!(output.status.code(), Some(1), "{from}: {}", stdout(&output));
    }
}

/// The first block of TOML in docs/testing.md is a configuration, the others are cases of it.
#[test]
fn the_examples_of_the_documentation_pass() {
    let mut blocks = DOCUMENTED.split("```toml\n").skip(1);
    let mut block = || Some(blocks.next()?.split("```").next().unwrap());
    let routes = block().unwrap();
    let cases: Vec<_> = std::iter::from_fn(block).collect();
    assert!(cases.len() >= 3, "{}", cases.len());
    let count = cases.concat().matches("[[case]]").count();
    let directory = files(routes, &cases.join("\n"));
    std::fs::write(
        directory.path().join("order.json"),
        "{\"id\": \"o-3\", \"total\": 120}",
    )
    .unwrap();
    let output = hookgate(directory.path(), &["test"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert!(
        stdout(&output).contains(&format!("{count} cases passed")),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_schema_is_printed_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let printed = hookgate(directory.path(), &["schema"]);
    assert_eq!(printed.status.code(), Some(0));
    let schema: Value = serde_json::from_str(&stdout(&printed)).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let arguments = ["schema", "--output", "routes.schema.json"];
    let written = hookgate(directory.path(), &arguments);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let file = std::fs::read_to_string(directory.path().join("routes.schema.json")).unwrap();
    assert_eq!(file, stdout(&printed));
    let output = hookgate(
        directory.path(),
        &["schema", "--output", "absent/schema.json"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write absent/schema.json"));
}
