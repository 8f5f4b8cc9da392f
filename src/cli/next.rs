//! `hookgate` alone: what to do next, by what there is.

use std::process::ExitCode;

use clap::Parser;

use super::{
    BOLD, ConfigFile, GREEN, RED, VERSION, YELLOW, explained,
    out::{Ended, Unwritten, say},
};
use crate::config::{Config, Faults};

/// The file that a command without `--config` would read.
#[derive(Parser)]
struct Usual {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn tell() -> Ended {
    let path = match Usual::try_parse_from(["hookgate"]) {
        Ok(usual) => usual.file.config,
        Err(told) => return explained(&told),
    };
    let shown = path.display();
    say!("{BOLD}Hookgate {VERSION}{BOLD:#}, a webhook ingest gateway\n")?;
    if path.exists() {
        match Config::load(&path) {
            Ok(config) => ready(&shown, &config)?,
            Err(faults) => faulty(&shown, &faults)?,
        }
    } else {
        say!("There is no {shown} yet. See it work, then write one:\n")?;
        commands(&[
            (
                "demo",
                "a gateway, example receivers and webhooks of several providers, over HTTPS",
            ),
            ("keys new --name me", "an API key for your first route"),
            (
                "providers",
                "whose signatures are known: provider = \"github\"",
            ),
            ("serve --config FILE", "where it has another name"),
        ])?;
    }
    say!("\n`hookgate --help` lists every command; each has examples in its own --help.")?;
    Ok(ExitCode::SUCCESS)
}

fn ready(shown: &impl std::fmt::Display, config: &Config) -> Result<(), Unwritten> {
    let (routes, targets) = (config.routes.len(), config.targets.len());
    say!(
        "{GREEN}{shown} can be served{GREEN:#}: {}, {}.\n",
        counted(routes, "route"),
        counted(targets, "target")
    )?;
    let send = config.routes.first();
    let send = send.map(|route| format!("send --route {}", route.name));
    let mut next = vec![("serve", "receive webhooks")];
    if let Some(send) = &send {
        next.push((send, "a signed test event for the running gateway"));
    }
    let warnings = counted(config.warnings.len(), "warning");
    if !config.warnings.is_empty() {
        say!("{YELLOW}{warnings}{YELLOW:#}: `hookgate check` tells what should not stay.\n")?;
    }
    commands(&next)
}

fn faulty(shown: &impl std::fmt::Display, faults: &Faults) -> Result<(), Unwritten> {
    let faults = counted(faults.as_slice().len(), "fault");
    say!("{RED}{shown} has {faults}{RED:#} and cannot be served:\n")?;
    commands(&[("check", "each with its place, and what should stand there")])
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// One below the other, as in `--help`.
fn commands(rows: &[(&str, &str)]) -> Result<(), Unwritten> {
    let width = rows.iter().map(|(command, _)| command.len()).max();
    let width = width.unwrap_or_default();
    for (command, told) in rows {
        say!("  {BOLD}hookgate {command:width$}{BOLD:#}  {told}")?;
    }
    Ok(())
}
