//! The configuration while the gateway runs: read again, checked whole, and then all that follows it goes over to it.
//!
//! All that can fail comes before anything changes, so that a configuration is in use whole or not at all.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{Mutex, mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::control::{Applied, Control, Refusal, ReloadResult, Resumed, Standing},
    clock::{Clock, Timestamp},
    config::{Config, Diff, Faults, Tls, diff},
    delivery::{Delivery, Lines},
    event::TargetName,
    ingest::Gate,
    keys::Keys,
    listener::tls::Identity,
    metrics::Metrics,
    store::{Store, StoreError, handover, orphans::Due, spooled::Limits},
};

use super::{news, setup, watch::Snapshot};

/// Reloads that may be asked for and not yet begun; who asks then waits.
const ASKED_MAX: usize = 64;
/// How soon it is tried again to retire the deliveries of removed targets.
const RETIRE_AGAIN: Duration = Duration::from_secs(5);

/// How long reading may take: a file system that does not answer, or a pipe that nobody writes to, is no reason never to
/// answer who asked, nor never to read again.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// A folder whose files come and go is no reason to read for ever.
const READS_MAX: u32 = 5;

/// What follows the configuration.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) lanes: Arc<handover::Lanes>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) gate: Arc<Gate>,
    pub(super) identity: Arc<ArcSwap<Identity>>,
    /// Of the spool.
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// The running gateway, to be asked.
pub(super) struct Running {
    parts: Parts,
    /// What cannot change is as this says.
    started: Arc<Config>,
    standing: ArcSwap<Standing>,
    asked: mpsc::Sender<Ask>,
    /// None of these is retired. Held while that is done: no delivery may come for a target before it is here.
    known: Mutex<Vec<TargetName>>,
}

/// Told what came of the reload.
type Ask = oneshot::Sender<ReloadResult>;

/// The other end of [`Running`]: one reload at a time.
pub(super) struct Reloads {
    running: Arc<Running>,
    asked: mpsc::Receiver<Ask>,
    /// As the files stood before they were read.
    seen: Snapshot,
    /// A reading that took too long and goes on: there is no other beside it.
    late: Option<JoinHandle<Read>>,
}

impl Running {
    pub(super) fn new(
        parts: Parts,
        path: Option<PathBuf>,
        config: Arc<Config>,
        seen: Snapshot,
    ) -> (Arc<Self>, Reloads) {
        let now = parts.clock.now();
        let standing = Standing {
            path,
            config: config.clone(),
            loaded_at: now,
            last_attempt_at: now,
            last_result: Ok(()),
            needs_restart: Vec::new(),
        };
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        let running = Arc::new(Self {
            parts,
            known: Mutex::new(config.targets.keys().cloned().collect()),
            started: config,
            standing: ArcSwap::from_pointee(standing),
            asked: sender,
        });
        let reloads = Reloads {
            running: running.clone(),
            asked,
            seen,
            late: None,
        };
        (running, reloads)
    }

    /// Makes dead letters of what waits for targets that are no more, whenever there may be some; for ever.
    pub(super) async fn retire(self: Arc<Self>) {
        let orphans = self.parts.lanes.orphans();
        loop {
            orphans.notified().await;
            let mut due = orphans.take();
            while let Err(error) = self.retire_once(&due).await {
                tracing::warn!(%error, "could not retire the deliveries of removed targets; trying again");
                tokio::time::sleep(RETIRE_AGAIN).await;
                due.extend(orphans.take());
            }
        }
    }

    async fn retire_once(&self, due: &Due) -> Result<(), StoreError> {
        let known = self.known.lock().await;
        // What is leaving is told of when it has left.
        let staying = [known.as_slice(), &self.parts.lanes.leaving()].concat();
        let gone = due.gone(&staying);
        if gone.is_nothing() {
            return Ok(());
        }
        let deliveries = self.parts.store.retire_targets(&gone).await?;
        news::retired(deliveries, &self.parts.metrics);
        Ok(())
    }

