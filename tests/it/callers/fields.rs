//! Signatures that cover single places of a request.

use crate::support::{gateway::Gateway, sign};

const SECRET: &str = "canary-secret-of-fields";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn route(verify: &str) -> String {
    format!(
        r#"
[routes.shop]
path = "/in"
verify = {{ {verify}, secrets = [{{ value = "{SECRET}" }}] }}
event_id = {{ json = "/id" }}
deliver = []"#
    )
}

/// What was proven must be what is read: another reader may believe the first of two members with one name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_stands_twice_proves_nothing() {
    let hmac = r#"hmac = { json = "/sig", algorithm = "sha256", encoding = "hex", signed = "{json:/amount/value}", allow_unsigned_body = true }"#;
    let gateway = Gateway::start(&route(hmac)).await;
    let mac = hex::encode(sign::hmac_sha256(SECRET.as_bytes(), &[b"10"]));
    let send = async |members: &str| {
        let body = format!(r#"{{"id":"1",{members},"sig":"{mac}"}}"#);
        gateway.client.post("/in", &JSON, body).await
    };
    for members in [
        r#""amount":{"value":9},"amount":{"value":10}"#,
        r#""amount":{"value":9,"value":10}"#,
        r#""amount":{"value":10},"\u0061mount":{"value":10}"#,
        r#""amount":{"value":10},"l":[{"a":1,"a":1}]"#,
        r#""amount":{"value":9}"#,
    ] {
        assert_eq!(send(members).await.status, 401, "{members}");
    }
    let good = send(r#""amount":{"value":10},"other":{"value":9}"#).await;
    assert_eq!(good.outcome(), "accepted");
    gateway.finish().await;
}

/// A route needs an address only where that is signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_query_string_is_read_without_an_address() {
    let gateway = Gateway::start(&route(r#"equal = { query = "token" }"#)).await;
    for (query, status) in [
        (format!("?token={SECRET}"), 200),
        (format!("?a=b&token={SECRET}"), 200),
        (String::new(), 401),
        ("?token=".to_owned(), 401),
        (format!("?token={SECRET}x"), 401),
        (format!("?token={SECRET}&token={SECRET}"), 401),
    ] {
        let path = format!("/in{query}");
        let reply = gateway.client.post(&path, &JSON, r#"{"id":"1"}"#).await;
        assert_eq!(reply.status.as_u16(), status, "{query}");
    }
    gateway.finish().await;
}
