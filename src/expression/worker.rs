//! A worker process: it answers requests on its standard input, one after another, until that is closed.
//!
//! One thread evaluates; the main one watches the processor time of that and the pipe, so that a worker ends with its
//! gateway, however that ends and whatever is being evaluated.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, setrlimit},
        signal::{SigSet, Signal},
    },
    time::{ClockId, clock_gettime},
};

use super::{
    CPU_MAX, MEMORY_BYTES_MAX,
    compile::{Filter, compile},
    evaluate::evaluate,
    frame::{Reply, Request, read_request},
};

/// The subcommand that a gateway starts its workers with; nobody else has a use for it.
pub const COMMAND: &str = "evaluate-expressions";

/// jq recurses: a document of any depth that is taken fits, and an expression as deep as anybody writes.
const STACK_BYTES: usize = 32 * 1024 * 1024;
/// How often the processor time is looked at.
const LOOK_MILLIS: u16 = 10;
/// Compiled expressions that are kept; over it, all are forgotten.
const KEPT_MAX: usize = 64;

/// Serves until the gateway closes the pipe.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    if io::stdin().is_terminal() {
        return Err(io::Error::other("a gateway starts this, not a person"));
    }
    outlast_signals()?;
    let (requests, queue) = mpsc::sync_channel(1);
    let phase = Arc::new(Phase::default());
    let evaluator = phase.clone();
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || answer_all(&queue, &evaluator))?;
    confine()?;
    let mut stdin = io::stdin().lock();
    loop {
        let timeout = match phase.is_idle() {
            true => PollTimeout::NONE,
            false => PollTimeout::from(LOOK_MILLIS),
        };
        let mut pipe = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut pipe, timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) => {
                if phase.end_if_spent()? {
                    return reply(&Reply::Spent);
                }
            }
            Ok(_) => {
                let Some(request) = read_request(&mut stdin)? else {
                    return Ok(());
                };
                phase.receive();
                requests.send(request).map_err(io::Error::other)?;
            }
        }
    }
}

/// A signal to the whole group is the gateway's to obey: it ends its workers when it has no more use for them.
fn outlast_signals() -> io::Result<()> {
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    Ok(signals.into_iter().collect::<SigSet>().thread_block()?)
}

/// Over its memory, the process aborts. It leaves no dump, which would hold bodies. Where the machine's memory ends
/// sooner, a worker goes before its gateway.
fn confine() -> io::Result<()> {
    // Linux's; nowhere else is there such a choice.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let memory = mapped_bytes().saturating_add(MEMORY_BYTES_MAX);
    Ok(setrlimit(Resource::RLIMIT_AS, memory, memory)?)
}

/// What the program itself takes of the address space, before any work.
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn answer_all(queue: &Receiver<Request>, phase: &Phase) {
    let mut filters = HashMap::new();
    for request in queue {
        // jq must not be able to end the thread: what panics once would do so again elsewhere.
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&mut filters, &request, phase)));
        let answered = answered.unwrap_or_else(|_| Reply::Failed("jq itself failed".to_owned()));
        if !phase.finish() {
            return;
        }
        drop(request);
        if reply(&answered).is_err() {
            return;
        }
    }
}

fn answer(filters: &mut HashMap<String, Filter>, request: &Request, phase: &Phase) -> Reply {
    if filters.len() >= KEPT_MAX && !filters.contains_key(&request.expression) {
        filters.clear();
    }
    let filter = match filters.get(&request.expression) {
        Some(filter) => filter,
        None => {
            let Ok(filter) = compile(&request.expression) else {
                return Reply::Failed("it does not compile".to_owned());
            };
            filters.entry(request.expression.clone()).or_insert(filter)
        }
    };
    if phase.begin().is_err() {
        return Reply::Failed("its processor time cannot be measured".to_owned());
    }
    let (question, expression) = (request.question, &*request.expression);
    match evaluate(question, filter, expression, &request.document) {
        Ok(answer) => Reply::Answered(answer),
        Err(text) => Reply::Failed(text),
    }
}

fn reply(reply: &Reply) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&reply.encode())?;
    stdout.flush()
}

/// Where the evaluation stands: both threads look at it, and only one of them may reply.
#[derive(Default)]
struct Phase(Mutex<Stand>);

#[derive(Clone, Copy, Default)]
enum Stand {
    #[default]
    Idle,
    /// Not counted: the same expression was compiled when the gateway started.
    Compiling,
    /// Since the process had used so much processor time.
    Evaluating(Duration),
    /// The evaluation has had its time.
    Spent,
}

impl Phase {
    fn is_idle(&self) -> bool {
        matches!(*self.lock(), Stand::Idle)
    }

    fn receive(&self) {
        *self.lock() = Stand::Compiling;
    }

    fn begin(&self) -> io::Result<()> {
        let used = processor_time()?;
        *self.lock() = Stand::Evaluating(used);
        Ok(())
    }

    /// False: it is too late to reply.
    fn finish(&self) -> bool {
        let mut stand = self.lock();
        let in_time = !matches!(*stand, Stand::Spent);
        if in_time {
            *stand = Stand::Idle;
        }
        in_time
    }

    /// True when the evaluation has used its time, and may not reply any more.
    fn end_if_spent(&self) -> io::Result<bool> {
        let mut stand = self.lock();
        let Stand::Evaluating(since) = *stand else {
            return Ok(false);
        };
        let spent = processor_time()?.saturating_sub(since) > CPU_MAX;
        if spent {
            *stand = Stand::Spent;
        }
        Ok(spent)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the whole process, so that a machine that is busy with other things counts for nothing.
fn processor_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
