//! What the gateway signs, a target that verifies Standard Webhooks takes; what it was sent as a secret is not kept.

use std::sync::atomic::{AtomicI64, Ordering};

use hookgate::{
    clock::{Clock, Timestamp},
    config::{Secret, Sign},
    providers::preset,
    signature::{
        self, Headers, KeyedScheme, KeyedSecret, Message, Refusal, Repeated, Scheme, Validity,
    },
};

use super::rig::{Rig, World, event, is_delivered, target};
use crate::support::receiver::{Receiver, Reply, Request};

const NEW: &str = "whsec_bmV3LXNlY3JldC0wMTIzNDU2Nzg5YWJj";
const OLD: &str = "b2xkLXNlY3JldC0wMTIzNDU2Nzg5YWJjZGVm";

fn scheme() -> &'static Scheme {
    &preset("standard-webhooks").unwrap().schemes()[0]
}

fn keyed(secret: &str, not_after: Option<Timestamp>) -> KeyedSecret {
    let validity = Validity {
        not_after,
        ..Validity::default()
    };
    let keyed = scheme().keyed_secret("NAME", secret.as_bytes(), validity);
    keyed.unwrap()
}

fn sign(secrets: impl Into<Vec<KeyedSecret>>) -> Option<Sign> {
    Some(Sign {
        scheme: scheme(),
        secrets: secrets.into(),
    })
}

struct Received<'r>(&'r Request);

impl Headers for Received<'_> {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        Ok(self.0.header(name).map(str::as_bytes))
    }
}

/// As a target would that is itself a gateway.
pub(super) fn verify(request: &Request, secret: &str) -> Result<usize, Refusal> {
    verify_at(request, secret, Clock::system().now())
}

fn verify_at(request: &Request, secret: &str, now: Timestamp) -> Result<usize, Refusal> {
    let keyed = KeyedScheme {
        scheme: scheme().clone(),
        secrets: vec![keyed(secret, None)],
    };
    let headers = Received(request);
    let message = Message::new(&headers, &request.body);
    signature::verify(&[keyed], &message, now).map(|proven| proven.secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn either_secret_proves_what_is_signed_with_both() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.sign = sign([keyed(NEW, None), keyed(OLD, None)]);
    let rig = Rig::start([crm]);
    let mut sent = event("evt_1", &["crm"]);
    sent.headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.into(), "the provider's own".into()))
        .into();
    rig.send(sent.clone()).await;
    rig.model.wait_for(1, is_delivered).await;

    let request = &receiver.requests()[0];
    assert_eq!(request.body, sent.body);
    assert_eq!(request.header("webhook-id"), Some(&*sent.uid.to_string()));
    for secret in [NEW, OLD] {
        assert_eq!(verify(request, secret), Ok(0));
    }
    let other = "whsec_b3RoZXItc2VjcmV0LTAxMjM0NTY3ODlhYmM=";
    assert_eq!(verify(request, other), Err(Refusal::SignatureMismatch));
    let signatures = request.header("webhook-signature").unwrap();
    let signatures: Vec<_> = signatures.split(' ').collect();
    assert_eq!(signatures.len(), 2, "{signatures:?}");
    assert!(
        signatures.iter().all(|one| one.starts_with("v1,")),
        "{signatures:?}"
    );
    assert_ne!(signatures[0], signatures[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_has_ended_signs_no_more() {
    let receiver = Receiver::start().await;
    let mut crm = target("crm", &receiver.url());
    crm.sign = sign([keyed(NEW, None), keyed(OLD, Some(Timestamp::from_secs(1)))]);
    let rig = Rig::start([crm]);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    let request = &receiver.requests()[0];
    assert_eq!(verify(request, NEW), Ok(0));
    assert_eq!(verify(request, OLD), Err(Refusal::SignatureMismatch));
}

/// The target's idempotency rests on the id, and its guard against replays on the time.
#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_has_the_same_id_and_a_time_of_its_own() {
    const BEGAN: i64 = 1_700_000_000;
    const ATTEMPTS: usize = 3;
    let receiver = Receiver::start().await;
    let (clock, hand) = Clock::manual(Timestamp::from_secs(BEGAN));
    let seen = AtomicI64::new(0);
    receiver.answer(move |_| {
        let seen = seen.fetch_add(1, Ordering::SeqCst) + 1;
        hand.set(Timestamp::from_secs(BEGAN + seen));
        Reply::status(if seen < ATTEMPTS as i64 { 500 } else { 200 })
    });
    let mut crm = target("crm", &receiver.url());
    crm.sign = sign([keyed(NEW, None)]);
    let world = World {
        clock,
        ..World::default()
    };
    let rig = Rig::start_in(world, [crm]);
    let sent = event("evt_1", &["crm"]);
    rig.send(sent.clone()).await;
    rig.model.wait_for(1, is_delivered).await;

    let requests = receiver.requests();
    assert_eq!(requests.len(), ATTEMPTS);
    for (request, at) in requests.iter().zip(BEGAN..) {
        assert_eq!(request.header("webhook-id"), Some(&*sent.uid.to_string()));
        assert_eq!(request.header("webhook-timestamp"), Some(&*at.to_string()));
        let now = Timestamp::from_secs(at);
        let verdict = verify_at(request, NEW, now);
        assert_eq!(verdict, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_signed_for_gets_what_the_route_keeps() {
    let receiver = Receiver::start().await;
    let rig = Rig::start([target("crm", &receiver.url())]);
    let mut sent = event("evt_1", &["crm"]);
    sent.headers = vec![("webhook-id".into(), "msg_1".into())];
    rig.send(sent).await;
    rig.model.wait_for(1, is_delivered).await;
    let request = &receiver.requests()[0];
    assert_eq!(request.header("webhook-id"), Some("msg_1"));
    assert_eq!(request.header("webhook-signature"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_a_target_echoes_is_not_kept() {
    let receiver = Receiver::start().await;
    receiver.answer(|request| {
        let credential = request.header("authorization").unwrap();
        let body = format!("{}401 for {credential} and {credential}", "x".repeat(970));
        Reply::status(410).body(body)
    });
    let mut crm = target("crm", &receiver.url());
    crm.headers = vec![(
        http::header::AUTHORIZATION,
        Secret::new("Bearer canary-0123456789abcdef"),
    )];
    let settled = Rig::start([crm]).first_settlement().await;
    let sent = receiver.requests();
    let credential = sent[0].header("authorization");
    assert_eq!(credential, Some("Bearer canary-0123456789abcdef"));
    let kept = settled.attempt.unwrap().response_head;
    let expected = format!("{}401 for [secret] and [secret]", "x".repeat(970));
    assert_eq!(kept, expected);
}
