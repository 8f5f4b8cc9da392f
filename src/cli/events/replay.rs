//! `hookgate events replay`: one event now, or many by a filter and at a rate.

use std::io::{BufRead as _, IsTerminal as _, stdin};

use serde_json::{Value, json};

use super::show::next_step;
use crate::cli::{
    Format, GREEN, YELLOW,
    admin::{Session, Trouble},
    listing::{EventFilter, State, items, text},
    out::{self, note, say},
    replays::follow,
};

/// Events that are counted before a replay; of more, it is said that there are more.
const COUNTED_MAX: usize = 10_000;

/// Make the settled deliveries of events again
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate events replay 0197ab3e-5c1d-7000-8000-0123456789ab\n  hookgate events replay 0197ab3e-5c1d-7000-8000-0123456789ab --target crm\n  hookgate events replay --target crm --state dead --since 2h\n  hookgate events replay --route github --state dead --rate 10 --yes --detach\n\nA replay by filter belongs to the gateways: ctrl-c leaves it running.\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Replay {
    /// One event, at once.
    #[arg(conflicts_with_all = ["route", "state", "event_type", "id", "since", "until", "rate", "detach"])]
    uid: Option<String>,
    #[command(flatten)]
    filter: EventFilter,
    /// By filter: deliveries a second [default: 100].
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// By filter: do not ask first.
    #[arg(long)]
    yes: bool,
    /// By filter: do not wait for the end.
    #[arg(long)]
    detach: bool,
}

impl Replay {
    pub(super) fn run(self, session: &Session, format: Format) -> Result<(), Trouble> {
        match &self.uid {
            Some(uid) => one(session, uid, self.filter.target.as_deref(), format),
            None => self.many(session, format),
        }
    }

    fn many(&self, session: &Session, format: Format) -> Result<(), Trouble> {
        let parameters = self.filter.parameters();
        if parameters.is_empty() {
            let told = "name an event, or at least one of --route, --target, --state, --type, --id, --since and --until: this would replay everything";
            return Err(Trouble::Unasked(told.to_owned()));
        }
        if self.filter.state == Some(State::Pending) {
            let told =
                "--state pending: what is pending is under way; take dead, delivered or filtered";
            return Err(Trouble::Unasked(told.to_owned()));
        }
        let count = self.count(session, &parameters)?;
        if count == 0 {
            note!("no event matches: nothing to replay");
            return Ok(());
        }
        if !self.yes && !confirmed(count)? {
            note!("nothing was replayed");
            return Ok(());
        }
        let mut body: Value = parameters.into_iter().collect();
        if let Some(rate) = self.rate {
            body["rate"] = json!(rate);
        }
        let replay = session.post(&["replays"], &[], Some(&body))?;
        let id = text(&replay, "id");
        if self.detach {
            return told(
                &replay,
                format,
                &format!("{GREEN}running{GREEN:#}: hookgate replays show {id}"),
            );
        }
        follow(session, &id, Some(count), format)
    }

    /// Events that match, as far as they are counted.
    fn count(
        &self,
        session: &Session,
        parameters: &[(&'static str, String)],
    ) -> Result<usize, Trouble> {
        let listed = items(
            session,
            &["events"],
            "events",
            parameters.to_vec(),
            COUNTED_MAX,
        );
        let mut count = 0;
        for event in listed {
            event?;
            count += 1;
        }
        Ok(count)
    }
}

/// Asks whoever sits at the terminal.
fn confirmed(count: usize) -> Result<bool, Trouble> {
    let events = match count {
        COUNTED_MAX => format!("at least {COUNTED_MAX} events"),
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    if !stdin().is_terminal() {
        let told = format!("{events} would be replayed: say --yes where nobody can be asked");
        return Err(Trouble::Unasked(told));
    }
    out::aside(format_args!(
        "{YELLOW}replay{YELLOW:#} the settled deliveries of {events}? [y/N] "
    ));
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    read.map_err(|error| Trouble::Unasked(format!("cannot read the answer: {error}")))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn one(session: &Session, uid: &str, target: Option<&str>, format: Format) -> Result<(), Trouble> {
    let query: Vec<_> = target
        .map(|target| ("target", target))
        .into_iter()
        .collect();
    let answer = session.post(&["events", uid, "replay"], &query, None);
    let answer = answer.map_err(next_step)?;
    let deliveries = answer["deliveries"].as_array().into_iter().flatten();
    let lines: Vec<_> = deliveries
        .map(|one| {
            let target = text(one, "target");
            match one["result"].as_str().unwrap_or_default() {
                "due" => format!("{GREEN}{target}{GREEN:#}: is delivered again"),
                "pending" => format!("{YELLOW}{target}{YELLOW:#}: is under way already"),
                "target_removed" => {
                    format!("{YELLOW}{target}{YELLOW:#}: is no longer in the configuration")
                }
                _ => format!("{YELLOW}{target}{YELLOW:#}: is no longer stored"),
            }
        })
        .collect();
    told(&answer, format, &lines.join("\n"))
}

fn told(answer: &Value, format: Format, text: &str) -> Result<(), Trouble> {
    match format {
        Format::Json => say!("{answer}")?,
        Format::Text => say!("{text}")?,
    }
    Ok(())
}
