//! `hookgate check`: tell every fault of a configuration, and what it changes.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use url::Url;

use super::{
    ConfigFile, EXIT_USAGE, Format, GREEN,
    admin::Admin,
    diagnosis, failed,
    out::{self, Ended, note, say},
};
use crate::config::{Config, Faults};

mod diff;
mod json;

/// Tell every fault of routes.toml, each with its line, column, key and what was expected; and what it changes
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate check\n  hookgate check deploy/config/routes.toml\n  hookgate check --format json                # for editors and CI; see docs/check.md\n  hookgate check --diff /etc/hookgate/routes.toml --admin http://127.0.0.1:9090\n  git show HEAD:routes.toml | hookgate check --diff -\n\nExit codes: 0 valid, 1 the gateway at --admin did not answer, 64 faults."
)]
pub(super) struct Check {
    /// The file to check.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    usual: ConfigFile,
    /// Tell what changes from this file: routes, targets, keys, what needs a restart, and what becomes of deliveries that
    /// wait. `-` reads it from standard input, as if it stood beside the file to check.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,
    /// With --diff: the admin listener of the gateway that runs, which is asked how many deliveries wait.
    #[arg(long, value_name = "URL", requires = "diff")]
    admin: Option<Url>,
    /// The admin token, where the gateway asks for one.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HOOKGATE_ADMIN_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub(super) fn run(self) -> Ended {
        let file = self.file.clone().unwrap_or(self.usual.config.clone());
        match self.format {
            Format::Text => self.tell(&file),
            Format::Json => self.tell_json(&file),
        }
    }

    fn tell(&self, file: &Path) -> Ended {
        let loaded = match Config::load_with_keys(file, None) {
            Ok(loaded) => loaded,
            Err(faults) => return Ok(refused(&faults, file)),
        };
        let config = &loaded.0;
        for warning in &config.warnings {
            out::aside(format_args!("{}", diagnosis::warning(warning)));
        }
        if let Some(old) = &self.diff {
            match self.compare(old, file, &loaded) {
                Ok(report) => out::text(format_args!("{}", report.text()))?,
                Err(Failure::Faults(faults)) => return Ok(refused(&faults, old)),
                Err(Failure::Words(error)) => return Ok(failed(error)),
            }
        }
        let warnings = match config.warnings.len() {
            0 => String::new(),
            count => format!(", {}", diagnosis::plural(count, "warning")),
        };
        say!(
            "{GREEN}ok{GREEN:#}: {} ({}, {}{warnings})",
            file.display(),
            diagnosis::plural(config.routes.len(), "route"),
            diagnosis::plural(config.targets.len(), "target")
        )?;
        Ok(ExitCode::SUCCESS)
    }

    fn tell_json(&self, file: &Path) -> Ended {
        let name = file.display().to_string();
        let (mut report, loaded) = match Config::load_with_keys(file, None) {
            Ok((config, keys)) => {
                let loaded = Ok(config);
                let report = json::Report::of(name, &loaded);
                (report, loaded.ok().map(|config| (config, keys)))
            }
            Err(faults) => (json::Report::of(name, &Err(faults)), None),
        };
        let mut code = match loaded {
            Some(_) => ExitCode::SUCCESS,
            None => EXIT_USAGE.into(),
        };
        if let (Some(old), Some(loaded)) = (&self.diff, &loaded) {
            match self.compare(old, file, loaded) {
                Ok(diff) => report.diff = Some(diff),
                Err(Failure::Faults(faults)) => {
                    report = json::Report::of(old.display().to_string(), &Err(faults));
                    code = EXIT_USAGE.into();
                }
                Err(Failure::Words(error)) => return Ok(failed(error)),
            }
        }
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say!("{text}")?,
            Err(error) => return Ok(failed(error)),
        }
        Ok(code)
    }

    fn compare(
        &self,
        old: &Path,
        file: &Path,
        new: &diff::Loaded,
    ) -> Result<diff::Report, Failure> {
        let name = old.display().to_string();
        let old = if name == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Words(format!("cannot read standard input: {error}")))?;
            Config::load_with_keys(file, Some(text))
        } else {
            Config::load_with_keys(old, None)
        };
        let old = old.map_err(Failure::Faults)?;
        let admin = self
            .admin
            .clone()
            .map(|url| Admin::at(url, self.token.clone()));
        let name = if name == "-" {
            "standard input".to_owned()
        } else {
            name
        };
        diff::report(name, &old, new, admin.as_ref()).map_err(Failure::Words)
    }
}

enum Failure {
    /// Of the old file.
    Faults(Faults),
    Words(String),
}

fn refused(faults: &Faults, file: &Path) -> ExitCode {
    note!("{}", diagnosis::faults(faults, file));
    EXIT_USAGE.into()
}
