//! A store under test, and what the cases make and ask of it.

use std::{any::Any, sync::Arc, time::Duration};

use bytes::Bytes;
use hookgate::{
    clock::{Clock, ClockHand, Timestamp},
    event::{
        AttemptRecord, BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup, Outcome,
        event_uid,
    },
    store::{
        Acceptance, Claimed, Claims, DeliveryName, Depth, Expired, Lease, Replayed, Retention,
        Settled, Settlement, Store, StoredEvent, Want,
    },
};
use uuid::Uuid;

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
/// A lease that ends by itself at once.
pub(crate) const SHORT: Duration = Duration::from_millis(1);
pub(crate) const WINDOW: Duration = Duration::from_secs(600);
/// Of the events that [`event`] makes.
pub(crate) const ROUTE: &str = "route";
const PATIENCE: Duration = Duration::from_secs(120);

/// An empty store with a clock that only the test moves.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    hand: ClockHand,
    /// What must live as long as the store, e.g. its directory or server.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Subject {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        hand: ClockHand,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self {
            store,
            clock,
            hand,
            _keep: Box::new(keep),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.hand.set(self.clock.now().saturating_add(by));
    }

    /// An event with this id for these targets, received now; its body is its id.
    pub(crate) fn event(&self, id: &str, targets: &[&str]) -> Event {
        event(id, targets, self.clock.now())
    }

    pub(crate) async fn accept(&self, event: Event) -> Acceptance {
        self.store.accept(Arc::new(event)).await.unwrap()
    }

    /// Accepts an event that must be new; returns its uid.
    pub(crate) async fn stored(&self, id: &str, targets: &[&str]) -> Uuid {
        let event = self.event(id, targets);
        let uid = event.uid;
        let leases = vec![None; targets.len()];
        assert_eq!(self.accept(event).await, Acceptance::Accepted { leases });
        uid
    }

    pub(crate) async fn claims(&self, target: &str, max: usize, lease: Duration) -> Claims {
        let wants = [want(target, max, lease)];
        let claims = self.store.claim(&wants).await.unwrap();
        assert_eq!(claims.next_due.len(), 1);
        claims
    }

    pub(crate) async fn claim(&self, target: &str, max: usize) -> Vec<Claimed> {
        self.claims(target, max, LONG).await.claimed
    }

    /// Claims the one delivery of this target that is due.
    pub(crate) async fn claim_one(&self, target: &str) -> Claimed {
        let mut claimed = self.claim(target, 10).await;
        assert_eq!(claimed.len(), 1, "deliveries due for {target}");
        claimed.remove(0)
    }

    /// Waits until the target has a delivery due, claimed by nobody.
    pub(crate) async fn until_due(&self, target: &str) {
        let due = async {
            while self.claims(target, 0, LONG).await.next_due != [Some(Duration::ZERO)] {
                // A store may end leases by the wall clock or by a monotonic one.
                self.advance(SHORT);
                tokio::time::sleep(SHORT).await;
            }
        };
        tokio::time::timeout(PATIENCE, due).await.unwrap();
    }

    pub(crate) async fn settle(&self, claimed: &Claimed, outcome: Outcome) -> Settled {
        let attempt = self.attempt_of(&outcome);
        let settlement = claimed.settlement(outcome, attempt);
        self.store.settle(settlement).await.unwrap()
    }

    /// What an attempt with this outcome leaves now.
    fn attempt_of(&self, outcome: &Outcome) -> Option<AttemptRecord> {
        match outcome {
            Outcome::Released | Outcome::Filtered => None,
            Outcome::Delivered => Some(attempt(self.clock.now(), Some(200))),
            Outcome::Retry(_) | Outcome::Dead(_) => Some(attempt(self.clock.now(), Some(503))),
        }
    }

    pub(crate) async fn settle_as(
        &self,
        uid: Uuid,
        target: &str,
        token: i64,
        outcome: Outcome,
    ) -> Settled {
        let settlement = Settlement {
            uid,
            route: ROUTE.into(),
            target: target.into(),
            order: None,
            token,
            attempt: self.attempt_of(&outcome),
            outcome,
        };
        self.store.settle(settlement).await.unwrap()
    }

    /// Replays one delivery.
    pub(crate) async fn replay(&self, uid: Uuid, target: &str) -> Replayed {
        let replayed = self
            .store
            .replay(&[delivery(uid, target)], None)
            .await
            .unwrap();
        assert_eq!(replayed.len(), 1);
        replayed[0]
    }

    /// Stores an event and delivers it.
    pub(crate) async fn delivered(&self, id: &str, target: &str) -> Uuid {
        let mut event = self.event(id, &[target]);
        event.deliveries[0].lease = Some(LONG);
        let uid = event.uid;
        let lease = only_lease(self.accept(event).await);
        let settled = self
            .settle_as(uid, target, lease.token, Outcome::Delivered)
            .await;
        assert_eq!(settled, Settled::Done);
        uid
    }

    pub(crate) async fn depth(&self, target: &str) -> Depth {
        let depth = self.store.depth(&[target.into()]).await.unwrap();
        assert_eq!(depth.len(), 1);
        depth[0]
    }

    pub(crate) async fn get(&self, uid: Uuid) -> StoredEvent {
        self.store.get(uid).await.unwrap().unwrap()
    }

    pub(crate) async fn is_stored(&self, uid: Uuid) -> bool {
        self.store.get(uid).await.unwrap().is_some()
    }

    /// Expires until nothing more is to be removed; returns how many events went.
    pub(crate) async fn expire(&self, age: Duration, bytes: u64) -> u64 {
        let mut events = 0;
        for _ in 0..10_000 {
            let expired: Expired = self.store.expire(Retention { age, bytes }).await.unwrap();
            events += expired.events;
            if !expired.more {
                return events;
            }
        }
        panic!("expiry never ends");
    }
}

