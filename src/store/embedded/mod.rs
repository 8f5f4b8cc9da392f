//! The embedded store: SQLite with group commit.
//!
//! ```text
//!  accept, claim, settle, … ──▶ queue ──▶ writer thread ──▶ one transaction ──▶ syncer thread ──▶ all answers
//!                                         (owns the ids, the claims, the counts)
//!  the events of what was claimed ─▶ a connection that reads
//!  get, list, replays             ─▶ another one, so that they keep no claim waiting
//!  checkpoints                    ─▶ a thread and a connection of their own
//!  records of requests            ─▶ a database of their own, which is never synced
//! ```

mod accept;
#[cfg(test)]
mod batch_tests;
mod chores;
mod claiming;
mod claims;
mod commits;
mod deliveries;
mod expiry;
mod failure;
#[cfg(test)]
mod fault_tests;
mod head;
mod ledger;
mod list;
mod memory;
mod migration;
mod pauses;
mod queues;
mod reader;
mod records;
mod replaying;
mod schema;
mod secrets;
mod settling;
mod syncer;
#[cfg(test)]
mod syncer_tests;
mod targets;
mod turns;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use rusqlite::Connection;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::timeout,
};
use uuid::Uuid;

use crate::{
    clock::{Clock, Timestamp},
    config::Durability,
    event::{Event, RouteName, TargetName},
    metrics::Metrics,
    store::{
        Acceptance, Claims, DeliveryName, Depth, Expired, KeptSecret, OpenError, Replayed,
        Retention, Settled, Settlement, Store, StoreError, StoredEvent, Want, check_together,
        listing::{Page, Query},
        orphans::Gone,
        records::{Record, RecordPage, RecordQuery, id_prefix},
        replays::Replay,
    },
};

use self::{
    deliveries::DELIVERIES_MAX,
    failure::Failure,
    ledger::{Answer, Arrival, Ask, Ledger, SavedReplay},
    list::Search,
    records::Records,
    replaying::REPLAYS_MAX,
    schema::Home,
    syncer::Syncing,
    writer::{Fate, Message, Request, Writer},
};

/// Requests that wait for the writer. More are turned away at once.
const QUEUE_MAX: usize = 8192;
/// Operations of one request: the writer takes whole requests into a transaction.
const GROUP_MAX: usize = 512;
/// SQLite takes no more than 10⁹ bytes in a row, and the rest of an event is there too.
const BODY_BYTES_MAX: usize = 990_000_000;
/// Of every call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the store lies, and what it promises.
#[derive(Clone, Debug)]
pub struct Options {
    /// Made when it is missing. One process at a time may use it.
    pub directory: PathBuf,
    pub durability: Durability,
}

/// `None` when closed.
type Shared<T> = Arc<Mutex<Option<T>>>;
type Reader = Shared<Connection>;

/// See the module.
#[derive(Debug)]
pub struct Embedded {
    requests: mpsc::Sender<Message>,
    /// Reads the events of what was claimed.
    reader: Reader,
    /// Reads what people ask for.
    inspector: Reader,
    records: Shared<Records>,
    clock: Clock,
    fate: Fate,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Locks the directory, opens or makes the database, and reads the remembered ids into memory.
    ///
    /// # Errors
    /// When another process uses the directory, when it cannot be written to, or when what lies there is
    /// no database, not Hookgate's, damaged, or of another format. The message is one line.
    pub fn open(options: Options, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let home = Home::lock(&options.directory)?;
        let connection = home.writer(options.durability)?;
        Self::start(home, connection, options.durability, clock, metrics)
    }

    fn start(
        home: Home,
        connection: Connection,
        durability: Durability,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let ledger =
            Ledger::load(connection, clock.clone()).map_err(|error| home.unreadable(&error))?;
        let (reader, inspector, side) = (home.side()?, home.side()?, home.side()?);
        let records = Records::open(home.records())
            .map_err(|error| OpenError(format!("cannot keep records of requests: {error}")))?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let fate = Arc::new(watch::Sender::new(None));
        let writer = Syncing::of(durability, &home.wal())
            .and_then(|syncing| {
                Writer::new(
                    ledger,
                    home,
                    side,
                    syncing,
                    metrics,
                    fate.clone(),
                    &requests,
                )
            })
            .and_then(|writer| writer.spawn(queue))
            .map_err(|error| OpenError(format!("cannot start the embedded store: {error}")))?;
        Ok(Self {
            requests,
            reader: Arc::new(Mutex::new(Some(reader))),
            inspector: Arc::new(Mutex::new(Some(inspector))),
            records: Arc::new(Mutex::new(Some(records))),
            clock,
            fate,
            writer: Mutex::new(Some(writer)),
        })
    }

