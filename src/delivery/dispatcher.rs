//! Claims due deliveries for all targets and puts them into the targets' lanes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::store::{
    Claims, Store, StoreError, Want,
    handover::{Gate, Gates, Lanes, Origin, Seat},
};

/// The store is asked at least so often: other gateways leave deliveries behind, and die with claims.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A lane that would be asked for within this long is asked for along with others, so that the polls
/// of many targets fall together into one call.
const POLL_TOGETHER: Duration = Duration::from_millis(500);
/// Two polls of one lane are at least so far apart, however many retries fall due one by one: those that
/// fall due meanwhile are claimed together.
const POLL_APART: Duration = Duration::from_millis(20);
/// The same for those whose turn has come, which nothing but this wait keeps from the target: long enough that the
/// groups whose deliveries are settled meanwhile go on together.
const TURNS_APART: Duration = Duration::from_millis(5);
/// The waits while the store is away.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

pub(super) struct Dispatcher {
    store: Arc<dyn Store>,
    lanes: Arc<Lanes>,
    /// The lanes that there were at the last look.
    gates: Arc<Gates>,
    polls: Vec<Poll>,
    stop: CancellationToken,
}

/// When a lane's deliveries are next asked for.
struct Poll {
    gate: Arc<Gate>,
    at: Instant,
    /// When the store last answered.
    asked: Option<Instant>,
}

/// What one call asks for one lane.
struct Ask {
    /// The index of the lane's poll.
    poll: usize,
    /// The backlog's reports before the call.
    backlog_seen: u64,
    max: usize,
    /// Reserved before the call, so that what is claimed has its place.
    seats: Vec<Seat>,
}

impl Dispatcher {
    pub(super) fn new(store: Arc<dyn Store>, lanes: Arc<Lanes>, stop: CancellationToken) -> Self {
        Self {
            store,
            lanes,
            gates: Arc::default(),
            polls: Vec::new(),
            stop,
        }
    }

