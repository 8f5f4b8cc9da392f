//! `hookgate targets`: how targets stand; pausing and resuming them.

use clap::Subcommand;
use comfy_table::Cell;
use serde_json::Value;

use super::{
    Format, GREEN, YELLOW,
    admin::{Admin, Session, Trouble, end},
    listing::{duration, items, print, state_cell, text},
    out::{Ended, say},
};

/// List, pause and resume targets
#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "A pause holds for all gateways that share the store, and over restarts. Events for the target are accepted, stored and wait.\n\nExamples:\n  hookgate targets list\n  hookgate targets pause crm\n  hookgate targets resume crm\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Targets {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: Admin,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Subcommand)]
enum Command {
    /// List targets and how they stand
    #[command(after_help = "Examples:\n  hookgate targets list")]
    List,
    /// Send a target nothing more until it is resumed
    #[command(after_help = "Examples:\n  hookgate targets pause crm")]
    Pause {
        /// The target, by its name in the configuration.
        name: String,
    },
    /// Send a target again what waits for it
    #[command(after_help = "Examples:\n  hookgate targets resume crm")]
    Resume {
        /// The target, by its name in the configuration.
        name: String,
    },
}

impl Targets {
    pub(super) fn run(self) -> Ended {
        let done = self.admin.open().and_then(|session| match self.command {
            Command::List => list(&session, self.format),
            Command::Pause { name } => change(&session, &name, "pause", self.format),
            Command::Resume { name } => change(&session, &name, "resume", self.format),
        });
        end(done)
    }
}

fn list(session: &Session, format: Format) -> Result<(), Trouble> {
    let targets = items(session, &["targets"], "targets", Vec::new(), usize::MAX);
    let header = [
        "name",
        "host",
        "state",
        "in flight",
        "pending",
        "dead",
        "oldest past due",
    ];
    let nothing = "the configuration has no target";
    print(targets, format, &header, nothing, row)
}

fn row(target: &Value) -> Vec<Cell> {
    let cell = |key: &str| Cell::new(text(target, key));
    let (state, told) = standing(target);
    vec![
        cell("name"),
        cell("host"),
        state_cell(state, told),
        cell("in_flight"),
        cell("pending"),
        cell("dead"),
        Cell::new(match target["oldest_due_seconds"].as_f64() {
            Some(seconds) if seconds >= 1.0 => duration(seconds),
            _ => "-".to_owned(),
        }),
    ]
}

/// A pause first: it holds whatever the circuit says.
fn standing(target: &Value) -> (&str, String) {
    if target["paused_by_file"] == true {
        return ("paused", "paused by the file".to_owned());
    }
    if target["paused"] == true {
        return ("paused", "paused".to_owned());
    }
    let circuit = &target["circuit"];
    match circuit["state"].as_str() {
        Some("open") => (
            "open",
            format!("circuit open until {}", text(circuit, "until")),
        ),
        Some("half_open") => ("half_open", "circuit half open".to_owned()),
        _ => ("delivering", "delivering".to_owned()),
    }
}

fn change(session: &Session, name: &str, what: &str, format: Format) -> Result<(), Trouble> {
    let answer = session.post(&["targets", name, what], &[], None)?;
    if format == Format::Json {
        say!("{answer}")?;
        return Ok(());
    }
    match answer["result"].as_str().unwrap_or_default() {
        "paused" => say!(
            "{YELLOW}paused{YELLOW:#}: no gateway of this store sends {name} anything, until `hookgate targets resume {name}`; its events are stored and wait"
        )?,
        "resumed" => say!(
            "{GREEN}resumed{GREEN:#}: what waited for {name} is sent, by all gateways of this store"
        )?,
        "paused_by_file" => say!(
            "{YELLOW}still paused{YELLOW:#}: the configuration says `paused = true` of {name}; take that out, and `hookgate reload`"
        )?,
        _ => say!("{GREEN}not paused{GREEN:#}: nobody had paused {name}")?,
    }
    Ok(())
}
