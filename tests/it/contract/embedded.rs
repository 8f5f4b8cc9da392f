//! The embedded store: its factories, and what it alone promises.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use hookgate::{
    clock::{Clock, ClockHand, Timestamp},
    config::Durability,
    event::{DeadReason, DeliveryState, Outcome},
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Depth, HISTORY_MAX, Replayed, Retention, Settled, Store, StoreError,
        embedded::{Embedded, Options},
        metered::Metered,
        orphans::Gone,
        replays::{Replay, ReplayState},
        spooled::{self, Limits, Spooled},
    },
};
use tempfile::TempDir;

use super::{
    pauses, records,
    replays::replay,
    secrets::{self, SECRET, secret},
    subject::{LONG, Subject, WINDOW, attempt, event, ids, in_order, only_lease, want},
    together::of_request,
};

pub(super) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const DATABASE: &str = "hookgate.db";

pub(super) async fn subject() -> Subject {
    let directory = TempDir::new().unwrap();
    let (clock, hand) = Clock::manual(START);
    let store = Arc::new(open(directory.path(), &clock, Durability::Memory).unwrap());
    Subject::new(store, clock, hand, directory)
}

pub(super) async fn metered_subject() -> Subject {
    let directory = TempDir::new().unwrap();
    let (clock, hand) = Clock::manual(START);
    let store = Arc::new(open(directory.path(), &clock, Durability::Always).unwrap());
    let store = Arc::new(Metered::new(store, metrics()));
    Subject::new(store, clock, hand, directory)
}

/// The primary is always there: the spool must not show.
pub(super) async fn spooled_subject() -> Subject {
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let (clock, hand) = Clock::manual(START);
    let [primary, spool] = directories
        .each_ref()
        .map(|directory| open(directory.path(), &clock, Durability::Memory).unwrap());
    let setup = spooled::Setup {
        primary: Arc::new(primary),
        spool: Arc::new(spool),
        limits: Arc::new(ArcSwap::from_pointee(Limits {
            body_max: 1 << 20,
            retention: LONG,
        })),
        orphans: Arc::default(),
        metrics: metrics(),
        clock: clock.clone(),
    };
    let store = Arc::new(Spooled::start(setup).await.unwrap());
    Subject::new(store, clock, hand, directories)
}

pub(super) fn open(
    directory: &Path,
    clock: &Clock,
    durability: Durability,
) -> Result<Embedded, String> {
    open_with(directory, clock, durability, metrics())
}

fn open_with(
    directory: &Path,
    clock: &Clock,
    durability: Durability,
    metrics: Arc<Metrics>,
) -> Result<Embedded, String> {
    let options = Options {
        directory: directory.to_owned(),
        durability,
    };
    Embedded::open(options, clock.clone(), metrics).map_err(|error| error.to_string())
}

fn metrics() -> Arc<Metrics> {
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    Arc::new(Metrics::new(&labels).unwrap())
}

/// A subject on a directory that outlives it.
pub(super) fn subject_in(directory: &Path, at: Timestamp) -> Subject {
    let (clock, hand): (Clock, ClockHand) = Clock::manual(at);
    let store = Arc::new(open(directory, &clock, Durability::Always).unwrap());
    Subject::new(store, clock, hand, ())
}

/// The directory's next store; waits for the last one to let go of it.
async fn reopened(directory: &Path, at: Timestamp) -> Subject {
    let lock = std::fs::File::open(directory.join("lock")).unwrap();
    let free = tokio::task::spawn_blocking(move || lock.lock());
    free.await.unwrap().unwrap();
    subject_in(directory, at)
}

