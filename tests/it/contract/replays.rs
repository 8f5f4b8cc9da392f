//! Replays by filter: what is kept of them.

use std::time::Duration;

use futures_util::future::join_all;
use hookgate::store::{
    listing::{Filter, StateFilter},
    replays::{Replay, ReplayState},
};
use uuid::Uuid;

use super::subject::Subject;

pub(super) fn replay(subject: &Subject, id: u128) -> Replay {
    let now = subject.clock.now();
    Replay {
        id: Uuid::from_u128(id),
        revision: 0,
        filter: Filter {
            target: Some("crm \"ü\"".into()),
            state: Some(StateFilter::Dead),
            since: Some(now),
            ..Filter::default()
        },
        rate: 50,
        state: ReplayState::Running,
        created_at: now,
        ended_at: None,
        next_step_at: now,
        cursor: None,
        events: 0,
        replayed: 0,
    }
}

pub(super) async fn keeps_a_replay_by_its_revision(subject: &Subject) {
    let store = &subject.store;
    let new = replay(subject, 7);
    assert!(store.replays().await.unwrap().is_empty());
    assert!(store.save_replay(&new).await.unwrap());
    assert!(
        !store.save_replay(&new).await.unwrap(),
        "it is kept already"
    );
    let kept = store.replays().await.unwrap();
    let first = Replay { revision: 1, ..new };
    assert_eq!(kept, std::slice::from_ref(&first));

    let further = Replay {
        state: ReplayState::Cancelled,
        ended_at: Some(subject.clock.now()),
        cursor: Some("a place".to_owned()),
        events: 3,
        replayed: 2,
        ..first.clone()
    };
    assert!(store.save_replay(&further).await.unwrap());
    assert!(!store.save_replay(&first).await.unwrap(), "it was changed");
    let second = Replay {
        revision: 2,
        ..further
    };
    let kept = store.replays().await.unwrap();
    assert_eq!(kept, std::slice::from_ref(&second));

    store.forget_replay(Uuid::from_u128(8)).await.unwrap();
    assert_eq!(store.replays().await.unwrap().len(), 1);
    store.forget_replay(second.id).await.unwrap();
    store.forget_replay(second.id).await.unwrap();
    assert!(store.replays().await.unwrap().is_empty());
    assert!(!store.save_replay(&second).await.unwrap(), "forgotten");
    assert!(store.replays().await.unwrap().is_empty());
}

pub(super) async fn tells_replays_oldest_first(subject: &Subject) {
    for id in [5, 3, 9, 1] {
        let new = replay(subject, id);
        assert!(subject.store.save_replay(&new).await.unwrap());
        subject.advance(Duration::from_secs(1));
    }
    let kept = subject.store.replays().await.unwrap();
    let ids: Vec<_> = kept.iter().map(|replay| replay.id.as_u128()).collect();
    assert_eq!(ids, [5, 3, 9, 1]);
}

pub(super) async fn keeps_one_of_those_that_change_a_replay_at_once(subject: &Subject) {
    let new = replay(subject, 7);
    assert!(subject.store.save_replay(&new).await.unwrap());
    let changes: Vec<_> = (1..=20)
        .map(|n| Replay {
            revision: 1,
            events: n,
            ..new.clone()
        })
        .collect();
    let saved = join_all(changes.iter().map(|c| subject.store.save_replay(c))).await;
    let winners: Vec<_> = saved.into_iter().map(Result::unwrap).collect();
    assert_eq!(winners.iter().filter(|won| **won).count(), 1);
    let winner = winners.iter().position(|won| *won).unwrap();
    let kept = subject.store.replays().await.unwrap();
    assert_eq!((kept[0].events, kept[0].revision), (winner as u64 + 1, 2));
}
