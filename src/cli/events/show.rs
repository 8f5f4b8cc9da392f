//! `hookgate events show`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfy_table::Cell;
use serde_json::Value;

use crate::cli::{
    BOLD, Format,
    admin::{Session, Trouble},
    events::delivery,
    listing::{seconds, state_cell, table, text},
    out::{self, Unwritten, say},
};

pub(super) fn show(
    session: &Session,
    uid: &str,
    body: bool,
    format: Format,
) -> Result<(), Trouble> {
    let event = session.get(&["events", uid], &[]).map_err(next_step)?;
    match (body, format) {
        (true, _) => print_body(&event),
        (false, Format::Json) => Ok(say!("{event}")?),
        (false, Format::Text) => Ok(tell(&event)?),
    }
}

/// Of an event that is not known.
pub(super) fn next_step(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Refused { code, .. } if code == "unknown" => Trouble::Unasked(
            "the event is not, or no longer, known (see `retention`); `hookgate events list` tells which are".to_owned(),
        ),
        other => other,
    }
}

/// The bytes that arrived.
fn print_body(event: &Value) -> Result<(), Trouble> {
    let body = event["body"].as_str().unwrap_or_default();
    let bytes = match event["body_encoding"].as_str() {
        Some("base64") => STANDARD.decode(body).map_err(|error| {
            Trouble::Unasked(format!("the gateway's answer has no valid body: {error}"))
        })?,
        _ => body.as_bytes().to_vec(),
    };
    Ok(out::bytes(&bytes)?)
}

fn tell(event: &Value) -> Result<(), Unwritten> {
    let line = |name: &str, told: String| say!("{BOLD}{name:<13}{BOLD:#} {told}");
    line("uid", text(event, "uid"))?;
    line("route", text(event, "route"))?;
    line("id", text(event, "id"))?;
    line("type", text(event, "type"))?;
    line("received", text(event, "received_at"))?;
    line("credential", text(event, "credential"))?;
    line("content type", text(event, "content_type"))?;
    line(
        "body",
        format!("{} bytes (--body prints it)", text(event, "body_bytes")),
    )?;
    for header in array(event, "headers") {
        line(
            "header",
            format!("{}: {}", text(header, "name"), text(header, "value")),
        )?;
    }
    for one in array(event, "deliveries") {
        let replayed = match one["replayed_at"].as_str() {
            Some(at) => format!(", replayed {at}"),
            None => String::new(),
        };
        say!("")?;
        line("delivery", format!("{}{replayed}", delivery(one)))?;
        attempts(array(one, "history"))?;
    }
    Ok(())
}

fn attempts(history: &[Value]) -> Result<(), Unwritten> {
    if history.is_empty() {
        return say!("not attempted yet");
    }
    let mut attempts = table(&["attempt", "took", "status", "what came back"]);
    for attempt in history {
        let status = text(attempt, "status");
        let colour = match attempt["status"].as_u64() {
            Some(200..=299) => "ok",
            _ => "failed",
        };
        let came = match attempt["error"].as_str() {
            Some(error) => error.to_owned(),
            None => text(attempt, "response_head"),
        };
        let took = attempt["duration_ms"].as_f64().unwrap_or_default();
        attempts.add_row([
            Cell::new(seconds(attempt, "started_at")),
            Cell::new(format!("{took:.0} ms")),
            state_cell(colour, status),
            // A target's words must not steer the terminal.
            Cell::new(came.escape_debug()),
        ]);
    }
    say!("{attempts}")
}

fn array<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}
