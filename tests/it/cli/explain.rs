//! `explain`: what is wrong with a captured request, and what is never told.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::program::{hookgate_where, hookgate_with, stderr, stdout};
use crate::support::{
    gateway::temporary,
    sign::{github, hmac_sha256, sha256_hex, shopify, standard_webhooks, stripe},
};

mod captures;

const SECRET: &str = "canary-secret-0123456789abcdef01";
const OLD: &str = "canary-old-secret-0123456789abcd";
const AT: i64 = 1_779_291_000;
/// With a value that no output may hold.
const BODY: &str =
    r#"{"id": "canary-body-1", "name": "Zoë/<b>", "type": "t", "z": [1, {"a": null}]}"#;

const ROUTES: &str = r#"
[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ env = "SECRET" }, { env = "OLD", not_after = 2026-01-01T00:00:00Z }]
deliver = []

[routes.stripe]
path = "/hooks/stripe"
provider = "stripe"
secrets = [{ env = "SECRET" }]
deliver = []

[routes.shopify]
path = "/hooks/shopify"
provider = "shopify"
secrets = [{ env = "SECRET" }]
event_id = { body = "sha256" }
deliver = []

[routes.standard]
path = "/hooks/standard"
provider = "standard-webhooks"
secrets = [{ env = "WHSEC" }]
deliver = []

[routes.square]
path = "/hooks/square"
provider = "square"
public_url = "https://hooks.example.com/hooks/square"
secrets = [{ env = "SECRET" }]
event_id = { json = "/id" }
deliver = []

[routes.netlify]
path = "/hooks/netlify"
provider = "netlify"
secrets = [{ env = "SECRET" }]
deliver = []

[routes.link]
path = "/hooks/link"
verify = { query_key = { name = "key" }, keys = [{ name = "link-2026", sha256 = "THE DIGEST" }] }
event_id = { json = "/id" }
deliver = []

[routes.crm]
path = "/hooks/crm"
verify = { api_key = { header = "X-Api-Key" }, keys = [{ name = "crm-2026", sha256 = "THE DIGEST" }] }
event_id = { json = "/id" }
deliver = []
"#;

