//! `query_key`: a key in the query string.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::support::gateway::Gateway;

const KEY: &str = "canary key+of=the&query";
const BODY: &str = r#"{"id":"evt_1"}"#;

fn routes() -> String {
    let digest = hex::encode(Sha256::digest(KEY));
    format!(
        r#"
[routes.partner]
path = "/in"
verify = {{ query_key = {{ name = "api key" }}, keys = [{{ name = "partner", sha256 = "{digest}" }}] }}
event_id = {{ json = "/id" }}
deliver = []"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_query_string_must_stand_there_once() {
    let gateway = Gateway::start(&routes()).await;
    let right = "api%20key=canary%20key%2Bof%3Dthe%26query";
    let mut expected = BTreeMap::new();
    for (query, reason) in [
        ("", "missing_credentials"),
        ("?", "missing_credentials"),
        ("?api+key=", "missing_credentials"),
        ("?api-key=canary", "missing_credentials"),
        ("?api+key=canary", "unknown_key"),
        (&format!("?{right}x"), "unknown_key"),
        (&format!("?{right}&{right}"), "repeated_header"),
        (&format!("?{right}&api+key=other"), "repeated_header"),
        (
            &format!("?API%20key={}", &right[10..]),
            "missing_credentials",
        ),
    ] {
        let path = format!("/in{query}");
        let reply = gateway.client.post(&path, &JSON, BODY).await;
        assert_eq!(reply.status, 401, "{query}");
        *expected.entry(reason).or_insert(0.0) += 1.0;
    }
    for query in [format!("?{right}"), format!("?a=b&{right}&c")] {
        let reply = gateway
            .client
            .post(&format!("/in{query}"), &JSON, BODY)
            .await;
        assert!(reply.status.is_success(), "{query}: {}", reply.text());
    }
    let metrics = gateway.metrics().await;
    let value = |name, label| metrics.value(name, &[("route", "partner"), label]);
    for (reason, count) in expected {
        let told = value("hookgate_rejections_total", ("reason", reason));
        assert_eq!(told, Some(count), "{reason}");
    }
    let uses = value("hookgate_credential_uses_total", ("credential", "partner"));
    assert_eq!(uses, Some(2.0));
    gateway.finish().await;
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