    async fn call(&self, ask: Ask) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(Message::Request(Request { ask, reply }))
            .map_err(|error| match error {
                TrySendError::Full(_) => {
                    StoreError::Unavailable(format!("{QUEUE_MAX} requests are waiting"))
                }
                TrySendError::Closed(_) => self.stopped(),
            })?;
        match timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.stopped()),
            Err(_) => Err(StoreError::Deadline(DEADLINE)),
        }
    }

    /// Runs `read` on a thread that may block.
    async fn read<C: Send + 'static, T: Send + 'static>(
        &self,
        reader: &Shared<C>,
        read: impl FnOnce(&mut C) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = reader.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            match reader.as_mut() {
                Some(connection) => read(connection).map_err(|failure| match failure {
                    // Only the writer can lose what was promised.
                    Failure::Fatal(message) => StoreError::Unavailable(message),
                    failure => failure.into(),
                }),
                None => Err(closed()),
            }
        });
        match timeout(DEADLINE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Unavailable("reading panicked".to_owned())),
            Err(_) => Err(StoreError::Deadline(DEADLINE)),
        }
    }

    fn stopped(&self) -> StoreError {
        match &*self.fate.borrow() {
            Some(message) => StoreError::Failed(message.clone()),
            None => closed(),
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn accept_all(&self, events: Vec<Arc<Event>>) -> Vec<Result<Acceptance, StoreError>> {
        let (fit, unfit): (Vec<_>, Vec<_>) = events
            .into_iter()
            .enumerate()
            .partition(|(_, event)| is_fit(event));
        let groups = fit.chunks(GROUP_MAX).map(async |group| {
            let arrivals = group.iter().map(|(_, event)| Arrival::of(event.clone()));
            let asked = Ask::Accept(arrivals.collect());
            let answered = self.call(asked).await.and_then(|answer| match answer {
                Answer::Accepted(acceptances) => Ok(acceptances),
                other => Err(mistaken(&other)),
            });
            each(answered, group.len())
        });
        let mut answers = together(groups).await;
        for (place, _) in unfit {
            answers.insert(place, Err(does_not_fit()));
        }
        answers
    }

    async fn accept_together(
        &self,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        if !events.iter().all(|event| is_fit(event)) {
            return Err(does_not_fit());
        }
        check_together(&events)?;
        let asked = Ask::Accept(events.into_iter().map(Arrival::of).collect());
        match self.call(asked).await? {
            Answer::Accepted(acceptances) => Ok(acceptances),
            other => Err(mistaken(&other)),
        }
    }

    async fn claim(&self, wants: &[Want]) -> Result<Claims, StoreError> {
        let picks = match self.call(Ask::Claim(wants.to_vec())).await? {
            Answer::Picked(picks) => picks,
            other => return Err(mistaken(&other)),
        };
        let claimed = if picks.picked.is_empty() {
            Vec::new()
        } else {
            self.read(&self.reader, |reader| reader::claimed(reader, picks.picked))
                .await?
        };
        Ok(Claims {
            claimed,
            next_due: picks.next_due,
        })
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Vec<Result<Settled, StoreError>> {
        let groups = settlements.chunks(GROUP_MAX).map(async |group| {
            let answered = self.call(Ask::Settle(group.to_vec())).await;
            let settled = answered.and_then(|answer| match answer {
                Answer::Settled(settled) => Ok(settled),
                other => Err(mistaken(&other)),
            });
            each(settled, group.len())
        });
        together(groups).await
    }

    async fn depth(&self, targets: &[TargetName]) -> Result<Vec<Depth>, StoreError> {
        match self.call(Ask::Depth(targets.to_vec())).await? {
            Answer::Depth(depth) => Ok(depth),
            other => Err(mistaken(&other)),
        }
    }

    async fn get(&self, uid: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        self.read(&self.inspector, move |reader| reader::find(reader, uid))
            .await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let search = Search::of(query)?;
        self.read(&self.inspector, move |reader| list::list(reader, &search))
            .await
    }

    async fn replay(
        &self,
        deliveries: &[DeliveryName],
        unless_since: Option<Timestamp>,
    ) -> Result<Vec<Replayed>, StoreError> {
        let mut replayed = Vec::with_capacity(deliveries.len());
        // In pieces, so that accepting goes on meanwhile.
        for names in deliveries.chunks(GROUP_MAX) {
            let names = names.to_vec();
            let found = self
                .read(&self.inspector, move |reader| {
                    reader::resolve(reader, &names)
                })
                .await?;
            match self.call(Ask::Replay(found, unless_since)).await? {
                Answer::Replayed(answers) => replayed.extend(answers),
                other => return Err(mistaken(&other)),
            }
        }
        Ok(replayed)
    }

    async fn replays(&self) -> Result<Vec<Replay>, StoreError> {
        self.read(&self.inspector, |reader| replaying::kept(reader))
            .await
    }

    async fn save_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        match self.call(Ask::SaveReplay(Box::new(replay.clone()))).await? {
            Answer::Saved(SavedReplay::Kept) => Ok(true),
            Answer::Saved(SavedReplay::Changed) => Ok(false),
            Answer::Saved(SavedReplay::NoRoom) => Err(StoreError::Full(format!(
                "{REPLAYS_MAX} replays are running; cancel one, or wait for one to end"
            ))),
            other => Err(mistaken(&other)),
        }
    }

    async fn forget_replay(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(Ask::ForgetReplay(id)).await.map(|_| ())
    }

    async fn keep_secret(&self, kept: &KeptSecret) -> Result<bool, StoreError> {
        match self.call(Ask::KeepSecret(kept.clone())).await? {
            Answer::Changed(changed) => Ok(changed),
            other => Err(mistaken(&other)),
        }
    }

    async fn kept_secrets(&self) -> Result<Vec<KeptSecret>, StoreError> {
        self.read(&self.inspector, |reader| secrets::kept(reader))
            .await
    }

    async fn forget_secret(&self, route: &RouteName) -> Result<bool, StoreError> {
        match self.call(Ask::ForgetSecret(route.clone())).await? {
            Answer::Changed(changed) => Ok(changed),
            other => Err(mistaken(&other)),
        }
    }

    async fn keep_records(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.read(&self.records, move |kept| kept.keep(&records))
            .await
    }

    async fn record(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        let request_id = request_id.to_owned();
        self.read(&self.records, move |kept| kept.find(&request_id))
            .await
    }

    async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        let (query, end) = (query.clone(), query.end_id()?);
        self.read(&self.records, move |kept| kept.list(&query, end.as_deref()))
            .await
    }

    async fn pause_target(&self, target: &TargetName) -> Result<(), StoreError> {
        self.call(Ask::PauseTarget(target.clone()))
            .await
            .map(|_| ())
    }

    async fn resume_target(&self, target: &TargetName) -> Result<bool, StoreError> {
        match self.call(Ask::ResumeTarget(target.clone())).await? {
            Answer::Changed(changed) => Ok(changed),
            other => Err(mistaken(&other)),
        }
    }

    async fn paused_targets(&self) -> Result<Vec<TargetName>, StoreError> {
        self.read(&self.inspector, |reader| pauses::kept(reader))
            .await
    }

    /// In pieces, so that accepting goes on meanwhile.
    async fn retire_targets(&self, gone: &Gone) -> Result<u64, StoreError> {
        let mut retired = 0;
        loop {
            match self.call(Ask::Retire(gone.clone())).await? {
                Answer::Retired { deliveries, more } => {
                    retired += deliveries;
                    if !more {
                        return Ok(retired);
                    }
                }
                other => return Err(mistaken(&other)),
            }
        }
    }

    async fn expire(&self, retention: Retention) -> Result<Expired, StoreError> {
        let end = id_prefix(self.clock.now().saturating_sub(retention.age));
        let forgotten = self.read(&self.records, move |kept| kept.forget(&end));
        if let Err(error) = forgotten.await {
            // That must not keep the events.
            tracing::warn!(%error, "could not remove expired records of requests");
        }
        match self.call(Ask::Expire(retention)).await? {
            Answer::Expired(expired) => Ok(expired),
            other => Err(mistaken(&other)),
        }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.call(Ask::Ready).await.map(|_| ())
    }

    async fn failed(&self) -> String {
        let mut fate = self.fate.subscribe();
        let message = match fate.wait_for(Option::is_some).await {
            Ok(message) => message.clone(),
            Err(_) => None,
        };
        match message {
            Some(message) => message,
            // The sender is our own, so it is there as long as we are.
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        if let Err(error) = self.call(Ask::Close).await {
            tracing::warn!(%error, "the embedded store was not running when it was closed");
        }
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let readers = [self.reader.clone(), self.inspector.clone()];
        let records = self.records.clone();
        let ended = tokio::task::spawn_blocking(move || {
            drop(
                records
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
            for reader in readers {
                drop(reader.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
            writer.map(JoinHandle::join)
        });
        if !matches!(ended.await, Ok(None | Some(Ok(())))) {
            tracing::error!("the writer thread of the embedded store panicked");
        }
    }
}

/// What does not fit into the tables would fail a whole transaction.
fn is_fit(event: &Event) -> bool {
    event.deliveries.len() <= DELIVERIES_MAX && event.body.len() <= BODY_BYTES_MAX
}

fn does_not_fit() -> StoreError {
    StoreError::Unavailable(format!(
        "an event can have at most {DELIVERIES_MAX} deliveries and {BODY_BYTES_MAX} bytes"
    ))
}

/// Puts all groups into the queue before it waits, so that one deadline holds for all.
async fn together<T>(groups: impl Iterator<Item = impl Future<Output = Vec<T>>>) -> Vec<T> {
    join_all(groups).await.into_iter().flatten().collect()
}

/// The answers to so many operations that one call asked for.
fn each<T>(answered: Result<Vec<T>, StoreError>, asked: usize) -> Vec<Result<T, StoreError>> {
    match answered {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => (0..asked).map(|_| Err(error.clone())).collect(),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// An answer to another question: a fault of this module.
fn mistaken(answer: &Answer) -> StoreError {
    let kind = std::mem::discriminant(answer);
    StoreError::Unavailable(format!("the writer answered with {kind:?}"))
}
