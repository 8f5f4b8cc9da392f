//! What accepting and moving tell each other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

use crate::{
    event::Event,
    store::{
        StoreError,
        orphans::{Due, Gone},
    },
};

pub(super) struct State {
    /// Even: the primary takes events. Odd: it is away. It counts the changes, so that the late failure of a call
    /// that began before the last one changes nothing.
    changes: AtomicU64,
    /// Zero: the spool holds nothing. Else a count of reports that something was put there. Only the mover clears
    /// it, and only when no report came since it began to look.
    reports: AtomicU64,
    /// The deliveries of removed targets are still to be retired.
    retire_due: Mutex<Due>,
    /// Tells the mover that there is something to do.
    pub(super) wake: Notify,
}

/// The state as a caller found it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    changes: u64,
    holds: bool,
}

impl View {
    pub(super) fn is_up(self) -> bool {
        self.changes.is_multiple_of(2)
    }

    /// Whether events wait in the spool.
    pub(super) fn holds(self) -> bool {
        self.holds
    }

    /// Whether the event goes to the primary without a detour.
    pub(super) fn takes(self, event: &Event) -> bool {
        self.is_up() && !(self.holds && is_ordered(event))
    }
}

/// Whether it must not be overtaken, nor overtake.
pub(super) fn is_ordered(event: &Event) -> bool {
    let mut deliveries = event.deliveries.iter();
    deliveries.any(|delivery| delivery.order.is_some())
}

impl State {
    pub(super) fn new(holds: bool) -> Self {
        Self {
            changes: AtomicU64::new(0),
            reports: AtomicU64::new(holds.into()),
            retire_due: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn view(&self) -> View {
        View {
            changes: self.changes.load(Ordering::SeqCst),
            holds: self.reports() != 0,
        }
    }

    /// The primary did not take what it was asked to after `seen`. Whoever finds that out wakes the mover.
    pub(super) fn lost(&self, seen: View, error: &StoreError) {
        if seen.is_up() && self.change(seen.changes) {
            tracing::warn!(%error, "the store takes no events; they go into the spool");
        }
    }

    /// The primary takes events. The mover alone finds that out.
    pub(super) fn regained(&self) {
        let changes = self.changes.load(Ordering::SeqCst);
        if !changes.is_multiple_of(2) && self.change(changes) {
            tracing::info!("the store takes events again");
        }
    }

    fn change(&self, from: u64) -> bool {
        let changed =
            self.changes
                .compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::SeqCst);
        changed.is_ok()
    }

    pub(super) fn reports(&self) -> u64 {
        self.reports.load(Ordering::SeqCst)
    }

    /// Something is put into the spool: reported when this is dropped, whatever came of it.
    pub(super) fn report(&self) -> Report<'_> {
        Report(self)
    }

    /// The spool was found empty after `seen` was read.
    pub(super) fn emptied(&self, seen: u64) {
        // A failed exchange means that a report came meanwhile: it stands.
        let _stands = self
            .reports
            .compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    pub(super) fn retire_later(&self, gone: &Gone) {
        self.lock_retire_due().extend(gone.into());
        self.wake.notify_one();
    }

    /// What that was said of since this was last asked.
    pub(super) fn take_retire_due(&self) -> Due {
        std::mem::take(&mut self.lock_retire_due())
    }

    fn lock_retire_due(&self) -> MutexGuard<'_, Due> {
        self.retire_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Report<'a>(&'a State);

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.0.reports.fetch_add(1, Ordering::SeqCst);
        self.0.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> StoreError {
        StoreError::Unavailable("gone".into())
    }

    #[test]
    fn a_late_failure_says_nothing_about_what_came_after() {
        let state = State::new(false);
        let seen = state.view();
        state.lost(seen, &gone());
        assert!(!state.view().is_up());
        state.regained();
        assert!(state.view().is_up());
        state.lost(seen, &gone());
        assert!(state.view().is_up(), "it began before");
        state.lost(state.view(), &gone());
        assert!(!state.view().is_up());
    }

    #[test]
    fn a_report_since_the_look_keeps_the_spool_from_being_called_empty() {
        let state = State::new(true);
        let seen = state.reports();
        drop(state.report());
        state.emptied(seen);
        assert!(state.view().holds());
        state.emptied(state.reports());
        assert!(!state.view().holds());
    }
}
