//! The wrapper on a spool as it is and a primary that does as it is told.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hookgate::{
    clock::{Clock, Timestamp},
    config::Durability,
    event::{BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup, event_uid},
    metrics::{Labels, Metrics},
    store::{
        Acceptance, Store, StoreError,
        embedded::{Embedded, Options},
        orphans::{Gone, Orphans},
        spooled::{Limits, Setup, Spooled},
    },
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;

use super::primary::{Mode, Primary};
use crate::support::{metrics, model::PATIENCE, wait_for};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(super) struct Rig {
    pub(super) primary: Arc<Primary>,
    pub(super) store: Arc<Spooled>,
    pub(super) spool: Arc<Embedded>,
    orphans: Arc<Orphans>,
    metrics: Arc<Metrics>,
    directory: Arc<TempDir>,
}

impl Rig {
    pub(super) async fn start(mode: Mode) -> Self {
        Self::on(Arc::new(TempDir::new().unwrap()), Primary::new(mode)).await
    }

    async fn on(directory: Arc<TempDir>, primary: Arc<Primary>) -> Self {
        let metrics = no_series();
        let clock = Clock::system();
        let options = Options {
            directory: directory.path().join("spool"),
            durability: Durability::Always,
        };
        let spool = Embedded::open(options, clock.clone(), metrics.clone()).unwrap();
        let spool = Arc::new(spool);
        let orphans = Arc::new(Orphans::default());
        let setup = Setup {
            primary: primary.clone(),
            spool: spool.clone(),
            limits: Arc::new(ArcSwap::from_pointee(Limits {
                body_max: 1 << 20,
                retention: Duration::from_secs(3600),
            })),
            orphans: orphans.clone(),
            metrics: metrics.clone(),
            clock,
        };
        Self {
            primary,
            store: Arc::new(Spooled::start(setup).await.unwrap()),
            spool,
            orphans,
            metrics,
            directory,
        }
    }

    async fn accept(&self, event: Event) -> Acceptance {
        self.store.accept(Arc::new(event)).await.unwrap()
    }

    pub(super) async fn accepted(&self, event: Event) {
        let leases = vec![None; event.deliveries.len()];
        assert_eq!(self.accept(event).await, Acceptance::Accepted { leases });
    }

    /// The ids that the primary has, in order of acceptance.
    pub(super) fn ids(&self) -> Vec<String> {
        let accepted = self.primary.accepted();
        accepted.iter().map(|event| event.id.to_string()).collect()
    }

    pub(super) fn sorted_ids(&self) -> Vec<String> {
        let mut ids = self.ids();
        ids.sort();
        ids
    }

    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let scraped = metrics::Metrics::parse(&self.metrics.render().unwrap());
        scraped.value(name, labels).unwrap()
    }

    pub(super) fn moved(&self, result: &str) -> f64 {
        self.metric("hookgate_spool_moved_total", &[("result", result)])
    }

    /// Waits until everything has left the spool.
    pub(super) async fn emptied(&self) {
        wait_for("an empty spool", async || {
            let left: f64 = ["accepted", "duplicate", "corrupt"]
                .iter()
                .map(|r| self.moved(r))
                .sum();
            let all = left >= self.metric("hookgate_spool_accepted_total", &[]);
            (all && self.metric("hookgate_spool_events", &[]) == 0.0).then_some(())
        })
        .await;
    }

    pub(super) async fn stop(self) -> (Arc<TempDir>, Arc<Primary>) {
        self.store.close().await;
        (self.directory, self.primary)
    }
}

/// Of no route and no target.
pub(super) fn no_series() -> Arc<Metrics> {
    let labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    Arc::new(Metrics::new(&labels).unwrap())
}

pub(super) fn event(id: &str) -> Event {
    let key = EventKey::new("route", id);
    let body = Bytes::from(format!("\x00{id}\u{ff}"));
    Event {
        uid: event_uid(key, START),
        key,
        route: "route".into(),
        id: id.into(),
        event_type: Some("push".into()),
        credential: None,
        request_id: None,
        received_at: START,
        dedupe_window: Duration::from_secs(600),
        content_type: Some("text/plain".into()),
        headers: vec![("x-kept".into(), "yes".into())],
        digest: BodyDigest::of(&body),
        body,
        deliveries: vec![
            NewDelivery::to("crm".into()),
            NewDelivery::to("audit".into()),
        ],
        together: false,
    }
}

