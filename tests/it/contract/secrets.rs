//! Secrets that came in handshakes.

use std::time::Duration;

use hookgate::{clock::Timestamp, config::Secret, store::KeptSecret};

use super::subject::{LONG, Subject};

/// What a provider may send: any bytes.
pub(super) const SECRET: &[u8] = b"\0s3cret-\xff\"'\\\n";

pub(super) fn secret(subject: &Subject, route: &str, secret: &[u8]) -> KeptSecret {
    KeptSecret {
        route: route.into(),
        secret: Secret::new(secret),
        received_at: subject.clock.now(),
    }
}

/// Routes, secrets and times.
pub(super) async fn told(subject: &Subject) -> Vec<(String, Vec<u8>, Timestamp)> {
    let kept = subject.store.kept_secrets().await.unwrap();
    kept.iter()
        .map(|kept| {
            let secret = kept.secret.expose().to_vec();
            (kept.route.to_string(), secret, kept.received_at)
        })
        .collect()
}

pub(super) async fn keeps_the_first_secret_of_a_route_until_it_is_forgotten(subject: &Subject) {
    assert_eq!(told(subject).await, []);
    let at = subject.clock.now();
    let long = vec![0xee; 4096];
    let keep = async |route: &str, bytes: &[u8]| {
        let kept = secret(subject, route, bytes);
        subject.store.keep_secret(&kept).await.unwrap()
    };
    assert!(keep("b", SECRET).await);
    assert!(keep("a ü|", &long).await);
    subject.advance(Duration::from_secs(1));
    for _ in 0..2 {
        assert!(!keep("b", b"another").await);
        assert!(!keep("b", SECRET).await);
    }
    let both = [
        ("a ü|".to_owned(), long.clone(), at),
        ("b".to_owned(), SECRET.to_vec(), at),
    ];
    assert_eq!(told(subject).await, both);

    assert!(subject.store.forget_secret(&"b".into()).await.unwrap());
    assert!(!subject.store.forget_secret(&"b".into()).await.unwrap());
    assert!(!subject.store.forget_secret(&"none".into()).await.unwrap());
    assert_eq!(told(subject).await, both[..1]);
    assert!(keep("b", b"another").await);
    let at = subject.clock.now();
    let another = ("b".to_owned(), b"another".to_vec(), at);
    assert_eq!(told(subject).await, [both[0].clone(), another]);
}

pub(super) async fn keeps_one_of_many_secrets_at_once(subject: &Subject) {
    for round in 0..3 {
        let calls: Vec<_> = (0..40u8)
            .map(|n| {
                let kept = secret(subject, "route", &[n; 8]);
                let store = subject.store.clone();
                tokio::spawn(async move { (n, store.keep_secret(&kept).await.unwrap()) })
            })
            .collect();
        let mut winners = Vec::new();
        for call in calls {
            let (n, kept) = call.await.unwrap();
            winners.extend(kept.then_some(n));
        }
        assert_eq!(winners.len(), 1, "round {round}");
        let at = subject.clock.now();
        let winner = vec![winners[0]; 8];
        assert_eq!(told(subject).await, [("route".to_owned(), winner, at)]);
        assert!(subject.store.forget_secret(&"route".into()).await.unwrap());
    }
}

pub(super) async fn keeps_secrets_whatever_expires(subject: &Subject) {
    let kept = secret(subject, "route", SECRET);
    assert!(subject.store.keep_secret(&kept).await.unwrap());
    subject.delivered("a", "t").await;
    for _ in 0..3 {
        subject.advance(1_000 * LONG);
        subject.expire(Duration::ZERO, 0).await;
    }
    assert_eq!(told(subject).await.len(), 1);
    assert!(!subject.store.keep_secret(&kept).await.unwrap());
}

pub(super) async fn shows_no_secret(subject: &Subject) {
    let kept = secret(subject, "route", b"s3cret");
    subject.store.keep_secret(&kept).await.unwrap();
    let told = subject.store.kept_secrets().await;
    let shown = format!("{kept:?} {told:?}");
    assert!(shown.contains("route"), "{shown}");
    let bytes = format!("{:?}", b"s3cret");
    assert!(
        !shown.contains("s3cret") && !shown.contains(&bytes),
        "{shown}"
    );

    subject.store.close().await;
    let failed = [
        subject.store.keep_secret(&kept).await.unwrap_err(),
        subject.store.kept_secrets().await.unwrap_err(),
        subject
            .store
            .forget_secret(&"route".into())
            .await
            .unwrap_err(),
    ];
    let shown = format!("{failed:?} {}", failed[0]);
    assert!(
        !shown.contains("s3cret") && !shown.contains(&bytes),
        "{shown}"
    );
}
