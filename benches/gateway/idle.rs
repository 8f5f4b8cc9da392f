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
    pub(crate) redis: Option<IdleRedis>,
}

/// The Redis of an idle gateway.
pub(crate) struct IdleRedis {
    pub(crate) cpu_percent: f64,
    /// Commands that the gateway sends.
    pub(crate) sent_per_second: f64,
    /// Those and what scripts run.
    pub(crate) run_per_second: f64,
}

impl Idle {
    pub(crate) fn json(&self) -> Value {
        json!({
            "contestant": self.kind.to_string(),
            "cpu_percent": self.cpu_percent,
            "redis": self.redis.as_ref().map(|redis| json!({
                "cpu_percent": redis.cpu_percent,
                "commands_sent_per_second": redis.sent_per_second,
                "commands_run_per_second": redis.run_per_second,
            })),
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

    let (cpu, began) = (contestant.cpu()?, Instant::now());
    let commands = match contestant.redis() {
        Some(redis) => Some(redis.watch(WATCHED)?),
        None => {
            std::thread::sleep(WATCHED);
            None
        }
    };
    let cpu_after = contestant.cpu()?;
    let seconds = began.elapsed().as_secs_f64();
    let percent = |used: Duration| 100.0 * used.as_secs_f64() / seconds;
    Ok(Idle {
        kind,
        cpu_percent: percent(cpu_after.server.saturating_sub(cpu.server)),
        redis: commands.map(|commands| IdleRedis {
            cpu_percent: percent(cpu_after.redis.saturating_sub(cpu.redis)),
            sent_per_second: commands.sent as f64 / seconds,
            run_per_second: commands.run as f64 / seconds,
        }),
    })
}
