//! What the commands share that ask a gateway for lists: filters, pages, times, tables.

use std::{iter, time::Duration};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

use super::{
    Format,
    admin::{Session, Trouble},
    out::say,
};
use crate::clock::{Clock, Timestamp};

/// Items that are asked for at once.
const PAGE: usize = 100;
/// Wide enough for a row when the output is no terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 240;

/// Which events are meant. What is left out matches all.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct EventFilter {
    /// Of this route.
    #[arg(long, value_name = "NAME")]
    pub(super) route: Option<String>,
    /// With a delivery to this target.
    #[arg(long, value_name = "NAME")]
    pub(super) target: Option<String>,
    /// With a delivery (to --target, where that is given) in this state.
    #[arg(long, value_enum)]
    pub(super) state: Option<State>,
    /// Of exactly this event type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// With exactly this id of the provider's.
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    /// Received at or after: `2h` for two hours ago, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// Received before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum State {
    Pending,
    Delivered,
    Dead,
    Filtered,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Filtered => "filtered",
        }
    }
}

impl EventFilter {
    /// As the API takes them.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let moment = |at: &Option<Timestamp>| at.map(|at| at.to_string());
        [
            ("route", self.route.clone()),
            ("target", self.target.clone()),
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("type", self.event_type.clone()),
            ("id", self.id.clone()),
            ("since", moment(&self.since)),
            ("until", moment(&self.until)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// `2h` ago, or a moment of RFC 3339.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_millis(at.as_millisecond()));
    }
    let ago = humantime::parse_duration(text).map_err(
        |_| "expected how long ago, such as 30m or 2h, or a moment such as 2026-05-20T15:30:00Z",
    )?;
    Ok(Clock::system().now().saturating_sub(ago))
}

/// The items of all pages, asked for as they are needed; `name` is the list's in the answer.
pub(super) fn items<'a>(
    session: &'a Session,
    path: &'a [&'a str],
    name: &'a str,
    query: Vec<(&'static str, String)>,
    max: usize,
) -> impl Iterator<Item = Result<Value, Trouble>> + 'a {
    let mut cursor = Some(None);
    let pages = iter::from_fn(move || {
        let at: Option<String> = cursor.take()?;
        match page(session, path, name, &query, at.as_deref(), max.min(PAGE)) {
            Ok((items, next)) => {
                cursor = next.map(Some);
                Some(items.into_iter().map(Ok).collect())
            }
            Err(trouble) => Some(vec![Err(trouble)]),
        }
    });
    pages.flatten().take(max)
}

/// One page, and the cursor of the next.
fn page(
    session: &Session,
    path: &[&str],
    name: &str,
    query: &[(&'static str, String)],
    cursor: Option<&str>,
    limit: usize,
) -> Result<(Vec<Value>, Option<String>), Trouble> {
    let limit = limit.to_string();
    let mut all: Vec<_> = query.iter().map(|(n, v)| (*n, v.as_str())).collect();
    all.push(("limit", &limit));
    all.extend(cursor.map(|cursor| ("cursor", cursor)));
    let mut answer = session.get(path, &all)?;
    let next = answer["next"].as_str().map(str::to_owned);
    match answer[name].take() {
        Value::Array(items) => Ok((items, next)),
        _ => Err(Trouble::Unasked(format!(
            "the gateway's answer has no list of {name}"
        ))),
    }
}

/// Prints a list: as a table, or as one JSON object a line. `nothing` is said instead of a table without rows.
pub(super) fn print(
    items: impl Iterator<Item = Result<Value, Trouble>>,
    format: Format,
    header: &[&str],
    nothing: &str,
    row: impl Fn(&Value) -> Vec<Cell>,
) -> Result<(), Trouble> {
    if format == Format::Json {
        for item in items {
            say!("{}", item?)?;
        }
        return Ok(());
    }
    let mut table = table(header);
    for item in items {
        table.add_row(row(&item?));
    }
    match table.is_empty() {
        true => say!("{nothing}")?,
        false => say!("{table}")?,
    }
    Ok(())
}

/// Always styled: anstream takes the colours out where nobody wants them.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .enforce_styling()
        .set_header(header);
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    table
}

/// The text or number of a member; `-` for none.
pub(super) fn text(item: &Value, key: &str) -> String {
    match &item[key] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A state in its colour.
pub(super) fn state_cell(state: &str, told: String) -> Cell {
    let cell = Cell::new(told);
    match state {
        "delivered" | "done" | "delivering" | "ok" => cell.fg(Color::Green),
        "dead" | "open" | "failed" => cell.fg(Color::Red),
        "pending" | "running" | "paused" | "half_open" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// `14:03:07.125` would not tell the day: the whole moment, to the second.
pub(super) fn seconds(item: &Value, key: &str) -> String {
    let told = text(item, key);
    match told.split_once('.') {
        Some((to_the_second, _)) => format!("{to_the_second}Z"),
        None => told,
    }
}

/// `1h 2m 3s`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    humantime::format_duration(Duration::from_secs(whole.as_secs())).to_string()
}
