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
mod causes;

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

[routes.asana]
path = "/hooks/asana"
provider = "asana"
secrets = [{ handshake = true }]
deliver = []

[routes.oidc]
path = "/hooks/oidc"
verify = { jwt = { jwks_url = "http://127.0.0.1:1/keys", allow_private = true, issuer = "issuer", audience = "hooks" } }
event_id = { json = "/id" }
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
    let at = AT.to_string();
    let at = match more.contains(&"--at") {
        true => &[][..],
        false => &["--at", &at],
    };
    explain_as_told(route, capture, environment, &[at, more].concat())
}

/// Received when the capture says.
fn explain_as_told(
    route: &str,
    capture: &[u8],
    environment: &[(&str, &str)],
    more: &[&str],
) -> Explained {
    let directory = temporary();
    let routes = ROUTES.replace("THE DIGEST", &sha256_hex("canary-key-1"));
    std::fs::write(directory.path().join("routes.toml"), routes).unwrap();
    std::fs::write(directory.path().join("capture"), capture).unwrap();
    let whsec = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    let mut variables = vec![("SECRET", SECRET), ("OLD", OLD), ("WHSEC", &whsec)];
    variables.retain(|(name, _)| environment.iter().all(|(other, _)| other != name));
    variables.extend(environment);
    let mut arguments = vec!["explain", "--capture", "capture", "--route", route];
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

/// Faults are told by the arguments that they come of; a provider without a shared secret needs none.
#[test]
fn what_a_provider_lacks_is_told_by_argument() {
    let directory = temporary();
    let rows = [
        (
            "githb",
            "error: --provider: found \"githb\", expected one of",
        ),
        (
            "github",
            "error: --secret-env: missing, expected a list of secrets",
        ),
        ("paypal", "error: --param: missing, expected { webhook_id"),
        ("paypal --param webhook=1", "--param webhook_id: missing"),
        (
            "paypal --param webhook_id=1 --secret-env PATH",
            "error: --secret-env: found secrets, but paypal is proven by a certificate",
        ),
        (
            "square --secret-env PATH",
            "error: --public-url: missing, expected the address",
        ),
        ("cidaas", "keys = [ … ] }; a route tells that: --route NAME"),
    ];
    let capture = "POST /x HTTP/1.1\nContent-Type: application/json\n\n{}";
    for (named, expected) in rows {
        let mut arguments = vec!["explain", "--capture", "-", "--provider"];
        arguments.extend(named.split(' '));
        let (code, told) = fault(directory.path(), &arguments, capture);
        assert_eq!(code, Some(64), "{named}: {told}");
        assert!(told.contains(expected), "{named}: {told}");
        assert!(!told.contains("routes.capture"), "{told}");
    }
    let arguments = [
        "explain",
        "--capture",
        "-",
        "--provider",
        "paypal",
        "--param",
        "webhook_id=1",
    ];
    let output = hookgate_with(directory.path(), &arguments, capture);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("missing_signature"),
        "{}",
        stdout(&output)
    );
    let output = hookgate_with(
        directory.path(),
        &[
            "send",
            "--provider",
            "githb",
            "--url",
            "http://127.0.0.1:1/x",
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("error: --provider: found \"githb\""),
        "{}",
        stderr(&output)
    );
}

/// The configuration holds no key: what is wrong is not guessed at.
#[test]
fn a_key_that_is_not_here_is_told() {
    let signed = http("asana", &[("X-Hook-Signature", &"ab".repeat(32))], BODY);
    let explained = explain("asana", &signed, &[], &[]);
    let causes = explained.causes();
    assert_eq!(causes[0].0, "secret_not_here", "{causes:?}");
    assert!(causes[0].1.contains("hookgate secrets show"), "{causes:?}");

    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": "issuer", "aud": "hooks", "exp": AT + 60 });
    let header = json!({ "alg": "RS256", "kid": "1" });
    let signature = URL_SAFE_NO_PAD.encode([1; 256]);
    let token = format!("Bearer {}.{}.{signature}", part(header), part(claims));
    let explained = explain(
        "oidc",
        &http("oidc", &[("Authorization", &token)], BODY),
        &[],
        &[],
    );
    assert_eq!(
        explained.report["verifiers"][0]["reason"],
        "key_unavailable"
    );
    assert_eq!(explained.causes()[0].0, "key_unavailable");
    let steps = explained.report["verifiers"][0]["steps"]
        .as_array()
        .unwrap();
    let last = steps.last().unwrap();
    assert_eq!(
        (&last["step"], &last["ok"]),
        (&json!("signature"), &Value::Null)
    );
    let explained = explain("oidc", &http("oidc", &[], BODY), &[], &[]);
    let told = explained.causes()[0].1;
    assert_eq!(
        told,
        "the token is not taken: no token stands where one must"
    );
}

/// The exit code and what is told on stderr.
fn fault(directory: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let output = hookgate_with(directory, arguments, input);
    (output.status.code(), stderr(&output))
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