    /// Goes over to this configuration, or changes nothing.
    async fn follow(&self, loaded: Loaded) -> ReloadResult {
        let Loaded { config, identity } = loaded;
        let parts = &self.parts;
        let keys = self.keys(&config)?;
        let targets: Vec<_> = config.targets.values().cloned().collect();
        let lines = Lines::of(&config.routes);
        let deliveries = parts.delivery.prepare(&targets, &lines);
        let deliveries = deliveries.map_err(unusable)?;
        // From here on nothing fails.
        let labels = setup::OwnedLabels::of(&config);
        parts.metrics.add(&labels.labels());
        let names = || config.targets.keys().cloned();
        self.known.lock().await.extend(names());
        let removed = parts.delivery.apply(deliveries);
        parts.delivery.set_retention(setup::retention(&config));
        let body_max = parts.limits.load().body_max;
        let limits = setup::limits(&config, body_max);
        parts.limits.store(Arc::new(limits));
        parts.gate.configure(&config, keys, &parts.metrics).await;
        if !self.keeps_identity(&config) && !parts.identity.load().is_same(&identity) {
            setup::note_certificate(&parts.metrics, &identity);
            parts.identity.store(Arc::new(identity));
        }
        {
            let mut known = self.known.lock().await;
            *known = names().collect();
            parts.delivery.remove(removed);
        }
        parts.metrics.retain(&labels.labels());
        Ok(self.applied(config))
    }

    /// A certificate that is made here will do on loopback only, and that is where this file would listen after a restart.
    fn keeps_identity(&self, config: &Config) -> bool {
        let is_made = matches!(config.server.tls, Tls::SelfSigned { .. });
        is_made && !self.started.server.listen.ip().is_loopback()
    }

    /// Where keys are fetched, from when the first route needs it.
    fn keys(&self, config: &Config) -> Result<Option<Keys>, Refusal> {
        if let Some(keys) = self.parts.gate.keys() {
            return Ok(Some(keys));
        }
        let fetcher = setup::key_fetcher(config).map_err(unusable)?;
        let clock = self.parts.clock.clone();
        Ok(fetcher.map(|fetcher| Keys::new(fetcher, clock, Handle::current())))
    }

    /// Tells that this configuration is in use.
    fn applied(&self, config: Config) -> Applied {
        let before = self.config();
        let Diff {
            routes, targets, ..
        } = diff(&before, &config);
        let mut needs_restart = diff(&self.started, &config).restart;
        if self.keeps_identity(&config) {
            needs_restart.push("server.tls".to_owned());
        }
        let now = self.parts.clock.now();
        self.standing.store(Arc::new(Standing {
            path: self.standing.load().path.clone(),
            config: Arc::new(config),
            loaded_at: now,
            last_attempt_at: now,
            last_result: Ok(()),
            needs_restart: needs_restart.clone(),
        }));
        Applied {
            routes: news::changes(routes),
            targets: news::changes(targets),
            needs_restart,
        }
    }

    fn refused(&self, refusal: &Refusal, at: Timestamp) {
        let mut standing = self.standing();
        standing.last_attempt_at = at;
        standing.last_result = Err(refusal.clone());
        self.standing.store(Arc::new(standing));
    }
}

