//! Everything at once, at random, for a set time: gateways are killed, stopped and stilled, Redis and the network
//! to it fail, targets misbehave and forgers knock, while providers go on posting. Then all is made well, the
//! backlog has to drain, and the logs of senders and targets are held together.
//!
//! `HOOKGATE_CHAOS_SECONDS` sets the time, `HOOKGATE_SEED` the seed that a run prints. `make chaos` is the long run.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test's own settings, and its summary"
)]

mod gateways;
mod journal;
mod redis;
mod targets;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet};

use gateways::{DESCRIPTORS, DESCRIPTORS_MAX, Keeper, MEMORY, MEMORY_MAX, PENDING, SERIES};
use journal::{BOLD, DIM, GREEN, Journal, RED, Table, paint};

use crate::support::{
    ledger::{
        Backoff, Forger, Forgeries, Load, Log, Pace, Report, Rules, Sink, configuration,
        duplicates_max, first_of, forged_routes, judge, nothing_pending,
    },
    process::Process,
    proxy::Proxy,
    receiver::Fate,
    redis::RedisServer,
};

/// In the ordinary run of all tests.
const SECONDS: u64 = 6;
/// How long the backlog may take to drain: what a killed gateway had claimed is due only when its leases end.
const DRAIN: Duration = Duration::from_secs(120);
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Of one gateway, on the average between two faults; several on one store share them.
const GATEWAY_GAP: Duration = Duration::from_millis(900);
const GATEWAYS_ON_REDIS: u32 = 3;

const PROVIDERS: Pace = Pace {
    senders: 16,
    pause: Duration::from_millis(30),
    timeout: Duration::from_secs(4),
};
const FORGERS: Pace = Pace {
    senders: 2,
    pause: Duration::from_millis(25),
    timeout: Duration::from_secs(4),
};

/// What the routes say of every target; a `breaker` belongs here too.
const TARGETS: &str = r#"
        timeout = "1s"
        concurrency = 8
        retry = { first = "100ms", factor = 2.0, max = "2s", jitter = 0.2, give_up_after = "6h" }
        breaker = { minimum = 20, window = "5s", open_for = "300ms" }
