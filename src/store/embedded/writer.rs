//! The one thread that writes: it takes whatever waits into one transaction and commits it; one sync later all
//! of it is answered. A lone request is thus never kept waiting, and many share one sync.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{metrics::Metrics, store::StoreError};

use super::{
    chores::{self, Chore},
    failure::Failure,
    ledger::{Answer, Ask, Committed, Ledger},
    schema::{Home, PAGE_BYTES},
    syncer::{self, Sync, Syncer, Syncing},
};

/// Operations in one transaction: no more requests are taken once there are so many.
const BATCH_MAX: usize = 512;
/// The write-ahead log is moved into the database beside the commits each time it has grown by this.
const CHECKPOINT_PAGES: u64 = (16 << 20) / PAGE_BYTES as u64;
/// Under a load that never pauses the log is never moved whole. From this size on the writer moves
/// what is left of it between two batches, so that the log begins anew.
const RESTART_PAGES: u64 = (128 << 20) / PAGE_BYTES as u64;
/// The log's size is asked for after so many commits, or bytes of bodies.
const MEASURE_COMMITS: u32 = 16;
const MEASURE_BYTES: usize = 4 << 20;

/// What comes to the writer.
pub(super) enum Message {
    Request(Request),
    /// A sync has ended.
    Synced,
}

pub(super) struct Request {
    pub(super) ask: Ask,
    pub(super) reply: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<Answer, StoreError>>;
/// Holds a message once the store can never answer again.
pub(super) type Fate = Arc<watch::Sender<Option<String>>>;

pub(super) struct Writer {
    ledger: Ledger,
    home: Home,
    metrics: Arc<Metrics>,
    fate: Fate,
    log: Log,
    /// `None`: commits are answered at once.
    syncer: Option<Syncer>,
}

/// What was taken into the transaction under way.
#[derive(Default)]
struct Batch {
    requests: Vec<Request>,
    /// For each request, in order.
    answers: Vec<Answer>,
    operations: usize,
}

impl Writer {
    /// `side`: a connection for the checkpoints. `requests`: told when a sync has ended.
    pub(super) fn new(
        ledger: Ledger,
        home: Home,
        side: Connection,
        syncing: Syncing,
        metrics: Arc<Metrics>,
        fate: Fate,
        requests: &mpsc::Sender<Message>,
    ) -> std::io::Result<Self> {
        let (syncer, every_second) = match syncing {
            Syncing::EachCommit(sync) => {
                let syncer = Syncer::start(sync, fate.clone(), requests.downgrade())?;
                (Some(syncer), None)
            }
            Syncing::EverySecond(sync) => (None, Some(sync)),
            Syncing::Never => (None, None),
        };
        let log = Log::start(side, every_second, &fate)?;
        Ok(Self {
            ledger,
            home,
            metrics,
            fate,
            log,
            syncer,
        })
    }

    /// Ends when `Close` was asked for, or when all senders are gone.
    pub(super) fn spawn(
        mut self,
        mut requests: mpsc::Receiver<Message>,
    ) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("hookgate-writer".to_owned())
            .spawn(move || {
                let run = catch_unwind(AssertUnwindSafe(|| self.run(&mut requests)));
                match run {
                    Ok(()) => self.finish(),
                    Err(_) => fail(&self.fate, "the writer thread panicked".to_owned()),
                }
            })
    }

    fn run(&mut self, requests: &mut mpsc::Receiver<Message>) {
        while let Some(first) = requests.blocking_recv() {
            let mut batch = Batch::default();
            self.take(&mut batch, first, requests);
            while batch.operations < BATCH_MAX {
                if let Ok(message) = requests.try_recv() {
                    self.take(&mut batch, message, requests);
                    continue;
                }
                // While the commit before is synced, what comes joins this one.
                let is_worth_waiting = !batch.requests.is_empty() && self.is_syncing();
                match is_worth_waiting.then(|| requests.blocking_recv()).flatten() {
                    Some(message) => self.take(&mut batch, message, requests),
                    None => break,
                }
            }
            self.commit(batch);
        }
    }

    fn is_syncing(&self) -> bool {
        self.syncer.as_ref().is_some_and(Syncer::is_busy)
    }

    fn take(
        &mut self,
        batch: &mut Batch,
        message: Message,
        requests: &mut mpsc::Receiver<Message>,
    ) {
        let Message::Request(request) = message else {
            return;
        };
        if matches!(request.ask, Ask::Close) {
            requests.close();
        }
        // Whoever asked and went away needs no answer, and under overload no work either.
        if request.reply.is_closed() {
            return;
        }
        if let Some(message) = self.fate.borrow().clone() {
            return refuse([request], &StoreError::Failed(message));
        }
        if batch.requests.is_empty() {
            self.give_back();
        }
        let answer = self.ledger.execute(&request.ask);
        batch.operations += request.ask.operations();
        batch.requests.push(request);
        match answer {
            Ok(answer) => batch.answers.push(answer),
            Err(failure) => self.fail_batch(std::mem::take(batch).requests, failure),
        }
    }

    /// Between two batches.
    fn give_back(&mut self) {
        for lease in self.syncer.iter().flat_map(Syncer::unheard) {
            self.ledger.give_back(lease);
        }
    }

    fn commit(&mut self, batch: Batch) {
        if batch.requests.is_empty() {
            return;
        }
        let Batch {
            requests, answers, ..
        } = batch;
        let failed = self.fate.borrow().clone();
        if let Some(message) = failed {
            self.ledger.rollback();
            return refuse(requests, &StoreError::Failed(message));
        }
        match self.ledger.commit(answers) {
            Ok(committed) => self.answer(requests, committed),
            Err(failure) => self.fail_batch(requests, failure),
        }
    }