#[async_trait]
impl Control for Running {
    async fn reload(&self) -> ReloadResult {
        let stopping = || Refusal::Unusable("the gateway is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        let asked = self.asked.send(answer).await;
        asked.map_err(|_| stopping())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    fn config(&self) -> Arc<Config> {
        self.standing.load().config.clone()
    }

    fn standing(&self) -> Standing {
        Standing::clone(&self.standing.load())
    }

    fn gate(&self, target: &str) -> Option<Arc<handover::Gate>> {
        self.parts.lanes.gate(target)
    }

    async fn pause(&self, target: &str) -> Result<bool, StoreError> {
        self.parts.delivery.pause(target).await
    }

    async fn resume(&self, target: &str) -> Result<Resumed, StoreError> {
        let config = self.config();
        let Some(configured) = config.targets.get(target) else {
            return Ok(Resumed::Unknown);
        };
        let resumed = self.parts.delivery.resume(target).await?;
        Ok(match (configured.paused, resumed) {
            (true, _) => Resumed::PausedByFile,
            (false, true) => Resumed::Resumed,
            (false, false) => Resumed::NotPaused,
        })
    }
}

impl Reloads {
    /// Reloads when it is asked for and when a file has changed, until the stop. What is asked for while a reload is under way
    /// is answered by the next.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let path = self.running.standing.load().path.clone();
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return,
                () = self.seen.changed(), if path.is_some() => None,
                ask = self.asked.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return,
                },
            };
            let mut asks = Vec::from_iter(first);
            while let Ok(ask) = self.asked.try_recv() {
                asks.push(ask);
            }
            let result = match &path {
                Some(path) => match self.reload(path, &stop).await {
                    Some(result) => result,
                    None => return,
                },
                None => Err(Refusal::Unusable(
                    "the gateway was not started from a file".to_owned(),
                )),
            };
            for ask in asks {
                // Who has gone needs no answer.
                drop(ask.send(result.clone()));
            }
        }
    }

    /// `None`: the stop came while it was read.
    async fn reload(&mut self, path: &Path, stop: &CancellationToken) -> Option<ReloadResult> {
        let running = self.running.clone();
        let metrics = &running.parts.metrics;
        let at = running.parts.clock.now();
        let read = tokio::select! {
            () = stop.cancelled() => return None,
            read = self.read(path, at) => read,
        };
        let result = match read {
            Ok((loaded, seen)) => {
                self.seen = seen;
                match loaded {
                    Ok(loaded) => running.follow(loaded).await,
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) => Err(refusal),
        };
        match &result {
            Ok(applied) => {
                setup::note_load(metrics, at);
                metrics.config_reloaded.inc();
                let restart = i64::from(!applied.needs_restart.is_empty());
                metrics.config_restart_required.set(restart);
                news::applied(applied, &running.config().warnings);
            }
            Err(refusal) => {
                metrics.config_last_reload_success.set(0);
                metrics.config_reload_failed.inc();
                running.refused(refusal, at);
                news::refused(refusal);
            }
        }
        Some(result)
    }

    async fn read(&mut self, path: &Path, now: Timestamp) -> Result<Read, Refusal> {
        let deadline = Instant::now() + READ_WITHIN;
        if let Some(late) = &mut self.late {
            drop(timeout_at(deadline, late).await.map_err(|_| too_late())?);
            self.late = None;
        }
        let (path, known) = (path.to_owned(), self.seen.files().cloned().collect());
        let mut reading = spawn_blocking(move || read(&path, known, now));
        match timeout_at(deadline, &mut reading).await {
            Ok(read) => read.map_err(unusable),
            Err(_) => {
                self.late = Some(reading);
                Err(too_late())
            }
        }
    }
}

fn too_late() -> Refusal {
    Refusal::Unusable(format!(
        "the configuration and the files that it names could not be read within {} s; does a file system not answer, or is \
         a file a pipe?",
        READ_WITHIN.as_secs()
    ))
}

/// What was read, and how the files stood before.
type Read = (Result<Loaded, Refusal>, Snapshot);

/// A valid configuration, and what of it can only be known from other files.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) identity: Identity,
}

/// Reads a configuration, and how its files stood before they were read. `known`: those that are expected to be read.
pub(super) fn read(path: &Path, mut known: BTreeSet<PathBuf>, now: Timestamp) -> Read {
    known.insert(path.to_owned());
    let mut reads = 0;
    loop {
        let seen = Snapshot::of(known.iter().cloned());
        let (result, touched) = read_once(path, now);
        // A file of which it was not known that it would be read may have changed since: it is looked at, and all is read again.
        if seen.has_all(&touched) {
            return (result, seen.of_these(&touched));
        }
        reads += 1;
        if reads == READS_MAX {
            return (result, Snapshot::of(touched));
        }
        known.extend(touched);
    }
}

fn read_once(path: &Path, now: Timestamp) -> (Result<Loaded, Refusal>, BTreeSet<PathBuf>) {
    let mut touched = BTreeSet::from([path.to_owned()]);
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            touched.extend(faults.files().iter().cloned());
            return (Err(faulty(&faults)), touched);
        }
    };
    touched.extend(config.files.iter().cloned());
    if let Tls::Files {
        certificate,
        private_key,
    } = &config.server.tls
    {
        touched.extend([certificate.clone(), private_key.clone()]);
    }
    let callers = config.server.client_authorities.clone();
    let identity = Identity::load(&config.server.tls, callers, now);
    let loaded = identity.map(|identity| Loaded { config, identity });
    (loaded.map_err(unusable), touched)
}

fn faulty(faults: &Faults) -> Refusal {
    Refusal::Faults(faults.as_slice().to_vec())
}

fn unusable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unusable(error.to_string())
}
