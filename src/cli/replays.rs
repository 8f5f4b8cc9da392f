//! `hookgate replays`: replays of many deliveries, by filter.

use std::time::Duration;

use clap::Subcommand;
use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{
    Format, GREEN, YELLOW,
    admin::{Admin, Session, Trouble, end},
    listing::{items, print, seconds, state_cell, text},
    out::{Ended, note, say},
};

/// How often a replay that is followed is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// List, follow and cancel replays of many events
#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Begin one with `hookgate events replay --target crm --state dead`.\n\nExamples:\n  hookgate replays list\n  hookgate replays show 0197ab3f-1111-7000-8000-0123456789ab --follow\n  hookgate replays cancel 0197ab3f-1111-7000-8000-0123456789ab\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Replays {
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
    /// List replays, the newest first
    #[command(after_help = "Examples:\n  hookgate replays list")]
    List {
        /// Replays at most.
        #[arg(long, value_name = "N", default_value = "50")]
        limit: usize,
    },
    /// Show how far a replay is
    #[command(
        after_help = "Examples:\n  hookgate replays show 0197ab3e-5c1d-7000-8000-0123456789ab --follow"
    )]
    Show {
        /// The replay, as `replays list` tells it.
        id: String,
        /// Wait for its end.
        #[arg(long)]
        follow: bool,
    },
    /// End a replay: what it made due stays so
    #[command(
        after_help = "Examples:\n  hookgate replays cancel 0197ab3e-5c1d-7000-8000-0123456789ab"
    )]
    Cancel {
        /// The replay, as `replays list` tells it.
        id: String,
    },
}

impl Replays {
    pub(super) fn run(self) -> Ended {
        let format = self.format;
        let done = self.admin.open().and_then(|session| match self.command {
            Command::List { limit } => list(&session, limit, format),
            Command::Show { id, follow: true } => follow(&session, &id, None, format),
            Command::Show { id, follow: false } => {
                told(&session.get(&["replays", &id], &[])?, format)
            }
            Command::Cancel { id } => told(
                &session.post(&["replays", &id, "cancel"], &[], None)?,
                format,
            ),
        });
        end(done)
    }
}

fn list(session: &Session, limit: usize, format: Format) -> Result<(), Trouble> {
    let replays = items(session, &["replays"], "replays", Vec::new(), limit);
    let header = [
        "begun", "id", "state", "events", "replayed", "a second", "filter",
    ];
    print(replays, format, &header, "there are no replays", |replay| {
        let cell = |key: &str| Cell::new(text(replay, key));
        let state = text(replay, "state");
        vec![
            Cell::new(seconds(replay, "created_at")),
            cell("id"),
            state_cell(&state.clone(), state),
            cell("events"),
            cell("replayed"),
            cell("rate"),
            Cell::new(filter(replay)),
        ]
    })
}

/// `target=crm state=dead`.
fn filter(replay: &Value) -> String {
    let filter = replay["filter"].as_object().into_iter().flatten();
    let parts = filter.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    parts.collect::<Vec<_>>().join(" ")
}

fn told(replay: &Value, format: Format) -> Result<(), Trouble> {
    let [state, events, replayed] = ["state", "events", "replayed"].map(|key| text(replay, key));
    match format {
        Format::Json => say!("{replay}")?,
        Format::Text => say!(
            "{GREEN}{state}{GREEN:#}: {events} events looked at, {replayed} deliveries made again ({})",
            filter(replay)
        )?,
    }
    Ok(())
}

/// Shows how far the replay is until it ends. Ctrl-c leaves it running, and says how to go on. `events`: how many
/// match, where that is known.
pub(super) fn follow(
    session: &Session,
    id: &str,
    events: Option<usize>,
    format: Format,
) -> Result<(), Trouble> {
    let bar = progress(events);
    loop {
        let replay = session.get(&["replays", id], &[])?;
        bar.set_position(replay["events"].as_u64().unwrap_or_default());
        bar.set_message(format!(
            "{} deliveries made again",
            text(&replay, "replayed")
        ));
        if replay["state"] != "running" {
            bar.finish_and_clear();
            return told(&replay, format);
        }
        if !session.wait(EVERY) {
            bar.finish_and_clear();
            note!(
                "{YELLOW}it goes on{YELLOW:#} without this program:\n  hookgate replays show {id} --follow\n  hookgate replays cancel {id}"
            );
            return Ok(());
        }
    }
}

/// On standard error, and only where that is a terminal.
fn progress(events: Option<usize>) -> ProgressBar {
    let (bar, template) = match events.and_then(|events| u64::try_from(events).ok()) {
        Some(events) => (
            ProgressBar::new(events),
            "{bar:30} {pos}/{len} events, {msg}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} events, {msg}"),
    };
    // The template is a constant that is right.
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