    /// Nothing of the batch has happened.
    fn fail_batch(&mut self, requests: Vec<Request>, failure: Failure) {
        match failure {
            Failure::Full(message) => self.serve_without_accepts(requests, message),
            failure => self.refuse(requests, failure),
        }
    }

    /// A full disk must not keep deliveries from being settled and expired: those need less room, and
    /// expiry makes some.
    fn serve_without_accepts(&mut self, batch: Vec<Request>, message: String) {
        self.log.restart(&self.ledger.connection);
        let needs_room = |request: &Request| {
            matches!(
                request.ask,
                Ask::Accept(_)
                    | Ask::Ready
                    | Ask::Replay(..)
                    | Ask::SaveReplay(_)
                    | Ask::KeepSecret(_)
                    | Ask::PauseTarget(_)
            )
        };
        let (accepts, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(needs_room);
        refuse(accepts, &StoreError::Full(message));
        match self.ledger.run(others.iter().map(|request| &request.ask)) {
            Ok(committed) => self.answer(others, committed),
            Err(failure) => self.refuse(others, failure),
        }
    }

    fn answer(&mut self, requests: Vec<Request>, committed: Committed) {
        if committed.events > 0 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a batch has at most some thousand events"
            )]
            let events = committed.events as f64;
            self.metrics.store.commit_batch_events.observe(events);
        }
        let replies = requests.into_iter().map(|request| request.reply);
        let answers = replies.zip(committed.answers);
        match &self.syncer {
            // Also what wrote nothing: it may have seen what is not yet durable.
            Some(syncer) => syncer.answer(answers.collect()),
            None => {
                for lease in syncer::tell(answers) {
                    self.ledger.give_back(lease);
                }
            }
        }
        if committed.wrote {
            self.log
                .committed(&self.ledger.connection, committed.body_bytes);
        }
    }

    fn refuse(&self, batch: Vec<Request>, failure: Failure) {
        if let Failure::Fatal(message) = &failure {
            fail(&self.fate, message.clone());
        }
        refuse(batch, &failure.into());
    }

    fn finish(self) {
        if let Some(syncer) = self.syncer {
            syncer.stop();
        }
        self.log.stop();
        // After a failed sync nobody knows what the log holds: its checksums tell the next start.
        if self.fate.borrow().is_none()
            && let Err(error) = chores::checkpoint(&self.ledger.connection, "TRUNCATE")
        {
            tracing::warn!(
                ?error,
                "the last checkpoint of the embedded store failed; the next start does it"
            );
        }
        drop(self.ledger);
        // The lock goes last.
        drop(self.home);
    }
}

pub(super) fn fail(fate: &Fate, message: String) {
    tracing::error!(error = %message, "the embedded store has failed");
    fate.send_if_modified(|fate| {
        let first = fate.is_none();
        fate.get_or_insert(message);
        first
    });
}

fn refuse(requests: impl IntoIterator<Item = Request>, error: &StoreError) {
    for request in requests {
        // A caller that is gone needs no answer.
        drop(request.reply.send(Err(error.clone())));
    }
}

/// The care of the write-ahead log.
struct Log {
    checkpoints: Chore,
    /// Only with `everysec`.
    syncs: Option<Chore>,
    commits: u32,
    bytes: usize,
    /// The log's size when a checkpoint was last asked for.
    asked_at: u64,
    fate: Fate,
}

impl Log {
    fn start(side: Connection, every_second: Option<Sync>, fate: &Fate) -> std::io::Result<Self> {
        let failed = || {
            let fate = fate.clone();
            move |message| fail(&fate, message)
        };
        let passive = move || chores::checkpoint(&side, "PASSIVE").map(|_| ());
        let checkpoints = Chore::start("hookgate-checkpoint", Duration::ZERO, passive, failed())?;
        let pause = Duration::from_secs(1);
        let syncs = every_second
            .map(|sync| Chore::start("hookgate-sync", pause, sync, failed()))
            .transpose()?;
        Ok(Self {
            checkpoints,
            syncs,
            commits: 0,
            bytes: 0,
            asked_at: 0,
            fate: fate.clone(),
        })
    }

    fn committed(&mut self, connection: &Connection, body_bytes: usize) {
        if let Some(syncs) = &self.syncs {
            syncs.wake();
        }
        self.commits += 1;
        self.bytes = self.bytes.saturating_add(body_bytes);
        if self.commits >= MEASURE_COMMITS || self.bytes >= MEASURE_BYTES {
            (self.commits, self.bytes) = (0, 0);
            self.measure(connection);
        }
    }

    fn measure(&mut self, connection: &Connection) {
        let Ok(progress) = chores::checkpoint(connection, "NOOP") else {
            return;
        };
        if progress.logged < self.asked_at {
            self.asked_at = 0;
        }
        let left = progress.logged.saturating_sub(progress.moved);
        let little_left = left <= 2 * CHECKPOINT_PAGES;
        if progress.logged >= 4 * RESTART_PAGES || (progress.logged >= RESTART_PAGES && little_left)
        {
            self.restart(connection);
        } else if progress.logged - self.asked_at >= CHECKPOINT_PAGES {
            self.asked_at = progress.logged;
            self.checkpoints.wake();
        }
    }

    /// Lets the log begin anew, which also makes room in it on a full disk.
    fn restart(&mut self, connection: &Connection) {
        self.asked_at = 0;
        match chores::checkpoint(connection, "RESTART") {
            Ok(_) => {}
            Err(Failure::Fatal(message)) => fail(&self.fate, message),
            Err(error) => tracing::warn!(?error, "a checkpoint of the embedded store failed"),
        }
    }

    fn stop(self) {
        self.checkpoints.stop();
        if let Some(syncs) = self.syncs {
            syncs.stop();
        }
    }
}
