//! `hookgate check`: tell every fault of a configuration.

use std::{path::PathBuf, process::ExitCode};

use super::{ConfigFile, GREEN};

/// Tell every fault of routes.toml, each with its line, column, key and what was expected
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate check\n  hookgate check deploy/routes.toml\n\nExit codes: 0 valid, 64 faults."
)]
pub(super) struct Check {
    /// The file to check.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    usual: ConfigFile,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let file = match self.file {
            Some(config) => ConfigFile { config },
            None => self.usual,
        };
        match file.load() {
            Ok(config) => {
                anstream::println!(
                    "{GREEN}ok{GREEN:#}: {} ({} routes, {} targets)",
                    file.config.display(),
                    config.routes.len(),
                    config.targets.len()
                );
                ExitCode::SUCCESS
            }
            Err(code) => code,
        }
    }
}
