//! What is done beside the commits: checkpoints, and with `everysec` the syncs.

use std::{
    fs::File,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use super::failure::Failure;

/// A thread that does one thing whenever it is told to, and then pauses.
pub(super) struct Chore {
    wake: SyncSender<()>,
    /// Dropped to end a pause.
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Chore {
    /// `failed` is told of a failure that can never be made good.
    pub(super) fn start(
        name: &str,
        pause: Duration,
        job: impl FnMut() -> Result<(), Failure> + Send + 'static,
        failed: impl Fn(String) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let (stop, stopped) = sync_channel(0);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&woken, &stopped, pause, job, failed))?;
        Ok(Self { wake, stop, thread })
    }

    /// Never waits. What is asked for while the job runs is done once more after it.
    pub(super) fn wake(&self) {
        match self.wake.try_send(()) {
            // Full: it will run anyway. Disconnected: it has failed, and said so.
            Ok(()) | Err(_) => {}
        }
    }

    /// Waits for what is being done.
    pub(super) fn stop(self) {
        drop(self.wake);
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("a thread of the embedded store panicked");
        }
    }
}

fn run(
    woken: &Receiver<()>,
    stopped: &Receiver<()>,
    pause: Duration,
    mut job: impl FnMut() -> Result<(), Failure>,
    failed: impl Fn(String),
) {
    while woken.recv().is_ok() {
        match job() {
            Ok(()) => {}
            Err(Failure::Fatal(message)) => return failed(message),
            // A full disk: the write-ahead log keeps what could not be moved, until there is room.
            Err(Failure::Full(message) | Failure::Other(message)) => {
                tracing::warn!(error = %message, "the embedded store could not tidy up");
            }
        }
        if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// How far a checkpoint came, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) logged: u64,
    pub(super) moved: u64,
}

/// `mode`: `PASSIVE` (waits for nobody), `RESTART`, `TRUNCATE`, or `NOOP` (only tells).
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<Progress, Failure> {
    let progress = connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| {
            Ok(Progress {
                logged: row.get::<_, i64>(1)?.try_into().unwrap_or(0),
                moved: row.get::<_, i64>(2)?.try_into().unwrap_or(0),
            })
        })?;
    Ok(progress)
}

pub(super) fn sync(file: &File) -> Result<(), Failure> {
    file.sync_data()
        .map_err(|error| Failure::Fatal(format!("cannot sync the write-ahead log: {error}")))
}
