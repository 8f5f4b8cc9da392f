//! Whether the gateway stays as fast with more of everything: each size takes turns with the smallest.

use serde_json::{Value, json};

use crate::{
    Bench, Result,
    contestant::{Contestant, EMBEDDED, Kind, REDIS, Setup, Targets},
    figures::{Series, Start},
    load::Shape,
    scenario::{Pace, turn},
};

/// What grows.
#[derive(Clone, Copy, PartialEq)]
enum What {
    /// Requests go round them in turn.
    Routes,
    /// Routes go round them in turn.
    Targets,
    /// Deliveries to a paused target.
    Waiting,
    /// Ids of events that no target wanted.
    Remembered,
    /// On one Redis; requests go round them in turn.
    Gateways,
}

pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What there are so many of.
    pub(crate) unit: &'static str,
    what: What,
    sizes: &'static [usize],
    kinds: &'static [Kind],
}

#[rustfmt::skip]
pub(crate) const DIMENSIONS: &[Dimension] = &[
    dimension("routes", "Growth: routes", "routes", What::Routes, &[1, 100, 1_000, 10_000], &[EMBEDDED]),
    dimension("targets", "Growth: targets", "targets", What::Targets, &[1, 10, 100], &[EMBEDDED]),
    dimension("waiting", "Growth: waiting deliveries", "waiting deliveries", What::Waiting, &[0, 10_000, 100_000, 1_000_000], &[EMBEDDED]),
    dimension("remembered", "Growth: remembered ids", "remembered ids", What::Remembered, &[0, 100_000, 1_000_000], &[EMBEDDED, REDIS]),
    dimension("gateways", "Growth: gateways on one Redis", "gateways", What::Gateways, &[1, 2, 3], &[REDIS]),
];

const fn dimension(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    what: What,
    sizes: &'static [usize],
    kinds: &'static [Kind],
) -> Dimension {
    Dimension {
        name,
        title,
        unit,
        what,
        sizes,
        kinds,
    }
}

/// How many routes the targets share.
const ROUTES_OF_TARGETS: usize = 100;
/// Of the events of a turn.
const SHARE: f64 = 0.4;
/// Before each turn, since some sizes start anew for each, as a share of its events.
const WARM_UP: f64 = 0.1;
const FILL_EVENTS: usize = 50_000;
const BODY_BYTES: usize = 1024;

/// One dimension on one store: a series for each size, the smallest first.
pub(crate) struct Grown {
    pub(crate) dimension: &'static Dimension,
    pub(crate) kind: Kind,
    pub(crate) sizes: Vec<(usize, Series)>,
}

impl Grown {
    pub(crate) fn smallest(&self) -> &Series {
        &self.sizes[0].1
    }

    pub(crate) fn json(&self) -> Value {
        let sizes = self.sizes.iter().map(|(size, series)| {
            let mut figures = series.json();
            figures["size"] = json!(size);
            figures
        });
        json!({
            "name": self.dimension.name,
            "title": self.dimension.title,
            "contestant": self.kind.to_string(),
            "sizes": sizes.collect::<Vec<_>>(),
        })
    }
}

impl Dimension {
    pub(crate) fn chosen(&self, bench: &Bench) -> Vec<Kind> {
        bench.selection.growth(self.name, self.kinds)
    }

    /// Events of a whole run on one store, with those that only fill.
    pub(crate) fn events(&self, bench: &Bench) -> usize {
        let turns = bench.arguments.rounds() + 1;
        let each = |size| {
            let shape = self.shape(size, bench);
            let fills = match self.starts_anew(size, &shape) {
                true => turns,
                false => 1,
            };
            turns * shape.events + fills * self.fill(size)
        };
        self.sizes(bench).into_iter().map(each).sum()
    }

    pub(crate) fn run(&'static self, kind: Kind, bench: &Bench) -> Result<Grown> {
        let mut entrants = Vec::new();
        for size in self.sizes(bench) {
            let mut entrant = Entrant {
                size,
                series: Series {
                    name: thousands(size),
                    ..Series::default()
                },
                contestant: None,
            };
            if !self.starts_anew(size, &self.shape(size, bench)) {
                entrant.contestant = Some(self.start(size, kind, bench)?);
            }
            entrants.push(entrant);
        }
        let count = entrants.len();
        for round in 0..=bench.arguments.rounds() {
            for place in 0..count {
                let entrant = &mut entrants[(round + place) % count];
                self.take_turn(entrant, kind, round, bench)?;
            }
        }
        let end = |entrant: Entrant| -> Result<(usize, Series)> {
            let Entrant {
                size,
                mut series,
                contestant,
            } = entrant;
            if let Some(contestant) = contestant {
                self.note_end(contestant, &mut series)?;
            }
            Ok((size, series))
        };
        Ok(Grown {
            dimension: self,
            kind,
            sizes: entrants.into_iter().map(end).collect::<Result<_>>()?,
        })
    }

