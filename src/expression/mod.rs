//! jq: a delivery's `when` and `transform`.
//!
//! An expression is parsed and checked when the configuration is loaded. It is evaluated in a worker process of this
//! same program, because a jq program can loop, exhaust memory or overflow the stack, and nothing within a process can
//! stop that: a worker is killed, and another takes its place.
//!
//! ```text
//!  pool ──▶ frame: question, expression, document ──▶ worker (compile, evaluate, bounds)
//!       ◀── frame: answer ◀──────────────────────────
//! ```

mod compile;
mod evaluate;
mod frame;
mod pool;
mod wording;
mod worker;

use std::{fmt, sync::Arc};

pub use compile::{Fault, Unknown};
pub use pool::{ALLOWANCE, Failure, Pool, Seat, Share, Workers};
pub use worker::{COMMAND, run};

/// Longer ones would belong into a service.
pub const SOURCE_BYTES_MAX: usize = 16 * 1024;
/// Of processor time, for one evaluation.
pub const CPU_MAX: std::time::Duration = std::time::Duration::from_millis(250);
/// Of memory, for a worker.
pub const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Of what a `transform` makes.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// A jq program that compiles.
#[derive(Clone, PartialEq, Eq)]
pub struct Expression(Arc<str>);

impl Expression {
    /// Fails with all that is wrong with it; never with an empty list.
    pub fn parse(source: &str) -> Result<Self, Vec<Fault>> {
        compile::check(source)?;
        Ok(Self(source.into()))
    }

    pub fn source(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What is asked about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it is wanted: the first value, by jq's truth. No value is a no.
    When,
    /// What is sent in its place: the one value.
    Transform,
}

impl Question {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::When => "when",
            Self::Transform => "transform",
        }
    }
}

/// What an expression makes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// Compact JSON.
    Document(Vec<u8>),
}
