//! What became of a request, as a running gateway tells it.

use std::process::ExitCode;

use comfy_table::{Table, presets::NOTHING};
use http::Method;
use serde_json::Value;

use super::advice;
use crate::{
    cli::{
        BOLD, GREEN, RED,
        admin::Admin,
        failed,
        out::{Ended, Unwritten, say},
    },
    store::records::time_of_id,
};

pub(super) fn explain(id: &str, admin: &Admin, json: bool) -> Ended {
    let id = id.trim();
    let answer = match admin.ask(Method::GET, &["requests", id]) {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(failed(match time_of_id(id) {
                Some(at) => {
                    format!("{error}\nIf the id is one of Hookgate's, the request came at {at}.")
                }
                None => format!(
                    "{error}\nThe ids of Hookgate are hex digits, 28 of them; this is another's, or not whole."
                ),
            }));
        }
    };
    match json {
        true => say!("{answer:#}")?,
        false => tell(&answer)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(answer: &Value) -> Result<(), Unwritten> {
    let outcome = text(answer, "outcome");
    let record = &answer["record"];
    let colour = match outcome.as_str() {
        "rejected" => RED,
        _ => GREEN,
    };
    let why = match record["reason"].as_str() {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let id = text(answer, "request_id");
    say!("{BOLD}{id}{BOLD:#}  {colour}{outcome}{why}{colour:#}\n")?;
    let mut facts = table();
    facts.add_row(["received".to_owned(), text(answer, "received_at")]);
    facts.add_row(["route".to_owned(), text(answer, "route")]);
    if !record.is_null() {
        tell_request(record, &mut facts);
    }
    say!("{facts}")?;
    tell_steps(record)?;
    let events = answer["events"].as_array();
    for event in events.into_iter().flatten() {
        tell_event(event)?;
    }
    tell_end(record)
}

fn tell_request(record: &Value, facts: &mut Table) {
    let bytes = match record["body_bytes"].as_u64() {
        Some(bytes) => format!(", {bytes} bytes"),
        None => String::new(),
    };
    let asked = format!("{} {}{bytes}", text(record, "method"), text(record, "path"));
    facts.add_row(["request".to_owned(), asked]);
    facts.add_row(["from".to_owned(), text(record, "client")]);
    let took = record["took_ms"].as_f64().unwrap_or_default();
    let answered = format!("{} after {took:.1} ms", record["status"]);
    facts.add_row(["answered".to_owned(), answered]);
    for key in ["cause", "handshake", "trace"] {
        if record[key].is_string() {
            facts.add_row([key.to_owned(), text(record, key)]);
        }
    }
}

fn tell_steps(record: &Value) -> Result<(), Unwritten> {
    let steps = record["steps"].as_array();
    let mut shown = table();
    for step in steps.into_iter().flatten() {
        let mark = match step["passed"].as_bool() {
            Some(true) => format!("{GREEN}✓{GREEN:#}"),
            _ => format!("{RED}✗{RED:#}"),
        };
        shown.add_row([mark, text(step, "name"), text(step, "told")]);
    }
    if !shown.is_empty() {
        say!("\n{shown}")?;
    }
    Ok(())
}

fn tell_event(event: &Value) -> Result<(), Unwritten> {
    let uid = text(event, "uid");
    say!(
        "\nIt became the event {BOLD}{uid}{BOLD:#}, id {}",
        text(event, "id")
    )?;
    let deliveries = event["deliveries"].as_array();
    let mut shown = table();
    for delivery in deliveries.into_iter().flatten() {
        let reason = match delivery["reason"].as_str() {
            Some(reason) => format!(" ({})", plain(reason)),
            None => String::new(),
        };
        let last = &delivery["last_attempt"];
        let last = match (&last["status"], last["error"].as_str()) {
            (Value::Number(status), _) => format!("the last was answered {status}"),
            (_, Some(error)) => format!("the last failed: {}", plain(error)),
            _ => String::new(),
        };
        shown.add_row([
            text(delivery, "target"),
            format!("{}{reason}", text(delivery, "state")),
            format!("{} attempts", delivery["attempts"]),
            last,
        ]);
    }
    match shown.is_empty() {
        true => say!("  no target wants events of this type")?,
        false => say!("{shown}")?,
    }
    say!("\nnext: hookgate events show {uid}")
}

/// Why, and what to do.
fn tell_end(record: &Value) -> Result<(), Unwritten> {
    let first = &record["duplicate_of"];
    if !first.is_null() {
        let (uid, at) = (text(first, "uid"), text(first, "received_at"));
        let body = match first["same_body"].as_bool() {
            Some(true) => "the same body",
            _ => {
                "another body: the sender gives one id to two events, or the route reads the wrong one"
            }
        };
        say!("\nIts event was accepted at {at}; this one had {body}.")?;
        say!("next: hookgate events show {uid}")?;
    }
    if let Some(advice) = record["reason"].as_str().and_then(advice::of) {
        say!("\nlikely: {}\nnext: {}", advice.likely, advice.next)?;
    }
    Ok(())
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// What is missing is `-`.
fn text(value: &Value, key: &str) -> String {
    plain(value[key].as_str().unwrap_or("-"))
}

/// Callers choose some of it: it must not command the terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
