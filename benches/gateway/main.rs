//! How fast and how dear the gateway is, beside baselines that take turns with it in one run on the same cores.
//!
//! `cargo bench --bench gateway` runs everything; `-- --help` tells how to run less. Each contestant is a process of
//! its own: the shipped binary, or this program started again as a baseline. The figure to quote is the ratio to the
//! baseline of the same round; a machine's mood moves the rest. `docs/performance.md` tells how to read it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark may fail loudly and speaks to people"
)]

mod arguments;
mod baseline;
mod body;
mod contestant;
mod figures;
mod goals;
mod growth;
mod idle;
mod load;
mod machine;
mod page;
mod plot;
mod process;
mod progress;
mod receiver;
mod redis;
mod report;
mod scenario;
mod selection;

use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
};

use clap::Parser as _;
use tokio::runtime::Runtime;

use crate::{
    arguments::Arguments,
    contestant::Site,
    growth::DIMENSIONS,
    load::{Batch, Shape},
    progress::Progress,
    report::Report,
    scenario::SCENARIOS,
    selection::Selection,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a run has in common.
struct Bench {
    arguments: Arguments,
    selection: Selection,
    site: Site,
    /// Of the load and of the receivers.
    client: Runtime,
    progress: Progress,
    turns: AtomicU32,
}

impl Bench {
    /// Requests with ids that no other batch has.
    fn batch(&self, shape: Shape) -> Batch {
        Batch::new(self.turns.fetch_add(1, Ordering::Relaxed) + 1, shape)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let install = rustls::crypto::aws_lc_rs::default_provider().install_default();
    install.expect("nobody else installs one");
    let ran = match &arguments.baseline {
        Some(directory) => baseline::serve(directory, arguments.target.clone()),
        None => run(arguments),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let bench = Bench {
        selection: Selection::new(&arguments),
        site: Site::new(&arguments.directory())?,
        client: tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?,
        progress: Progress::default(),
        turns: AtomicU32::new(0),
        arguments,
    };
    for scenario in SCENARIOS {
        let turns = scenario.chosen(&bench).len() * scenario.turns(&bench);
        bench.progress.plan(turns * scenario.shape(&bench).events);
    }
    for dimension in DIMENSIONS {
        let kinds = dimension.chosen(&bench).len();
        bench.progress.plan(kinds * dimension.events(&bench));
    }
    let mut report = Report::new(&bench)?;
    for scenario in SCENARIOS {
        if !scenario.chosen(&bench).is_empty() {
            report.scenarios.push(scenario.run(&bench)?);
        }
    }
    report.idle = idle::run(&bench)?;
    for dimension in DIMENSIONS {
        for kind in dimension.chosen(&bench) {
            report.growth.push(dimension.run(kind, &bench)?);
        }
    }
    publish(&report, &bench.arguments)
}

/// On standard output, as JSON where asked for, and in the documentation after a full run.
fn publish(report: &Report, arguments: &Arguments) -> Result<()> {
    print!("{}", report.markdown());
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report.json())?)?;
    }
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let plots = match arguments.is_representative() {
        true => documentation.join("performance"),
        false => arguments.directory().join("performance"),
    };
    plot::write_all(&report.growth, &plots)?;
    if arguments.is_full() {
        page::rewrite(&documentation.join("performance.md"), report)?;
    }
    Ok(())
}
