//! The command line: one file a subcommand.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{config::Config, expression};
use out::{Ended, note};

mod admin;
mod check;
mod completions;
mod demo;
mod diagnosis;
mod events;
mod explain;
mod health;
mod https;
mod keys;
mod listing;
mod man;
mod next;
mod out;
mod providers;
mod receive;
mod rehearsal;
mod rejections;
mod reload;
mod replays;
mod samples;
mod schema;
mod secrets;
mod send;
mod serve;
mod sign;
mod tamper;
mod targets;
mod telemetry;
mod test;
mod tokens;

/// Bad configuration or usage (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// What `--version` tells: which release, and from which commit.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("HOOKGATE_BUILT_FROM"),
    ")"
);

#[derive(Parser)]
#[command(
    name = "hookgate",
    version = VERSION,
    about = "A webhook ingest gateway: verifies, validates, dedupes, stores durably, answers, and fans out with retries",
    after_help = "Try it:\n  hookgate demo                 see it work, with sample traffic over HTTPS\n  hookgate check                tell every fault of routes.toml\n  hookgate keys new --name me   make an API key\n  hookgate providers            list who can be named in routes.toml\n  hookgate serve                receive webhooks\n  hookgate send --route github  send a signed test event to a running gateway"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Check(check::Check),
    Send(send::Send),
    Explain(explain::Explain),
    Health(health::Health),
    Receive(receive::Receive),
    Events(events::Events),
    Targets(targets::Targets),
    Replays(replays::Replays),
    Rejections(rejections::Rejections),
    Reload(reload::Reload),
    Keys(keys::Keys),
    Secrets(secrets::Secrets),
    Providers(providers::Providers),
    Completions(completions::Completions),
    Man(man::Man),
    Schema(schema::Schema),
    Test(test::Test),
}

/// The file that says everything.
#[derive(clap::Args, Clone)]
struct ConfigFile {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "routes.toml",
        env = "HOOKGATE_CONFIG"
    )]
    config: PathBuf,
}

/// Parses the arguments and runs the command. Exit codes: 0 done, 1 failed, 64 bad configuration or usage.
pub fn main() -> ExitCode {
    // What the gateway starts by itself, to evaluate `when` and `transform`: nothing for people to see or complete.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == expression::COMMAND)
    {
        return expression::run();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return explained(&told).unwrap_or_else(|unwritten| unwritten.code()),
    };
    run(arguments.command).unwrap_or_else(|unwritten| unwritten.code())
}

/// What clap has to say: a fault of usage, or the help or the version that was asked for.
fn explained(told: &clap::Error) -> Ended {
    let text = told.render();
    if told.use_stderr() {
        out::aside(format_args!("{}", text.ansi()));
        return Ok(EXIT_USAGE.into());
    }
    out::text(format_args!("{}", text.ansi()))?;
    Ok(ExitCode::SUCCESS)
}

fn run(command: Option<Command>) -> Ended {
    let Some(command) = command else {
        return next::tell();
    };
    match command {
        Command::Serve(serve) => Ok(serve.run()),
        Command::Demo(demo) => demo.run(),
        Command::Check(check) => check.run(),
        Command::Send(send) => send.run(),
        Command::Explain(explain) => explain.run(),
        Command::Health(health) => health.run(),
        Command::Receive(receive) => receive.run(),
        Command::Events(events) => events.run(),
        Command::Targets(targets) => targets.run(),
        Command::Replays(replays) => replays.run(),
        Command::Rejections(rejections) => rejections.run(),
        Command::Reload(reload) => reload.run(),
        Command::Keys(keys) => keys.run(),
        Command::Secrets(secrets) => secrets.run(),
        Command::Providers(providers) => providers.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Schema(schema) => schema.run(),
        Command::Test(test) => test.run(),
    }
}

impl ConfigFile {
    /// The configuration, with its warnings told; or its faults told, and the exit code.
    fn load(&self) -> Result<Config, ExitCode> {
        let config = self.load_quietly()?;
        for warning in &config.warnings {
            note!("{YELLOW}warning{YELLOW:#}: {warning}");
        }
        Ok(config)
    }

    /// Like [`load`](Self::load), for commands that run often: warnings are left to `check` and `serve`.
    fn load_quietly(&self) -> Result<Config, ExitCode> {
        Config::load(&self.config).map_err(|faults| {
            note!("{}", diagnosis::faults(&faults, &self.config));
            EXIT_USAGE.into()
        })
    }
}

const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default();
const GREEN: anstyle::Style = anstyle::AnsiColor::Green.on_default();
const YELLOW: anstyle::Style = anstyle::AnsiColor::Yellow.on_default();
const BOLD: anstyle::Style = anstyle::Style::new().bold();

/// How a command tells what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: the admin API's own JSON. Lists are one object a line.
    Json,
}

/// Says what failed and gives the exit code for it.
fn failed(error: impl std::fmt::Display) -> ExitCode {
    note!("{RED}error{RED:#}: {error}");
    ExitCode::FAILURE
}

/// The runtime of deliveries and of everything that is not a request.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hookgate")
        .build()
}
