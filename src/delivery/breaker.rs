//! The circuit breaker of one target. Pure: the time and the results of attempts come from outside.
//!
//! ```text
//!            enough of enough attempts failed              open_for has passed
//!  closed ─────────────────────────────────────▶ open ─────────────────────────▶ half-open: one is tried
//!    ▲                                             ▲                                │        │
//!    │                                             └──────────── it failed ─────────┘        │
//!    └─────────────────────────────────────────────────────────── it did not ────────────────┘
//! ```
//!
//! A failure is what speaks of the target; the refusal of an event is an answer like any other.

use std::time::{Duration, Instant};

use crate::config;

/// The window moves on in so many steps.
const STEPS: usize = 10;

pub(super) struct Breaker {
    settings: config::Breaker,
    state: State,
}

enum State {
    Closed(Window),
    /// Half-open when the rest is over: who is let in then is the gate's business.
    Open,
}

/// What changes with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened {
        until: Instant,
    },
    /// The trial failed.
    StaysOpen {
        until: Instant,
    },
    Closed,
}

/// One attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Result {
    pub(super) failed: bool,
    /// Whether it was let through to try the target. Of an open circuit's attempts only this one counts: the others
    /// began before it opened.
    pub(super) trial: bool,
}

impl Breaker {
    pub(super) fn new(settings: config::Breaker, now: Instant) -> Self {
        Self {
            settings,
            state: State::Closed(Window::new(settings.window, now)),
        }
    }

    pub(super) fn record(&mut self, result: Result, now: Instant) -> Option<Change> {
        let until = now + self.settings.open_for;
        match &mut self.state {
            State::Closed(window) => {
                let seen = window.count(result.failed, now);
                if !result.failed || !seen.is_too_much(&self.settings) {
                    return None;
                }
                self.state = State::Open;
                Some(Change::Opened { until })
            }
            State::Open if !result.trial => None,
            State::Open if result.failed => Some(Change::StaysOpen { until }),
            State::Open => {
                self.state = State::Closed(Window::new(self.settings.window, now));
                Some(Change::Closed)
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    attempts: u32,
    failed: u32,
}

impl Count {
    fn is_too_much(self, settings: &config::Breaker) -> bool {
        let share = f64::from(self.failed) / f64::from(self.attempts.max(1));
        self.attempts >= settings.minimum && share >= settings.failure_ratio
    }
}

/// What happened in the last `STEPS` steps, the running one included.
struct Window {
    step: Duration,
    began: Instant,
    /// The step that is counted in, since `began`.
    current: u128,
    counts: [Count; STEPS],
}

impl Window {
    fn new(length: Duration, now: Instant) -> Self {
        Self {
            step: (length / 10).max(Duration::from_nanos(1)),
            began: now,
            current: 0,
            counts: [Count::default(); STEPS],
        }
    }

    /// Counts one attempt; returns all within the window.
    fn count(&mut self, failed: bool, now: Instant) -> Count {
        self.move_to(now.saturating_duration_since(self.began).as_nanos() / self.step.as_nanos());
        let current = &mut self.counts[Self::slot(self.current)];
        current.attempts = current.attempts.saturating_add(1);
        current.failed = current.failed.saturating_add(u32::from(failed));
        self.counts
            .iter()
            .fold(Count::default(), |sum, count| Count {
                attempts: sum.attempts.saturating_add(count.attempts),
                failed: sum.failed.saturating_add(count.failed),
            })
    }

    /// Forgets the steps that it passes. Results may come a little out of order: it never moves back.
    fn move_to(&mut self, step: u128) {
        let passed = step.saturating_sub(self.current).min(STEPS as u128);
        self.current = self.current.max(step);
        for back in 0..passed {
            self.counts[Self::slot(self.current - back)] = Count::default();
        }
    }

    fn slot(step: u128) -> usize {
        usize::try_from(step % STEPS as u128).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> config::Breaker {
        config::Breaker {
            failure_ratio: 0.5,
            minimum: 4,
            window: 10 * SECOND,
            open_for: 30 * SECOND,
        }
    }

    struct Trace {
        breaker: Breaker,
        start: Instant,
    }

    impl Trace {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                breaker: Breaker::new(settings(), start),
                start,
            }
        }

        fn at(&self, seconds: u32) -> Instant {
            self.start + SECOND * seconds
        }

        fn record(&mut self, seconds: u32, failed: bool, trial: bool) -> Option<Change> {
            let now = self.at(seconds);
            self.breaker.record(Result { failed, trial }, now)
        }

        fn fail(&mut self, seconds: u32) -> Option<Change> {
            self.record(seconds, true, false)
        }

        fn succeed(&mut self, seconds: u32) -> Option<Change> {
            self.record(seconds, false, false)
        }

        fn opened(&self, seconds: u32) -> Option<Change> {
            let until = self.at(seconds + 30);
            Some(Change::Opened { until })
        }
    }

    #[test]
    fn opens_when_enough_of_enough_attempts_failed() {
        let mut trace = Trace::new();
        for _ in 0..3 {
            assert_eq!(trace.fail(0), None, "too few to tell");
        }
        assert_eq!(trace.fail(0), trace.opened(0));
    }

    #[test]
    fn stays_closed_while_the_share_is_small() {
        let mut trace = Trace::new();
        for _ in 0..4 {
            assert_eq!(trace.succeed(0), None);
        }
        for _ in 0..3 {
            assert_eq!(trace.fail(1), None);
        }
        assert_eq!(trace.succeed(1), None);
        assert_eq!(trace.fail(2), None);
        assert_eq!(trace.fail(2), trace.opened(2), "5 of 10");
    }

    #[test]
    fn a_success_never_opens() {
        let mut trace = Trace::new();
        for _ in 0..3 {
            trace.fail(0);
        }
        assert_eq!(
            trace.succeed(0),
            None,
            "3 of 4 are enough, but it is well now"
        );
        assert_eq!(trace.fail(0), trace.opened(0));
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut trace = Trace::new();
        for _ in 0..3 {
            trace.fail(0);
        }
        assert_eq!(trace.fail(10), None);
        assert_eq!(trace.fail(11), None);
        assert_eq!(trace.fail(12), None);
        assert_eq!(trace.fail(19), trace.opened(19));
        let mut trace = Trace::new();
        for seconds in 0..100 {
            assert_eq!(trace.fail(seconds * 100), None, "one in each window");
        }
    }

    #[test]
    fn results_out_of_order_count_where_the_window_is() {
        let mut trace = Trace::new();
        trace.fail(9);
        trace.fail(8);
        trace.fail(3);
        assert_eq!(trace.fail(9), trace.opened(9));
    }

    #[test]
    fn only_the_trial_speaks_for_an_open_circuit() {
        let mut trace = Trace::new();
        for _ in 0..4 {
            trace.fail(0);
        }
        assert_eq!(trace.fail(1), None);
        assert_eq!(trace.succeed(1), None, "begun before it opened");
        let until = trace.at(60);
        let stays = Some(Change::StaysOpen { until });
        assert_eq!(trace.record(30, true, true), stays);
        assert_eq!(trace.record(60, false, true), Some(Change::Closed));
        // From the beginning again.
        for _ in 0..3 {
            assert_eq!(trace.fail(60), None);
        }
        assert_eq!(trace.fail(60), trace.opened(60));
    }
}
