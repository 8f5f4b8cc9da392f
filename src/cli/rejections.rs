//! `hookgate rejections`: requests that were refused.

use clap::Subcommand;
use comfy_table::Cell;

use super::{
    Format,
    admin::{Admin, Session, Trouble, end},
    listing::{items, moment, print, seconds, state_cell, text},
    out::Ended,
};
use crate::clock::Timestamp;

/// List the requests that were refused
#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "`hookgate explain REQUEST_ID` tells all that is known of one.\n\nExamples:\n  hookgate rejections list --route github --since 1h\n  hookgate rejections list --reason signature_mismatch --format json\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Rejections {
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
    /// List refused requests, the newest first
    #[command(after_help = "Examples:\n  hookgate rejections list --route github --since 1h")]
    List(List),
}

#[derive(clap::Args)]
struct List {
    /// Of this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// For this reason, as `hookgate_rejections_total` tells it.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// At or after: `2h` for two hours ago, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Rejections at most.
    #[arg(long, value_name = "N", default_value = "50")]
    limit: usize,
}

impl Rejections {
    pub(super) fn run(self) -> Ended {
        let Command::List(asked) = self.command;
        let done = self.admin.open();
        let done = done.and_then(|session| list(&session, asked, self.format));
        end(done)
    }
}

fn list(session: &Session, asked: List, format: Format) -> Result<(), Trouble> {
    let query = [
        ("route", asked.route),
        ("reason", asked.reason),
        ("since", asked.since.map(|at| at.to_string())),
        ("until", asked.until.map(|at| at.to_string())),
    ];
    let query = query
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let listed = items(
        session,
        &["rejections"],
        "rejections",
        query.collect(),
        asked.limit,
    );
    let header = [
        "received", "request", "route", "status", "reason", "from", "path",
    ];
    print(
        listed,
        format,
        &header,
        "no request was refused so",
        |one| {
            let cell = |key: &str| Cell::new(text(one, key));
            vec![
                Cell::new(seconds(one, "received_at")),
                cell("request_id"),
                cell("route"),
                state_cell("failed", text(one, "status")),
                cell("reason"),
                cell("client"),
                // The caller chose it.
                Cell::new(text(one, "path").escape_debug()),
            ]
        },
    )
}
