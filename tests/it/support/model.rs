//! A store in memory that keeps the trait's contract, for tests that look at what becomes of deliveries.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use hookgate::{
    clock::{Clock, Timestamp},
    event::{
        AttemptRecord, DeadReason, DeliveryState, Event, EventKey, Order, Outcome, RouteName,
        TargetName,
    },
    store::{
        Acceptance, Claimed, Claims, DeliveryName, Depth, Expired, KeptSecret, Lease, Replayed,
        Retention, Settled, Settlement, Store, StoreError, StoredDelivery, StoredEvent, Want,
        listing::{EventSummary, Page, Query},
        orphans::Gone,
        records::{Record, RecordPage, RecordQuery},
        replays::Replay,
    },
};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// Events that one call of [`Store::list`] looks at.
const LOOKED_AT: usize = 20;

/// How long any wait of a test may take before it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Model {
    rows: Mutex<Rows>,
    /// Everything that was settled, in order.
    settled: watch::Sender<Vec<Settlement>>,
    /// The targets whose depth was last asked for.
    measured: watch::Sender<Vec<TargetName>>,
    /// Acceptances wait here when they are held.
    accepting: Semaphore,
    listing: Semaphore,
    /// How often events were listed.
    listed: watch::Sender<usize>,
    settles_to_fail: AtomicUsize,
    settles_to_panic: AtomicUsize,
    claims_to_fail: AtomicUsize,
    pauses_to_fail: AtomicUsize,
    claimed: AtomicUsize,
}

#[derive(Default)]
struct Rows {
    first: HashMap<EventKey, Arc<Event>>,
    /// In order of acceptance.
    events: Vec<Arc<Event>>,
    replays: Vec<Replay>,
    secrets: Vec<KeptSecret>,
    records: BTreeMap<String, Record>,
    paused: BTreeSet<TargetName>,
    deliveries: Vec<Row>,
    last_token: i64,
    leases_to_shorten: usize,
}

struct Row {
    event: Arc<Event>,
    target: TargetName,
    order: Option<Order>,
    attempts: u32,
    history: Vec<AttemptRecord>,
    replayed_at: Option<Timestamp>,
    state: DeliveryState,
    due: Instant,
    /// The claim that may settle it; `due` is when it ends.
    token: Option<i64>,
}