pub(crate) fn event(id: &str, targets: &[&str], received_at: Timestamp) -> Event {
    let key = EventKey::new(ROUTE, id);
    let body = Bytes::copy_from_slice(id.as_bytes());
    let deliveries = targets.iter().map(|target| NewDelivery {
        target: (*target).into(),
        lease: None,
        order: None,
    });
    Event {
        uid: event_uid(key, received_at),
        key,
        route: ROUTE.into(),
        id: id.into(),
        event_type: Some("order.created".into()),
        credential: None,
        request_id: None,
        received_at,
        dedupe_window: WINDOW,
        content_type: Some("application/json".into()),
        headers: vec![("x-kept".into(), "yes".into())],
        digest: BodyDigest::of(&body),
        body,
        deliveries: deliveries.collect(),
        together: false,
    }
}

/// The same event of another route.
pub(crate) fn on_route(event: Event, route: &str) -> Event {
    let key = EventKey::new(route, &event.id);
    Event {
        uid: event_uid(key, event.received_at),
        key,
        route: route.into(),
        ..event
    }
}

/// Its deliveries wait for those of earlier events with this key.
pub(crate) fn in_order(mut event: Event, key: &str, hold: bool) -> Event {
    for delivery in &mut event.deliveries {
        let group = OrderGroup::new(&event.route, &delivery.target, key);
        delivery.order = Some(Order { group, hold });
    }
    event.together = true;
    event
}

pub(crate) fn delivery(uid: Uuid, target: &str) -> DeliveryName {
    let target = target.into();
    DeliveryName { uid, target }
}

pub(crate) fn with_body(mut event: Event, body: impl Into<Bytes>) -> Event {
    event.body = body.into();
    event.digest = BodyDigest::of(&event.body);
    event
}

pub(crate) fn attempt(started_at: Timestamp, status: Option<u16>) -> AttemptRecord {
    AttemptRecord {
        started_at,
        duration: Duration::from_millis(7),
        status,
        error: status.is_none().then(|| "connect: refused".to_owned()),
        response_head: Bytes::from_static(b"\x00head\xff"),
    }
}

pub(crate) fn want(target: &str, max: usize, lease: Duration) -> Want {
    Want {
        target: target.into(),
        max,
        lease,
    }
}

pub(crate) fn only_lease(acceptance: Acceptance) -> Lease {
    match acceptance {
        Acceptance::Accepted { leases } if leases.len() == 1 => leases[0].unwrap(),
        other => panic!("not one delivery: {other:?}"),
    }
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| &*claimed.event.id).collect()
}
