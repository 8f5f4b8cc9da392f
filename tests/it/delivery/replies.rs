//! What a target gets, and what its reply leads to.

use std::time::Duration;

use bytes::Bytes;
use hookgate::{
    config::{RetryOn, Secret, Wait},
    event::{BodyDigest, DeadReason, Outcome},
    store::Store as _,
};

use super::rig::{ROUTE, Rig, error, event, is_delivered, target};
use crate::support::{
    model::PATIENCE,
    receiver::{Receiver, Reply, Request},
};

#[tokio::test(flavor = "multi_thread")]
async fn delivers_the_exact_bytes_and_the_promised_headers_once() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.headers = vec![
        (http::header::AUTHORIZATION, Secret::new("Bearer s3cret")),
        (
            http::HeaderName::from_static("hookgate-event"),
            Secret::new("forged"),
        ),
    ];
    let rig = Rig::start([crm]);
    let mut sent = event("evt 1/ü%", &["crm"]);
    sent.body = Bytes::from_static(b"{\r\n \"a\":\t1 }\xff\x00");
    sent.digest = BodyDigest::of(&sent.body);
    sent.headers = [
        ("x-github-event", "push"),
        ("traceparent", "00-1-2-01"),
        ("hookgate-route", "forged"),
        ("cookie", "a=b"),
        ("authorization", "Basic cHJvdmlkZXI="),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "1"),
        ("host", "evil.example"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    rig.send(sent.clone()).await;
    let settled = rig.model.wait_for_settled(1).await;
    assert_eq!(settled[0].outcome, Outcome::Delivered);

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/in");
    assert_eq!(request.body, sent.body);
    let host = receiver.url().replace("http://", "").replace("/in", "");
    let uid = sent.uid.to_string();
    let version = concat!("Hookgate/", env!("CARGO_PKG_VERSION"));
    let length = sent.body.len().to_string();
    for (name, expected) in [
        ("host", Some(&*host)),
        ("user-agent", Some(version)),
        ("content-type", Some("application/json")),
        ("content-length", Some(&*length)),
        ("hookgate-event", Some(&*uid)),
        ("hookgate-route", Some(ROUTE)),
        ("hookgate-event-type", Some("order.paid")),
        ("hookgate-event-id", Some("evt%201/%C3%BC%25")),
        ("hookgate-attempt", Some("1")),
        ("traceparent", Some("00-1-2-01")),
        ("x-github-event", Some("push")),
        ("authorization", Some("Bearer s3cret")),
        ("cookie", None),
        ("connection", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(request.header(name), expected, "{name}");
    }
    let series =
        r#"hookgate_delivery_attempts_total{outcome="delivered",route="orders",target="crm"}"#;
    rig.wait_for_metric(series, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_again_until_the_target_takes_it() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(500), Reply::status(429), Reply::status(202)]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;

    let attempts: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.header("hookgate-attempt").unwrap().to_owned())
        .collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    let statuses: Vec<_> = rig
        .model
        .settled()
        .iter()
        .map(|one| one.attempt.as_ref().unwrap().status)
        .collect();
    assert_eq!(statuses, [Some(500), Some(429), Some(202)]);
    let retried =
        r#"hookgate_delivery_attempts_total{outcome="retry",route="orders",target="crm"}"#;
    rig.wait_for_metric(retried, "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn obeys_retry_after() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(503).header("Retry-After", "120")]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Retry(Duration::from_secs(120)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_in_retry_after_is_clamped_to_the_policys_maximum() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(503).header("Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT")]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Retry(Duration::from_secs(3600)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_dead_letter_after_one_attempt() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(410).body("gone for good")]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Dead(DeadReason::Refused));
    let attempt = settled.attempt.unwrap();
    assert_eq!(attempt.status, Some(410));
    assert_eq!(attempt.response_head, "gone for good");
    // The next one arrives: the dead one was not tried in between.
    rig.send(event("evt_2", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(receiver.requests().len(), 2);
    let series = r#"hookgate_dead_letters_total{reason="refused",route="orders",target="crm"}"#;
    rig.wait_for_metric(series, "1").await;
    let attempts =
        r#"hookgate_delivery_attempts_total{outcome="dead",route="orders",target="crm"}"#;
    rig.wait_for_metric(attempts, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_up_at_the_end_of_the_schedule() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::status(500));
    let mut crm = target("crm", &receiver.url());
    crm.retry.wait = Wait::Schedule {
        delays: vec![Duration::from_millis(1); 2],
        jitter: hookgate::config::Jitter::Full,
    };
    let rig = Rig::start([crm]);
    rig.send(event("evt_1", &["crm"])).await;
    let gave_up = Outcome::Dead(DeadReason::GaveUp);
    rig.model.wait_for(1, |one| one.outcome == gave_up).await;
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_follow_redirects() {
    let elsewhere = Receiver::start().await;
    let receiver = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        receiver.script([Reply::status(status).header("Location", elsewhere.url())]);
    }
    let mut crm = target("crm", &receiver.url());
    crm.retry_on = RetryOn::Default;
    let rig = Rig::start([crm]);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(rig.model.settled().len(), 6, "five redirects were retried");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_response_is_cut_and_its_status_counts() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::endless()]);
    let rig = Rig::start([target("crm", &receiver.url())]);
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Delivered);
    assert_eq!(settled.attempt.unwrap().response_head.len(), 1024);
    receiver.wait_for_closed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_runs_into_the_deadline_and_is_tried_again() {
    for (reply, status) in [(Reply::hang(), None), (Reply::drip(), Some(200))] {
        let receiver = Receiver::start().await;
        receiver.script([reply]);
        let mut crm = target("crm", &receiver.url());
        crm.timeout = Duration::from_millis(200);
        let rig = Rig::start([crm]);
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
        assert!(error(&settled).starts_with("timeout: "), "{settled:?}");
        assert_eq!(settled.attempt.as_ref().unwrap().status, status);
        receiver.wait_for_closed(1).await;
        rig.model.wait_for(1, is_delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_tried_again() {
    for (reply, stage) in [
        (Reply::reset(), "request: "),
        (Reply::cut("half of this"), "response: "),
    ] {
        let receiver = Receiver::start().await;
        receiver.script([reply]);
        let rig = Rig::start([target("crm", &receiver.url())]);
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
        assert!(error(&settled).starts_with(stage), "{settled:?}");
        rig.model.wait_for(1, is_delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_a_network_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut crm = target("crm", &format!("http://{address}/"));
    crm.retry_on = RetryOn::Listed {
        statuses: vec![(500, 599)],
        network: false,
    };
    let rig = Rig::start([crm]);
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Dead(DeadReason::Refused));
    assert!(error(&settled).starts_with("connect: "), "{settled:?}");
    assert!(error(&settled).contains("refused"), "{settled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.concurrency = 2;
    let rig = Rig::start([crm]);
    for n in 1..=50 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
        rig.model.wait_for_settled(n).await;
    }
    let connections = receiver.connections();
    assert!(connections <= 4, "{connections} connections for 50 events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_target_closed_costs_no_event() {
    let receiver = Receiver::start().await;
    receiver.always(Reply::then_close());
    let rig = Rig::start([target("crm", &receiver.url())]);
    for n in 1..=20 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
        rig.model.wait_for(n, is_delivered).await;
    }
    assert_eq!(receiver.connections(), receiver.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_match_its_digest_is_never_sent() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    let mut corrupt = event("evt_1", &["crm"]);
    corrupt.body = Bytes::from_static(b"flipped");
    // Past the hand-over: only what is read back can be damaged.
    rig.model.accept(corrupt.into()).await.unwrap();
    let settled = rig.model.wait_for_settled(1).await;
    assert_eq!(settled[0].outcome, Outcome::Dead(DeadReason::Corrupt));
    assert_eq!(receiver.connections(), 0);
    let series = r#"hookgate_dead_letters_total{reason="corrupt",route="orders",target="crm"}"#;
    rig.wait_for_metric(series, "1").await;
    // No request was made.
    let attempts =
        r#"hookgate_delivery_attempts_total{outcome="dead",route="orders",target="crm"}"#;
    rig.wait_for_metric(attempts, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_settlement_ends_no_other() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.model.panic_at_settles(1);
    rig.send(event("evt_1", &["crm"])).await;
    let panicked = async {
        while rig.model.settles_to_panic() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, panicked).await.unwrap();
    rig.send(event("evt_2", &["crm"])).await;
    let settled = rig.model.wait_for_settled(1).await;
    assert!(is_delivered(&settled[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_waits_for_the_store_to_come_back() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    rig.model.fail_settles(3);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    assert_eq!(rig.model.settles_to_fail(), 0);
    assert_eq!(receiver.requests().len(), 1, "delivered once all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_kept_with_the_attempt() {
    let receiver = Receiver::start().await;
    receiver.answer(|_: &Request| Reply::status(200).body("x".repeat(5000)));
    let rig = Rig::start([target("crm", &receiver.url())]);
    let attempt = rig.first_settlement().await.attempt.unwrap();
    assert_eq!(attempt.response_head, "x".repeat(1024));
    assert_eq!(attempt.error, None);
    assert!(!attempt.duration.is_zero(), "it was not measured");
}