impl Model {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            settled: watch::Sender::new(Vec::new()),
            measured: watch::Sender::new(Vec::new()),
            accepting: Semaphore::new(Semaphore::MAX_PERMITS),
            listing: Semaphore::new(Semaphore::MAX_PERMITS),
            listed: watch::Sender::new(0),
            settles_to_fail: AtomicUsize::new(0),
            settles_to_panic: AtomicUsize::new(0),
            claims_to_fail: AtomicUsize::new(0),
            pauses_to_fail: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
        })
    }

    /// A store whose acceptances wait for [`Model::let_accept`].
    pub(crate) fn holding_accepts() -> Arc<Self> {
        let mut model = Self::new();
        Arc::get_mut(&mut model).unwrap().accepting = Semaphore::new(0);
        model
    }

    pub(crate) fn let_accept(&self, events: usize) {
        self.accepting.add_permits(events);
    }

    /// From now on lists are made, and given out with [`Model::let_list`].
    pub(crate) fn hold_lists(&self) {
        self.listing.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) async fn wait_for_listed(&self, more_than: usize) {
        let mut listed = self.listed.subscribe();
        let in_time = tokio::time::timeout(PATIENCE, listed.wait_for(|n| *n > more_than)).await;
        assert!(in_time.is_ok(), "nothing was listed");
    }

    pub(crate) fn listed(&self) -> usize {
        *self.listed.borrow()
    }

    pub(crate) fn let_list(&self) {
        self.listing.add_permits(Semaphore::MAX_PERMITS);
    }

    /// The next `count` settlements fail.
    pub(crate) fn fail_settles(&self, count: usize) {
        self.settles_to_fail.store(count, Ordering::SeqCst);
    }

    /// How many settlements are yet to fail.
    pub(crate) fn settles_to_fail(&self) -> usize {
        self.settles_to_fail.load(Ordering::SeqCst)
    }

    /// The next `count` settlements panic.
    pub(crate) fn panic_at_settles(&self, count: usize) {
        self.settles_to_panic.store(count, Ordering::SeqCst);
    }

    /// How many settlements are yet to panic.
    pub(crate) fn settles_to_panic(&self) -> usize {
        self.settles_to_panic.load(Ordering::SeqCst)
    }

    /// The next `count` claims fail.
    pub(crate) fn fail_claims(&self, count: usize) {
        self.claims_to_fail.store(count, Ordering::SeqCst);
    }

    /// The next `count` times it cannot tell which targets are paused.
    pub(crate) fn fail_pauses(&self, count: usize) {
        self.pauses_to_fail.store(count, Ordering::SeqCst);
    }

    /// The next `count` leases are a second long, whatever is asked for.
    pub(crate) fn shorten_leases(&self, count: usize) {
        self.rows.lock().unwrap().leases_to_shorten = count;
    }

    /// The replays that are kept.
    pub(crate) fn kept_replays(&self) -> Vec<Replay> {
        self.rows.lock().unwrap().replays.clone()
    }

    /// How many deliveries were ever claimed by [`Store::claim`].
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::SeqCst)
    }

    /// Deliveries of a target that are pending and nobody's.
    pub(crate) fn waiting(&self, target: &str) -> usize {
        let rows = self.rows.lock().unwrap();
        rows.deliveries
            .iter()
            .filter(|row| &*row.target == target && row.token.is_none())
            .filter(|row| row.state == DeliveryState::Pending)
            .count()
    }

    pub(crate) fn settled(&self) -> Vec<Settlement> {
        self.settled.borrow().clone()
    }

    /// Waits until the depth of just these was asked for.
    pub(crate) async fn wait_for_measured(&self, targets: &[&str]) {
        let mut measured = self.measured.subscribe();
        let these = measured.wait_for(|names| {
            names.len() == targets.len() && names.iter().all(|name| targets.contains(&&**name))
        });
        let in_time = tokio::time::timeout(PATIENCE, these).await;
        assert!(in_time.is_ok(), "{:?}", self.measured.borrow());
    }

    /// Waits until so many settlements fit.
    pub(crate) async fn wait_for(&self, count: usize, fits: impl Fn(&Settlement) -> bool) {
        let mut settled = self.settled.subscribe();
        let enough = settled.wait_for(|all| all.iter().filter(|one| fits(one)).count() >= count);
        let in_time = tokio::time::timeout(PATIENCE, enough).await;
        assert!(
            in_time.is_ok(),
            "only these were settled: {:?}",
            self.settled()
        );
    }

    pub(crate) async fn wait_for_settled(&self, count: usize) -> Vec<Settlement> {
        self.wait_for(count, |_| true).await;
        self.settled()
    }
}

impl Rows {
    fn lease(&mut self, row: usize, mut length: Duration) -> Lease {
        if let Some(left) = self.leases_to_shorten.checked_sub(1) {
            self.leases_to_shorten = left;
            length = Duration::from_secs(1);
        }
        self.last_token += 1;
        let ends = Instant::now() + length;
        let row = &mut self.deliveries[row];
        (row.due, row.token) = (ends, Some(self.last_token));
        Lease {
            token: self.last_token,
            ends,
        }
    }

    /// Whether an earlier delivery of its group has the turn.
    fn waits_for_turn(&self, index: usize) -> bool {
        let Some(order) = self.deliveries[index].order else {
            return false;
        };
        self.deliveries[..index].iter().any(|earlier| {
            earlier.order.is_some_and(|o| o.group == order.group)
                && match earlier.state {
                    DeliveryState::Pending => true,
                    DeliveryState::Delivered | DeliveryState::Filtered => false,
                    DeliveryState::Dead(_) => order.hold,
                }
        })
    }

    fn summary(&self, event: &Event) -> EventSummary {
        EventSummary {
            uid: event.uid,
            route: event.route.clone(),
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            credential: event.credential.clone(),
            request_id: event.request_id.clone(),
            received_at: event.received_at,
            body_bytes: event.body.len(),
            deliveries: self.stored(event.uid),
        }
    }

    fn stored(&self, uid: Uuid) -> Vec<StoredDelivery> {
        let rows = self.deliveries.iter().filter(|row| row.event.uid == uid);
        rows.map(|row| StoredDelivery {
            target: row.target.clone(),
            state: row.state,
            attempts: row.attempts,
            history: row.history.clone(),
            replayed_at: row.replayed_at,
        })
        .collect()
    }

    fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let start = match &query.cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| StoreError::BadCursor)?,
        };
        let mut page = Page::default();
        for at in start..self.events.len() {
            if at == start + LOOKED_AT || page.events.len() == query.limit {
                page.next = Some(at.to_string());
                break;
            }
            let event = match query.newest_first {
                true => &self.events[self.events.len() - 1 - at],
                false => &self.events[at],
            };
            let summary = self.summary(event);
            if query.filter.matches(&summary) {
                page.events.push(summary);
            }
        }
        Ok(page)
    }

    fn replay(&mut self, name: &DeliveryName, unless_since: Option<Timestamp>) -> Replayed {
        let mut rows = self.deliveries.iter_mut();
        let named = |row: &&mut Row| row.event.uid == name.uid && row.target == name.target;
        match rows.find(named) {
            None => Replayed::Unknown,
            Some(row) if row.state == DeliveryState::Pending => Replayed::Pending,
            Some(row) if unless_since.is_some() && row.replayed_at >= unless_since => {
                Replayed::Since
            }
            Some(row) => {
                row.state = DeliveryState::Pending;
                row.attempts = 0;
                row.due = Instant::now();
                row.replayed_at = Some(Clock::system().now());
                Replayed::Due
            }
        }
    }

    fn save_replay(&mut self, replay: &Replay) -> bool {
        let mut kept = replay.clone();
        kept.revision += 1;
        let found = self.replays.iter_mut().find(|other| other.id == replay.id);
        match found {
            None if replay.revision == 0 => self.replays.push(kept),
            Some(found) if found.revision == replay.revision => *found = kept,
            _ => return false,
        }
        true
    }

    fn pending<'a>(&'a self, target: &'a str) -> impl Iterator<Item = (usize, &'a Row)> {
        self.deliveries
            .iter()
            .enumerate()
            .filter(move |(_, row)| &*row.target == target && row.state == DeliveryState::Pending)
    }

    fn accept(&mut self, event: &Arc<Event>) -> Acceptance {
        if let Some(first) = self.first.get(&event.key) {
            return Acceptance::Duplicate {
                uid: first.uid,
                first_received_at: first.received_at,
                same_body: first.digest == event.digest,
            };
        }
        self.first.insert(event.key, event.clone());
        self.events.push(event.clone());
        let mut leases = Vec::new();
        for delivery in &event.deliveries {
            self.deliveries.push(Row {
                event: event.clone(),
                target: delivery.target.clone(),
                order: delivery.order,
                attempts: 0,
                history: Vec::new(),
                replayed_at: None,
                state: DeliveryState::Pending,
                due: Instant::now(),
                token: None,
            });
            let row = self.deliveries.len() - 1;
            let asked = delivery.lease.filter(|_| !self.waits_for_turn(row));
            leases.push(asked.map(|length| self.lease(row, length)));
        }
        Acceptance::Accepted { leases }
    }

    fn claim(&mut self, want: &Want, claims: &mut Claims) {
        let now = Instant::now();
        let mut due: Vec<(Instant, usize)> = self
            .pending(&want.target)
            .filter(|(index, row)| row.due <= now && !self.waits_for_turn(*index))
            .map(|(index, row)| (row.due, index))
            .collect();
        due.sort();
        // Each route's first, then each route's second, and so on.
        let mut of_route: HashMap<_, usize> = HashMap::new();
        due.sort_by_cached_key(|(_, index)| {
            let route = self.deliveries[*index].event.route.clone();
            let rank = of_route.entry(route).or_default();
            *rank += 1;
            *rank
        });
        for (_, index) in due.into_iter().take(want.max) {
            let lease = self.lease(index, want.lease);
            let row = &self.deliveries[index];
            claims.claimed.push(Claimed {
                event: row.event.clone(),
                target: row.target.clone(),
                attempts: row.attempts,
                lease,
                order: row.order,
                replayed_at: row.replayed_at,
            });
        }
        let pending = self.pending(&want.target);
        let turns = pending.filter(|(index, _)| !self.waits_for_turn(*index));
        let next = turns.map(|(_, row)| row.due).min();
        claims
            .next_due
            .push(next.map(|due| due.saturating_duration_since(now)));
    }

    fn settle(&mut self, settlement: &Settlement) -> Settled {
        let row = self.deliveries.iter_mut().find(|row| {
            row.event.uid == settlement.uid
                && row.target == settlement.target
                && row.state == DeliveryState::Pending
                && row.token == Some(settlement.token)
        });
        let Some(row) = row else {
            return Settled::Lost;
        };
        row.token = None;
        row.due = Instant::now();
        row.attempts += u32::from(settlement.attempt.is_some());
        row.history.extend(settlement.attempt.clone());
        match settlement.outcome {
            Outcome::Delivered => row.state = DeliveryState::Delivered,
            Outcome::Dead(reason) => row.state = DeliveryState::Dead(reason),
            Outcome::Filtered => row.state = DeliveryState::Filtered,
            Outcome::Retry(wait) => row.due += wait,
            Outcome::Released => {}
        }
        Settled::Done
    }
}

