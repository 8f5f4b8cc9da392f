//! What callers show to prove themselves, and what they send, stays out of records, steps, logs and metrics: for every
//! way in which a route can ask for proof.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;

use super::{explain, id, rejections, tells_no_secret};
use crate::{
    callers::certificates::Authority,
    support::{
        client::{Client, Reply},
        gateway::temporary,
        process::Process,
        sign, wait_for,
    },
};

/// Each with how it is proven.
const PROOFS: [(&str, &str); 13] = [
    ("api-key", r#"{ api_key = { header = "X-Key" }, KEYS }"#),
    ("bearer", "{ bearer = {}, KEYS }"),
    ("basic", "{ basic = {}, KEYS }"),
    ("query-key", r#"{ query_key = { name = "k" }, KEYS }"#),
    (
        "hmac",
        r#"{ hmac = { header = "X-Signature", algorithm = "sha256", encoding = "hex", prefix = "v=", signed = "{header:X-Timestamp}.{body}", timestamp = { header = "X-Timestamp", unit = "s" } }, SECRETS }"#,
    ),
    (
        "hmac-of-fields",
        r#"{ hmac = { json = "/token", algorithm = "sha256", encoding = "base64", signed = "{json:/id}", allow_unsigned_body = true }, SECRETS }"#,
    ),
    (
        "equal-header",
        r#"{ equal = { header = "X-Token" }, SECRETS }"#,
    ),
    ("equal-query", r#"{ equal = { query = "token" }, SECRETS }"#),
    ("equal-json", r#"{ equal = { json = "/token" }, SECRETS }"#),
    (
        "jwt",
        r#"{ jwt = { issuer = "i", audience = "a" }, SECRETS }"#,
    ),
    (
        "jwt-of-url",
        r#"{ jwt = { jwks_url = "http://127.0.0.1:9/keys", allow_private = true, issuer = "i", audience = "a" } }"#,
    ),
    (
        "certificate",
        r#"{ client_certificate = { names = ["crm.example.com"] } }"#,
    ),
    (
        "several",
        r#"[{ api_key = { header = "X-Key" }, KEYS }, { equal = { header = "X-Token" }, SECRETS }]"#,
    ),
];

/// Names of members that it does not allow, at the top and below.
const SCHEMA: &str = r#"{
  "propertyNames": { "pattern": "^[a-z-]+$" },
  "properties": { "inner": { "additionalProperties": false } },
  "additionalProperties": { "type": "string" }
}"#;

const RIGHT: &str = "canary-right-key";

/// Of `canary` in base64, wherever it begins.
const ENCODED: [&str; 3] = ["Y2FuYXJ5", "NhbmFye", "jYW5hcn"];

fn routes(client_ca: &str, schema: &str) -> String {
    let digest = sign::sha256_hex(RIGHT);
    let keys = format!(r#"keys = [{{ name = "partner", sha256 = "{digest}" }}]"#);
    let mut toml = format!("[server.tls]\nclient_ca = \"{client_ca}\"\n");
    for (name, proof) in PROOFS {
        let proof = proof.replace("KEYS", &keys);
        let proof = proof.replace("SECRETS", r#"secrets = [{ env = "CUSTOM_SECRET" }]"#);
        toml += &format!(
            "[routes.{name}]\npath = \"/{name}\"\nverify = {proof}\nevent_id = {{ json = \"/id\" }}\ndeliver = []\n"
        );
    }
    toml + &format!(
        "[routes.schema]\npath = \"/schema\"\nverify = \"none\"\nevent_id = {{ json = \"/id\" }}\nschema = \"{schema}\"\ndeliver = []\n"
    )
}

/// What a forger may send: none of it is right anywhere.
fn forged() -> Vec<Vec<(&'static str, String)>> {
    let token = |head: &str, claims: &str| {
        let part = |text: &str| STANDARD.encode(text).replace('=', "");
        format!("Bearer {}.{}.{}", part(head), part(claims), part("canary"))
    };
    let claims = r#"{"iss":"canary","aud":"canary","exp":"canary","canary":1}"#;
    let time = || ("X-Timestamp", "1700000000".to_owned());
    vec![
        vec![],
        vec![("Authorization", "Bearer canary-token".into())],
        vec![("Authorization", sign::basic("canary-user", "canary-word"))],
        vec![("Authorization", "Basic canary!".into())],
        vec![("Authorization", "canary canary".into())],
        vec![("Authorization", token(r#"{"alg":"HS256"}"#, claims))],
        vec![("Authorization", token(r#"{"alg":"canary"}"#, claims))],
        vec![(
            "Authorization",
            token(
                r#"{"alg":"RS256","kid":"canary"}"#,
                r#"{"iss":"i","aud":"a","exp":4102444800,"sub":"canary"}"#,
            ),
        )],
        vec![
            ("X-Key", "canary-key".into()),
            ("X-Token", "canary-token".into()),
            ("X-Signature", "v=canary".into()),
            time(),
        ],
        vec![
            ("X-Signature", format!("v={}", "ca".repeat(32))),
            ("X-Timestamp", "canary".into()),
            ("Cookie", "session=canary".into()),
        ],
        vec![
            ("X-Signature", format!("v={}", "ca".repeat(32))),
            time(),
            ("User-Agent", "canary".into()),
            ("Traceparent", "canary-00".into()),
        ],
    ]
}

async fn forge(client: &Client, path: &str, headers: &[(&str, String)]) -> Reply {
    let json = [("Content-Type", "application/json")];
    let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = json.into_iter().chain(own).collect();
    let body = r#"{"id":"canary-id","token":"canary-token","canary":"canary"}"#;
    client.send(Method::POST, path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_proof_or_a_body_is_told_of_any_way_of_proof() {
    let directory = temporary();
    let authority = Authority::new("partners");
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("clients.pem"), &authority.pem).unwrap();
    std::fs::write(path("schema.json"), SCHEMA).unwrap();
    let gateway = Process::spawn_with(
        &routes(&path("clients.pem"), &path("schema.json")),
        &[("RUST_LOG", "hookgate=debug")],
    )
    .await;
    let shown = Client::https_as(
        gateway.public,
        &gateway.certificate_pem,
        Some(authority.certificate("canary.example.com", 2090)),
    );

    let mut records = Vec::new();
    for (name, _) in PROOFS {
        for mut headers in forged() {
            // Half of what is asked for there.
            if name == "several" && headers.len() > 3 {
                headers[0].1 = RIGHT.into();
            }
            // One without anything.
            let query = match headers.is_empty() {
                true => "",
                false => "?k=canary-key&token=canary-token&canary=canary",
            };
            let path = format!("/{name}{query}");
            // In a second only so many leave a record.
            let record = wait_for("a record", async || {
                let reply = forge(&shown, &path, &headers).await;
                assert!([401, 503].contains(&reply.status.as_u16()), "{name}");
                let path = format!("/api/v1/requests/{}", id(&reply));
                let told = gateway.admin.get(&path).await;
                (told.status == 200).then(|| told.json())
            });
            records.push(record.await);
        }
    }
    let unnamed = r#"{"id":"1","canary_x":"x","canary-y":1,"inner":{"canary-z":1}}"#;
    let json = [("Content-Type", "application/json")];
    let told = wait_for("a record", async || {
        let reply = gateway.client.post("/schema", &json, unnamed).await;
        assert_eq!(reply.status.as_u16(), 422, "{}", reply.text());
        let path = format!("/api/v1/requests/{}", id(&reply));
        let told = gateway.admin.get(&path).await;
        (told.status == 200).then(|| told.json())
    })
    .await;
    let cause = told["record"]["cause"].as_str().unwrap();
    for rule in [
        "/propertyNames",
        "/properties/inner/additionalProperties",
        "/additionalProperties/type",
    ] {
        assert!(cause.contains(rule), "no {rule} in {cause}");
    }
    records.push(told);

    let (mut reasons, mut all) = (BTreeSet::new(), String::new());
    for told in &records {
        let reason = told["record"]["reason"].as_str().unwrap();
        if reasons.insert(reason) {
            let id = told["request_id"].as_str().unwrap();
            all += &explain(&gateway, &[id]).await.1;
        }
        all += &told.to_string();
    }
    for reason in [
        "missing_credentials",
        "missing_signature",
        "unknown_key",
        "malformed_signature",
        "signature_mismatch",
        "stale_timestamp",
        "invalid_token",
        "key_unavailable",
        "invalid_client_certificate",
        "schema_violation",
    ] {
        assert!(reasons.contains(reason), "no {reason} among {reasons:?}");
    }
    all += &rejections(&gateway, "limit=500").await.to_string();
    all += &gateway.admin.get("/metrics").await.text();
    all += &gateway.stderr();
    tells_no_secret(&all);
    for encoded in ENCODED {
        assert!(!all.contains(encoded), "{encoded} in {all}");
    }
}
