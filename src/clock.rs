//! Time. The only reader of the wall clock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(by)))
    }

    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(by)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds, e.g. `2026-05-20T15:30:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Where the time comes from: the system, or a hand that a test sets.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Runs on from a moment at which it was right.
    Steady {
        origin: Timestamp,
        since: Instant,
    },
    Manual(Arc<Hands>),
    ManualSteady(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    wall: AtomicI64,
    /// What the wall clock was set forward by, in all.
    stepped: AtomicI64,
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`ClockHand::set`] moves it.
    pub fn manual(at: Timestamp) -> (Self, ClockHand) {
        let hands = Arc::new(Hands {
            wall: AtomicI64::new(at.0),
            stepped: AtomicI64::new(0),
        });
        (Self(Source::Manual(hands.clone())), ClockHand(hands))
    }

    /// A clock that shows what this one does now, and then runs on evenly, whatever this one is set to: for what is
    /// to happen after a while. It stands still while the machine sleeps.
    pub fn steady(&self) -> Self {
        Self(match &self.0 {
            Source::System => Source::Steady {
                origin: self.now(),
                since: Instant::now(),
            },
            Source::Manual(hands) => Source::ManualSteady(hands.clone()),
            steady @ (Source::Steady { .. } | Source::ManualSteady(_)) => steady.clone(),
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, millis_of),
            ),
            Source::Steady { origin, since } => origin.saturating_add(since.elapsed()),
            Source::Manual(hands) => Timestamp(hands.wall.load(Ordering::SeqCst)),
            Source::ManualSteady(hands) => {
                Timestamp(hands.wall.load(Ordering::SeqCst) - hands.stepped.load(Ordering::SeqCst))
            }
        }
    }
}

/// Moves a manual [`Clock`].
#[derive(Debug)]
pub struct ClockHand(Arc<Hands>);

impl ClockHand {
    /// Time passes until this moment.
    pub fn set(&self, at: Timestamp) {
        self.0.wall.store(at.0, Ordering::SeqCst);
    }

    /// The clock is set to this moment, as somebody sets a wall clock: no time passes.
    pub fn step(&self, to: Timestamp) {
        let from = self.0.wall.swap(to.0, Ordering::SeqCst);
        self.0.stepped.fetch_add(to.0 - from, Ordering::SeqCst);
    }
}
