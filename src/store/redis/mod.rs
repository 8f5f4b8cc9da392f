//! The Redis store: one Lua script an operation, every key of a call in one slot.
//!
//! Time comes from Redis, so that gateways whose clocks differ agree on leases; only the dedupe window is
//! measured by the events' own `received_at`. `common.lua` says how the data is laid out.

mod accept;
mod batch;
mod claim;
mod connection;
mod convert;
mod encoding;
mod error;
mod format;
mod list;
mod locator;
mod pauses;
mod record;
mod replay;
mod requests;
mod rounds;
mod scripts;
mod secrets;
mod settings;
mod settle;
mod shard;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    accept::Arrival,
    connection::{Connection, Server},
    error::unexpected,
    locator::Nodes,
    rounds::{Left, Rounds},
    scripts::Scripts,
    shard::{Keys, Shard},
};
use super::{
    Acceptance, Claimed, Claims, DeliveryName, Depth, Expired, KeptSecret, OpenError, Replayed,
    Retention, Settled, Settlement, Store, StoreError, StoredEvent, Want, check_together,
    listing::{Page, Query},
    orphans::Gone,
    records::{Record, RecordPage, RecordQuery},
    replays::Replay,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{Durability, RedisUrl},
    event::{Event, RouteName, TargetName},
    metrics::Metrics,
};

/// How long a call may take, waiting for its turn and for a reconnect included.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Deliveries that one call of the retire script settles.
const RETIRED_A_CALL: usize = 500;
/// Events that one call of [`Store::expire`] removes.
const EXPIRED_A_CALL: usize = 200;

/// What a store in Redis is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    pub servers: RedisUrl,
    pub durability: Durability,
    /// Parts that the events are spread over, each in one slot of a cluster: at least 1, and always as many as the
    /// Redis was begun with.
    pub shards: u16,
}

impl Options {
    /// One shard.
    pub fn new(servers: impl Into<RedisUrl>, durability: Durability) -> Self {
        Self {
            servers: servers.into(),
            durability,
            shards: 1,
        }
    }
}

/// Events in Redis or Valkey, shared by any number of gateways.
pub struct RedisStore {
    /// At least one.
    shards: Vec<Shard>,
    /// Not asked while there is one shard.
    rounds: Rounds,
    /// The queues' workers and the calls that they sent.
    calls: TaskTracker,
    stop_queues: CancellationToken,
    keepers: TaskTracker,
    stop_connections: CancellationToken,
}

impl RedisStore {
    /// Connects, and checks that the server's version and settings keep the durability.
    ///
    /// Fails with one line that names what is wrong and what to do about it: the server cannot be reached, it is
    /// older than 7.0, it may evict, it does not persist as promised, its settings may not be read, or its data is
    /// of another format or number of shards.
    pub async fn open(options: Options, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        Self::open_with(options, metrics, None).await
    }

    /// As [`Self::open`], but leases and due times follow `clock` and not the server's time: for gateways that
    /// all share that clock, as in a test that moves it.
    pub async fn open_with_clock(
        options: Options,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::open_with(options, metrics, Some(clock)).await
    }

    /// As [`Self::open`], but a server that is away does not fail it: until that is reached calls fail with
    /// [`StoreError::Unavailable`], whose text says why. Must be called within a tokio runtime.
    pub async fn open_lazily(options: &Options, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let opening = Opening::new(options, metrics, None);
        let opened = opening.connect_all(Connection::open_lazily).await;
        opening.finish(opened)
    }

    async fn open_with(
        options: Options,
        metrics: Arc<Metrics>,
        clock: Option<Clock>,
    ) -> Result<Self, OpenError> {
        let opening = Opening::new(&options, metrics, clock);
        let opened = opening.connect_all(Connection::open).await;
        opening.finish(opened)
    }

    /// Where what is not spread is kept.
    fn first(&self) -> &Shard {
        &self.shards[0]
    }

