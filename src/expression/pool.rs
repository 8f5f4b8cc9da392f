//! The gateway's side: a few workers, started when there is something to evaluate.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Answer, CPU_MAX, Expression, MEMORY_BYTES_MAX, Question,
    frame::{REPLY_HEAD_BYTES, Reply, request_head},
    worker::COMMAND,
};

/// One for those whose expressions run away, one for all others.
const WORKERS_MIN: usize = 2;
const WORKERS_MAX: usize = 4;
/// After so many evaluations a worker is replaced: what memory it has left over counts against its bound.
const EVALUATIONS_MAX: u32 = 1000;
/// How long a delivery waits for a worker.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the evaluations of one delivery may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(10);
/// All that a delivery's expressions can take.
pub const ALLOWANCE: Duration = SEAT_WAIT_MAX.saturating_add(PATIENCE);
/// For a process that has closed its pipes to be gone.
const END_WAIT_MAX: Duration = Duration::from_secs(1);

/// How workers are started, and how long one is waited for.
#[derive(Clone, Debug)]
pub struct Workers {
    /// This program, or for a test what stands in for it.
    pub program: PathBuf,
    /// Of the evaluations of one delivery. Default 10 s.
    pub patience: Duration,
}

impl Workers {
    /// This very program, also when its file has been replaced since it was started.
    pub fn of_this_program() -> io::Result<Self> {
        let program = match cfg!(target_os = "linux") {
            true => PathBuf::from("/proc/self/exe"),
            false => std::env::current_exe()?,
        };
        Ok(Self::of(program))
    }

