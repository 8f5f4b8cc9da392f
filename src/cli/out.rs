//! What commands say: on standard output by [`say!`], after which a command that was not heard ends, and on standard error
//! by [`note!`], which takes no notice of whether anybody reads.
#![allow(
    clippy::disallowed_methods,
    reason = "this is what is to be taken instead"
)]

use std::{
    fmt,
    io::{self, Write as _},
    os::fd::AsFd as _,
    process::ExitCode,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::failed;

/// As shells tell of a program that SIGPIPE ended, which is how most end whose reader has left. Success would claim what
/// nobody was told: that every case passed, or that this is all of a list.
const EXIT_UNHEARD: u8 = 128 + 13;

/// How a command ends.
pub(super) type Ended = Result<ExitCode, Unwritten>;

/// Standard output cannot be written.
#[derive(Debug)]
pub(super) struct Unwritten(io::Error);

impl Unwritten {
    /// The exit code. Says why, unless it is only that the reader has left.
    pub(super) fn code(&self) -> ExitCode {
        match self.0.kind() {
            io::ErrorKind::BrokenPipe => EXIT_UNHEARD.into(),
            _ => failed(self),
        }
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to standard output: {}", self.0)
    }
}

/// Why a command that does more than to write ends early.
pub(super) enum Failure {
    Words(String),
    Unwritten(Unwritten),
}

impl Failure {
    pub(super) fn ended(self) -> Ended {
        match self {
            Self::Words(told) => Ok(failed(told)),
            Self::Unwritten(unwritten) => Err(unwritten),
        }
    }
}

impl From<String> for Failure {
    fn from(told: String) -> Self {
        Self::Words(told)
    }
}

impl From<Unwritten> for Failure {
    fn from(unwritten: Unwritten) -> Self {
        Self::Unwritten(unwritten)
    }
}

/// A line on standard output, in colours where they are wanted: `say!("{GREEN}ok{GREEN:#}: {file}")?`.
macro_rules! say {
    ($($told:tt)*) => {
        $crate::cli::out::text(format_args!("{}\n", format_args!($($told)*)))
    };
}
pub(super) use say;

/// A line on standard error.
macro_rules! note {
    ($($told:tt)*) => {
        $crate::cli::out::aside(format_args!("{}\n", format_args!($($told)*)))
    };
}
pub(super) use note;

/// [`say!`], without the end of the line.
pub(super) fn text(told: fmt::Arguments<'_>) -> Result<(), Unwritten> {
    let mut out = anstream::stdout().lock();
    let written = out.write_fmt(told).and_then(|()| out.flush());
    written.map_err(Unwritten)
}

/// To the byte, on standard output.
pub(super) fn bytes(told: &[u8]) -> Result<(), Unwritten> {
    let mut out = io::stdout().lock();
    let written = out.write_all(told).and_then(|()| out.flush());
    written.map_err(Unwritten)
}

/// `Err` where the reader has left, which else is told only to those who write.
pub(super) fn heard() -> Result<(), Unwritten> {
    let out = io::stdout();
    let mut asked = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO).is_ok();
    let has_left = PollFlags::POLLERR | PollFlags::POLLHUP;
    match asked[0].revents() {
        Some(events) if answered && events.intersects(has_left) => {
            Err(Unwritten(io::ErrorKind::BrokenPipe.into()))
        }
        _ => Ok(()),
    }
}

/// [`note!`], without the end of the line.
pub(super) fn aside(told: fmt::Arguments<'_>) {
    let mut err = anstream::stderr().lock();
    // Nobody is left who could be told.
    drop(err.write_fmt(told).and_then(|()| err.flush()));
}