"#;
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    factor: 2.0,
    max: Duration::from_secs(2),
    jitter: 0.2,
};
/// How long a delivery is claimed for: the attempt's timeout and fifteen seconds.
const LEASE: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_loses_nothing_whatever_happens() {
    let run = Run::new("embedded").await;
    let gateways = vec![Process::spawn(&run.configuration("file:data")).await];
    let finished = run.rage(gateways, JoinSet::new(), false).await;
    finished.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_loses_nothing_whatever_happens() {
    let mut run = Run::new("redis").await;
    let server = RedisServer::with(&redis::OPTIONS);
    let (mut gateways, mut harms) = (Vec::new(), JoinSet::new());
    for _ in 0..GATEWAYS_ON_REDIS {
        let proxy = Arc::new(Proxy::start(server.address()).await);
        let url = format!("redis://{}/0", proxy.address());
        gateways.push(Process::spawn(&run.configuration(&url)).await);
        let random = run.random();
        harms.spawn(redis::harm_network(
            proxy.clone(),
            random,
            run.journal.clone(),
            run.end(),
        ));
        run.proxies.push(proxy);
    }
    let random = run.random();
    let harmed = tokio::spawn(redis::harm_server(
        server,
        random,
        run.journal.clone(),
        run.end(),
    ));
    let mut finished = run.rage(gateways, harms, true).await;
    finished._redis = Some(harmed.await.expect("no fault panics"));
    finished.judge().await;
}

/// When the faults are to end.
#[derive(Clone)]
struct End(watch::Receiver<bool>);

impl End {
    fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// No longer than to the end.
    async fn sleep(&self, time: Duration) {
        let mut end = self.0.clone();
        tokio::time::timeout(time, end.wait_for(|ended| *ended))
            .await
            .ok();
    }
}

/// Of this length on the average, and seldom more than three times that.
fn some_time(random: &mut StdRng, average: Duration) -> Duration {
    let share: f64 = random.random_range(0.0..1.0);
    average.mul_f64((-(1.0 - share).ln()).min(4.0))
}

struct Run {
    store: &'static str,
    seconds: u64,
    seed: u64,
    random: StdRng,
    journal: Journal,
    ended: watch::Sender<bool>,
    sinks: Vec<Arc<Sink>>,
    proxies: Vec<Arc<Proxy>>,
}

impl Run {
    async fn new(store: &'static str) -> Self {
        let (seconds, seed) = (setting("HOOKGATE_CHAOS_SECONDS"), setting("HOOKGATE_SEED"));
        let seconds = seconds.unwrap_or(SECONDS);
        let seed = seed.unwrap_or_else(|| rand::random::<u32>().into());
        println!(
            "{} for {seconds} s, HOOKGATE_SEED={seed}; a gateway may use {} MiB and {DESCRIPTORS_MAX} descriptors",
            paint(BOLD, format!("chaos on {store}")),
            MEMORY_MAX >> 20
        );
        let mut sinks = Vec::new();
        for name in ["crm", "support", "audit"] {
            sinks.push(Arc::new(Sink::start(name).await));
        }
        Self {
            store,
            seconds,
            seed,
            random: StdRng::seed_from_u64(seed),
            journal: Journal::new(),
            ended: watch::Sender::new(false),
            sinks,
            proxies: Vec::new(),
        }
    }

    fn configuration(&self, store_url: &str) -> String {
        let toml = configuration(store_url, &self.sinks);
        let mut root: toml::Table = toml.parse().expect("a configuration");
        let targets: toml::Table = TARGETS.parse().expect("a table");
        root["defaults"]["target"] = targets.into();
        // So that finished events go all the time, and the store stays small.
        let store = root["store"].as_table_mut().expect("a table");
        store.insert("retention".into(), "10s".into());
        toml::to_string(&root).expect("a table") + &forged_routes(&self.sinks)
    }

    fn end(&self) -> End {
        End(self.ended.subscribe())
    }

    fn random(&mut self) -> StdRng {
        StdRng::seed_from_u64(self.random.random())
    }

    /// All faults, from now until the end; then everything is well.
    async fn rage(
        mut self,
        gateways: Vec<Process>,
        mut harms: JoinSet<()>,
        shares_its_store: bool,
    ) -> Finished {
        let clients: Vec<_> = gateways.iter().map(|g| g.client.clone()).collect();
        let clients: Vec<_> = clients.iter().collect();
        let load = Load::start_at(PROVIDERS, &clients, self.seed);
        let forger = Forger::start(FORGERS, &clients, self.seed);
        // The last is always well: whatever befalls the others, nothing of theirs may reach it.
        for sink in self.sinks.clone().into_iter().take(2) {
            let random = self.random();
            harms.spawn(targets::harm(
                sink,
                random,
                self.journal.clone(),
                self.end(),
            ));
        }
        let gap = GATEWAY_GAP * u32::try_from(gateways.len()).expect("few");
        let mut keepers = JoinSet::new();
        for process in gateways {
            let keeper = Keeper {
                process,
                shares_its_store,
                gap,
                random: self.random(),
                journal: self.journal.clone(),
                end: self.end(),
                series: None,
            };
            keepers.spawn(keeper.keep());
        }
        self.wait(&load).await;
        self.ended.send_replace(true);
        harms.join_all().await;
        let gateways = keepers.join_all().await;
        let gateways = gateways.into_iter().map(|keeper| keeper.process).collect();
        let raged = self.journal.entries().began.elapsed();
        Finished {
            forgeries: forger.stop().await,
            log: load.stop().await,
            sinks: self.sinks.into_iter().filter_map(Arc::into_inner).collect(),
            gateways,
            _redis: None,
            _proxies: self.proxies,
            store: self.store,
            seed: self.seed,
            raged,
            journal: self.journal,
        }
    }

    async fn wait(&self, load: &Load) {
        let until = Instant::now() + Duration::from_secs(self.seconds);
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(PROGRESS_EVERY)).await;
            let entries = self.journal.entries();
            let faults: usize = entries.faults.values().sum();
            let violations = match entries.violations.len() {
                0 => String::new(),
                some => paint(RED, format!("  violations {some}")),
            };
            println!(
                "{} kills {:>4}  faults {faults:>5}  acknowledged {:>8}{violations}  {}",
                paint(DIM, format!("{:>5} s", entries.began.elapsed().as_secs())),
                entries.kills,
                load.acknowledged(),
                paint(DIM, entries.active())
            );
        }
    }
}

/// The faults are over.
struct Finished {
    store: &'static str,
    seed: u64,
    raged: Duration,
    journal: Journal,
    log: Log,
    forgeries: Forgeries,
    sinks: Vec<Sink>,
    gateways: Vec<Process>,
    /// They end after the gateways.
    _proxies: Vec<Arc<Proxy>>,
    _redis: Option<RedisServer>,
}

impl Finished {
    async fn judge(mut self) {
        let drained = self.drain().await;
        self.dead_letters().await;
        let entries = std::mem::take(&mut self.journal.entries().disruptions);
        let rules = Rules {
            backoff: Some(BACKOFF),
            disruptions: &entries,
            ..Rules::default()
        };
        let (report, violations) = judge(&self.log, &self.sinks, &rules);
        let mut journal = self.journal.entries();
        journal.violations.extend(violations);
        journal.violations.append(&mut self.forgeries.violations);
        drop(journal);
        self.bounds(&report, entries.len());
        self.tell(&report, drained);
        let violations = &self.journal.entries().violations;
        assert!(
            violations.is_empty(),
            "HOOKGATE_SEED={}: {} violations, the first of them: {:#?}",
            self.seed,
            violations.len(),
            first_of(violations)
        );
    }

