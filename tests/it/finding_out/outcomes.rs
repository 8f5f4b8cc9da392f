//! Each way in which a request can end.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{SECRET, explain, id, known, rejections, tells_no_secret};
use crate::support::{client::Reply, process::Process, sign, wait_for};

const KEY: &str = "canary-key-of-the-caller";

/// Of the key above.
fn routes() -> String {
    format!(
        r#"
[targets.nowhere]
url = "http://127.0.0.1:9/"
allow_private = true
paused = true

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{{ env = "GITHUB_SECRET" }}, {{ env = "GITHUB_SECRET_OLD" }}]
require = {{ "/action" = "string" }}
deliver = ["nowhere"]

[routes.stripe]
path = "/hooks/stripe"
provider = "stripe"
secrets = [{{ env = "STRIPE_SECRET" }}]
deliver = []

[routes.slack]
path = "/hooks/slack"
provider = "slack"
secrets = [{{ env = "SLACK_SECRET" }}]
deliver = []

[routes.keyed]
path = "/hooks/keyed"
verify = {{ api_key = {{ header = "X-Key", keys = [{{ name = "glia-2026", sha256 = "{}" }}] }} }}
event_id = {{ json = "/id" }}
max_body = "100"
allow_from = ["127.0.0.1/32"]
deliver = []

[routes.kept]
path = "/hooks/kept"
verify = "none"
event_id = {{ json = "/id" }}
keep_rejected = true
deliver = []

[routes.far]
path = "/hooks/far"
verify = "none"
allow_from = ["192.0.2.0/24"]
event_id = {{ json = "/id" }}
deliver = []

[routes.closed]
path = "/hooks/closed"
verify = "none"
enabled = false
event_id = {{ json = "/id" }}
deliver = []
"#,
        sign::sha256_hex(KEY)
    )
}

/// A request that is refused: path, headers, body; reason; the step that did not pass, and words of it.
struct Case<'a> {
    path: &'a str,
    headers: Vec<(&'a str, String)>,
    body: &'a str,
    reason: &'a str,
    step: &'a str,
    told: &'a str,
}

