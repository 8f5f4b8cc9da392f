//! `hookgate test`: what becomes of requests, held to what a file of cases expects.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    config::{
        Config,
        cases::{Case, CasesFile, Known},
    },
    ingest::rejection::Reason,
};

use super::{
    ConfigFile, EXIT_USAGE, Format, RED,
    out::{Ended, note},
};
use bench::Bench;
use report::{Report, Tested};

mod bench;
mod compare;
mod report;

/// What files of cases end with.
const SUFFIX: &str = ".test.toml";

/// Hold routes.toml to cases: requests, and what is to become of them; without a network, a store or real secrets
#[derive(clap::Args)]
#[command(
    after_help = "A case is a request and what is expected of it:\n\n  [env]\n  GITHUB_WEBHOOK_SECRET = \"a secret for tests\"\n\n  [[case]]\n  name = \"a push reaches the audit log\"\n  route = \"github\"\n  event_type = \"push\"\n  json = { ref = \"refs/heads/main\" }\n  sign = true\n  expect = { status = 200, targets = [\"audit\"] }\n\n  [[case.again]]  # the same another time\n  expect = { status = 200, duplicate = true, targets = [] }\n\nEvery key is explained in docs/testing.md. Keys that a provider publishes are not fetched.\n\nExamples:\n  hookgate test\n  hookgate test routes.test.toml --config deploy/config/routes.toml\n  hookgate test --filter github\n  hookgate test --format json\n\nExit codes: 0 every case passed, 1 one did not, 64 no cases, faults in a file, or usage."
)]
pub(super) struct Test {
    #[command(flatten)]
    config: ConfigFile,
    /// The files of cases [default: every `*.test.toml` beside the configuration].
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How to tell what came of the cases.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Test {
    pub(super) fn run(self) -> Ended {
        let report = match self.report() {
            Ok(report) => report,
            Err(told) => {
                note!("{RED}{told}{RED:#}");
                return Ok(EXIT_USAGE.into());
            }
        };
        match self.format {
            Format::Text => report.print()?,
            Format::Json => report.print_json()?,
        }
        Ok(match report.failed() {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    /// `Err` tells what is wrong with the files.
    fn report(&self) -> Result<Report, String> {
        let files = self.files()?;
        let mut report = Report::default();
        for path in &files {
            self.test(path, &mut report)?;
        }
        if report.tested.is_empty() {
            return Err(match &self.filter {
                Some(text) => format!("error: no case has {text:?} in its name"),
                None => format!(
                    "error: no [[case]] in {}; `hookgate test --help` shows one",
                    shown(&files)
                ),
            });
        }
        Ok(report)
    }

    fn files(&self) -> Result<Vec<PathBuf>, String> {
        if !self.files.is_empty() {
            return Ok(self.files.clone());
        }
        let parent = self.config.config.parent().unwrap_or(Path::new(""));
        let directory = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let entries = std::fs::read_dir(directory);
        let entries =
            entries.map_err(|error| format!("error: {}: {error}", directory.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(SUFFIX)).collect();
        names.sort();
        if names.is_empty() {
            return Err(format!(
                "error: no cases: write some to {}, or name their file; `hookgate test --help` shows one",
                parent.join("routes.test.toml").display()
            ));
        }
        Ok(names.into_iter().map(|name| parent.join(name)).collect())
    }

    fn test(&self, path: &Path, report: &mut Report) -> Result<(), String> {
        let file = CasesFile::read(path).map_err(|faults| faults.to_string())?;
        let stand = file.stand().map_err(|faults| faults.to_string())?;
        let config = Config::load_standing_in(&self.config.config, &stand).map_err(|faults| {
            format!(
                "{faults}\nWhat the configuration takes from the environment and from files may stand in [env] and [files] of {}.",
                path.display()
            )
        })?;
        let cases = cases(&file, &config)?;
        let is_meant = |case: &&Case| match &self.filter {
            Some(text) => case.name.contains(text.as_str()),
            None => true,
        };
        let bench = Bench::new(&config)?;
        for case in cases.iter().filter(is_meant) {
            let differences = bench.differences(case);
            report.tested.push(Tested {
                file: path.display().to_string(),
                line: case.line,
                name: case.name.clone(),
                differences,
            });
        }
        Ok(())
    }
}

fn cases(file: &CasesFile, config: &Config) -> Result<Vec<Case>, String> {
    let routes: Vec<_> = config.routes.iter().map(|route| &*route.name).collect();
    let targets: Vec<_> = config.targets.keys().map(|name| &**name).collect();
    let reasons: Vec<_> = Reason::all().map(Reason::as_str).collect();
    let known = Known {
        routes: &routes,
        targets: &targets,
        reasons: &reasons,
    };
    file.cases(&known).map_err(|faults| faults.to_string())
}

fn shown(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

/// What came of one request, in the words of `expect`.
#[derive(Debug, Default)]
struct Got {
    status: u16,
    reason: Option<&'static str>,
    /// Why, as far as the caller is told, or the operator.
    told: Vec<String>,
    id: Vec<String>,
    event_type: Vec<String>,
    /// Of each event.
    duplicate: Vec<bool>,
    targets: Vec<String>,
    filtered: Vec<String>,
    failed: Vec<String>,
    /// Of each event, in order.
    bodies: BTreeMap<String, Vec<Vec<u8>>>,
    answer: Vec<u8>,
}