    /// Lets each request go to the shard that it belongs to, all at once; answers in the order of the requests.
    /// Notes what each leaves there.
    async fn spread<Q, A>(
        &self,
        requests: Vec<Q>,
        shard_of: impl Fn(&Q) -> usize,
        left_by: impl Fn(&[Q]) -> Left,
        ask: impl AsyncFn(&Shard, Vec<Q>) -> Vec<Result<A, StoreError>>,
    ) -> Vec<Result<A, StoreError>> {
        let mut parts: Vec<(Vec<usize>, Vec<Q>)> = Vec::new();
        parts.resize_with(self.shards.len(), Default::default);
        let mut answers = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            let (places, part) = &mut parts[shard_of(&request)];
            places.push(index);
            part.push(request);
            answers.push(Err(unexpected()));
        }
        let parts = parts.into_iter().enumerate();
        let asked = parts.filter(|(_, (places, _))| !places.is_empty());
        let asked = asked.map(async |(number, (places, part))| {
            let left = left_by(&part);
            let replies = ask(&self.shards[number], part).await;
            let is_known = replies.iter().all(Result::is_ok);
            let left = if is_known { left } else { left.at_once() };
            self.rounds.note(number, &left);
            (places, replies)
        });
        for (places, replies) in join_all(asked).await {
            for (place, reply) in places.into_iter().zip(replies) {
                answers[place] = reply;
            }
        }
        answers
    }

    /// Asks those shards whose answer may matter, until all wants are met. One that fails holds up no other.
    async fn claim_of_many(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        let mut joined = Claims::default();
        let mut wants = wants.to_vec();
        let is_met = |wants: &[Want]| wants.iter().all(|want| want.max == 0);
        let only_tells = is_met(&wants);
        let (mut asked, mut failed) = (0, None);
        for number in self.rounds.to_claim(&wants) {
            if is_met(&wants) && !only_tells {
                break;
            }
            let asked_at = self.rounds.asking(number, &wants);
            match self.shards[number].claim(&wants).await {
                Ok((claims, unreadable)) => {
                    asked += 1;
                    let next_due = Some(&*claims.next_due);
                    self.rounds.answered(number, asked_at, &wants, next_due);
                    if !claims.claimed.is_empty() {
                        self.rounds.changed(number);
                    }
                    take_off(&mut wants, &claims.claimed);
                    joined.claimed.extend(claims.claimed);
                    self.bury(unreadable).await;
                }
                Err(error) => {
                    self.rounds.answered(number, asked_at, &wants, None);
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if asked == 0 => Err(error),
            _ => {
                joined.next_due = self.rounds.next_due(&wants);
                Ok(joined)
            }
        }
    }

    /// Asks every shard at once.
    async fn all<'a, A, F>(&'a self, ask: impl Fn(&'a Shard) -> F) -> Result<Vec<A>, StoreError>
    where
        F: Future<Output = Result<A, StoreError>>,
    {
        let answers = join_all(self.shards.iter().map(ask)).await;
        answers.into_iter().collect()
    }

    async fn replay_in_all(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        let mut replayed = vec![Replayed::Unknown; deliveries.len()];
        let shards = self.shards.len();
        // First where each is likely to stand; then, what is unknown there, in the others: those whose route is
        // kept together.
        for offset in 0..shards {
            let mut parts = vec![Vec::new(); shards];
            for (index, delivery) in deliveries.iter().enumerate() {
                if replayed[index] == Replayed::Unknown {
                    parts[(shard::of_uid(delivery.uid, shards) + offset) % shards].push(index);
                }
            }
            let asked = self.shards.iter().zip(parts);
            let asked = asked.map(async |(shard, indices)| {
                let names = indices.iter().map(|&index| deliveries[index].clone());
                let answers =
                    replay::replay(&shard.keys, &names.collect::<Vec<_>>(), unless_since).await?;
                Ok(indices.into_iter().zip(answers).collect())
            });
            let answers: Vec<Result<Vec<_>, StoreError>> = join_all(asked).await;
            for part in answers {
                for (index, answer) in part? {
                    replayed[index] = answer;
                }
            }
        }
        Ok(replayed)
    }

    /// Makes dead letters of claimed deliveries whose event cannot be read back.
    async fn bury(&self, unreadable: Vec<Settlement>) {
        for settlement in &unreadable {
            tracing::error!(
                event = %settlement.uid,
                target = %settlement.target,
                "a stored event cannot be read back; its delivery becomes a dead letter"
            );
        }
        if !unreadable.is_empty() {
            // Where this fails the lease ends, and whoever claims the delivery next comes back here.
            drop(self.settle_all(unreadable).await);
        }
    }
}

/// What the shards of a store have in common while it is opened.
struct Opening<'a> {
    options: &'a Options,
    metrics: Arc<Metrics>,
    clock: Option<Clock>,
    scripts: Arc<Scripts>,
    nodes: Arc<Nodes>,
    keepers: TaskTracker,
    stop_connections: CancellationToken,
}

impl<'a> Opening<'a> {
    fn new(options: &'a Options, metrics: Arc<Metrics>, clock: Option<Clock>) -> Self {
        Self {
            options,
            metrics,
            scripts: Arc::new(Scripts::new(clock.clone())),
            clock,
            nodes: Arc::default(),
            keepers: TaskTracker::new(),
            stop_connections: CancellationToken::new(),
        }
    }

    fn numbers(&self) -> Range<u16> {
        0..self.options.shards.max(1)
    }

    fn server(&self, number: u16) -> Server {
        Server::new(self.options, number, &self.nodes)
    }

    async fn connect_all<'b, F>(
        &'b self,
        open: impl Fn(Server, &'b TaskTracker, CancellationToken) -> F,
    ) -> Result<Vec<Connection>, OpenError>
    where
        F: Future<Output = Result<Connection, OpenError>>,
    {
        let connect = |number| {
            let stop = self.stop_connections.clone();
            open(self.server(number), &self.keepers, stop)
        };
        // The first alone: a Redis with another number of shards is told by it, and left as it is.
        let mut connections = vec![connect(0).await?];
        for connection in join_all(self.numbers().skip(1).map(connect)).await {
            connections.push(connection?);
        }
        Ok(connections)
    }

    /// Of the connections of all shards, in order, if there are all.
    fn finish(self, opened: Result<Vec<Connection>, OpenError>) -> Result<RedisStore, OpenError> {
        match opened {
            Ok(connections) => Ok(self.store(connections)),
            Err(error) => {
                self.stop_connections.cancel();
                Err(error)
            }
        }
    }

    fn store(self, connections: Vec<Connection>) -> RedisStore {
        let (calls, stop_queues) = (TaskTracker::new(), CancellationToken::new());
        let shards = (0..).zip(connections).map(|(number, connection)| {
            let keys = Keys::new(number, connection, self.scripts.clone());
            Shard::start(keys, self.metrics.clone(), &calls, &stop_queues)
        });
        let shards: Vec<_> = shards.collect();
        RedisStore {
            rounds: Rounds::new(shards.len(), self.clock),
            shards,
            calls,
            stop_queues,
            keepers: self.keepers,
            stop_connections: self.stop_connections,
        }
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.stop_queues.cancel();
        self.stop_connections.cancel();
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let ask = async |shard: &Shard, events: Vec<Arc<Event>>| {
            let arrivals = events.into_iter().map(Arrival::new);
            shard.accepts.ask(arrivals.collect()).await
        };
        let shards = self.shards.len();
        if shards == 1 {
            return ask(self.first(), events).await;
        }
        let shard_of = |event: &Arc<Event>| shard::of_event(event, shards);
        let left_by = |events: &[Arc<Event>]| Left::of_events(events.iter().map(|event| &**event));
        self.spread(events, shard_of, left_by, ask).await
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let Some(first) = events.first() else {
            return Ok(Vec::new());
        };
        check_together(&events)?;
        let number = shard::of_event(first, self.shards.len());
        let is_elsewhere = |event: &Arc<Event>| shard::of_event(event, self.shards.len()) != number;
        if events.iter().any(is_elsewhere) {
            return Err(StoreError::Unavailable(
                "the events of a request are not of one route that is kept together".into(),
            ));
        }
        let left = Left::of_events(events.iter().map(|event| &**event));
        let arrivals = events.into_iter().map(Arrival::new).collect();
        let answer = self.shards[number].accepts.ask_at_once(arrivals).await;
        if self.shards.len() > 1 {
            let left = if answer.is_ok() { left } else { left.at_once() };
            self.rounds.note(number, &left);
        }
        answer
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        if self.shards.len() > 1 {
            return self.claim_of_many(wants).await;
        }
        let (claims, unreadable) = self.first().claim(wants).await?;
        self.bury(unreadable).await;
        Ok(claims)
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        let ask = async |shard: &Shard, settlements| shard.settlements.ask(settlements).await;
        if self.shards.len() == 1 {
            return ask(self.first(), settlements).await;
        }
        // A token that no shard gave is lost wherever it is asked for.
        let shard_of = |settlement: &Settlement| {
            let shard = shard::of_token(settlement.token);
            shard
                .filter(|&shard| shard < self.shards.len())
                .unwrap_or(0)
        };
        let left_by = |settlements: &[Settlement]| Left::of_settlements(settlements.iter());
        self.spread(settlements, shard_of, left_by, ask).await
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        if self.shards.len() == 1 {
            return self.first().depth(targets).await;
        }
        let measure = async |number: usize| {
            let depths = self.shards[number].depth(targets).await;
            self.rounds.measured(number, targets, depths.clone().ok());
            depths
        };
        let measured = self.rounds.to_measure(targets).into_iter().map(measure);
        for depths in join_all(measured).await {
            depths?;
        }
        Ok(self.rounds.depths(targets))
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        let likely = shard::of_uid(uid, self.shards.len());
        if let Some(event) = self.shards[likely].get(uid).await? {
            return Ok(Some(event));
        }
        let others = self.shards.iter().enumerate();
        let others = others.filter(|(number, _)| *number != likely);
        let answers = join_all(others.map(async |(_, shard)| shard.get(uid).await)).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
        Ok(answers.into_iter().flatten().next())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        list::list(&self.shards, query).await
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        let replayed = self.replay_in_all(deliveries, unless_since).await;
        // Also after an error some may be due.
        self.rounds.forget();
        replayed
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        replay::replays(&self.first().keys).await
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        replay::save(&self.first().keys, replay).await
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        replay::forget(&self.first().keys, id).await
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        secrets::keep(&self.first().keys, kept).await
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        secrets::kept(&self.first().keys).await
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        secrets::forget(&self.first().keys, route).await
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        requests::keep(&self.first().keys, &records).await
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        requests::find(&self.first().keys, request_id).await
    }

    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        requests::list(&self.first().keys, query).await
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        pauses::pause(&self.first().keys, target).await
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        pauses::resume(&self.first().keys, target).await
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        pauses::paused(&self.first().keys).await
    }

    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let retired = self.all(|shard| shard.retire_targets(gone));
        Ok(retired.await?.into_iter().sum())
    }

    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        // Events spread evenly, and so do their bodies.
        let retention = Retention {
            bytes: retention.bytes / self.shards.len() as u64,
            ..retention
        };
        let expire = async |number: usize| {
            let (expired, gave_turns) = self.shards[number].expire(retention).await?;
            self.rounds.expired(number, expired.more, gave_turns);
            Ok::<_, StoreError>(expired)
        };
        let mut joined = Expired::default();
        for expired in join_all(self.rounds.to_expire().into_iter().map(expire)).await {
            let expired = expired?;
            joined.events += expired.events;
            joined.ids += expired.ids;
            joined.more |= expired.more;
        }
        Ok(joined)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.all(Shard::ready).await.map(drop)
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }

    async fn close(&self) {
        // The connections stay until everything that waited has had its answer.
        for (stop, tasks) in [
            (&self.stop_queues, &self.calls),
            (&self.stop_connections, &self.keepers),
        ] {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// Takes what was claimed off the wants.
fn take_off(wants: &mut [Want], claimed: &[Claimed]) {
    for claimed in claimed {
        if let Some(want) = wants.iter_mut().find(|want| want.target == claimed.target) {
            want.max = want.max.saturating_sub(1);
        }
    }
}
