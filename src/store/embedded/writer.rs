//! The one thread that writes: it takes whatever waits, runs it as one transaction, syncs once, and
//! only then answers. A lone request is thus never kept waiting, and many share one sync.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::Durability,
    metrics::Metrics,
    store::{Acceptance, Lease, StoreError},
};

use super::{
    chores::{self, Chore},
    failure::Failure,
    ledger::{Answer, Ask, Committed, Ledger},
    schema::{Home, PAGE_BYTES},
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
}

impl Writer {
    /// `side`: a connection for the checkpoints.
    pub(super) fn new(
        ledger: Ledger,
        home: Home,
        side: Connection,
        durability: Durability,
        metrics: Arc<Metrics>,
        fate: Fate,
    ) -> std::io::Result<Self> {
        let log = Log::start(home.wal(), side, durability, &fate)?;
        Ok(Self {
            ledger,
            home,
            metrics,
            fate,
            log,
        })
    }

    /// Ends when `Close` was asked for, or when all senders are gone.
    pub(super) fn spawn(
        mut self,
        mut requests: mpsc::Receiver<Request>,
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

    fn run(&mut self, requests: &mut mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = requests.blocking_recv() {
            let mut operations = first.ask.operations();
            batch.push(first);
            while operations < BATCH_MAX
                && let Ok(request) = requests.try_recv()
            {
                operations += request.ask.operations();
                batch.push(request);
            }
            if batch
                .iter()
                .any(|request| matches!(request.ask, Ask::Close))
            {
                requests.close();
            }
            // Whoever asked and went away needs no answer, and under overload no work either.
            batch.retain(|request| !request.reply.is_closed());
            self.serve(&mut batch);
        }
    }

    /// Leaves the batch empty.
    fn serve(&mut self, batch: &mut Vec<Request>) {
        if let Some(message) = self.fate.borrow().clone() {
            return refuse(batch, &StoreError::Failed(message));
        }
        match self.ledger.run(batch.iter().map(|request| &request.ask)) {
            Ok(committed) => self.answer(batch, committed),
            Err(Failure::Full(message)) => self.serve_without_accepts(batch, message),
            Err(failure) => self.refuse(batch, failure),
        }
    }

    /// A full disk must not keep deliveries from being settled and expired: those need less room, and
    /// expiry makes some.
    fn serve_without_accepts(&mut self, batch: &mut Vec<Request>, message: String) {
        self.log.restart(&self.ledger.connection);
        let needs_room = |request: &Request| matches!(request.ask, Ask::Accept(_) | Ask::Ready);
        let (mut accepts, mut others): (Vec<_>, Vec<_>) = batch.drain(..).partition(needs_room);
        refuse(&mut accepts, &StoreError::Full(message));
        match self.ledger.run(others.iter().map(|request| &request.ask)) {
            Ok(committed) => self.answer(&mut others, committed),
            Err(failure) => self.refuse(&mut others, failure),
        }
    }

    fn answer(&mut self, batch: &mut Vec<Request>, committed: Committed) {
        if committed.events > 0 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a batch has at most some thousand events"
            )]
            let events = committed.events as f64;
            self.metrics.store.commit_batch_events.observe(events);
        }
        for (request, answer) in batch.drain(..).zip(committed.answers) {
            if let Err(Ok(unheard)) = request.reply.send(Ok(answer)) {
                // The caller is gone: nobody need wait for these leases to end.
                for lease in leases(unheard) {
                    self.ledger.claims.give_back(lease);
                }
            }
        }
        if committed.wrote {
            self.log
                .committed(&self.ledger.connection, committed.body_bytes);
        }
    }

    fn refuse(&self, batch: &mut Vec<Request>, failure: Failure) {
        if let Failure::Fatal(message) = &failure {
            fail(&self.fate, message.clone());
        }
        refuse(batch, &failure.into());
    }

    fn finish(self) {
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

/// What an answer that nobody heard has claimed.
fn leases(answer: Answer) -> Vec<Lease> {
    match answer {
        Answer::Picked(picks) => picks.picked.iter().map(|picked| picked.lease).collect(),
        Answer::Accepted(acceptances) => acceptances.into_iter().flat_map(leases_of).collect(),
        _ => Vec::new(),
    }
}

fn leases_of(acceptance: Acceptance) -> Vec<Lease> {
    match acceptance {
        Acceptance::Accepted { leases } => leases.into_iter().flatten().collect(),
        Acceptance::Duplicate { .. } => Vec::new(),
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

fn refuse(batch: &mut Vec<Request>, error: &StoreError) {
    for request in batch.drain(..) {
        // A caller that is gone needs no answer.
        drop(request.reply.send(Err(error.clone())));
    }
}

/// The care of the write-ahead log.
struct Log {
    checkpoints: Chore,
    /// Only with `everysec`; `always` syncs within the commit.
    syncs: Option<Chore>,
    commits: u32,
    bytes: usize,
    /// The log's size when a checkpoint was last asked for.
    asked_at: u64,
    fate: Fate,
}

impl Log {
    fn start(
        wal: PathBuf,
        side: Connection,
        durability: Durability,
        fate: &Fate,
    ) -> std::io::Result<Self> {
        let failed = || {
            let fate = fate.clone();
            move |message| fail(&fate, message)
        };
        let passive = move || chores::checkpoint(&side, "PASSIVE").map(|_| ());
        let checkpoints = Chore::start("hookgate-checkpoint", Duration::ZERO, passive, failed())?;
        let syncs = if durability == Durability::Everysec {
            // The file stays the same one as long as a connection is open.
            let wal = File::options().write(true).open(wal)?;
            let sync = move || chores::sync(&wal);
            let pause = Duration::from_secs(1);
            Some(Chore::start("hookgate-sync", pause, sync, failed())?)
        } else {
            None
        };
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
