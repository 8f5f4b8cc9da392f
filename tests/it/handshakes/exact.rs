//! Every known handshake gets its exact answer, and leaves no event.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hookgate::{clock::Timestamp, providers::preset, signature::Signing};
use http::Method;
use serde_json::Value;

use super::{SECRET, answered, assert_no_event, route};
use crate::support::{client::Reply, gateway::Gateway, sign::sha256_hex};

/// What the file tells of, but no handshake answers: the answer to an event, and a provider without a preset.
const ELSEWHERE: [&str; 3] = [
    "sns-subscription",
    "adyen-ack",
    "salesforce-soap-ack (not verified)",
];

/// Discord alone signs with a key whose other half is public.
const DISCORD_SEED: [u8; 32] = [7; 32];

type Headers = Vec<(String, String)>;

fn cases() -> Vec<Value> {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../vectors/handshakes.json")).unwrap();
    let here = |case: &Value| !ELSEWHERE.contains(&case["id"].as_str().unwrap());
    let here: Vec<_> = cases.iter().filter(|case| here(case)).cloned().collect();
    assert_eq!(here.len() + ELSEWHERE.len(), cases.len());
    here
}

/// What the provider's route says beside its name and path.
fn settings(case: &Value) -> String {
    let secret = case["secret"].as_str();
    match case["provider"].as_str().unwrap() {
        "asana" | "notion" => "secrets = [{ handshake = true }]".to_owned(),
        "discord" => {
            let pair = Ed25519KeyPair::from_seed_unchecked(&DISCORD_SEED).unwrap();
            let public = hex::encode(pair.public_key());
            format!("secrets = [{{ value = \"{public}\" }}]")
        }
        "cloudevents" => r#"verify = { bearer = {}, keys = [{ name = "a", sha256 = "" }] }"#
            .replace("\"\"", &format!("\"{}\"", sha256_hex(SECRET))),
        "meta" => format!(
            "secrets = [{{ value = \"{SECRET}\" }}]\nverify_token = {{ value = \"{}\" }}",
            secret.unwrap()
        ),
        "trello" => format!(
            "secrets = [{{ value = \"{SECRET}\" }}]\npublic_url = \"https://hooks.example.com/t\""
        ),
        _ => format!("secrets = [{{ value = \"{}\" }}]", secret.unwrap_or(SECRET)),
    }
}

/// The proof that the provider sends along.
fn proof(case: &Value, body: &[u8], at: Timestamp) -> Headers {
    if case["signed"] == false {
        return Vec::new();
    }
    let provider = case["provider"].as_str().unwrap();
    let secret = case["secret"].as_str().unwrap_or(SECRET);
    let secret = match provider {
        "discord" => &hex::encode(DISCORD_SEED),
        _ => secret,
    };
    let scheme = &preset(provider).unwrap().schemes()[0];
    let key = scheme.signing_key("key", secret.as_bytes()).unwrap();
    let signed = scheme.sign(&key, &Signing::new("id", at, body)).unwrap();
    assert_eq!((signed.query.len(), &signed.body), (0, &None), "{provider}");
    signed.headers
}

async fn send(gateway: &Gateway, case: &Value) -> Reply {
    let request = &case["request"];
    let body = request["body"].as_str().unwrap_or_default();
    let mut headers = proof(case, body.as_bytes(), gateway.began);
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), value.as_str().unwrap().to_owned()));
    }
    // Where the file leaves it out.
    let typed = headers.iter().any(|(name, _)| name == "Content-Type");
    if !typed && body.starts_with('{') {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let query = request["query"].as_str().map(|query| format!("?{query}"));
    let path = format!(
        "/hooks/{}{}",
        case["provider"].as_str().unwrap(),
        query.unwrap_or_default()
    );
    let method: Method = request["method"].as_str().unwrap().parse().unwrap();
    gateway.client.send(method, &path, &headers, body).await
}

/// The file says `200 or 204` and `120 (or *)` where several answers are right.
fn assert_answer(case: &Value, reply: &Reply) {
    let (id, expected) = (&case["id"], &case["respond"]);
    let status = expected["status"].to_string();
    assert!(status.contains(reply.status.as_str()), "{id}: {reply:?}");
    let content_type = reply.header("content-type");
    match expected["content_type"].as_str() {
        Some(types) => assert!(
            types.split(" or ").any(|one| Some(one) == content_type),
            "{id}: {content_type:?}"
        ),
        None => assert_eq!(content_type, None, "{id}"),
    }
    match &expected["body"] {
        Value::Null => assert_eq!(reply.text(), "", "{id}"),
        Value::String(body) => assert_eq!(reply.text(), *body, "{id}"),
        body => assert_eq!(reply.json(), *body, "{id}"),
    }
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap();
        let value = value.strip_suffix(" (or *)").unwrap_or(value);
        assert_eq!(reply.header(name), Some(value), "{id}: {name}");
    }
    assert_eq!(
        reply.header("x-content-type-options"),
        Some("nosniff"),
        "{id}"
    );
    assert!(reply.header("x-request-id").is_some(), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_handshake_gets_its_exact_answer_and_leaves_no_event() {
    let cases = cases();
    let toml: String = cases
        .iter()
        .map(|case| route(case["provider"].as_str().unwrap(), &settings(case)))
        .collect();
    let gateway = Gateway::start(&toml).await;
    for case in &cases {
        let provider = case["provider"].as_str().unwrap();
        let before = gateway.metrics().await;
        let reply = send(&gateway, case).await;
        assert_answer(case, &reply);
        let after = gateway.metrics().await;
        let rows = preset(provider).unwrap().handshakes;
        let counted: f64 = rows
            .iter()
            .map(|row| answered(&after, provider, row.name) - answered(&before, provider, row.name))
            .sum();
        assert_eq!(counted, 1.0, "{provider}");
    }
    assert_no_event(&gateway).await;
    gateway.finish().await;
}