/// Events in every state a delivery can be in; checked by `check`.
async fn fill(subject: &Subject) {
    subject.delivered("delivered", "t").await;
    subject.stored("dead", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    subject
        .settle(&claimed, Outcome::Dead(DeadReason::Refused))
        .await;
    subject.stored("retried", &["t"]).await;
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, Outcome::Retry(LONG)).await;
    subject.stored("claimed", &["t", "u"]).await;
    subject.claim_one("t").await;
    subject.delivered("expired", "t").await;
    let everything = Retention {
        age: LONG,
        bytes: 0,
    };
    let expired = subject.store.expire(everything).await.unwrap();
    assert_eq!(expired.events, 3, "two delivered, one dead");
    subject.stored("waiting", &["t"]).await;
    subject.stored("filtered", &["v"]).await;
    let claimed = subject.claim_one("v").await;
    subject.settle(&claimed, Outcome::Filtered).await;
    let kept = secret(subject, "route", SECRET);
    assert!(subject.store.keep_secret(&kept).await.unwrap());
    subject.store.pause_target(&"t".into()).await.unwrap();
}

/// What `fill` left, in a store that was opened anew.
async fn check(subject: &Subject) {
    for id in [
        "delivered",
        "dead",
        "retried",
        "claimed",
        "expired",
        "waiting",
    ] {
        let again = subject.accept(event(id, &["t"], START)).await;
        assert!(
            matches!(
                again,
                Acceptance::Duplicate {
                    first_received_at: START,
                    same_body: true,
                    ..
                }
            ),
            "{id}: {again:?}"
        );
    }
    let (t, u) = (subject.depth("t").await, subject.depth("u").await);
    assert_eq!((t.pending, t.dead, u.pending, u.dead), (3, 0, 1, 0));
    assert_eq!(subject.depth("v").await, Depth::default());
    let filtered = subject.get(event("filtered", &[], START).uid).await;
    assert_eq!(filtered.deliveries[0].state, DeliveryState::Filtered);
    let kept = [("route".to_owned(), SECRET.to_vec(), START)];
    assert_eq!(secrets::told(subject).await, kept);
    assert_eq!(pauses::paused(subject).await, ["t"]);

    let wants = [want("t", 10, LONG), want("u", 10, LONG)];
    let claims = subject.store.claim(&wants).await.unwrap();
    let claimed: HashSet<_> = claims
        .claimed
        .iter()
        .map(|c| (&*c.event.id, &*c.target, c.attempts))
        .collect();
    // Nobody holds a claim after a crash: what was claimed is due at once, what is to wait waits.
    let due = [
        ("claimed", "t", 0),
        ("claimed", "u", 0),
        ("waiting", "t", 0),
    ];
    assert_eq!(claimed, HashSet::from(due));
    subject.advance(LONG);
    let retried = subject.claim_one("t").await;
    assert_eq!((&*retried.event.id, retried.attempts), ("retried", 1));
    assert_eq!(&*retried.event.body, b"retried");
    assert_eq!(
        subject.settle(&retried, Outcome::Delivered).await,
        Settled::Done
    );
}

#[tokio::test]
async fn keeps_everything_over_a_close() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    fill(&subject).await;
    subject.store.close().await;
    check(&subject_in(directory.path(), START)).await;
}