    fn take_turn(
        &self,
        entrant: &mut Entrant,
        kind: Kind,
        round: usize,
        bench: &Bench,
    ) -> Result<()> {
        let shape = self.shape(entrant.size, bench);
        let contestant = match entrant.contestant.take() {
            Some(contestant) => contestant,
            None => self.start(entrant.size, kind, bench)?,
        };
        let warm_up = Shape {
            events: ((shape.events as f64 * WARM_UP) as usize).max(shape.connections),
            ..shape
        };
        turn(&contestant, Pace::Closed, &bench.batch(warm_up), bench)?;
        let turn = turn(&contestant, Pace::Closed, &bench.batch(shape), bench)?;
        bench.progress.step(
            shape.events,
            format_args!(
                "{:<17} {kind:<9} {:>9} {:>8.0} events/s{}",
                self.name,
                entrant.series.name,
                turn.rate,
                if round == 0 { " (warm-up)" } else { "" }
            ),
        );
        if round > 0 {
            entrant.series.turns.push(turn);
        }
        if !self.starts_anew(entrant.size, &shape) {
            entrant.contestant = Some(contestant);
        } else if round == bench.arguments.rounds() {
            self.note_end(contestant, &mut entrant.series)?;
        }
        Ok(())
    }

    /// Memory, and what a start on the store takes where the store is what grows.
    fn note_end(&self, mut contestant: Contestant, series: &mut Series) -> Result<()> {
        series.peak_mib = contestant.peak_mib()?;
        if let Some(redis) = contestant.redis() {
            series.redis_peak_mib = Some(redis.peak_mib()?);
        }
        if self.stores_grow() {
            let taken = contestant.restart()?;
            series.start = Some(Start {
                seconds: taken.as_secs_f64(),
                peak_mib: contestant.peak_mib()?,
            });
        }
        Ok(())
    }

    fn start(&self, size: usize, kind: Kind, bench: &Bench) -> Result<Contestant> {
        let setup = self.setup(size, kind);
        let contestant = bench
            .client
            .block_on(Contestant::start(setup, &bench.site))?;
        let shape = self.shape(size, bench);
        let mut left = self.fill(size);
        while left > 0 {
            let events = left.min(FILL_EVENTS);
            let batch = bench.batch(Shape { events, ..shape });
            turn(&contestant, Pace::Closed, &batch, bench)?;
            left -= events;
            bench.progress.step(
                events,
                format_args!(
                    "{:<17} {kind:<9} {:>9} filling, {} left",
                    self.name,
                    thousands(size),
                    thousands(left)
                ),
            );
        }
        Ok(contestant)
    }

    fn setup(&self, size: usize, kind: Kind) -> Setup {
        let paused = Setup::new(kind, Targets::Paused(1));
        match self.what {
            What::Routes => Setup {
                routes: size,
                ..paused
            },
            What::Targets => Setup {
                targets: Targets::Paused(size),
                routes: size.max(ROUTES_OF_TARGETS),
                ..paused
            },
            What::Waiting => paused,
            What::Remembered => Setup::new(kind, Targets::Unmatched),
            What::Gateways => Setup {
                gateways: size,
                ..paused
            },
        }
    }

    fn shape(&self, size: usize, bench: &Bench) -> Shape {
        let connections = usize::from(bench.arguments.connections);
        let events = (bench.arguments.events() as f64 * SHARE) as usize;
        Shape {
            events: events.max(connections),
            connections,
            body_bytes: BODY_BYTES,
            routes: self.setup(size, EMBEDDED).routes,
        }
    }

    /// The smallest and those that the factor leaves greater than it.
    fn sizes(&self, bench: &Bench) -> Vec<usize> {
        let smallest = self.sizes[0];
        let factor = match self.what {
            What::Gateways => 1.0,
            _ => bench.arguments.scale,
        };
        let scaled = |size: &usize| (*size as f64 * factor) as usize;
        let others = self.sizes[1..].iter().map(scaled);
        std::iter::once(smallest)
            .chain(others.filter(|size| *size > smallest))
            .collect()
    }

    fn stores_grow(&self) -> bool {
        matches!(self.what, What::Waiting | What::Remembered)
    }

    /// Events that are there before the turns.
    fn fill(&self, size: usize) -> usize {
        if self.stores_grow() { size } else { 0 }
    }

    /// Whether a turn would make so much of a difference to the size that each starts on an empty store.
    fn starts_anew(&self, size: usize, shape: &Shape) -> bool {
        self.stores_grow() && size < 10 * shape.events
    }
}

/// One size and what it has reached.
struct Entrant {
    size: usize,
    series: Series,
    /// None between the turns of a size that starts anew for each.
    contestant: Option<Contestant>,
}

/// With a comma for each thousand.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
