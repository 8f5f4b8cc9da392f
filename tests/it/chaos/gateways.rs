//! Kills, stops and stills one gateway, starts it again, and watches what it uses.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use http::Method;
use nix::sys::signal::Signal;
use rand::{Rng as _, rngs::StdRng};

use super::{End, journal::Journal, some_time};
use crate::support::{PATIENCE, metrics::Metrics, process::Process};

/// Between two looks at what a gateway uses.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// An administrator's request that takes longer is given up: the gateway may be standing still.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// What a gateway may use at the most: resident memory at its highest, and open descriptors.
pub(super) const MEMORY_MAX: u64 = 256 << 20;
pub(super) const DESCRIPTORS_MAX: u64 = 256;
/// Attempts of a gateway that is killed are still on their way to the target for so long.
const SLACK: Duration = Duration::from_secs(1);
/// The grace, and what a stop may take beyond it.
const STOP_MAX: Duration = Duration::from_secs(20 + 10);
/// A process that ends at once because its store is away is started again after this long.
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    /// ... and once more while it starts.
    KillInStart,
    Terminate,
    /// SIGSTOP, then SIGCONT.
    StandStill(Duration),
}

impl Fault {
    fn draw(random: &mut StdRng, shares_its_store: bool) -> Self {
        match random.random_range(0..100) {
            0..72 => Self::Kill,
            72..84 => Self::KillInStart,
            84..91 => Self::Terminate,
            // Longer than the leases, while others can take over.
            91..93 if shares_its_store => Self::StandStill(super::LEASE + Duration::from_secs(3)),
            _ => Self::StandStill(Duration::from_millis(random.random_range(100..2500))),
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "gateway: kill -9",
            Self::KillInStart => "gateway: kill -9 while it starts",
            Self::Terminate => "gateway: SIGTERM",
            Self::StandStill(time) if time > super::LEASE => "gateway: SIGSTOP past its leases",
            Self::StandStill(_) => "gateway: SIGSTOP",
        }
    }
}

pub(super) struct Keeper {
    pub(super) process: Process,
    pub(super) shares_its_store: bool,
    /// On the average, between two faults.
    pub(super) gap: Duration,
    pub(super) random: StdRng,
    pub(super) journal: Journal,
    pub(super) end: End,
    /// All series of the first scrape: there are never others.
    pub(super) series: Option<BTreeSet<String>>,
}

impl Keeper {
    /// Until the end; then the gateway is well.
    pub(super) async fn keep(mut self) -> Self {
        while !self.end.has_come() {
            let until = Instant::now() + some_time(&mut self.random, self.gap);
            while Instant::now() < until && !self.end.has_come() {
                self.look().await;
                let left = until.saturating_duration_since(Instant::now());
                self.end.sleep(left.min(LOOK_EVERY)).await;
            }
            if self.end.has_come() {
                break;
            }
            let fault = Fault::draw(&mut self.random, self.shares_its_store);
            self.harm(fault).await;
        }
        self.until_ready().await;
        self.look().await;
        self
    }

    async fn harm(&mut self, fault: Fault) {
        let began = Instant::now();
        let _active = self.journal.fault(fault.name());
        match fault {
            Fault::Kill => {
                self.kill();
                self.start().await;
            }
            Fault::KillInStart => {
                self.kill();
                self.process.start_again();
                let moment = Duration::from_millis(self.random.random_range(0..80));
                tokio::time::sleep(moment).await;
                self.kill();
                self.start().await;
            }
            Fault::Terminate => {
                if self.process.ended().is_none() {
                    self.terminate().await;
                }
                self.start().await;
            }
            Fault::StandStill(time) => {
                if self.process.ended().is_none() {
                    self.process.signal(Signal::SIGSTOP);
                    self.end.sleep(time).await;
                    self.process.signal(Signal::SIGCONT);
                }
                self.journal.disrupted(began, SLACK);
            }
        }
    }

    fn kill(&mut self) {
        let began = Instant::now();
        self.process.kill();
        self.journal.entries().kills += 1;
        self.journal.disrupted(began, SLACK);
        self.no_panic();
    }