/// A request as plain HTTP.
fn http(route: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!(
        "POST /hooks/{route} HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n"
    );
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

/// A request with a token of `signed`, whose body is `sent`.
fn by_token(signed: &str, sent: &str) -> Vec<u8> {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT" }));
    let claims = part(json!({ "iss": "netlify", "sha256": sha256_hex(signed) }));
    let signed = format!("{header}.{claims}");
    let signature = hmac_sha256(SECRET.as_bytes(), &[signed.as_bytes()]);
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    http("netlify", &[("X-Webhook-Signature", &token)], sent)
}

struct Explained {
    code: Option<i32>,
    report: Value,
    all: String,
}

/// With these environment variables beside the usual ones, as JSON and as a table.
fn explain(route: &str, capture: &[u8], environment: &[(&str, &str)], more: &[&str]) -> Explained {
    let directory = temporary();
    let routes = ROUTES.replace("THE DIGEST", &sha256_hex("canary-key-1"));
    std::fs::write(directory.path().join("routes.toml"), routes).unwrap();
    std::fs::write(directory.path().join("capture"), capture).unwrap();
    let whsec = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    let mut variables = vec![("SECRET", SECRET), ("OLD", OLD), ("WHSEC", &whsec)];
    variables.retain(|(name, _)| environment.iter().all(|(other, _)| other != name));
    variables.extend(environment);
    let at = AT.to_string();
    let mut arguments = vec!["explain", "--capture", "capture", "--route", route];
    if !more.contains(&"--at") {
        arguments.extend(["--at", &at]);
    }
    arguments.extend(more);
    let table = hookgate_where(&variables, directory.path(), &arguments);
    arguments.extend(["--format", "json"]);
    let json = hookgate_where(&variables, directory.path(), &arguments);
    assert_eq!(table.status.code(), json.status.code());
    let all = stdout(&table) + &stderr(&table) + &stdout(&json) + &stderr(&json);
    Explained {
        code: json.status.code(),
        report: serde_json::from_slice(&json.stdout).unwrap_or_default(),
        all,
    }
}

impl Explained {
    fn causes(&self) -> Vec<(&str, &str)> {
        let verifiers = self.report["verifiers"].as_array().unwrap();
        let causes = verifiers
            .iter()
            .flat_map(|one| one["causes"].as_array().unwrap());
        causes
            .map(|cause| {
                (
                    cause["code"].as_str().unwrap(),
                    cause["told"].as_str().unwrap(),
                )
            })
            .collect()
    }
}

#[test]
fn each_cause_is_found() {
    let at = AT.to_string();
    let with = |body: &str| github(SECRET, body.as_bytes());
    let hub = "X-Hub-Signature-256";
    let ids = [("X-GitHub-Delivery", "1"), ("X-GitHub-Event", "push")];
    let from_github = |signature: &str, body: &str| {
        let mut headers = ids.to_vec();
        headers.push((hub, signature));
        http("github", &headers, body)
    };
    let compact = r#"{"id":"canary-body-1","name":"Zoë/<b>","type":"t","z":[1,{"a":null}]}"#;
    let ascii = BODY.replace('ë', "\\u00eb");
    let indented = "{\n  \"id\": \"canary-body-1\",\n  \"name\": \"Zoë/<b>\",\n  \"type\": \"t\",\n  \"z\": [\n    1,\n    {\n      \"a\": null\n    }\n  ]\n}";
    let sorted = r#"{"b": 1, "a": 2}"#;
    let base64_key = BASE64_STANDARD.encode("canary-bytes-of-a-key-0123456789");
    let hex_key = hex::encode("canary-bytes-of-a-key-0123456789");
    let by_bytes = format!(
        "sha256={}",
        hex::encode(hmac_sha256(
            b"canary-bytes-of-a-key-0123456789",
            &[BODY.as_bytes()]
        ))
    );
    let padded = format!(" {SECRET} ");
    let whsec = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    let standard = |signature: &str| {
        http(
            "standard",
            &[
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &at),
                ("webhook-signature", signature),
            ],
            BODY,
        )
    };
    let as_text = hmac_sha256(
        whsec.as_bytes(),
        &[b"msg_1.", at.as_bytes(), b".", BODY.as_bytes()],
    );
    let square = |url: &str| {
        let signature = hmac_sha256(SECRET.as_bytes(), &[url.as_bytes(), BODY.as_bytes()]);
        let signature = BASE64_STANDARD.encode(signature);
        http(
            "square",
            &[("x-square-hmacsha256-signature", &signature)],
            BODY,
        )
    };
    let old = (AT - 400).to_string();
    let ahead = (AT + 4000).to_string();
    let hex_for_base64 = hex::encode(hmac_sha256(SECRET.as_bytes(), &[BODY.as_bytes()]));
    let svix = standard_webhooks(&whsec, "msg_1", &at, BODY.as_bytes());
    let none: &[(&str, &str)] = &[];
    let with_space = [("SECRET", padded.as_str())];
    let in_base64 = [("SECRET", base64_key.as_str())];
    let in_hex = [("SECRET", hex_key.as_str())];
    let rows: Vec<(&str, Vec<u8>, &[(&str, &str)], &str, &str)> = vec![
        (
            "github",
            from_github(&with(compact), BODY),
            none,
            "body_changed",
            "compact JSON",
        ),
        (
            "github",
            from_github(&with(BODY), compact),
            none,
            "body_changed",
            "as Python writes it",
        ),
        (
            "github",
            from_github(&with(indented), BODY),
            none,
            "body_changed",
            "indented by 2 spaces",
        ),
        (
            "github",
            from_github(&with(&indented.replace("  ", "    ")), BODY),
            none,
            "body_changed",
            "indented by 4 spaces",
        ),
        (
            "github",
            from_github(&with(&ascii), BODY),
            none,
            "body_changed",
            "as \\u escapes",
        ),
        (
            "github",
            from_github(&with(BODY), &ascii),
            none,
            "body_changed",
            "as the letters themselves",
        ),
        (
            "github",
            from_github(&with(r#"{"a":2,"b":1}"#), sorted),
            none,
            "body_changed",
            "sorted keys",
        ),
        (
            "github",
            from_github(&with(&format!("{BODY}\n")), BODY),
            none,
            "body_changed",
            "with a line end after it",
        ),
        (
            "github",
            from_github(&with(BODY), &format!("{BODY}\n")),
            none,
            "body_changed",
            "without the line end",
        ),
        (
            "github",
            from_github(&with("{\r\n\"a\":1}"), "{\n\"a\":1}"),
            none,
            "body_changed",
            "CRLF instead of LF",
        ),
        (
            "github",
            from_github(&with("{\n\"a\":1}"), "{\r\n\"a\":1}"),
            none,
            "body_changed",
            "LF instead of CRLF",
        ),
        (
            "github",
            from_github(&with(BODY), BODY),
            &with_space,
            "secret_whitespace",
            "SECRET without the space around it",
        ),
        (
            "github",
            from_github(&github(&format!("{SECRET}\n"), BODY.as_bytes()), BODY),
            none,
            "secret_whitespace",
            "with a line end after it",
        ),
        (
            "github",
            from_github(&by_bytes, BODY),
            &in_base64,
            "secret_form",
            "decoded from base64",
        ),
        (
            "github",
            from_github(&by_bytes, BODY),
            &in_hex,
            "secret_form",
            "decoded from hex",
        ),
        (
            "github",
            from_github(&github(OLD, BODY.as_bytes()), BODY),
            none,
            "expired_secret",
            "right under the secret OLD",
        ),
        (
            "github",
            from_github(
                &format!("sha256={}", shopify(SECRET, BODY.as_bytes())),
                BODY,
            ),
            none,
            "other_encoding",
            "base64 instead of hex",
        ),
        (
            "github",
            http(
                "github",
                &[ids[0], ids[1], (hub, &with(BODY)), (hub, &with(BODY))],
                BODY,
            ),
            none,
            "repeated_header",
            "x-hub-signature-256",
        ),
        (
            "github",
            http(
                "github",
                &[("X-Shopify-Hmac-Sha256", &shopify(SECRET, BODY.as_bytes()))],
                BODY,
            ),
            none,
            "other_provider",
            "shopify",
        ),
        (
            "github",
            http("github", &ids, BODY),
            none,
            "no_signature",
            "carries no signature",
        ),
        (
            "github",
            http("github", &[("Stripe-Signature", "t=1,v1=00")], BODY),
            none,
            "no_signature",
            "header of stripe instead",
        ),
        (
            "github",
            from_github(&github(" another-secret ", BODY.as_bytes()), BODY),
            none,
            "unknown",
            "another than the sender's",
        ),
        (
            "github",
            from_github(&github(&format!("{SECRET}\n"), compact.as_bytes()), BODY),
            none,
            "body_and_secret",
            "two things are wrong",
        ),
        (
            "shopify",
            http(
                "shopify",
                &[("X-Shopify-Hmac-Sha256", &hex_for_base64)],
                BODY,
            ),
            none,
            "other_encoding",
            "hex instead of base64",
        ),
        (
            "stripe",
            http(
                "stripe",
                &[("Stripe-Signature", &stripe(SECRET, &old, BODY.as_bytes()))],
                BODY,
            ),
            none,
            "clock_off",
            "400 s before it was received",
        ),
        (
            "standard",
            standard(&format!("v1,{}", BASE64_STANDARD.encode(as_text))),
            none,
            "secret_form",
            "taken as text, whole",
        ),
        (
            "standard",
            http(
                "standard",
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", &ahead),
                    (
                        "webhook-signature",
                        &standard_webhooks(&whsec, "msg_1", &ahead, BODY.as_bytes()),
                    ),
                ],
                BODY,
            ),
            none,
            "clock_off",
            "4000 s after it was received",
        ),
        (
            "standard",
            http(
                "standard",
                &[
                    ("svix-id", "msg_1"),
                    ("svix-timestamp", &at),
                    ("svix-signature", &svix),
                ],
                BODY,
            ),
            none,
            "other_provider",
            "svix",
        ),
        (
            "square",
            square("http://hooks.example.com/hooks/square"),
            none,
            "other_address",
            "of the address http://hooks.example.com/hooks/square",
        ),
        (
            "square",
            square("https://hooks.example.com:443/hooks/square"),
            none,
            "other_address",
            ":443/hooks/square",
        ),
        (
            "square",
            square("https://hooks.example.com/hooks/square/"),
            none,
            "other_address",
            "/hooks/square/, the configuration says",
        ),
        (
            "crm",
            http("crm", &[("Authorization", "Bearer canary-key-1")], BODY),
            none,
            "other_place",
            "stands in the header authorization",
        ),
        (
            "link",
            http("link", &[("X-Api-Key", "canary-key-1")], BODY),
            none,
            "other_place",
            "it belongs into the parameter key of the query string",
        ),
        (
            "netlify",
            by_token(BODY, compact),
            none,
            "body_changed",
            "of the body as JSON with a space",
        ),
        (
            "netlify",
            by_token(BODY, BODY),
            &with_space,
            "secret_whitespace",
            "without the space around it",
        ),
        (
            "netlify",
            http("netlify", &[("X-Webhook-Signature", "a.b")], BODY),
            none,
            "token",
            "not a JWS",
        ),
        (
            "crm",
            http("crm", &[("X-Api-Key", "canary-key-2")], BODY),
            none,
            "unknown",
            "the sender has another",
        ),
    ];
    assert!(rows.len() > 25);
    let mut complaints = Vec::new();
    for (route, capture, environment, code, words) in &rows {
        let explained = explain(route, capture, environment, &[]);
        let causes = explained.causes();
        let is_found = causes
            .iter()
            .any(|(found, told)| found == code && told.contains(words));
        if explained.code != Some(1) || !is_found || explained.all.contains("canary") {
            complaints.push(format!(
                "{route}, {code}, {words}: {:?} {}",
                explained.code, explained.all
            ));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_body_that_is_not_whole_is_told() {
    let signature = github(SECRET, BODY.as_bytes());
    let capture = String::from_utf8(http(
        "github",
        &[
            ("X-GitHub-Delivery", "1"),
            ("X-Hub-Signature-256", &signature),
        ],
        BODY,
    ));
    let cut = capture.unwrap().replace("[1, {\"a\": null}]}", "");
    let explained = explain("github", cut.as_bytes(), &[], &[]);
    let causes = explained.causes();
    assert!(
        causes.iter().any(|(code, _)| *code == "body_incomplete"),
        "{causes:?}"
    );
}

#[test]
fn what_is_right_is_told_to_its_end() {
    let signature = github(SECRET, BODY.as_bytes());
    let headers = [
        ("X-GitHub-Delivery", "canary-id"),
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", &signature),
    ];
    let explained = explain("github", &http("github", &headers, BODY), &[], &[]);
    assert_eq!(explained.code, Some(0), "{}", explained.all);
    assert!(explained.causes().is_empty());
    let outcome = &explained.report["outcome"];
    assert_eq!(outcome["accepted"], true);
    let event = outcome["events"][0]["told"].as_str().unwrap();
    assert!(
        event.starts_with("an id of 9 characters and a type"),
        "{event}"
    );
    assert!(!explained.all.contains("canary"), "{}", explained.all);
    let steps = explained.report["verifiers"][0]["steps"]
        .as_array()
        .unwrap();
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
    let digest = &signature["sha256=".len()..];
    assert!(explained.all.contains(&digest[..8]) && !explained.all.contains(&digest[..9]));

    // Proven, but without an id.
    let explained = explain("github", &http("github", &headers[2..], BODY), &[], &[]);
    assert_eq!(explained.code, Some(1));
    assert_eq!(explained.report["verifiers"][0]["proven"], true);
    assert_eq!(explained.report["outcome"]["reason"], "missing_event_id");
}

#[test]
fn a_provider_needs_no_configuration() {
    let signature = github(SECRET, BODY.as_bytes());
    let headers = [
        ("X-GitHub-Delivery", "1"),
        ("X-Hub-Signature-256", &*signature),
    ];
    let directory = temporary();
    let capture = String::from_utf8(http("elsewhere", &headers, BODY)).unwrap();
    std::fs::write(directory.path().join("capture"), &capture).unwrap();
    let arguments = [
        "explain",
        "--capture",
        "capture",
        "--provider",
        "github",
        "--secret-env",
    ];
    for (variable, value, code) in [("MY", SECRET, 0), ("MY", OLD, 1)] {
        let arguments = [&arguments[..], &[variable]].concat();
        let output = hookgate_where(&[(variable, value)], directory.path(), &arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}{}",
            stdout(&output),
            stderr(&output)
        );
        assert!(stdout(&output).contains("see --at"), "{}", stdout(&output));
    }
    let unset = [&arguments[..], &["NOT_SET"]].concat();
    let output = hookgate_where(&[], directory.path(), &unset);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("NOT_SET"), "{}", stderr(&output));
}

/// The exit code and what is told on stderr.
fn fault(directory: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let output = hookgate_with(directory, arguments, input);
    (output.status.code(), stderr(&output))
}

#[test]
fn har_entries_carry_their_time_and_their_bytes() {
    let signature = stripe(SECRET, &AT.to_string(), BODY.as_bytes());
    let entry = |post: Value| {
        json!({
            "startedDateTime": "2026-05-20T15:30:01.000Z",
            "request": {
                "method": "POST",
                "url": "https://hooks.example.com/hooks/stripe",
                "headers": [
                    { "name": ":authority", "value": "hooks.example.com" },
                    { "name": "Content-Type", "value": "application/json" },
                    { "name": "Stripe-Signature", "value": signature },
                ],
                "postData": post,
            },
        })
    };
    let text = entry(json!({ "mimeType": "application/json", "text": BODY }));
    let base64 = entry(json!({ "text": BASE64_STANDARD.encode(BODY), "encoding": "base64" }));
    let none: &[&str] = &[];
    for (har, more) in [
        (json!({ "log": { "entries": [text.clone()] } }), none),
        (
            json!({ "log": { "entries": [json!({}), base64.clone()] } }),
            &["--entry", "2"],
        ),
        (text, none),
        (base64, none),
    ] {
        let directory = temporary();
        let routes = ROUTES.replace("THE DIGEST", &sha256_hex("canary-key-1"));
        std::fs::write(directory.path().join("routes.toml"), routes).unwrap();
        std::fs::write(directory.path().join("a.har"), har.to_string()).unwrap();
        let arguments = ["explain", "--capture", "a.har", "--route", "stripe"];
        let arguments = [&arguments[..], more].concat();
        let whsec = BASE64_STANDARD.encode(SECRET);
        let variables = [("SECRET", SECRET), ("OLD", OLD), ("WHSEC", &whsec)];
        let output = hookgate_where(&variables, directory.path(), &arguments);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("as the capture says"), "{said}");
    }
}

/// What the README shows is what comes.
#[test]
fn the_readme_s_example_is_explained_so() {
    let readme = include_str!("../../../README.md");
    let section = readme.split("### Why a request is refused").nth(1).unwrap();
    let block = |language: &str| {
        let rest = section.split(&format!("```{language}\n")).nth(1).unwrap();
        rest.split("```").next().unwrap()
    };
    let directory = temporary();
    std::fs::write(directory.path().join("refused.http"), block("http")).unwrap();
    let arguments: Vec<_> = block("sh").split_whitespace().skip(1).collect();
    let variables = [("GITHUB_WEBHOOK_SECRET", "example-secret-1")];
    let output = hookgate_where(&variables, directory.path(), &arguments);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{told}{}", stderr(&output));
    assert!(told.contains(block("text")), "{told}");
}
