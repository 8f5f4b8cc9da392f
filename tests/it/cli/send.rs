//! `send`: every shipped route takes what it sends.

use super::program::{SHIPPED, Serving, hookgate, hookgate_where, hookgate_with, stderr, stdout};
use crate::support::{gateway::temporary, sign::sha256_hex};

/// The shipped routes, each with the key that it needs.
const ROUTES: [(&str, &str); 5] = [
    ("github", ""),
    ("glia", "demo-glia-key"),
    ("tickets", ""),
    ("cidaas", "demo-cidaas-key"),
    ("shop", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_shipped_route_accepts_its_sample() {
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    assert_eq!(shipped["routes"].as_table().unwrap().len(), ROUTES.len());
    let gateway = Serving::start(SHIPPED).await;
    for (route, key) in ROUTES {
        let mut arguments = vec!["send", "--route", route];
        if !key.is_empty() {
            arguments.extend(["--key", key]);
        }
        let output = hookgate(gateway.directory.path(), &arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{route}: {}{}",
            stdout(&output),
            stderr(&output)
        );
        let told = stdout(&output);
        assert!(
            told.starts_with(&format!("POST https://{}/hooks/{route}\n", gateway.public)),
            "{told}"
        );
        assert!(
            told.contains("200 OK in ") && told.contains(r#""status":"accepted""#),
            "{told}"
        );
        let request_id = told
            .lines()
            .find_map(|line| line.strip_prefix("request id: "));
        assert_eq!(request_id.map(str::len), Some(28), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_and_fails() {
    let gateway = Serving::start(SHIPPED).await;
    let directory = gateway.directory.path();
    let wrong_key = hookgate(directory, &["send", "--route", "glia", "--key", "wrong"]);
    assert_eq!(wrong_key.status.code(), Some(1));
    assert!(
        stdout(&wrong_key).contains("401 Unauthorized"),
        "{}",
        stdout(&wrong_key)
    );

    let from_stdin = ["send", "--route", "tickets", "--body", "-"];
    let malformed = hookgate_with(directory, &from_stdin, "{\"ticket_id\": }");
    assert_eq!(malformed.status.code(), Some(1));
    assert!(
        stdout(&malformed).contains("invalid_json"),
        "{}",
        stdout(&malformed)
    );

    let forged = [
        "send",
        "--route",
        "github",
        "--header",
        "X-Hub-Signature-256: sha256=00",
    ];
    let forged = hookgate(directory, &forged);
    assert_eq!(forged.status.code(), Some(1));
    assert!(
        stdout(&forged).contains("401 Unauthorized"),
        "{}",
        stdout(&forged)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_stand_in_the_environment_and_an_argument_overrules_it() {
    let gateway = Serving::start(SHIPPED).await;
    let directory = gateway.directory.path();
    let send = ["send", "--route", "glia"];
    let with_key = ["send", "--route", "glia", "--key", "demo-glia-key"];
    for (key, arguments, code, told) in [
        ("demo-glia-key", &send[..], 0, "200 OK"),
        ("canary-wrong", &send, 1, "401 Unauthorized"),
        ("canary-wrong", &with_key, 0, "200 OK"),
    ] {
        let output = hookgate_where(&[("HOOKGATE_KEY", key)], directory, arguments);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(told) && !said.contains(key), "{said}");
    }
    let help = hookgate_where(
        &[("HOOKGATE_KEY", "canary")],
        directory,
        &["send", "--help"],
    );
    let help = stdout(&help);
    assert!(
        help.contains("HOOKGATE_KEY") && !help.contains("canary"),
        "{help}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_given_is_the_event_s() {
    let gateway = Serving::start(SHIPPED).await;
    for route in ["github", "tickets", "shop"] {
        let arguments = ["send", "--route", route, "--id", "evt-4711"];
        for expected in ["accepted", "duplicate"] {
            let told = stdout(&hookgate(gateway.directory.path(), &arguments));
            assert!(
                told.contains(&format!("\"status\":\"{expected}\"")),
                "{route}: {told}"
            );
            assert!(told.contains("\"id\":\"evt-4711\""), "{route}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_suits_any_route() {
    let config = format!(
        r#"
        [routes.other]
        path = "/other"
        verify = [
          {{ bearer = {{}}, keys = [{{ name = "one", sha256 = "{}" }}] }},
        ]
        event_id = {{ json = ["/deep/down/id", "/number"] }}
        event_type = {{ json = "/kind" }}
        deliver = []
        [routes.other.require]
        "/number" = "integer"
        "/ratio" = "number"
        "/flag" = "boolean"
        "/list" = "array"
        "/map" = "object"
        "/nothing" = "null"
        "/anything" = "any"
        "/at" = "date-time"
        "/uuid" = "uuid"

        [routes.partner]
        path = "/partner"
        verify = {{ basic = {{}}, keys = [{{ name = "two", sha256 = "{}" }}] }}
        event_id = {{ body = "sha256" }}
        deliver = []
        "#,
        sha256_hex("a-bearer-token"),
        sha256_hex("partner:password"),
    );
    let gateway = Serving::start(&config).await;
    for (route, key) in [("other", "a-bearer-token"), ("partner", "partner:password")] {
        let output = hookgate(
            gateway.directory.path(),
            &["send", "--route", route, "--key", key],
        );
        assert_eq!(
            output.status.code(),
            Some(0),
            "{route}: {}{}",
            stdout(&output),
            stderr(&output)
        );
    }
}

#[test]
fn faults_of_usage_say_what_is_missing() {
    let directory = temporary();
    std::fs::write(directory.path().join("routes.toml"), SHIPPED).unwrap();
    let rows = [
        (
            &["send", "--route", "nobody"][..],
            "there are github, glia, tickets, cidaas, shop",
        ),
        (
            &["send", "--route", "glia"],
            "give it with --key or in HOOKGATE_KEY",
        ),
        (
            &["send", "--route", "github", "--header", "nonsense"],
            "looks like 'X-Tenant: acme'",
        ),
        (
            &["send", "--route", "github", "--body", "absent.json"],
            "absent.json",
        ),
        (&["send", "--route", "github"], "localhost.crt"),
        (&["send"], "--route"),
    ];
    for (arguments, expected) in rows {
        let output = hookgate(directory.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_gateway_that_is_not_there_is_a_failure() {
    let directory = temporary();
    std::fs::write(directory.path().join("routes.toml"), SHIPPED).unwrap();
    let [nobody, _] = crate::support::process::free_addresses();
    let url = format!("https://{nobody}");
    let output = hookgate(
        directory.path(),
        &["send", "--route", "github", "--url", &url],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("Is the gateway running"),
        "{}",
        stderr(&output)
    );
}