    async fn terminate(&mut self) {
        let began = Instant::now();
        self.process.signal(Signal::SIGTERM);
        let status = loop {
            match self.process.ended() {
                Some(status) => break Some(status),
                None if began.elapsed() > STOP_MAX => break None,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        if status.and_then(|status| status.code()) != Some(0) {
            let what = format!("a stop ended with {status:?}: {}", self.last_words());
            self.journal.violated("stop", what);
        }
        // With its store away it leaves settlements behind.
        if self.shares_its_store {
            self.journal.disrupted(began, SLACK);
        }
        self.no_panic();
    }

    async fn start(&mut self) {
        let began = Instant::now();
        self.process.start_again();
        if self.until_ready().await && !self.journal.disrupted_since(began) {
            self.journal.entries().ready_after.push(began.elapsed());
        }
    }

    /// Starts it again whenever it ends by itself, as a supervisor does. Whether it was ready at the first start.
    async fn until_ready(&mut self) -> bool {
        let began = Instant::now();
        let mut at_once = true;
        while !self.is_ready().await {
            at_once &= self.revive().await;
            if began.elapsed() > PATIENCE {
                let what = format!("not ready after {PATIENCE:?}: {}", self.last_words());
                self.journal.violated("start", what);
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        at_once
    }

    /// False when it had ended.
    async fn revive(&mut self) -> bool {
        let Some(status) = self.process.ended() else {
            return true;
        };
        self.no_panic();
        let words = self.last_words();
        // A store that cannot be reached ends the start; nothing else ends it.
        if !self.shares_its_store || status.code() != Some(1) || !words.contains("error: ") {
            self.journal
                .violated("start", format!("it ended with {status}: {words}"));
        }
        let _active = self.journal.fault("gateway: ended, its store was away");
        tokio::time::sleep(START_AGAIN_AFTER).await;
        self.process.start_again();
        false
    }

    async fn is_ready(&mut self) -> bool {
        self.ask("/readyz").await.is_some()
    }

    async fn ask(&mut self, path: &str) -> Option<String> {
        let reply = self.process.admin.try_send(Method::GET, path, &[], "");
        let reply = tokio::time::timeout(LOOK_TIMEOUT, reply).await.ok()?.ok()?;
        reply.status.is_success().then(|| reply.text())
    }

    /// I5 and I7 at this moment.
    async fn look(&mut self) {
        self.revive().await;
        self.uses();
        let Some(text) = self.ask("/metrics").await else {
            return;
        };
        let metrics = Metrics::parse(&text);
        for route in ["vault", "stamped"] {
            for outcome in ["accepted", "duplicate"] {
                let labels = [("outcome", outcome), ("route", route)];
                let count = metrics.value("hookgate_requests_total", &labels);
                if count != Some(0.0) {
                    let what = format!("{count:?} forged requests are counted as {outcome}");
                    self.journal.violated("I5", what);
                }
            }
        }
        for reason in ["corrupt", "gave_up"] {
            let dead = metrics.sum(
                "hookgate_dead_letters_total",
                &format!("reason=\"{reason}\""),
            );
            if dead != 0.0 {
                let what = format!("dead letters for the reason {reason}, which nobody gave");
                self.journal.violated("I1", what);
            }
        }
        let pending = metrics.sum("hookgate_pending_deliveries", "target=");
        self.journal.peak(PENDING, pending as u64);
        let series: BTreeSet<String> = metrics.series().into_iter().map(str::to_owned).collect();
        self.journal.peak(SERIES, series.len() as u64);
        let first = self.series.get_or_insert_with(|| series.clone());
        if *first != series {
            let new: Vec<_> = series.symmetric_difference(first).take(5).collect();
            self.journal
                .violated("I7", format!("series that come and go: {new:?}"));
        }
    }

    fn uses(&self) {
        let (_, memory) = self.process.memory();
        let descriptors = self.process.descriptors() as u64;
        self.journal.peak(MEMORY, memory);
        self.journal.peak(DESCRIPTORS, descriptors);
        if memory > MEMORY_MAX {
            self.journal.violated(
                "I7",
                format!("more than {} MiB of memory", MEMORY_MAX >> 20),
            );
        }
        if descriptors > DESCRIPTORS_MAX {
            self.journal
                .violated("I7", format!("more than {DESCRIPTORS_MAX} descriptors"));
        }
    }

    fn no_panic(&self) {
        let text = self.process.stderr();
        if let Some(line) = text.lines().find(|line| line.contains("panicked")) {
            self.journal.violated("panic", line);
        }
    }

    fn last_words(&self) -> String {
        let text = self.process.stderr();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }
}

pub(super) const MEMORY: &str = "memory of a gateway, bytes";
pub(super) const DESCRIPTORS: &str = "descriptors of a gateway";
pub(super) const SERIES: &str = "series of metrics";
pub(super) const PENDING: &str = "deliveries pending";
