//! Targets that an operator has paused.

use hookgate::store::orphans::Gone;
use std::time::Duration;

use hookgate::event::TargetName;

use super::subject::{LONG, Subject};

pub(super) async fn paused(subject: &Subject) -> Vec<String> {
    let targets = subject.store.paused_targets().await.unwrap();
    targets.iter().map(|target| target.to_string()).collect()
}

pub(super) async fn keeps_a_pause_until_the_target_is_resumed(subject: &Subject) {
    assert!(paused(subject).await.is_empty());
    let [crm, other]: [TargetName; 2] = ["crm ü|".into(), "a".into()];
    for _ in 0..2 {
        subject.store.pause_target(&crm).await.unwrap();
    }
    subject.store.pause_target(&other).await.unwrap();
    assert_eq!(paused(subject).await, ["a", "crm ü|"]);

    // Nothing else ends it.
    subject.delivered("event", "a").await;
    subject.advance(1_000 * LONG);
    subject.expire(Duration::ZERO, 0).await;
    subject
        .store
        .retire_targets(&Gone::AllBut(vec![]))
        .await
        .unwrap();
    assert_eq!(paused(subject).await, ["a", "crm ü|"]);

    assert!(subject.store.resume_target(&crm).await.unwrap());
    assert!(!subject.store.resume_target(&crm).await.unwrap());
    assert!(!subject.store.resume_target(&"none".into()).await.unwrap());
    assert_eq!(paused(subject).await, ["a"]);

    subject.store.close().await;
    assert!(subject.store.pause_target(&crm).await.is_err());
    assert!(subject.store.resume_target(&other).await.is_err());
    assert!(subject.store.paused_targets().await.is_err());
}

pub(super) async fn pauses_and_resumes_once_whatever_comes_at_once(subject: &Subject) {
    let target = TargetName::from("crm");
    for round in 0..3 {
        let pauses = (0..10).map(|_| subject.store.pause_target(&target));
        for paused in futures_util::future::join_all(pauses).await {
            paused.unwrap();
        }
        assert_eq!(paused(subject).await, ["crm"], "round {round}");
        let resumed = (0..10).map(|_| subject.store.resume_target(&target));
        let resumed = futures_util::future::join_all(resumed).await;
        let resumed = resumed
            .into_iter()
            .filter(|resumed| *resumed.as_ref().unwrap());
        assert_eq!(resumed.count(), 1, "round {round}");
        assert!(paused(subject).await.is_empty());
    }
}
