//! The embedded store on files that are not as it left them.

use std::path::Path;

use hookgate::{
    clock::Clock,
    config::Durability,
    event::{BodyDigest, DeadReason, Outcome},
    store::{
        Replayed, Settled,
        listing::{Filter, Query},
    },
};
use tempfile::TempDir;

use super::{
    embedded::{DATABASE, START, open, subject_in},
    subject::{LONG, delivery, in_order, with_body},
};

#[test]
fn refuses_what_is_not_its_own_with_one_clear_line() {
    let (clock, _hand) = Clock::manual(START);
    let refused = |prepare: &dyn Fn(&Path), words: &str| {
        let directory = TempDir::new().unwrap();
        prepare(directory.path());
        let error = open(directory.path(), &clock, Durability::Always).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(
            error.contains(directory.path().to_str().unwrap()),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    };
    refused(
        &|directory| {
            drop(open(directory, &clock, Durability::Always).unwrap());
            let database = wait_for_lock_and_open(directory);
            database.pragma_update(None, "user_version", 6).unwrap();
        },
        "run the version that wrote it",
    );
    refused(
        &|directory| {
            drop(open(directory, &clock, Durability::Always).unwrap());
            let database = wait_for_lock_and_open(directory);
            database.pragma_update(None, "user_version", 1).unwrap();
        },
        "format 1, which development versions",
    );
    refused(
        &|directory| std::fs::write(directory.join(DATABASE), [b'x'; 8192]).unwrap(),
        "not a database",
    );
    refused(
        &|directory| {
            let other = rusqlite::Connection::open(directory.join(DATABASE)).unwrap();
            other.execute_batch("CREATE TABLE theirs (a)").unwrap();
        },
        "another program",
    );
    refused(
        &|directory| std::fs::create_dir(directory.join("lock")).unwrap(),
        "cannot write",
    );
}

/// A dropped store ends on its own time: its lock tells when.
fn wait_for_lock_and_open(directory: &Path) -> rusqlite::Connection {
    let lock = std::fs::File::open(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    rusqlite::Connection::open(directory.join(DATABASE)).unwrap()
}

#[test]
fn refuses_a_directory_that_cannot_be_made() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (clock, _hand) = Clock::manual(START);
    let error = open(&file.join("store"), &clock, Durability::Always).unwrap_err();
    assert!(
        error.contains("cannot write") && error.contains("file/store"),
        "{error}"
    );
}

#[tokio::test]
async fn a_flipped_byte_shows_in_the_digest() {
    let directory = TempDir::new().unwrap();
    let marker = b"a body that is easy to find in the file";
    let subject = subject_in(directory.path(), START);
    subject
        .accept(with_body(subject.event("flipped", &["t"]), &marker[..]))
        .await;
    subject.stored("whole", &["u"]).await;
    subject.store.close().await;

    let path = directory.path().join(DATABASE);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(marker.len())
        .position(|window| window == marker)
        .unwrap();
    bytes[at + 5] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let subject = subject_in(directory.path(), START);
    let flipped = subject.claim_one("t").await;
    assert_eq!(flipped.event.digest, BodyDigest::of(marker));
    assert_ne!(flipped.event.digest, BodyDigest::of(&flipped.event.body));
    let whole = subject.claim_one("u").await.event;
    assert_eq!(whole.digest, BodyDigest::of(&whole.body));
}

#[tokio::test]
async fn an_event_that_is_gone_is_claimed_with_a_wrong_digest() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    subject.stored("a", &["t"]).await;
    subject.store.close().await;
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    assert_eq!(database.execute("DELETE FROM events", []).unwrap(), 1);
    drop(database);

    let subject = subject_in(directory.path(), START);
    let claimed = subject.claim_one("t").await;
    assert!(claimed.event.body.is_empty());
    assert_ne!(claimed.event.digest, BodyDigest::of(&claimed.event.body));
    let corrupt = Outcome::Dead(DeadReason::Corrupt);
    assert_eq!(subject.settle(&claimed, corrupt).await, Settled::Done);
    assert_eq!(subject.depth("t").await.dead, 1);
    // What is left of it is in nobody's way.
    subject.stored("b", &["t"]).await;
    assert_eq!(&*subject.claim_one("t").await.event.id, "b");
}

#[tokio::test]
async fn an_event_whose_head_is_not_whole_is_claimed_with_a_wrong_digest() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    let uid = subject.stored("a", &["t"]).await;
    subject.stored("whole", &["u"]).await;
    subject.store.close().await;
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    let cut = "UPDATE events SET head = substr(head, 1, length(head) - 1) WHERE seq = 1";
    assert_eq!(database.execute(cut, []).unwrap(), 1);
    drop(database);

    let subject = subject_in(directory.path(), START);
    assert!(subject.store.get(uid).await.is_err());
    let claimed = subject.claim_one("t").await;
    assert_ne!(claimed.event.digest, BodyDigest::of(&claimed.event.body));
    let corrupt = Outcome::Dead(DeadReason::Corrupt);
    assert_eq!(subject.settle(&claimed, corrupt).await, Settled::Done);
    assert_eq!(&*subject.claim_one("u").await.event.id, "whole");
    subject.advance(2 * LONG);
    assert_eq!(subject.expire(LONG, u64::MAX).await, 1);
}

#[tokio::test]
async fn a_delivery_whose_place_is_gone_holds_up_nobody_of_its_group() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    for id in ["1", "2", "3"] {
        let event = in_order(subject.event(id, &["t"]), "k", true);
        subject.accept(event).await;
    }
    subject.store.close().await;
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    let second = "DELETE FROM waiting WHERE id >> 20 = 2";
    assert_eq!(database.execute(second, []).unwrap(), 1);
    drop(database);

    let subject = subject_in(directory.path(), START);
    for id in ["1", "3"] {
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.id, id);
        let settled = subject.settle(&claimed, Outcome::Delivered).await;
        assert_eq!(settled, Settled::Done);
    }
}

#[tokio::test]
async fn an_event_whose_head_is_not_whole_is_in_no_list_and_is_not_replayed() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    let cut = subject.delivered("cut", "t").await;
    let whole = subject.delivered("whole", "t").await;
    subject.store.close().await;
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    let update = "UPDATE events SET head = substr(head, 1, length(head) - 1) WHERE seq = 1";
    assert_eq!(database.execute(update, []).unwrap(), 1);
    drop(database);

    let subject = subject_in(directory.path(), START);
    let query = Query {
        filter: Filter::default(),
        newest_first: true,
        cursor: None,
        limit: 10,
    };
    let page = subject.store.list(&query).await.unwrap();
    let uids: Vec<_> = page.events.iter().map(|event| event.uid).collect();
    assert_eq!((uids, page.next), (vec![whole], None));
    let names = [delivery(cut, "t"), delivery(whole, "t")];
    let replayed = subject.store.replay(&names, None).await.unwrap();
    assert_eq!(replayed, [Replayed::Unknown, Replayed::Due]);
}