/// The files as they are between two commits, without any goodbye: what `kill -9` leaves.
#[tokio::test]
async fn keeps_everything_over_a_crash() {
    let (directory, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let subject = subject_in(directory.path(), START);
    fill(&subject).await;
    for file in [DATABASE, "hookgate.db-wal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let wal = std::fs::metadata(copy.path().join("hookgate.db-wal")).unwrap();
    assert!(
        wal.len() > 0,
        "nothing but the log holds the newest commits"
    );
    check(&subject_in(copy.path(), START)).await;
}

/// Format 4 had no pauses.
#[tokio::test]
async fn a_database_of_format_4_keeps_all_that_it_holds() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    fill(&subject).await;
    subject.store.close().await;
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    database
        .execute_batch("DROP TABLE pauses; PRAGMA user_version = 4;")
        .unwrap();
    database.close().unwrap();
    let subject = subject_in(directory.path(), START);
    assert!(pauses::paused(&subject).await.is_empty());
    subject.store.pause_target(&"t".into()).await.unwrap();
    check(&subject).await;
}

/// Of a request that came then.
const AT_MS: i64 = 1_800_000_000_000;

#[tokio::test]
async fn keeps_records_over_a_restart_and_over_a_crash() {
    let (directory, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let record = records::record(AT_MS, Some("a"), "invalid_json");
    let subject = subject_in(directory.path(), START);
    records::keep(&subject, vec![record.clone()]).await;
    for file in ["records.db", "records.db-wal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    subject.store.close().await;
    for directory in [&directory, &copy] {
        let subject = subject_in(directory.path(), START);
        let found = subject.store.record(&record.request_id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&record));
    }
}

/// Nothing was promised of the records; the events are another matter.
#[tokio::test]
async fn begins_the_records_anew_where_they_are_damaged() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("records.db");
    let record = records::record(AT_MS, Some("a"), "invalid_json");
    let id = &record.request_id;
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::write(&file, "no database at all").unwrap(),
        &|| {
            let other = rusqlite::Connection::open(&file).unwrap();
            other.pragma_update(None, "user_version", 77).unwrap();
        },
        &|| {
            let length = std::fs::metadata(&file).unwrap().len();
            let damaged = vec![0xa5; usize::try_from(length).unwrap() - 100];
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[100..].copy_from_slice(&damaged);
            std::fs::write(&file, bytes).unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let subject = subject_in(directory.path(), START);
        records::keep(&subject, vec![record.clone()]).await;
        subject.store.close().await;
        drop(subject);
        damage();
        let subject = reopened(directory.path(), START).await;
        assert_eq!(subject.store.record(id).await.unwrap(), None, "{number}");
        records::keep(&subject, vec![record.clone()]).await;
        let found = subject.store.record(id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&record), "{number}");
        subject.store.close().await;
    }
}

#[tokio::test]
async fn keeps_records_in_memory_where_there_can_be_no_file() {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("records.db")).unwrap();
    let record = records::record(AT_MS, Some("a"), "invalid_json");
    let subject = subject_in(directory.path(), START);
    records::keep(&subject, vec![record.clone()]).await;
    let found = subject.store.record(&record.request_id).await.unwrap();
    assert_eq!(found, Some(record));
    subject.stored("a", &["t"]).await;
}

#[tokio::test]
async fn gives_greater_tokens_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    let mut before = subject.event("a", &["t"]);
    before.deliveries[0].lease = Some(LONG);
    let uid = before.uid;
    let old = only_lease(subject.accept(before).await);
    subject.store.close().await;

    let subject = subject_in(
        directory.path(),
        Timestamp::from_millis(START.as_millis() + 1),
    );
    let new = subject.claim_one("t").await;
    assert!(new.lease.token > old.token);
    let late = subject
        .settle_as(uid, "t", old.token, Outcome::Delivered)
        .await;
    assert_eq!(late, Settled::Lost);
}

#[tokio::test]
async fn is_for_one_process_at_a_time() {
    let directory = TempDir::new().unwrap();
    let (clock, _hand) = Clock::manual(START);
    let first = open(directory.path(), &clock, Durability::Always).unwrap();
    let error = open(directory.path(), &clock, Durability::Always).unwrap_err();
    assert!(error.contains("in use by another process"), "{error}");
    assert!(
        error.contains(directory.path().to_str().unwrap()),
        "{error}"
    );
    first.close().await;
    open(directory.path(), &clock, Durability::Always).unwrap();
}

#[tokio::test]
async fn opens_with_every_durability_and_keeps_what_was_accepted() {
    for durability in [Durability::Always, Durability::Everysec, Durability::Memory] {
        let directory = TempDir::new().unwrap();
        let (clock, _hand) = Clock::manual(START);
        let store = open(directory.path(), &clock, durability).unwrap();
        for n in 0..20 {
            let event = event(&n.to_string(), &["t"], START);
            store.accept(Arc::new(event)).await.unwrap();
        }
        store.close().await;
        let store = open(directory.path(), &clock, durability).unwrap();
        let depth = store.depth(&["t".into()]).await.unwrap();
        assert_eq!(depth[0].pending, 20, "{durability:?}");
    }
}

#[tokio::test]
async fn the_window_is_the_one_of_the_new_event() {
    let subject = subject().await;
    subject.stored("a", &["t"]).await;
    subject.advance(WINDOW / 2);
    let mut shorter = subject.event("a", &["t"]);
    shorter.dedupe_window = WINDOW / 2;
    let acceptance = subject.accept(shorter).await;
    assert!(matches!(acceptance, Acceptance::Accepted { .. }));
}