fn case<'a>(
    path: &'a str,
    headers: &[(&'a str, &str)],
    body: &'a str,
    [reason, step, told]: [&'a str; 3],
) -> Case<'a> {
    let headers = headers.iter();
    Case {
        path,
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body,
        reason,
        step,
        told,
    }
}

const BODY: &str = r#"{"id": "canary-body", "action": "opened"}"#;

fn cases() -> Vec<Case<'static>> {
    let forged = sign::github("another secret", BODY.as_bytes());
    let stale = sign::stripe(
        "whsec_canary-stripe-5d6e7f80",
        "1700000000",
        BODY.as_bytes(),
    );
    let signed = |body: &str| sign::github(SECRET, body.as_bytes());
    let delivery = ("X-GitHub-Delivery", "d-1");
    let unnamed = r#"{"action": "opened"}"#;
    vec![
        case("/nowhere", &[], BODY, ["unknown_path", "route", "/nowhere"]),
        case(
            "/hooks/github",
            &[("X-Hub-Signature-256", &forged), delivery],
            BODY,
            [
                "signature_mismatch",
                "signature: secret",
                "none of secret#1, secret#2 matches",
            ],
        ),
        case(
            "/hooks/github",
            &[delivery],
            BODY,
            [
                "missing_signature",
                "signature: scheme",
                "x-hub-signature-256",
            ],
        ),
        case(
            "/hooks/github",
            &[("X-Hub-Signature-256", &signed("{canary")), delivery],
            "{canary",
            ["invalid_json", "payload", "line 1, column 2"],
        ),
        case(
            "/hooks/github",
            &[
                ("X-Hub-Signature-256", &signed(r#"{"a":"canary"}"#)),
                delivery,
            ],
            r#"{"a":"canary"}"#,
            ["schema_violation", "payload", "/action is missing"],
        ),
        case(
            "/hooks/github",
            &[("X-Hub-Signature-256", &signed(unnamed))],
            unnamed,
            ["missing_event_id", "event id", "no event id"],
        ),
        case(
            "/hooks/stripe",
            &[("Stripe-Signature", &stale)],
            BODY,
            ["stale_timestamp", "signature: time", "taken: 300 s before"],
        ),
        case(
            "/hooks/keyed",
            &[],
            "{}",
            [
                "missing_credentials",
                "api key",
                "the header x-key is missing",
            ],
        ),
        case(
            "/hooks/keyed?key=canary-in-the-query",
            &[("X-Key", "canary-a-wrong-key")],
            "{}",
            ["unknown_key", "api key", "none of 1 key (glia-2026)"],
        ),
        case(
            "/hooks/keyed",
            &[("X-Key", KEY), ("Content-Type", "text/csv")],
            "{}",
            ["unsupported_content_type", "content type", "text/csv"],
        ),
        case(
            "/hooks/keyed",
            &[("X-Key", KEY)],
            "{                                                                                                   }",
            ["body_too_large", "size", "`max_body` is 100"],
        ),
        case(
            "/hooks/far",
            &[],
            "{}",
            ["source_not_allowed", "address", "127.0.0.1"],
        ),
        case(
            "/hooks/closed",
            &[],
            "{}",
            ["route_disabled", "enabled", "enabled = false"],
        ),
    ]
}

async fn send(gateway: &Process, case: &Case<'_>) -> Reply {
    let json = [("Content-Type", "application/json")];
    let own = case
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = match case.headers.iter().any(|(name, _)| *name == "Content-Type") {
        true => own.collect(),
        false => json.into_iter().chain(own).collect(),
    };
    gateway
        .client
        .send(Method::POST, case.path, &headers, case.body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_found_by_its_id_with_the_step_that_failed() {
    let gateway = Process::spawn(&routes()).await;
    let cases = cases();
    assert!(cases.len() > 10);
    let mut ids = Vec::new();
    let mut told = String::new();
    for case in &cases {
        let reply = send(&gateway, case).await;
        let id = id(&reply);
        let known = known(&gateway, &id).await;
        assert_eq!(known["outcome"], "rejected", "{known:#}");
        let record = &known["record"];
        assert_eq!(record["reason"], case.reason, "{known:#}");
        assert_eq!(record["status"], reply.status.as_u16());
        let path = case.path.split('?').next();
        assert_eq!(record["path"].as_str(), path, "without the query string");
        assert_eq!(record["client"], "127.0.0.1");
        assert!(record["body"].is_null(), "no route here keeps it");
        let steps = record["steps"].as_array().unwrap();
        let (last, before) = steps.split_last().unwrap();
        assert_eq!(last["name"], case.step, "{known:#}");
        assert_eq!(last["passed"], false, "{known:#}");
        let words = last["told"].as_str().unwrap();
        assert!(
            words.contains(case.told),
            "{words:?} without {:?}",
            case.told
        );
        assert!(
            before.iter().all(|step| step["passed"] == true),
            "{known:#}"
        );

        let (output, shown) = explain(&gateway, &[&id]).await;
        assert_eq!(output.status.code(), Some(0), "{shown}");
        for part in [
            case.reason,
            "✓",
            "✗",
            "likely:",
            "next:",
            &reply.status.as_u16().to_string(),
        ] {
            assert!(
                shown.contains(part) || part == "✓" && before.is_empty(),
                "{part} not in {shown}"
            );
        }
        let (_, json) = explain(&gateway, &[&id, "--format", "json"]).await;
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), known);
        told += &format!("{known} {shown} {json}");
        ids.push(id);
    }
    let all = rejections(&gateway, "limit=500").await;
    let listed: Vec<_> = all["rejections"].as_array().unwrap().iter().rev().collect();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| one["request_id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ids, "newest first");
    assert!(all["incomplete"].is_null());
    let of_github = rejections(&gateway, "route=github&reason=signature_mismatch").await;
    assert_eq!(of_github["rejections"].as_array().unwrap().len(), 1);
    tells_no_secret(&format!("{told} {all} {}", gateway.stderr()));
}

/// The same for all reasons: the steps tell the operator alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_request_is_found_by_its_id() {
    let mut gateway = Process::spawn(&routes()).await;
    let signature = sign::github(SECRET, BODY.as_bytes());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Delivery", "d-1\u{7f}".trim_end_matches('\u{7f}')),
        ("X-GitHub-Event", "push"),
        ("traceparent", &traceparent),
    ];
    let first = gateway.client.post("/hooks/github", &headers, BODY).await;
    assert_eq!(first.outcome(), "accepted", "{}", first.text());
    let (request, uid) = (id(&first), first.uid().to_string());
    let again = gateway.client.post("/hooks/github", &headers, BODY).await;
    assert_eq!(again.outcome(), "duplicate");
    let repeated = id(&again);
    // What waits to be written is written at the end.
    assert!(gateway.terminate().await.success());
    let log = gateway.stderr();
    gateway.restart().await;
    let fetched = known(&gateway, &request).await;
    assert_eq!(fetched["outcome"], "accepted");
    assert_eq!(fetched["route"], "github");
    assert!(fetched["record"].is_null());
    assert_eq!(fetched["events"].as_array().unwrap().len(), 1);
    assert_eq!(fetched["events"][0]["uid"], uid);
    let event = gateway.admin.get(&format!("/api/v1/events/{uid}")).await;
    assert_eq!(event.json()["request_id"], request);
    let (output, shown) = explain(&gateway, &[&request]).await;
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for part in [
        "accepted",
        "nowhere",
        "pending",
        &format!("hookgate events show {uid}"),
    ] {
        assert!(shown.contains(part), "{part} not in {shown}");
    }

    let duplicate = known(&gateway, &repeated).await;
    assert_eq!(duplicate["outcome"], "duplicate");
    let record = &duplicate["record"];
    assert_eq!(record["duplicate_of"]["uid"], uid);
    assert_eq!(record["duplicate_of"]["same_body"], true);
    assert_eq!(record["trace"], trace);
    assert!(record["reason"].is_null());
    let (_, shown) = explain(&gateway, &[&repeated]).await;
    assert!(
        shown.contains(&format!("hookgate events show {uid}")),
        "{shown}"
    );
    assert_eq!(
        rejections(&gateway, "").await["rejections"],
        Value::Array(Vec::new())
    );
    let path = format!("/api/v1/rejections/{repeated}");
    assert_eq!(gateway.admin.get(&path).await.status, StatusCode::NOT_FOUND);

    // A line for each.
    for (id, outcome) in [(&request, "accepted"), (&repeated, "duplicate")] {
        let line = log.lines().find(|line| line.contains(id.as_str())).unwrap();
        for part in [
            outcome, "github", &uid, "d-1", "secret#1", trace, "200", "took_ms",
        ] {
            assert!(line.contains(part), "{part} not in {line}");
        }
    }
    tells_no_secret(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_and_what_never_became_a_request_are_found() {
    let gateway = Process::spawn(&routes()).await;
    let body = r#"{"type":"url_verification","challenge":"canary-challenge"}"#;
    let at = hookgate::clock::Clock::system().now().as_secs().to_string();
    let signature = sign::slack("canary-slack-91a2b3c4d5e6f7", &at, body.as_bytes());
    let headers = [
        ("X-Slack-Request-Timestamp", at.as_str()),
        ("X-Slack-Signature", &signature),
    ];
    let reply = gateway.client.post("/hooks/slack", &headers, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let fetched = known(&gateway, &id(&reply)).await;
    assert_eq!(fetched["outcome"], "handshake", "{fetched:#}");
    assert!(fetched["record"]["handshake"].is_string());

    let mut raw = gateway.raw().await;
    raw.write("no HTTP at all, canary\r\n\r\n").await;
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let refused = known(&gateway, &id(&reply)).await;
    assert_eq!(refused["record"]["reason"], "malformed_request");
    assert!(refused["route"].is_null());
    let (output, shown) = explain(&gateway, &[&id(&reply)]).await;
    assert!(
        output.status.success() && shown.contains("malformed_request"),
        "{shown}"
    );
    tells_no_secret(&format!("{fetched} {refused} {shown} {}", gateway.stderr()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_kept_only_where_the_route_says_so_and_only_its_begin() {
    let gateway = Process::spawn(&routes()).await;
    let json = [("Content-Type", "application/json")];
    let long = format!("[\"{}", "é".repeat(60_000));
    let reply = gateway
        .client
        .post("/hooks/kept", &json, long.clone())
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let path = format!("/api/v1/rejections/{}", id(&reply));
    let kept = wait_for("a body that is kept", async || {
        let record = gateway.admin.get(&path).await;
        (record.status == StatusCode::OK).then(|| record.json())
    })
    .await;
    assert_eq!(kept["body_bytes"], long.len());
    assert_eq!(kept["body"]["content_type"], "application/json");
    // Cut within a character.
    assert_eq!(kept["body"]["encoding"], "utf-8");
    assert_eq!(kept["body"]["body"].as_str().unwrap().len(), 65_536);
    let listed = rejections(&gateway, "route=kept").await;
    assert!(listed["rejections"][0]["body"].is_null(), "not in lists");
    assert!(!gateway.stderr().contains("éé"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_request_is_told_with_what_may_be_the_reason() {
    let gateway = Process::spawn(&routes()).await;
    for unknown in ["019e460c7ae53f9ac2d10000002a", "7d3c0e6a-not-ours"] {
        let path = format!("/api/v1/requests/{unknown}");
        assert_eq!(gateway.admin.get(&path).await.status, StatusCode::NOT_FOUND);
        let (output, told) = explain(&gateway, &[unknown]).await;
        assert_eq!(output.status.code(), Some(1), "{told}");
        for reason in ["another environment", "expired", "flood"] {
            assert!(told.contains(reason), "{reason} not in {told}");
        }
    }
    let (_, told) = explain(&gateway, &["019e460c7ae53f9ac2d10000002a"]).await;
    assert!(told.contains("2026-05-20"), "the id tells its time: {told}");
    let (output, told) = explain(
        &gateway,
        &["019e460c7ae53f9ac2d10000002a", "--route", "kept"],
    )
    .await;
    assert_eq!(output.status.code(), Some(64), "{told}");
}
