//! `hookgate events`: what was accepted, and what became of it.

use clap::Subcommand;
use comfy_table::Cell;
use serde_json::Value;

use super::{
    Format,
    admin::{Admin, Session, Trouble, end},
    listing::{EventFilter, items, print, seconds, state_cell, text},
    out::Ended,
};

mod replay;
mod show;
mod tail;

/// List, show, follow and replay events
#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  hookgate events list --state dead --since 2h\n  hookgate events list --route github --id 72d3162e --format json\n  hookgate events show 0197ab3e-5c1d-7000-8000-0123456789ab --body\n  hookgate events tail --route github\n  hookgate events replay 0197ab3e-5c1d-7000-8000-0123456789ab --target crm\n  hookgate events replay --target crm --state dead --since 2h\n\nTimes are RFC 3339, or how long ago. With --format json, lists are one JSON object a line.\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Events {
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
    /// List events, the newest first
    #[command(
        after_help = "Examples:\n  hookgate events list --state dead --since 2h\n  hookgate events list --route github --id 72d3162e --format json"
    )]
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// Events at most.
        #[arg(long, value_name = "N", default_value = "50")]
        limit: usize,
    },
    /// Show one event, with its headers and all attempts
    #[command(
        after_help = "Examples:\n  hookgate events show 0197ab3e-5c1d-7000-8000-0123456789ab\n  hookgate events show 0197ab3e-5c1d-7000-8000-0123456789ab --body > event.json"
    )]
    Show {
        /// Hookgate's id of the event, as `events list` and the answer to its request tell it.
        uid: String,
        /// Print the body, and nothing else.
        #[arg(long)]
        body: bool,
    },
    /// Follow events as they are accepted, until ctrl-c
    #[command(after_help = "Examples:\n  hookgate events tail --route github")]
    Tail(tail::Tail),
    /// Make the settled deliveries of events again
    Replay(replay::Replay),
}

impl Events {
    pub(super) fn run(self) -> Ended {
        let done = self.admin.open().and_then(|session| match self.command {
            Command::List { filter, limit } => list(&session, &filter, limit, self.format),
            Command::Show { uid, body } => show::show(&session, &uid, body, self.format),
            Command::Tail(tail) => tail.run(&session, self.format),
            Command::Replay(replay) => replay.run(&session, self.format),
        });
        end(done)
    }
}

const HEADER: [&str; 6] = ["received", "uid", "route", "type", "id", "deliveries"];

fn list(
    session: &Session,
    filter: &EventFilter,
    limit: usize,
    format: Format,
) -> Result<(), Trouble> {
    let events = items(session, &["events"], "events", filter.parameters(), limit);
    print(events, format, &HEADER, "no event matches", row)
}

fn row(event: &Value) -> Vec<Cell> {
    let mut cells = vec![Cell::new(seconds(event, "received_at"))];
    cells.extend(["uid", "route", "type", "id"].map(|key| Cell::new(text(event, key))));
    cells.push(deliveries(event));
    cells
}

/// `crm delivered, erp dead (gave_up)`, in the colour of what needs a look first.
fn deliveries(event: &Value) -> Cell {
    let all = event["deliveries"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let told: Vec<_> = all.iter().map(delivery).collect();
    let has = |state: &str| all.iter().any(|delivery| delivery["state"] == state);
    let worst = ["dead", "pending", "delivered"];
    let worst = worst.into_iter().find(|state| has(state));
    match worst {
        None if told.is_empty() => Cell::new("to no target"),
        worst => state_cell(worst.unwrap_or_default(), told.join("\n")),
    }
}

/// `crm dead (gave_up)`.
fn delivery(delivery: &Value) -> String {
    let (target, state) = (text(delivery, "target"), text(delivery, "state"));
    match delivery["reason"].as_str() {
        Some(reason) => format!("{target} {state} ({reason})"),
        None => format!("{target} {state}"),
    }
}