#[tokio::test]
async fn forgets_ids_and_says_how_many() {
    let subject = subject().await;
    for n in 0..300 {
        subject.delivered(&n.to_string(), "t").await;
    }
    let keep = Retention {
        age: 100 * WINDOW,
        bytes: u64::MAX,
    };
    assert_eq!(subject.store.expire(keep).await.unwrap().ids, 0);
    subject.advance(2 * WINDOW);
    let first = subject.store.expire(keep).await.unwrap();
    assert_eq!((first.ids, first.more), (300, true));
    let second = subject.store.expire(keep).await.unwrap();
    assert_eq!((second.ids, second.more), (0, false));
}

#[tokio::test]
async fn observes_every_accepted_event_in_some_commit() {
    let directory = TempDir::new().unwrap();
    let (clock, _hand) = Clock::manual(START);
    let metrics = metrics();
    let options = (Durability::Always, metrics.clone());
    let store = Arc::new(open_with(directory.path(), &clock, options.0, options.1).unwrap());
    let store = Arc::new(Metered::new(store, metrics.clone()));
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let (store, event) = (store.clone(), event(&(n / 2).to_string(), &["t"], START));
            tokio::spawn(async move { store.accept(Arc::new(event)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let text = metrics.render().unwrap();
    for line in [
        "hookgate_commit_batch_events_sum 50",
        "hookgate_store_operation_duration_seconds_count{operation=\"accept\"} 100",
        "hookgate_store_errors_total{operation=\"accept\"} 0",
        "hookgate_store_up 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line}");
    }
    store.close().await;
    store.ready().await.unwrap_err();
    let text = metrics.render().unwrap();
    for line in [
        "hookgate_store_up 0",
        "hookgate_store_errors_total{operation=\"ready\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line}");
    }
}

#[tokio::test]
async fn a_store_that_works_never_says_that_it_failed() {
    let subject = subject().await;
    subject.stored("a", &["t"]).await;
    assert_eq!(subject.store.failed().now_or_never(), None);
}

#[tokio::test]
async fn keeps_the_attempts_as_long_as_the_event() {
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    subject.stored("a", &["t"]).await;
    for _ in 0..HISTORY_MAX + 40 {
        let claimed = subject.claim_one("t").await;
        let retry = Outcome::Retry(Duration::ZERO);
        assert_eq!(subject.settle(&claimed, retry).await, Settled::Done);
    }
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    let kept = || -> i64 {
        let count = "SELECT count(*) FROM attempts WHERE status = 503";
        database.query_row(count, [], |row| row.get(0)).unwrap()
    };
    // The newest is in the delivery's own row.
    assert_eq!(kept().unsigned_abs() as usize, HISTORY_MAX - 1);
    let claimed = subject.claim_one("t").await;
    assert_eq!(claimed.attempts as usize, HISTORY_MAX + 40);
    subject.settle(&claimed, Outcome::Delivered).await;
    assert_eq!(subject.expire(LONG, 0).await, 1);
    assert_eq!(kept(), 0);
}

/// What `kill -9` now would leave, opened anew.
fn after_a_crash(subject: &Subject, directory: &Path) -> (Subject, TempDir) {
    let copy = TempDir::new().unwrap();
    for file in [DATABASE, "hookgate.db-wal"] {
        std::fs::copy(directory.join(file), copy.path().join(file)).unwrap();
    }
    (subject_in(copy.path(), subject.clock.now()), copy)
}

#[tokio::test]
async fn keeps_the_order_over_a_crash_at_every_step() {
    let directory = TempDir::new().unwrap();
    let mut subject = subject_in(directory.path(), START);
    let mut directory = directory;
    let mut uids = Vec::new();
    for id in ["1", "2", "3", "4"] {
        let event = in_order(subject.event(id, &["t"]), "k", id == "2");
        uids.push(event.uid);
        subject.accept(event).await;
    }
    let refused = Outcome::Dead(DeadReason::Refused);
    let steps = [
        ("1", Outcome::Released),
        ("1", Outcome::Retry(Duration::ZERO)),
        ("1", refused.clone()),
        ("2", Outcome::Delivered),
        ("3", Outcome::Retry(Duration::ZERO)),
        // The first was replayed meanwhile, and is before the fourth.
        ("3", Outcome::Delivered),
        ("1", Outcome::Delivered),
        ("4", Outcome::Delivered),
    ];
    for (n, (id, outcome)) in steps.into_iter().enumerate() {
        (subject, directory) = after_a_crash(&subject, directory.path());
        if n == 4 {
            assert_eq!(subject.replay(uids[0], "t").await, Replayed::Due);
            (subject, directory) = after_a_crash(&subject, directory.path());
        }
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.id, id, "step {n}");
        assert_eq!(subject.settle(&claimed, outcome).await, Settled::Done);
    }
    // The second held when it was dead, and does so over a crash.
    assert_eq!(subject.replay(uids[1], "t").await, Replayed::Due);
    let claimed = subject.claim_one("t").await;
    subject.settle(&claimed, refused).await;
    let (subject, _directory) = after_a_crash(&subject, directory.path());
    subject
        .accept(in_order(subject.event("5", &["t"]), "k", false))
        .await;
    assert!(subject.claim("t", 10).await.is_empty());
    subject.advance(2 * LONG);
    assert_eq!(subject.expire(LONG, u64::MAX).await, 4);
    assert_eq!(ids(&subject.claim("t", 10).await), ["5"]);
}

