//! Syncs the log beside the writer, which meanwhile takes what comes into the next transaction. Nothing is
//! answered before the sync that covers its commit, nor before those of the commits that it has seen.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc::WeakSender;

use crate::{
    config::Durability,
    store::{Acceptance, Lease, StoreError},
};

use super::{
    chores,
    failure::Failure,
    ledger::Answer,
    writer::{Fate, Message, Reply, fail},
};

/// Commits that may wait for their sync; then the writer waits too.
const WAITING_MAX: usize = 2;

/// Makes everything durable that was written before it is called.
pub(super) type Sync = Box<dyn FnMut() -> Result<(), Failure> + Send>;

/// When the log is synced.
pub(super) enum Syncing {
    /// Before a commit is answered.
    EachCommit(Sync),
    EverySecond(Sync),
    /// The operating system writes when it likes.
    Never,
}

impl Syncing {
    /// `log`: the write-ahead log. It stays the same file as long as a connection is open.
    pub(super) fn of(durability: Durability, log: &Path) -> std::io::Result<Self> {
        let sync = || {
            let file = File::options().write(true).open(log)?;
            Ok::<Sync, std::io::Error>(Box::new(move || chores::sync(&file)))
        };
        Ok(match durability {
            Durability::Always => Self::EachCommit(sync()?),
            Durability::Everysec => Self::EverySecond(sync()?),
            Durability::Memory => Self::Never,
        })
    }
}

/// What a commit answers, to whom.
pub(super) type Answers = Vec<(Reply, Answer)>;

pub(super) struct Syncer {
    commits: SyncSender<Answers>,
    under_way: Arc<AtomicUsize>,
    /// Claimed in answers that nobody heard.
    unheard: Arc<Mutex<Vec<Lease>>>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// `wake` is told after each sync.
    pub(super) fn start(
        sync: Sync,
        fate: Fate,
        wake: WeakSender<Message>,
    ) -> std::io::Result<Self> {
        let (commits, waiting) = sync_channel(WAITING_MAX);
        let under_way = Arc::new(AtomicUsize::new(0));
        let unheard = Arc::new(Mutex::default());
        let worker = Worker {
            sync,
            fate,
            wake,
            under_way: under_way.clone(),
            unheard: unheard.clone(),
        };
        let thread = thread::Builder::new()
            .name("hookgate-syncer".to_owned())
            .spawn(move || {
                let fate = worker.fate.clone();
                let run = catch_unwind(AssertUnwindSafe(|| worker.run(&waiting)));
                if run.is_err() {
                    fail(&fate, "the syncing thread panicked".to_owned());
                }
            })?;
        Ok(Self {
            commits,
            under_way,
            unheard,
            thread,
        })
    }

    /// Whether a commit waits for its sync.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    pub(super) fn answer(&self, answers: Answers) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        // Without its thread, which can only have panicked, the callers are told by their dropped channels.
        drop(self.commits.send(answers));
    }

    /// What is to be given back since this was last asked.
    pub(super) fn unheard(&self) -> Vec<Lease> {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut unheard)
    }

    /// Answers what waits.
    pub(super) fn stop(self) {
        drop(self.commits);
        if self.thread.join().is_err() {
            tracing::error!("the syncing thread of the embedded store panicked");
        }
    }
}

struct Worker {
    sync: Sync,
    fate: Fate,
    wake: WeakSender<Message>,
    under_way: Arc<AtomicUsize>,
    unheard: Arc<Mutex<Vec<Lease>>>,
}

impl Worker {
    fn run(mut self, waiting: &Receiver<Answers>) {
        while let Ok(first) = waiting.recv() {
            let mut commits = vec![first];
            commits.extend(waiting.try_iter());
            let count = commits.len();
            self.settle(commits.into_iter().flatten());
            self.under_way.fetch_sub(count, Ordering::AcqRel);
            if let Some(wake) = self.wake.upgrade() {
                // When it is full, the writer looks anyway before it sleeps.
                drop(wake.try_send(Message::Synced));
            }
        }
    }

    fn settle(&mut self, answers: impl Iterator<Item = (Reply, Answer)>) {
        let failed = self.fate.borrow().clone();
        let failed = failed.or_else(|| match (self.sync)() {
            Ok(()) => None,
            // After a failed sync the next may say that all is well: nobody knows what is on the disk.
            Err(Failure::Full(message) | Failure::Fatal(message) | Failure::Other(message)) => {
                fail(&self.fate, message.clone());
                Some(message)
            }
        });
        match failed {
            None => {
                let unheard = tell(answers);
                let mut all = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend(unheard);
            }
            Some(message) => answers.for_each(|(reply, _)| {
                drop(reply.send(Err(StoreError::Failed(message.clone()))));
            }),
        }
    }
}

/// Returns what was claimed in answers that nobody heard: nobody need wait for these leases to end.
pub(super) fn tell(answers: impl Iterator<Item = (Reply, Answer)>) -> Vec<Lease> {
    let mut unheard = Vec::new();
    for (reply, answer) in answers {
        if let Err(Ok(answer)) = reply.send(Ok(answer)) {
            unheard.extend(leases(answer));
        }
    }
    unheard
}

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
