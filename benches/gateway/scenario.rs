//! The scenarios, and how one is run.

use std::time::{Duration, Instant};

use tokio_rustls::TlsConnector;

use crate::{
    Bench, Result,
    contestant::{BARE, Contestant, EMBEDDED, FORWARDER, Kind, REDIS, Setup, StoreKind, Targets},
    figures::{CpuPerEvent, Series, Turn},
    load::{self, Batch, Shape},
};

/// After a turn, what the servers still have to do (settling deliveries, say) counts as its CPU time.
const SETTLE: Duration = Duration::from_millis(100);
/// Handshakes are work: more of them at once only wait for each other.
const NEW_CONNECTIONS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    KeepAlive,
    /// A connection for each request, by a full handshake or a resumed session.
    NewConnection {
        resume: bool,
    },
    /// At half of the highest rate of the warm-up's closed loop.
    HalfRate,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    pub(crate) body_bytes: usize,
    pub(crate) targets: Targets,
    /// The first is the baseline.
    pub(crate) contestants: &'static [Kind],
    /// Of the events of a turn.
    share: f64,
    quick: bool,
}

const BOTH: &[Kind] = &[BARE, EMBEDDED, REDIS];
const FORWARDING: &[Kind] = &[FORWARDER, EMBEDDED, REDIS];
const WEAKER: &[Kind] = &[
    BARE,
    Kind::Gateway(StoreKind::Embedded, "everysec"),
    Kind::Gateway(StoreKind::Embedded, "memory"),
    Kind::Gateway(StoreKind::Redis, "everysec"),
    Kind::Gateway(StoreKind::Redis, "memory"),
];
const PAUSED: Targets = Targets::Paused(1);
const FULL: Load = Load::NewConnection { resume: false };
const RESUMED: Load = Load::NewConnection { resume: true };
const KIB: usize = 1024;

#[rustfmt::skip]
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("accept-1k", "Accepted, 1 KiB", Load::KeepAlive, KIB, PAUSED, BOTH, 1.0, true),
    scenario("accept-weaker", "Accepted, 1 KiB, weaker durabilities (for information)", Load::KeepAlive, KIB, PAUSED, WEAKER, 1.0, false),
    scenario("accept-16k", "Accepted, 16 KiB", Load::KeepAlive, 16 * KIB, PAUSED, BOTH, 0.5, false),
    scenario("accept-64k", "Accepted, 64 KiB", Load::KeepAlive, 64 * KIB, PAUSED, BOTH, 0.2, false),
    scenario("handshake-full", "A new connection a request, full handshake", FULL, KIB, PAUSED, BOTH, 0.1, false),
    scenario("handshake-resumed", "A new connection a request, resumed session", RESUMED, KIB, PAUSED, BOTH, 0.1, false),
    scenario("deliver-1", "Accepted and delivered to 1 target", Load::KeepAlive, KIB, Targets::Receiving(1), FORWARDING, 0.5, true),
    scenario("deliver-3", "Accepted and delivered to 3 targets", Load::KeepAlive, KIB, Targets::Receiving(3), FORWARDING, 0.5, true),
    scenario("latency", "Answer time at half of the highest rate", Load::HalfRate, KIB, PAUSED, BOTH, 1.0, true),
    scenario("latency-deliver", "Answer time and first attempt at half of the highest rate, 1 target", Load::HalfRate, KIB, Targets::Receiving(1), FORWARDING, 0.5, true),
];

#[expect(clippy::too_many_arguments, reason = "a line of the table above")]
const fn scenario(
    name: &'static str,
    title: &'static str,
    load: Load,
    body_bytes: usize,
    targets: Targets,
    contestants: &'static [Kind],
    share: f64,
    quick: bool,
) -> Scenario {
    Scenario {
        name,
        title,
        load,
        body_bytes,
        targets,
        contestants,
        share,
        quick,
    }
}

/// A scenario, and one series for each contestant that took part.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) series: Vec<(Kind, Series)>,
}

impl Measured {
    pub(crate) fn series(&self, kind: Kind) -> Option<&Series> {
        let found = self.series.iter().find(|(other, _)| *other == kind);
        found.map(|(_, series)| series)
    }

    /// What the others are compared with, if it took part.
    pub(crate) fn baseline(&self) -> Option<&Series> {
        self.series(self.scenario.contestants[0])
    }
}

impl Scenario {
    /// Who takes part: nobody when it was not asked for.
    pub(crate) fn chosen(&self, bench: &Bench) -> Vec<Kind> {
        let quick = self.quick;
        bench.selection.scenario(self.name, quick, self.contestants)
    }

    pub(crate) fn shape(&self, bench: &Bench) -> Shape {
        let connections = usize::from(bench.arguments.connections);
        let connections = match self.load {
            Load::NewConnection { .. } => connections.min(NEW_CONNECTIONS),
            Load::KeepAlive | Load::HalfRate => connections,
        };
        let events = (bench.arguments.events() as f64 * self.share) as usize;
        Shape {
            events: events.max(connections),
            connections,
            body_bytes: self.body_bytes,
            routes: 1,
        }
    }

    /// Turns of a contestant, with those that do not count.
    pub(crate) fn turns(&self, bench: &Bench) -> usize {
        bench.arguments.rounds() + self.warm_ups()
    }

    /// The rate of an open loop is taken from the second: the first is cold.
    fn warm_ups(&self) -> usize {
        match self.load {
            Load::HalfRate => 2,
            Load::KeepAlive | Load::NewConnection { .. } => 1,
        }
    }