/// Of a route with `order_by`.
pub(super) fn ordered(id: &str) -> Event {
    let mut event = event(id);
    event.together = true;
    event.deliveries[0].order = Some(Order {
        group: OrderGroup::new("route", "crm", "customer"),
        hold: true,
    });
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_moved_as_it_was_accepted() {
    let rig = Rig::start(Mode::Away).await;
    let mut sent = ordered("a");
    sent.deliveries[1].lease = Some(Duration::from_secs(60));
    sent.credential = Some("secret#2+bearer".into());
    rig.accepted(sent.clone()).await;
    assert_eq!(rig.ids(), [""; 0]);
    rig.primary.set(Mode::Up);
    rig.emptied().await;
    let accepted = rig.primary.accepted();
    let [moved] = &accepted[..] else {
        panic!("{accepted:?}");
    };
    sent.deliveries[1].lease = None;
    assert_eq!((moved.uid, moved.key), (sent.uid, sent.key));
    assert_eq!((&moved.route, &moved.id), (&sent.route, &sent.id));
    assert_eq!(moved.event_type, sent.event_type);
    assert_eq!(moved.credential, sent.credential);
    assert_eq!(moved.received_at, sent.received_at);
    assert_eq!(moved.dedupe_window, sent.dedupe_window);
    assert_eq!(moved.content_type, sent.content_type);
    assert_eq!(moved.headers, sent.headers);
    assert_eq!((&moved.body, moved.digest), (&sent.body, sent.digest));
    assert_eq!(moved.deliveries, sent.deliveries);
    assert!(moved.together);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_room_is_away_until_it_takes_an_event() {
    let rig = Rig::start(Mode::Full).await;
    let mut expected = Vec::new();
    // It says that it is ready, and is not believed.
    wait_for("two probes", async || {
        let id = format!("{:03}", expected.len());
        rig.accepted(event(&id)).await;
        expected.push(id);
        (rig.primary.probes() > 1).then_some(())
    })
    .await;
    assert_eq!(rig.ids(), [""; 0]);
    rig.store.ready().await.unwrap();
    rig.primary.set(Mode::Up);
    rig.emptied().await;
    assert_eq!(rig.sorted_ids(), expected);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_without_an_answer_is_a_duplicate_of_itself() {
    let rig = Rig::start(Mode::Mute).await;
    rig.accepted(event("a")).await;
    assert_eq!(rig.ids(), ["a"]);
    rig.primary.set(Mode::Up);
    rig.emptied().await;
    assert_eq!(rig.ids(), ["a"]);
    assert_eq!((rig.moved("accepted"), rig.moved("duplicate")), (1.0, 0.0));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_is_answered_with_the_first_ones_uid_and_whether_the_body_is_the_same() {
    let rig = Rig::start(Mode::Away).await;
    rig.accepted(event("a")).await;
    let mut again = event("a");
    again.received_at = START.saturating_add(Duration::from_secs(5));
    again.uid = event_uid(again.key, again.received_at);
    let expected = |same_body| Acceptance::Duplicate {
        uid: event("a").uid,
        first_received_at: START,
        same_body,
    };
    assert_eq!(rig.accept(again.clone()).await, expected(true));
    again.body = Bytes::from_static(b"other");
    again.digest = BodyDigest::of(&again.body);
    assert_eq!(rig.accept(again).await, expected(false));
    rig.stop().await;
}

/// Ordered events, one after the other, while the primary comes and goes: each is answered before the next is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_events_keep_their_order_through_outages() {
    let rig = Rig::start(Mode::Up).await;
    let mut expected = Vec::new();
    for round in 0..8 {
        for number in 0..60 {
            match number {
                20 => rig.primary.set(Mode::Away),
                40 => rig.primary.set(Mode::Falters(round)),
                // So that some outages end while events come, and some go on.
                59 if round % 2 == 0 => rig.emptied_again().await,
                _ => {}
            }
            let id = format!("{round}-{number}");
            rig.accepted(ordered(&id)).await;
            expected.push(id);
        }
    }
    rig.emptied_again().await;
    assert_eq!(rig.ids(), expected);
    rig.stop().await;
}

impl Rig {
    async fn emptied_again(&self) {
        self.primary.set(Mode::Up);
        self.emptied().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_goes_away_after_every_call_gets_everything_once() {
    let rig = Rig::start(Mode::Away).await;
    let events: Vec<_> = (0..300).map(|number| event(&number.to_string())).collect();
    let asked = events.iter().cloned().map(Arc::new).collect();
    for answer in rig.store.accept_all(asked).await {
        let leases = vec![None; 2];
        assert_eq!(answer.unwrap(), Acceptance::Accepted { leases });
    }
    while rig.ids().len() < events.len() {
        rig.primary.set(Mode::Falters(3));
        wait_for("a primary that is away", async || {
            let done = rig.ids().len() == events.len();
            (done || rig.primary.mode() == Mode::Away).then_some(())
        })
        .await;
    }
    rig.emptied_again().await;
    let mut expected: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
    expected.sort();
    assert_eq!(rig.sorted_ids(), expected);
    assert_eq!(rig.moved("accepted"), 300.0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_primary_never_takes_does_not_hold_up_the_others() {
    let rig = Rig::start(Mode::Away).await;
    for id in ["never", "a", "b"] {
        rig.accepted(event(id)).await;
    }
    rig.primary.set(Mode::Never("never".into()));
    wait_for("the others", async || {
        (rig.sorted_ids() == ["a", "b"]).then_some(())
    })
    .await;
    // Not lost either.
    wait_for("one event that waits", async || {
        (rig.metric("hookgate_spool_events", &[]) == 1.0).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_becomes_a_dead_letter_and_the_others_are_moved() {
    let rig = Rig::start(Mode::Away).await;
    for id in ["damaged", "whole"] {
        rig.accepted(event(id)).await;
    }
    let (directory, primary) = rig.stop().await;
    damage(&directory.path().join("spool"), "damaged");
    primary.set(Mode::Up);
    let rig = Rig::on(directory, primary).await;
    wait_for("the whole one", async || {
        (rig.ids() == ["whole"] && rig.moved("corrupt") == 1.0).then_some(())
    })
    .await;
    wait_for("nothing that waits", async || {
        (rig.metric("hookgate_spool_events", &[]) == 0.0).then_some(())
    })
    .await;
    let depth = rig.spool.depth(&[":primary".into()]).await.unwrap();
    assert_eq!((depth[0].pending, depth[0].dead), (0, 1));
    rig.stop().await;
}

/// Changes one byte of a body on the disk.
fn damage(directory: &Path, id: &str) {
    let database = Connection::open(directory.join("hookgate.db")).unwrap();
    let body = event(id).body.to_vec();
    let mut other = body.clone();
    other[1] ^= 1;
    let changed = database
        .execute("UPDATE events SET body = ?1 WHERE body = ?2", (other, body))
        .unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_targets_are_retired_once_nothing_waits_for_them() {
    let rig = Rig::start(Mode::Away).await;
    rig.accepted(event("a")).await;
    let (directory, primary) = rig.stop().await;

    let rig = Rig::on(directory, primary).await;
    let gone = Gone::AllBut(vec!["crm".into()]);
    assert_eq!(rig.store.retire_targets(&gone).await.unwrap(), 0);
    assert_eq!(rig.primary.retired().len(), 0);
    rig.primary.set(Mode::Up);
    // By then there may be other targets: those that are told then are the known ones.
    let told = timeout(PATIENCE, rig.orphans.notified()).await;
    assert!(told.is_ok(), "nobody told that the spool is empty");
    assert_eq!(rig.ids(), ["a"]);
    assert_eq!(rig.primary.retired().len(), 0);
    let gone = rig.orphans.take().gone(&["crm".into(), "new".into()]);
    assert_eq!(gone, Gone::AllBut(vec!["crm".into(), "new".into()]));
    assert_eq!(rig.store.retire_targets(&gone).await.unwrap(), 1);
    assert_eq!(rig.primary.retired(), [gone]);
    // Once.
    rig.accepted(event("b")).await;
    rig.emptied().await;
    let told = timeout(Duration::ZERO, rig.orphans.notified()).await;
    assert!(told.is_err(), "nothing was to be retired");
    // Of those that were named, no others.
    let named = Gone::These(vec!["crm".into()]);
    rig.primary.set(Mode::Away);
    assert_eq!(rig.store.retire_targets(&named).await.unwrap(), 0);
    rig.primary.set(Mode::Up);
    let told = timeout(PATIENCE, rig.orphans.notified()).await;
    assert!(told.is_ok(), "nobody told that the store is back");
    assert_eq!(rig.orphans.take().gone(&[]), named);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_spool_takes_nothing_either_it_is_an_error_and_no_event() {
    let rig = Rig::start(Mode::Away).await;
    rig.spool.close().await;
    let told = rig.store.accept(Arc::new(event("a"))).await.unwrap_err();
    assert!(matches!(told, StoreError::Unavailable(_)), "{told}");
    assert!(told.to_string().contains("also the spool"), "{told}");
    rig.store.ready().await.unwrap_err();
    assert_eq!(rig.metric("hookgate_spool_accepted_total", &[]), 0.0);
}
