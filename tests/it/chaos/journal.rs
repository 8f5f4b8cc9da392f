//! What was done to whom and when, what was found wrong, and how both are told.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    io::IsTerminal as _,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::support::ledger::Violation;

/// Shared by all who do harm.
#[derive(Clone)]
pub(super) struct Journal(Arc<Mutex<Entries>>);

pub(super) struct Entries {
    pub(super) began: Instant,
    /// Gateways killed.
    pub(super) kills: usize,
    /// Everything that was done, by name.
    pub(super) faults: BTreeMap<String, usize>,
    /// What goes on now.
    active: Vec<String>,
    /// When something was wrong that can lose a settlement.
    pub(super) disruptions: Vec<(Instant, Instant)>,
    /// From the start of a process to its first yes, where nothing was wrong with the store meanwhile.
    pub(super) ready_after: Vec<Duration>,
    /// The most that was ever seen of it.
    pub(super) peaks: BTreeMap<&'static str, u64>,
    pub(super) violations: Vec<Violation>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Entries {
            began: Instant::now(),
            kills: 0,
            faults: BTreeMap::new(),
            active: Vec::new(),
            disruptions: Vec::new(),
            ready_after: Vec::new(),
            peaks: BTreeMap::new(),
            violations: Vec::new(),
        })))
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no holder panics")
    }

    /// Goes on until what it returns is dropped.
    pub(super) fn fault(&self, name: impl Into<String>) -> Fault {
        let name = name.into();
        let mut entries = self.entries();
        *entries.faults.entry(name.clone()).or_default() += 1;
        entries.active.push(name.clone());
        Fault {
            name,
            journal: self.clone(),
        }
    }

    /// Settlements may have been lost since `from`, and until `slack` from now.
    pub(super) fn disrupted(&self, from: Instant, slack: Duration) {
        self.entries()
            .disruptions
            .push((from, Instant::now() + slack));
    }

    pub(super) fn disrupted_since(&self, from: Instant) -> bool {
        let entries = self.entries();
        entries.disruptions.iter().any(|(_, ended)| *ended >= from)
    }

    pub(super) fn peak(&self, of: &'static str, value: u64) {
        let mut entries = self.entries();
        let peak = entries.peaks.entry(of).or_default();
        *peak = value.max(*peak);
    }

    pub(super) fn violated(&self, invariant: &'static str, what: impl Into<String>) {
        let what = what.into();
        let violation = Violation { invariant, what };
        let mut entries = self.entries();
        // One that holds on is told once.
        if !entries.violations.contains(&violation) {
            entries.violations.push(violation);
        }
    }
}

/// See [`Journal::fault`].
#[must_use = "it is over when this is dropped"]
pub(super) struct Fault {
    name: String,
    journal: Journal,
}

impl Drop for Fault {
    fn drop(&mut self) {
        let active = &mut self.journal.entries().active;
        if let Some(index) = active.iter().position(|name| *name == self.name) {
            active.swap_remove(index);
        }
    }
}

impl Entries {
    pub(super) fn active(&self) -> String {
        let mut active = self.active.clone();
        active.sort();
        active.join(", ")
    }
}

/// Names on the left, values on the right.
#[derive(Default)]
pub(super) struct Table(String);

impl Table {
    pub(super) fn head(&mut self, text: &str) {
        writeln!(self.0, "\n{}", paint(BOLD, text)).expect("a string takes it");
    }

    pub(super) fn row(&mut self, name: impl Display, value: impl Display) {
        let name = name.to_string();
        writeln!(self.0, "  {name:<44} {value:>12}").expect("a string takes it");
    }

    pub(super) fn line(&mut self, text: &str) {
        writeln!(self.0, "  {text}").expect("a string takes it");
    }

    pub(super) fn print(self) {
        println!("{}", self.0);
    }
}

pub(super) const BOLD: &str = "1";
pub(super) const RED: &str = "1;31";
pub(super) const GREEN: &str = "1;32";
pub(super) const DIM: &str = "2";

/// In colour where a person looks at it.
pub(super) fn paint(colour: &str, text: impl Display) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}