    /// I8.
    async fn drain(&self) -> Duration {
        let began = Instant::now();
        for gateway in &self.gateways {
            let left = DRAIN.saturating_sub(began.elapsed());
            if tokio::time::timeout(left, nothing_pending(gateway))
                .await
                .is_err()
            {
                let metrics = gateway.metrics().await;
                let pending = metrics.sum("hookgate_pending_deliveries", "target=");
                let what = format!("{pending} deliveries are pending {DRAIN:?} after the faults");
                self.journal.violated("I8", what);
            }
        }
        began.elapsed()
    }

    /// Where the gateway lists its dead letters: each is of an event that its target refused.
    async fn dead_letters(&self) {
        let path = "/api/v1/events?state=dead&limit=500";
        let listed = self.gateways[0].admin.get(path).await;
        if listed.status != StatusCode::OK {
            return;
        }
        let refused = self.refused();
        let listed = listed.json();
        for event in listed["events"].as_array().expect("a list") {
            let id = event["id"].as_str().expect("an id");
            for delivery in event["deliveries"].as_array().expect("a list") {
                let target = delivery["target"].as_str().expect("a target");
                let dead = delivery["state"] == "dead";
                if dead && !refused.contains(&(target, id.into())) {
                    let what = format!("{id} is a dead letter of {target}, which never refused it");
                    self.journal.violated("I1", what);
                }
            }
        }
    }

    /// Target and event.
    fn refused(&self) -> HashSet<(&str, Arc<str>)> {
        let all = self.sinks.iter().flat_map(|sink| {
            let arrivals = sink.arrivals().into_iter();
            let refused = arrivals.filter(|arrival| arrival.fate == Fate::Refused);
            refused.map(|arrival| (sink.name(), arrival.id))
        });
        all.collect()
    }

    /// That enough was done, and that no more was made twice than that explains.
    fn bounds(&self, report: &Report, disruptions: usize) {
        if report.acknowledged == 0 || self.forgeries.refused() == 0 {
            self.journal
                .violated("run", "nothing was acknowledged or nothing refused");
        }
        let most = duplicates_max(disruptions, self.sinks.len());
        let (twice, again, early) = (report.duplicates, report.repeated, report.early);
        if twice.max(again).max(early) > most {
            let what = format!(
                "delivered twice {twice}, attempted again {again}, too soon {early}; {most} are explained"
            );
            self.journal.violated("I6", what);
        }
    }

    fn tell(&self, report: &Report, drained: Duration) {
        let entries = self.journal.entries();
        let mut table = Table::default();
        table.head(&format!(
            "chaos on {}, HOOKGATE_SEED={}",
            self.store, self.seed
        ));
        table.row("seconds of faults", self.raged.as_secs());
        table.row("gateways", self.gateways.len());
        table.row("gateways killed", entries.kills);
        let mut ready = entries.ready_after.clone();
        ready.sort();
        if let (Some(median), Some(most)) = (ready.get(ready.len() / 2), ready.last()) {
            table.row("ready after, median", format!("{} ms", median.as_millis()));
            table.row("ready after, longest", format!("{} ms", most.as_millis()));
        }
        table.head("faults");
        for (name, count) in &entries.faults {
            table.row(name, count);
        }
        table.head("events");
        table.row("ids posted", report.sent);
        table.row("acknowledged", report.acknowledged);
        table.row("posts without a 2xx", report.failures);
        table.row("arrivals at the targets", report.arrivals);
        table.row("deliveries", report.delivered);
        table.row("dead letters", report.dead);
        table.row("delivered twice", report.duplicates);
        table.row("attempts made again", report.repeated);
        table.row("attempts too soon, after a lost one", report.early);
        table.head("forged, stale, malformed and oversize requests");
        for (forgery, count) in &self.forgeries.refused {
            table.row(format!("refused: {forgery:?}"), count);
        }
        table.row("without an answer", self.forgeries.unanswered);
        table.head("at the most");
        for (name, unit) in [(MEMORY, MEMORY_MAX), (DESCRIPTORS, DESCRIPTORS_MAX)] {
            let peak = entries.peaks.get(name).copied().unwrap_or_default();
            table.row(name, format!("{peak} of {unit}"));
        }
        for name in [SERIES, PENDING] {
            table.row(name, entries.peaks.get(name).copied().unwrap_or_default());
        }
        table.row("drained within", format!("{} s", drained.as_secs()));
        table.head("violations");
        for invariant in ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"] {
            let all = entries.violations.iter();
            let count = all.filter(|v| v.invariant == invariant).count();
            let name = if invariant == "I1" {
                "I1 (losses)"
            } else {
                invariant
            };
            table.row(name, count);
        }
        for violation in first_of(&entries.violations) {
            let text = format!("{}: {}", violation.invariant, violation.what);
            table.line(&paint(RED, text));
        }
        if entries.violations.is_empty() {
            table.line(&paint(GREEN, "none"));
        }
        table.print();
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")),
    )
}
