//! What a gateway costs that has nothing to do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    Bench, Result,
    contestant::{Contestant, EMBEDDED, Kind, REDIS, Setup, Targets},
    load::Shape,
    scenario::{Pace, turn},
};

pub(crate) const NAME: &str = "idle";
/// After some events, until everything about them is done.
const QUIET: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(10);

pub(crate) struct Idle {
    pub(crate) kind: Kind,
    /// Percent of a core.
    pub(crate) cpu_percent: f64,
    pub(crate) redis_cpu_percent: Option<f64>,
    pub(crate) redis_commands_per_second: Option<f64>,
}

impl Idle {
    pub(crate) fn json(&self) -> Value {
        json!({
            "contestant": self.kind.to_string(),
            "cpu_percent": self.cpu_percent,
            "redis_cpu_percent": self.redis_cpu_percent,
            "redis_commands_per_second": self.redis_commands_per_second,
        })
    }
}

/// Each store, one after the other.
pub(crate) fn run(bench: &Bench) -> Result<Vec<Idle>> {
    let kinds = bench.selection.idle(&[EMBEDDED, REDIS]);
    kinds.into_iter().map(|kind| watch(kind, bench)).collect()
}

fn watch(kind: Kind, bench: &Bench) -> Result<Idle> {
    eprintln!("{NAME}: {kind}, {} seconds", (QUIET + WATCHED).as_secs());
    let setup = Setup::new(kind, Targets::Receiving(1));
    let contestant = bench
        .client
        .block_on(Contestant::start(setup, &bench.site))?;
    let shape = Shape {
        events: 1_000,
        connections: 10,
        body_bytes: 1024,
        routes: 1,
    };
    turn(&contestant, Pace::Closed, &bench.batch(shape), bench)?;
    std::thread::sleep(QUIET);

    let (commands, cpu, began) = (commands(&contestant)?, contestant.cpu()?, Instant::now());
    std::thread::sleep(WATCHED);
    let (commands_after, cpu_after) = (self::commands(&contestant)?, contestant.cpu()?);
    let seconds = began.elapsed().as_secs_f64();
    let percent = |used: Duration| 100.0 * used.as_secs_f64() / seconds;
    let redis_cpu_percent = percent(cpu_after.redis - cpu.redis);
    Ok(Idle {
        kind,
        cpu_percent: percent(cpu_after.server - cpu.server),
        redis_cpu_percent: contestant.redis().map(|_| redis_cpu_percent),
        // The first question was one itself.
        redis_commands_per_second: commands
            .zip(commands_after)
            .map(|(before, after)| after.saturating_sub(before + 1) as f64 / seconds),
    })
}

fn commands(contestant: &Contestant) -> Result<Option<u64>> {
    contestant.redis().map(|redis| redis.commands()).transpose()
}
