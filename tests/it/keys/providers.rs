//! The providers whose keys are fetched or shared for tokens, each by its preset through a whole gateway.

use std::sync::Arc;

use hookgate::clock::Timestamp;
use serde_json::json;
use url::Url;

use super::{Fetcher, document, vectors::Vector};
use crate::support::gateway::Gateway;

/// What of a route is this provider's own.
fn route(vector: &Vector) -> String {
    let secrets = format!("secrets = [{{ value = {} }}]", json!(vector.secret));
    match vector.provider.as_str() {
        "netlify" | "monday" => secrets,
        "google-pubsub" => {
            r#"params = { service_account = "pusher@proj.iam.gserviceaccount.com" }"#.to_owned()
        }
        "plaid" => r#"params = { client_id = "client-7" }
            secrets = [{ value = "plaid-api-secret" }]"#
            .to_owned(),
        "aws-sns" => {
            r#"params = { topic_arn = "arn:aws:sns:us-west-2:123456789012:MyTopic" }"#.to_owned()
        }
        "paypal" => {
            let id = &vector.extra["webhook_id"];
            format!("params = {{ webhook_id = {id} }}")
        }
        other => panic!("{other}"),
    }
}

/// The keys, where the provider gives them out.
fn keys(vector: &Vector) -> Fetcher {
    let fetcher = Fetcher::new();
    match vector.provider.as_str() {
        "google-pubsub" => fetcher.answer(
            "https://www.googleapis.com/oauth2/v3/certs",
            document(200, vector.extra["jwks"].to_string()),
        ),
        "plaid" => fetcher.answer(
            "https://production.plaid.com/webhook_verification_key/get",
            document(200, json!({"key": vector.extra["jwk"], "request_id": "r"}).to_string()),
        ),
        "aws-sns" => fetcher.answer(
            "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0000000000000000000000.pem",
            document(200, vector.secret.as_str()),
        ),
        "paypal" => fetcher.answer(
            "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270",
            document(200, vector.secret.as_str()),
        ),
        _ => {}
    }
    fetcher
}

/// Whether the gateway takes it, and how often it fetched.
async fn verdict(vector: &Vector) -> (bool, Arc<Fetcher>) {
    let url: Url = vector
        .url
        .as_deref()
        .unwrap_or("https://hooks.example/in")
        .parse()
        .unwrap();
    let toml = format!(
        r#"
        [routes.in]
        path = "{}"
        public_url = "{url}"
        provider = "{}"
        {}
        deliver = []
        "#,
        url.path(),
        vector.provider,
        route(vector)
    );
    let fetcher = Arc::new(keys(vector));
    let at = Timestamp::from_secs(vector.now_unix.unwrap_or(1_767_225_600));
    let gateway = Gateway::start_with_keys(&toml, at, fetcher.clone()).await;
    let headers: Vec<_> = vector
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let reply = gateway
        .client
        .post(url.path(), &headers, vector.body())
        .await;
    let status = reply.status.as_u16();
    assert!(
        [200, 401].contains(&status),
        "{}: {status} {}",
        vector.id,
        reply.text()
    );
    gateway.finish().await;
    (status == 200, fetcher)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_gets_its_verdict() {
    let mut judged = 0;
    for provider in [
        "netlify",
        "monday",
        "google-pubsub",
        "plaid",
        "aws-sns",
        "paypal",
    ] {
        for mut vector in Vector::of(provider) {
            // A handshake, and no event.
            if vector.id == "sns-subscription" {
                continue;
            }
            if vector.id == "paypal-neg-webhookid" {
                vector.extra["webhook_id"] = json!("another");
            }
            let (taken, fetcher) = verdict(&vector).await;
            assert_eq!(taken, vector.valid, "{}", vector.id);
            let fetched = fetcher.fetches();
            match provider {
                "netlify" | "monday" => assert_eq!(fetched, 0),
                _ => assert!(fetched <= 1),
            }
            if provider == "plaid" && taken {
                let (_, asked) = fetcher.asked().remove(0);
                let asked: serde_json::Value = serde_json::from_str(&asked.unwrap()).unwrap();
                let expected = json!({
                    "client_id": "client-7", "secret": "plaid-api-secret",
                    "key_id": "bfbd5111-8e33-4643-8ced-b2e642a72f3c",
                });
                assert_eq!(asked, expected);
            }
            judged += 1;
        }
    }
    assert_eq!(judged, 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_from_its_provider_or_not_at_all() {
    let vector = Vector::of("aws-sns").remove(0);
    let body = String::from_utf8(vector.body()).unwrap();
    let own = "https://sns.us-west-2.amazonaws.com/";
    for elsewhere in [
        "http://sns.us-west-2.amazonaws.com/",
        "https://sns.us-west-2.amazonaws.com.forger.example/",
        "https://forger.s3.amazonaws.com/",
        "https://sns.us-west-2.amazonaws.com@forger.example/",
        "https://sns.us-west-2.amazonaws.com:8443/",
        "https://169.254.169.254/",
    ] {
        let altered = body.replace(own, elsewhere);
        assert_ne!(altered, body);
        let (taken, fetcher) = verdict(&vector.with_body(&altered)).await;
        assert_eq!((taken, fetcher.fetches()), (false, 0), "{elsewhere}");
    }
    // It was allowed, and there is none.
    let altered = body.replace("SimpleNotificationService-0", "SimpleNotificationService-1");
    let altered = vector.with_body(&altered);
    let toml_fetcher = Arc::new(Fetcher::new());
    toml_fetcher.answer(
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1000000000000000000000.pem",
        document(404, "no such key"),
    );
    let toml = format!(
        "[routes.in]\npath = \"/in\"\nprovider = \"aws-sns\"\n{}\ndeliver = []",
        route(&altered)
    );
    let at = Timestamp::from_secs(1_767_225_600);
    let gateway = Gateway::start_with_keys(&toml, at, toml_fetcher.clone()).await;
    for _ in 0..3 {
        let headers = [("Content-Type", "text/plain; charset=UTF-8")];
        let reply = gateway.client.post("/in", &headers, altered.body()).await;
        assert_eq!(reply.status.as_u16(), 401);
    }
    assert_eq!(toml_fetcher.fetches(), 1);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_plaids_that_has_ended_proves_nothing() {
    let vector = Vector::of("plaid").remove(0);
    assert!(vector.valid);
    for (expired_at, taken) in [(1_767_225_600, true), (1_767_225_599, false)] {
        let mut ended = Vector::of("plaid").remove(0);
        ended.extra["jwk"]["expired_at"] = json!(expired_at);
        assert_eq!(verdict(&ended).await.0, taken, "{expired_at}");
    }
}