impl Model {
    /// Holds them until so many may be accepted.
    async fn rows_for(&self, events: usize) -> MutexGuard<'_, Rows> {
        let events = u32::try_from(events).unwrap();
        self.accepting.acquire_many(events).await.unwrap().forget();
        self.rows.lock().unwrap()
    }

    fn settle_one(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        told_to_fail(&self.settles_to_panic).unwrap();
        told_to_fail(&self.settles_to_fail)?;
        let settled = self.rows.lock().unwrap().settle(&settlement);
        if settled == Settled::Done {
            self.settled.send_modify(|all| all.push(settlement));
        }
        Ok(settled)
    }
}

#[async_trait]
impl Store for Model {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let mut answers = Vec::new();
        for event in events {
            answers.push(Ok(self.rows_for(1).await.accept(&event)));
        }
        answers
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let mut rows = self.rows_for(events.len()).await;
        Ok(events.iter().map(|event| rows.accept(event)).collect())
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let is_new = rows.secrets.iter().all(|other| other.route != kept.route);
        rows.secrets.extend(is_new.then(|| kept.clone()));
        Ok(is_new)
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        Ok(self.rows.lock().unwrap().secrets.clone())
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.secrets.len();
        rows.secrets.retain(|kept| kept.route != *route);
        Ok(rows.secrets.len() < before)
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        told_to_fail(&self.claims_to_fail)?;
        let mut claims = Claims::default();
        let mut rows = self.rows.lock().unwrap();
        for want in wants {
            rows.claim(want, &mut claims);
        }
        self.claimed
            .fetch_add(claims.claimed.len(), Ordering::SeqCst);
        Ok(claims)
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        settlements
            .into_iter()
            .map(|settlement| self.settle_one(settlement))
            .collect()
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        self.measured.send_replace(targets.to_vec());
        let rows = self.rows.lock().unwrap();
        let depth = |target: &TargetName| {
            let dead =
                |row: &&Row| row.target == *target && matches!(row.state, DeliveryState::Dead(_));
            Depth {
                pending: rows.pending(target).count() as u64,
                dead: rows.deliveries.iter().filter(dead).count() as u64,
                oldest_due: Duration::ZERO,
            }
        };
        Ok(targets.iter().map(depth).collect())
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let Some(event) = rows.first.values().find(|event| event.uid == uid) else {
            return Ok(None);
        };
        Ok(Some(StoredEvent {
            event: event.clone(),
            deliveries: rows.stored(uid),
        }))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let page = self.rows.lock().unwrap().list(query);
        self.listed.send_modify(|listed| *listed += 1);
        drop(self.listing.acquire().await.unwrap());
        page
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        Ok(deliveries
            .iter()
            .map(|name| rows.replay(name, unless_since))
            .collect())
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        Ok(self.rows.lock().unwrap().replays.clone())
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        Ok(self.rows.lock().unwrap().save_replay(replay))
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap();
        rows.replays.retain(|replay| replay.id != id);
        Ok(())
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap();
        for record in records {
            let id = record.request_id.clone();
            rows.records.entry(id).or_insert(record);
        }
        Ok(())
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.rows.lock().unwrap().records.get(request_id).cloned())
    }

    /// All in one page.
    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        let rows = self.rows.lock().unwrap();
        let matching = rows.records.values().rev();
        let matching = matching.filter(|record| query.filter.matches(record));
        Ok(RecordPage {
            records: matching.cloned().collect(),
            next: None,
        })
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        self.rows.lock().unwrap().paused.insert(target.clone());
        Ok(())
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        Ok(self.rows.lock().unwrap().paused.remove(target))
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        told_to_fail(&self.pauses_to_fail)?;
        Ok(self.rows.lock().unwrap().paused.iter().cloned().collect())
    }

    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let pending = rows
            .deliveries
            .iter_mut()
            .filter(|row| row.state == DeliveryState::Pending && gone.has(&row.target));
        let retire = |row: &mut Row| {
            row.state = DeliveryState::Dead(DeadReason::TargetRemoved);
            row.token = None;
        };
        Ok(pending.map(retire).count() as u64)
    }

    async fn expire(&self, _: Retention) -> Result<Expired, StoreError> {
        Ok(Expired::default())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }

    async fn close(&self) {}
}

/// Counts down; an error until the count is zero.
fn told_to_fail(times: &AtomicUsize) -> Result<(), StoreError> {
    let take_one = |left: usize| left.checked_sub(1);
    match times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one) {
        Ok(_) => Err(StoreError::Unavailable("told to fail".into())),
        Err(_) => Ok(()),
    }
}