    pub fn of(program: PathBuf) -> Self {
        Self {
            program,
            patience: PATIENCE,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The expression failed on this event, or went over its bounds, and would do so again.
    Failed(String),
    /// The machine's doing: another time it may go well.
    Unable(String),
}

/// The workers of a gateway.
#[derive(Debug)]
pub struct Pool {
    workers: Workers,
    seats: Semaphore,
    /// Of them, those that may be taken by runaways at one time.
    runaways: Semaphore,
    share: usize,
    idle: Mutex<Vec<Worker>>,
}

impl Pool {
    /// Starts nothing yet.
    pub fn new(workers: Workers) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let seats = cores.clamp(WORKERS_MIN, WORKERS_MAX);
        Self {
            workers,
            seats: Semaphore::new(seats),
            runaways: Semaphore::new(seats - 1),
            share: seats - 1,
            idle: Mutex::default(),
        }
    }

    /// For those whose expressions are the same.
    pub fn share(&self) -> Share {
        Share {
            permits: Semaphore::new(self.share),
            runs_away: AtomicBool::new(false),
        }
    }

    /// The right to one worker. `None`: all are taken for long.
    pub async fn seat<'p>(&'p self, share: &'p Share) -> Option<Seat<'p>> {
        let permits = async {
            let of_share = share.permits.acquire().await.ok()?;
            let of_runaways = match share.runs_away.load(Ordering::Relaxed) {
                true => Some(self.runaways.acquire().await.ok()?),
                false => None,
            };
            let of_all = self.seats.acquire().await.ok()?;
            Some((of_all, of_runaways, of_share))
        };
        let permits = timeout(SEAT_WAIT_MAX, permits).await.ok()??;
        Some(Seat {
            worker: self.idle().pop(),
            until: Instant::now() + self.workers.patience.min(PATIENCE),
            pool: self,
            share,
            _permits: permits,
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many workers some have at one time: not all, so that whose expressions run away do not keep others waiting. All
/// whose last one ran away have no more than that together.
#[derive(Debug)]
pub struct Share {
    permits: Semaphore,
    runs_away: AtomicBool,
}

impl Share {
    /// Whether their last expression ran away.
    fn note(&self, ran_away: bool) {
        self.runs_away.store(ran_away, Ordering::Relaxed);
    }
}

/// The use of one worker for one delivery.
#[derive(Debug)]
pub struct Seat<'p> {
    pool: &'p Pool,
    worker: Option<Worker>,
    until: Instant,
    share: &'p Share,
    _permits: (
        SemaphorePermit<'p>,
        Option<SemaphorePermit<'p>>,
        SemaphorePermit<'p>,
    ),
}

impl Seat<'_> {
    /// A future that is dropped takes its worker with it.
    pub async fn ask(
        &mut self,
        question: Question,
        expression: &Expression,
        document: &[u8],
    ) -> Result<Answer, Failure> {
        let Some(head) = request_head(question, expression.source(), document) else {
            return Err(Failure::Failed("the body is too large".to_owned()));
        };
        let parts = [&head[..], expression.source().as_bytes(), document];
        let until = self.until;
        let share = self.share;
        let asked = async {
            loop {
                let (mut worker, is_new) = match self.worker.take() {
                    Some(worker) => (worker, false),
                    None => (Worker::start(&self.pool.workers)?, true),
                };
                match worker.exchange(parts).await {
                    Ok(Reply::Answered(answer)) => {
                        self.keep(worker);
                        return Ok(answer);
                    }
                    Ok(Reply::Failed(text)) => {
                        self.keep(worker);
                        return Err(Failure::Failed(text));
                    }
                    Ok(Reply::Spent) => {
                        share.note(true);
                        let text = format!("over {CPU_MAX:?} of processor time");
                        return Err(Failure::Failed(text));
                    }
                    Err(_) => match worker.cause_of_death().await {
                        failure @ Failure::Failed(_) => {
                            share.note(true);
                            return Err(failure);
                        }
                        // It may have been gone before it was asked.
                        Failure::Unable(_) if !is_new => {}
                        failure => return Err(failure),
                    },
                }
            }
        };
        match timeout_at(until, asked).await {
            Ok(answered) => answered,
            Err(_) => {
                share.note(true);
                let patience = self.pool.workers.patience;
                Err(Failure::Unable(format!("no answer within {patience:?}")))
            }
        }
    }

    /// After an answer.
    fn keep(&mut self, worker: Worker) {
        self.share.note(false);
        if worker.evaluations < EVALUATIONS_MAX {
            self.worker = Some(worker);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.pool.idle().push(worker);
        }
    }
}

/// Killed when dropped.
#[derive(Debug)]
struct Worker {
    child: Child,
    requests: ChildStdin,
    replies: ChildStdout,
    evaluations: u32,
}

impl Worker {
    /// With nothing of the gateway's but the two pipes: no environment, which may hold secrets, no files, and a group
    /// of its own, so that a signal from the terminal does not reach it.
    fn start(workers: &Workers) -> Result<Self, Failure> {
        let spawned = Command::new(&workers.program)
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let unable = |why| Failure::Unable(format!("no worker could be started: {why}"));
        let mut child = spawned.map_err(|error| unable(error.to_string()))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(replies)) => Ok(Self {
                child,
                requests,
                replies,
                evaluations: 0,
            }),
            _ => Err(unable("it has no pipes".to_owned())),
        }
    }

    async fn exchange(&mut self, parts: [&[u8]; 3]) -> io::Result<Reply> {
        self.evaluations += 1;
        for part in parts {
            self.requests.write_all(part).await?;
        }
        self.requests.flush().await?;
        let mut head = [0; REPLY_HEAD_BYTES];
        self.replies.read_exact(&mut head).await?;
        let mut rest = vec![0; Reply::length(head)?];
        self.replies.read_exact(&mut rest).await?;
        Reply::decode(head, rest)
    }

    /// A worker that cannot get memory or stack aborts. What else ends it comes from outside.
    async fn cause_of_death(mut self) -> Failure {
        let status = timeout(END_WAIT_MAX, self.child.wait()).await;
        match status {
            Ok(Ok(status)) if exhausted(status) => {
                let mib = MEMORY_BYTES_MAX >> 20;
                Failure::Failed(format!("over {mib} MiB of memory, or too deep a recursion"))
            }
            Ok(Ok(status)) => Failure::Unable(format!("its worker ended: {status}")),
            _ => Failure::Unable("its worker does not answer".to_owned()),
        }
    }
}

fn exhausted(status: ExitStatus) -> bool {
    use nix::sys::signal::Signal::{SIGABRT, SIGBUS, SIGILL, SIGSEGV, SIGTRAP};
    let signals = [SIGABRT, SIGBUS, SIGILL, SIGSEGV, SIGTRAP];
    let by = |signal| status.signal() == Some(signal as i32);
    signals.into_iter().any(by)
}
