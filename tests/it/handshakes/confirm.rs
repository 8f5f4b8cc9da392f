//! Handshakes that are confirmed by a call: Amazon SNS.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hookgate::{
    clock::Timestamp,
    keys::{Document, FetchFault, FetchRequest, KeyFetcher},
};
use serde_json::Value;

use super::{answered, assert_no_event, assert_refused, route};
use crate::support::{client::Reply, gateway::Gateway};

/// Within the certificate's days.
const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

/// Gives out the certificate of the vectors, and answers every other address with this status; none: not at all.
struct Amazon {
    certificate: String,
    status: Mutex<Option<u16>>,
    /// But for certificates.
    called: Mutex<Vec<String>>,
}

#[async_trait]
impl KeyFetcher for Amazon {
    async fn fetch(&self, request: &FetchRequest) -> Result<Document, FetchFault> {
        assert!(!request.allow_private && request.json.is_none());
        let document = |status, body: &str| Document {
            status,
            max_age: None,
            body: body.to_owned().into(),
        };
        if request.url.path().ends_with(".pem") {
            return Ok(document(200, &self.certificate));
        }
        self.called.lock().unwrap().push(request.url.to_string());
        let status = *self.status.lock().unwrap();
        let status = status.ok_or_else(|| FetchFault("nobody is there".to_owned()))?;
        Ok(document(status, "<ConfirmSubscriptionResponse/>"))
    }
}

fn vector(id: &str) -> Value {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/vectors.json")).unwrap();
    let mut vectors = vectors.as_array().unwrap().iter();
    vectors.find(|vector| vector["id"] == id).unwrap().clone()
}

async fn start(vector: &Value) -> (Arc<Amazon>, Gateway) {
    let amazon = Arc::new(Amazon {
        certificate: vector["extra"]["cert_pem"].as_str().unwrap().to_owned(),
        status: Mutex::new(Some(200)),
        called: Mutex::default(),
    });
    let topic = "arn:aws:sns:us-west-2:123456789012:MyTopic";
    let toml = route(
        "aws-sns",
        &format!("params = {{ topic_arn = \"{topic}\" }}"),
    );
    let gateway = Gateway::start_with_keys(&toml, NOW, amazon.clone()).await;
    (amazon, gateway)
}

async fn send(gateway: &Gateway, body: &str) -> Reply {
    let headers = [
        ("Content-Type", "text/plain; charset=UTF-8"),
        ("x-amz-sns-message-type", "SubscriptionConfirmation"),
    ];
    gateway.client.post("/hooks/aws-sns", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_before_it_is_answered() {
    let vector = vector("sns-subscription");
    let body = vector["body"].as_str().unwrap();
    let address = serde_json::from_str::<Value>(body).unwrap()["SubscribeURL"].clone();
    let (amazon, gateway) = start(&vector).await;
    for (status, cause) in [(None, "nobody"), (Some(500), "500"), (Some(302), "302")] {
        *amazon.status.lock().unwrap() = status;
        let reply = send(&gateway, body).await;
        assert_refused(&reply, 503, "handshake_failed");
        assert!(reply.header("retry-after").is_some(), "{cause}");
        assert!(!reply.text().contains(cause), "{}", reply.text());
    }
    let of = |gateway: &Gateway| {
        let admin = gateway.admin.clone();
        async move {
            let metrics =
                crate::support::metrics::Metrics::parse(&admin.get("/metrics").await.text());
            answered(&metrics, "aws-sns", "subscription_confirmation")
        }
    };
    assert_eq!(of(&gateway).await, 0.0);
    *amazon.status.lock().unwrap() = Some(200);
    let reply = send(&gateway, body).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(of(&gateway).await, 1.0);
    let called = amazon.called.lock().unwrap().clone();
    assert_eq!(called.len(), 4);
    assert!(called.iter().all(|called| *called == address), "{called:?}");
    assert_no_event(&gateway).await;
    gateway.finish().await;
}

/// Who has caught one can send it again and again: Amazon is not called as often.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_comes_again_and_again_is_bounded_in_rate() {
    let vector = vector("sns-subscription");
    let body = vector["body"].as_str().unwrap();
    let (amazon, gateway) = start(&vector).await;
    let mut answered = 0;
    // The limit is 60 a minute; a slow machine may see a few more.
    let refused = loop {
        let reply = send(&gateway, body).await;
        if reply.status != 200 {
            break reply;
        }
        answered += 1;
        assert!(answered < 600, "no limit");
    };
    assert_refused(&refused, 429, "rate_limited");
    assert!(answered >= 60, "{answered}");
    assert_eq!(amazon.called.lock().unwrap().len(), answered);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unproven_subscription_calls_nobody() {
    let vector = vector("sns-subscription");
    let body = vector["body"].as_str().unwrap();
    let (amazon, gateway) = start(&vector).await;
    for (from, to) in [
        ("You have", "You had"),
        (
            "SubscribeURL\": \"https://sns.",
            "SubscribeURL\": \"https://sms.",
        ),
    ] {
        let altered = body.replacen(from, to, 1);
        assert_ne!(altered, body);
        assert_refused(&send(&gateway, &altered).await, 401, "");
    }
    assert_eq!(*amazon.called.lock().unwrap(), Vec::<String>::new());
    gateway.finish().await;
}