    /// Runs until the stop signal. A claim that is under way then is not cut off: what it brings would
    /// be nobody's until its lease ended.
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF_FIRST;
        while !self.stop.is_cancelled() {
            self.follow();
            match self.claim().await {
                Ok(()) => {
                    backoff = BACKOFF_FIRST;
                    self.rest().await;
                }
                Err(error) => {
                    tracing::warn!(%error, retry_in = ?backoff, "could not claim deliveries");
                    self.pause(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// A lane that is new is asked for at once: what was left over to it was told to nobody.
    fn follow(&mut self) {
        let gates = self.lanes.gates();
        if Arc::ptr_eq(&gates, &self.gates) {
            return;
        }
        self.gates = gates;
        let stays = |poll: &Poll| {
            let gate = self.gates.get(poll.gate.target());
            gate.is_some_and(|gate| Arc::ptr_eq(gate, &poll.gate))
        };
        self.polls.retain(stays);
        let polled: HashSet<_> = self.polls.iter().map(|poll| poll.gate.target()).collect();
        let is_new = |gate: &&Arc<Gate>| !polled.contains(gate.target());
        let new: Vec<_> = self.gates.values().filter(is_new).cloned().collect();
        let at = Instant::now();
        self.polls.extend(new.into_iter().map(|gate| Poll {
            gate,
            at,
            asked: None,
        }));
    }

    /// One call for all lanes that are due and have room.
    async fn claim(&mut self) -> Result<(), StoreError> {
        let asks = self.asks(Instant::now());
        if asks.is_empty() {
            return Ok(());
        }
        let wants: Vec<Want> = asks.iter().map(|ask| self.want(ask)).collect();
        let claims = self.store.claim(&wants).await?;
        self.hand_out(asks, claims);
        Ok(())
    }

    fn want(&self, ask: &Ask) -> Want {
        let gate = &self.polls[ask.poll].gate;
        Want {
            target: gate.target().clone(),
            max: ask.max,
            lease: gate.lease(),
        }
    }

    fn asks(&mut self, now: Instant) -> Vec<Ask> {
        if !self.polls.iter().any(|lane| lane.is_due(now)) {
            return Vec::new();
        }
        self.polls
            .iter_mut()
            .enumerate()
            .filter_map(|(index, lane)| lane.ask(index, now))
            .collect()
    }

    fn hand_out(&mut self, asks: Vec<Ask>, claims: Claims) {
        let now = Instant::now();
        let mut claimed: HashMap<_, Vec<_>> = HashMap::new();
        for one in claims.claimed {
            claimed.entry(one.target.clone()).or_default().push(one);
        }
        for (index, ask) in asks.into_iter().enumerate() {
            let lane = &mut self.polls[ask.poll];
            let mine = claimed.remove(lane.gate.target()).unwrap_or_default();
            let next_due = claims.next_due.get(index).copied().flatten();
            lane.plan(&ask, mine.len(), next_due, now);
            // A store that claims more than was asked for loses the rest when the leases end.
            for (seat, claimed) in ask.seats.into_iter().zip(mine) {
                seat.send(claimed, Origin::Store);
            }
        }
    }

    /// Sleeps until a lane is due or a worker, an acceptance or a settlement says so.
    async fn rest(&self) {
        let now = Instant::now();
        let next = self.polls.iter().filter_map(|lane| lane.due_at(now)).min();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        if next.is_some_and(|at| at <= now) {
            return;
        }
        tokio::select! {
            () = due => {}
            () = self.lanes.wake().notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

impl Poll {
    /// When this lane is reason enough for a call. `None`: not before its gate wakes the dispatcher.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        let admits_from = self.gate.admits_from(now)?;
        Some(self.wanted_at(now).max(admits_from))
    }

    /// The same, whatever the gate says.
    fn wanted_at(&self, now: Instant) -> Instant {
        let retry = self.gate.retry_due().unwrap_or(self.at);
        let mut at = retry.min(self.at).max(self.apart(POLL_APART, now));
        if self.gate.turn_passed() {
            at = at.min(self.apart(TURNS_APART, now));
        }
        if self.gate.backlog() != 0 && self.gate.half_free() {
            // Tokens come one by one: they are spent a few at a time.
            at = match self.gate.is_rated() {
                true => self.apart(POLL_APART, now),
                false => now,
            };
        }
        at
    }

    /// So long after the last call.
    fn apart(&self, wait: Duration, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| asked + wait)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due_at(now).is_some_and(|at| at <= now)
    }

    fn ask(&mut self, index: usize, now: Instant) -> Option<Ask> {
        let admits = self.gate.admits_from(now).is_some_and(|from| from <= now);
        if !admits || self.wanted_at(now) > now + POLL_TOGETHER {
            return None;
        }
        let backlog_seen = self.gate.backlog();
        // Without a backlog new events come straight into the lane: most of the room is left for them.
        let free = self.gate.free();
        let max = if backlog_seen == 0 {
            free.div_ceil(4)
        } else {
            free
        };
        let seats = self.gate.seats(max);
        if seats.is_empty() {
            // Full of new events: what is due in the store goes first as soon as there is room.
            self.gate.mark_backlog();
            self.gate.take_retry_due();
            self.at = now + POLL_EVERY;
            return None;
        }
        self.gate.take_retry_due();
        Some(Ask {
            poll: index,
            backlog_seen,
            max: seats.len(),
            seats,
        })
    }

    /// Fewer than asked for: nothing more is due. As many: more may be.
    fn plan(&mut self, ask: &Ask, claimed: usize, next_due: Option<Duration>, now: Instant) {
        self.at = now + next_due.map_or(POLL_EVERY, |due| due.min(POLL_EVERY));
        self.asked = Some(now);
        if claimed < ask.max {
            self.gate.clear_backlog(ask.backlog_seen);
        } else if next_due == Some(Duration::ZERO) {
            self.gate.mark_backlog();
            self.at = now + POLL_EVERY;
        }
    }
}