/// Copies of the files at any moment are what a kill would leave then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_within_a_request_leaves_all_of_its_events_or_none() {
    // More than the store takes of other calls at a time.
    const EVENTS: usize = 600;
    let directory = TempDir::new().unwrap();
    let subject = subject_in(directory.path(), START);
    let requests: Vec<Vec<_>> = (0..8)
        .map(|n| {
            let events =
                (0..EVENTS).map(|m| of_request(&subject, &format!("{n}-{m}"), &["t", "u"]));
            events.map(Arc::new).collect()
        })
        .collect();
    let store = subject.store.clone();
    let sent = requests.clone();
    let load = tokio::spawn(async move {
        for events in sent {
            store.accept_together(events).await.unwrap();
        }
    });
    let mut found = HashSet::new();
    loop {
        let over = load.is_finished();
        let (crashed, _copy) = after_a_crash(&subject, directory.path());
        let pending = crashed.depth("u").await.pending;
        let whole = usize::try_from(pending).unwrap() / EVENTS;
        assert_eq!(pending, (whole * EVENTS) as u64);
        for (number, events) in requests.iter().enumerate() {
            for event in [&events[0], &events[EVENTS - 1]] {
                assert_eq!(crashed.is_stored(event.uid).await, number < whole);
            }
        }
        found.insert(whole);
        if over {
            break;
        }
    }
    load.await.unwrap();
    assert!(found.contains(&requests.len()), "{found:?}");
}

/// SQLite would refuse the row, and with it all of the transaction.
#[tokio::test]
async fn an_event_too_big_for_the_table_takes_no_other_down_with_it() {
    let subject = subject().await;
    let mut events = ["a", "too big", "b"].map(|id| subject.event(id, &["t"]));
    // Never read, and so never in memory.
    events[1].body = vec![0; 1_000_000_001].into();
    let answers = subject.store.accept_all(events.map(Arc::new).into()).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, true]);
    assert_eq!(ids(&subject.claim("t", 10).await), ["a", "b"]);

    let mut events = ["c", "too big", "d"].map(|id| of_request(&subject, id, &["t"]));
    events[1].body = vec![0; 1_000_000_001].into();
    let request: Vec<_> = events.into_iter().map(Arc::new).collect();
    let refused = subject.store.accept_together(request.clone()).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(!subject.is_stored(request[0].uid).await);
    let rest = subject
        .store
        .accept_together(vec![request[0].clone(), request[2].clone()]);
    assert_eq!(rest.await.unwrap().len(), 2);
    assert_eq!(ids(&subject.claim("t", 10).await), ["c", "d"]);
}