    pub(crate) fn run(&'static self, bench: &Bench) -> Result<Measured> {
        let kinds = self.chosen(bench);
        let mut entrants = Vec::new();
        for kind in &kinds {
            entrants.push(Entrant::start(self, *kind, bench)?);
        }
        for turn in 0..self.turns(bench) {
            let batch = bench.batch(self.shape(bench));
            let count = entrants.len();
            for place in 0..count {
                let entrant = &mut entrants[(turn + place) % count];
                let warm_up = turn < self.warm_ups();
                entrant.take_turn(self.load, warm_up, &batch, bench)?;
                bench.progress.step(
                    batch.events,
                    format_args!(
                        "{:<17} {:<17} {:>8.0} events/s{}",
                        self.name,
                        entrant.series.name,
                        entrant.last_rate,
                        if warm_up { " (warm-up)" } else { "" }
                    ),
                );
            }
        }
        let series = entrants.into_iter().map(Entrant::end);
        Ok(Measured {
            scenario: self,
            series: kinds
                .into_iter()
                .zip(series.collect::<Result<Vec<_>>>()?)
                .collect(),
        })
    }
}

/// A contestant and what it has reached.
struct Entrant {
    contestant: Contestant,
    /// For new connections: one each, since a session is resumed once.
    connectors: Vec<TlsConnector>,
    series: Series,
    highest_rate: f64,
    last_rate: f64,
}

impl Entrant {
    fn start(scenario: &Scenario, kind: Kind, bench: &Bench) -> Result<Self> {
        let setup = Setup::new(kind, scenario.targets);
        let contestant = bench
            .client
            .block_on(Contestant::start(setup, &bench.site))?;
        let connectors = match scenario.load {
            Load::NewConnection { resume } => (0..scenario.shape(bench).connections)
                .map(|_| load::connector(&bench.site.certificate, resume))
                .collect::<Result<_>>()?,
            Load::KeepAlive | Load::HalfRate => vec![contestant.connector.clone()],
        };
        Ok(Self {
            contestant,
            connectors,
            series: Series {
                name: kind.to_string(),
                ..Series::default()
            },
            highest_rate: 0.0,
            last_rate: 0.0,
        })
    }

    fn take_turn(&mut self, load: Load, warm_up: bool, batch: &Batch, bench: &Bench) -> Result<()> {
        let pace = match load {
            Load::KeepAlive => Pace::Closed,
            Load::NewConnection { .. } => Pace::NewConnections(&self.connectors),
            Load::HalfRate if warm_up => Pace::Closed,
            Load::HalfRate => Pace::Open(self.highest_rate / 2.0),
        };
        let turn = turn(&self.contestant, pace, batch, bench)?;
        self.last_rate = turn.rate;
        if warm_up {
            self.highest_rate = self.highest_rate.max(turn.rate);
        } else {
            self.series.turns.push(turn);
        }
        Ok(())
    }

    fn end(mut self) -> Result<Series> {
        self.series.peak_mib = self.contestant.peak_mib()?;
        self.series.redis_peak_mib = self
            .contestant
            .redis()
            .map(|redis| redis.peak_mib())
            .transpose()?;
        Ok(self.series)
    }
}

/// How one turn loads a contestant.
pub(crate) enum Pace<'a> {
    Closed,
    NewConnections(&'a [TlsConnector]),
    /// So many events a second.
    Open(f64),
}

/// One turn: until all events are answered, and have arrived where there are receivers.
pub(crate) fn turn(
    contestant: &Contestant,
    pace: Pace<'_>,
    batch: &Batch,
    bench: &Bench,
) -> Result<Turn> {
    let turn = bench.client.block_on(measure(contestant, pace, batch));
    turn.map_err(|error| {
        let name = contestant.setup.kind;
        let log = contestant.last_lines();
        format!("{name}: {error}\nits log ends with:\n{log}").into()
    })
}

async fn measure(contestant: &Contestant, pace: Pace<'_>, batch: &Batch) -> Result<Turn> {
    let addresses = contestant.addresses();
    let connector = std::slice::from_ref(&contestant.connector);
    let streams = match pace {
        Pace::NewConnections(_) => Vec::new(),
        Pace::Closed | Pace::Open(_) => load::connections(&addresses, connector, batch).await?,
    };
    let before = contestant.cpu()?;
    let tally = contestant.receivers.expect(batch.turn, batch.events);
    let began = Instant::now();
    let (mut open, mut resumed) = (None, None);
    match pace {
        Pace::Closed => load::closed_loop(streams, batch).await?,
        Pace::NewConnections(connectors) => {
            resumed = Some(load::new_connections(addresses[0], connectors, batch).await?);
        }
        Pace::Open(rate) => open = Some(load::open_loop(streams, batch, rate).await?),
    }
    tally.complete().await?;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let after = contestant.cpu()?;
    let arrivals = open
        .as_ref()
        .filter(|_| contestant.setup.targets.receiving() > 0)
        .map(|open| {
            let mut arrivals = load::histogram();
            for number in 0..batch.events {
                let taken = tally
                    .arrival(number)
                    .saturating_duration_since(open.due(number));
                load::record(&mut arrivals, taken);
            }
            arrivals
        });
    Ok(Turn {
        rate: batch.events as f64 / seconds,
        cpu: CpuPerEvent::new(before, after, batch.events),
        answers: open.map(|open| open.answers),
        arrivals,
        resumed,
    })
}
