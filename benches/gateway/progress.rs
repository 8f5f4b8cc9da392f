//! What runs, on standard error.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Counts events, since they are what takes the time.
pub(crate) struct Progress {
    began: Instant,
    planned: AtomicUsize,
    done: AtomicUsize,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            planned: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }
}

impl Progress {
    pub(crate) fn plan(&self, events: usize) {
        self.planned.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn step(&self, events: usize, what: fmt::Arguments<'_>) {
        let done = self.done.fetch_add(events, Ordering::Relaxed) + events;
        let planned = self.planned.load(Ordering::Relaxed);
        let left = planned.saturating_sub(done) as f64 / done.max(1) as f64;
        let left = Duration::from_secs_f64(self.began.elapsed().as_secs_f64() * left);
        eprintln!(
            "{:>3} %, about {:>2}:{:02} left: {what}",
            100 * done / planned.max(1),
            left.as_secs() / 60,
            left.as_secs() % 60
        );
    }
}