/// More than one piece of the work, so that a group lies over two.
#[tokio::test]
async fn retires_groups_of_more_than_one_piece() {
    let subject = subject().await;
    let events = (0..2500).map(|n: u32| {
        let key = (n % 2).to_string();
        let event = subject.event(&n.to_string(), &["t"]);
        Arc::new(in_order(event, &key, true))
    });
    for accepted in subject.store.accept_all(events.collect()).await {
        accepted.unwrap();
    }
    assert_eq!(subject.claim("t", 10).await.len(), 2);
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec![]))
            .await
            .unwrap(),
        2500
    );
    let next = in_order(subject.event("next", &["t"]), "1", true);
    subject.accept(next).await;
    assert_eq!(ids(&subject.claim("t", 10).await), ["next"]);
}

#[tokio::test]
async fn keeps_a_hundred_replays_and_lets_ended_ones_go_for_new_ones() {
    let subject = subject().await;
    let save = async |replay: &Replay| subject.store.save_replay(replay).await;
    for id in 1..=100 {
        assert!(save(&replay(&subject, id)).await.unwrap());
        subject.advance(Duration::from_secs(1));
    }
    let refused = save(&replay(&subject, 101)).await;
    assert!(
        matches!(&refused, Err(StoreError::Full(why)) if why.contains("100 replays are running")),
        "{refused:?}"
    );
    let kept = subject.store.replays().await.unwrap();
    for ended in [&kept[7], &kept[3]] {
        subject.advance(Duration::from_secs(1));
        let ended = Replay {
            state: ReplayState::Done,
            ended_at: Some(subject.clock.now()),
            ..ended.clone()
        };
        assert!(save(&ended).await.unwrap());
    }
    assert!(save(&replay(&subject, 101)).await.unwrap());
    let kept = subject.store.replays().await.unwrap();
    let kept: Vec<_> = kept.iter().map(|replay| replay.id.as_u128()).collect();
    assert_eq!(kept.len(), 100);
    assert!(!kept.contains(&8) && kept.contains(&4) && kept.contains(&101));
    assert!(save(&replay(&subject, 102)).await.unwrap());
    assert!(save(&replay(&subject, 103)).await.is_err());
}

/// Claims are gone with the process, so that only the rows can tell how often and when to try again.
#[tokio::test]
async fn moves_a_retried_delivery_and_counts_its_attempts_over_restarts() {
    let directory = TempDir::new().unwrap();
    let mut now = START;
    let uid = subject_in(directory.path(), now).stored("a", &["t"]).await;
    for attempts in 0..3 {
        let subject = reopened(directory.path(), now).await;
        let claimed = subject.claim_one("t").await;
        assert_eq!(claimed.attempts, attempts);
        let retry = Outcome::Retry(LONG);
        assert_eq!(subject.settle(&claimed, retry).await, Settled::Done);
        assert_eq!(subject.depth("t").await.pending, 1);
        subject.store.close().await;

        let subject = reopened(directory.path(), now).await;
        let waiting = subject.claims("t", 10, LONG).await;
        assert!(waiting.claimed.is_empty());
        assert_eq!(waiting.next_due, [Some(LONG)]);
        let delivery = &subject.get(uid).await.deliveries[0];
        assert_eq!(delivery.state, DeliveryState::Pending);
        assert_eq!(delivery.attempts, attempts + 1);
        assert_eq!(
            delivery.last_attempt().cloned(),
            Some(attempt(now, Some(503)))
        );
        assert_eq!(subject.depth("t").await.pending, 1);
        subject.store.close().await;
        now = now.saturating_add(LONG);
    }
    let subject = reopened(directory.path(), now).await;
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec![]))
            .await
            .unwrap(),
        1
    );
    let delivery = &subject.get(uid).await.deliveries[0];
    let removed = DeliveryState::Dead(DeadReason::TargetRemoved);
    assert_eq!((delivery.state, delivery.attempts), (removed, 3));
    assert!(delivery.last_attempt().is_some());
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [None]);
}

#[tokio::test]
async fn makes_a_directory_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/data");
    let (clock, _hand) = Clock::manual(START);
    let _store = open(&directory, &clock, Durability::Memory).unwrap();
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
