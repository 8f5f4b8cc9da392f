//! The command line of the bench.

use std::{net::SocketAddr, path::PathBuf};

/// Fewer tell too little of the spread.
const ROUNDS_MIN: usize = 5;

/// How fast and how dear the gateway is, beside baselines that take turns with it on the same cores
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "cargo bench --bench gateway --", bin_name = "gateway")]
pub(crate) struct Arguments {
    /// A short run without growth and without the durabilities and sizes that are only for information.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only the growth: routes, targets, waiting deliveries, remembered ids, gateways.
    #[arg(long, conflicts_with = "quick")]
    pub(crate) growth: bool,
    /// Only scenarios and growth whose names hold this; where none does, only contestants whose names do.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// Rounds that count, after one to warm up [default: 7, quick: 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Events of a turn with 1 KiB bodies; other scenarios have a share of it [default: 50000, quick: 12000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    events: Option<u32>,
    /// Connections of the client.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub(crate) connections: u16,
    /// Multiplies the sizes that the growth goes up to, to try it out.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// Where to write all figures.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the stores are, since its file system and disk count [default: below `target/`].
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
    /// Serve as a baseline with the certificate in this directory instead.
    #[arg(long, hide = true)]
    pub(crate) baseline: Option<PathBuf>,
    /// Where that baseline posts what it gets.
    #[arg(long, hide = true)]
    pub(crate) target: Vec<SocketAddr>,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 }) as usize
    }

    pub(crate) fn events(&self) -> usize {
        self.events
            .unwrap_or(if self.quick { 12_000 } else { 50_000 }) as usize
    }

    pub(crate) fn directory(&self) -> PathBuf {
        let below_target = || PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        self.directory.clone().unwrap_or_else(below_target)
    }

    /// Whether everything was asked for, so that the result may stand in the documentation.
    pub(crate) fn is_full(&self) -> bool {
        !self.quick && !self.growth && self.is_representative()
    }

    /// Whether what grows has grown as it should, and often enough.
    pub(crate) fn is_representative(&self) -> bool {
        self.only.is_empty() && self.scale == 1.0 && self.rounds() >= ROUNDS_MIN
    }
}
