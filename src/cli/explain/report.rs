//! What was found out, for people and for programs.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;

use crate::ingest::steps::Step;

use super::causes::Cause;
use crate::cli::{
    BOLD, GREEN, RED, YELLOW,
    out::{Unwritten, say},
};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) capture: Captured,
    /// The route, or the provider.
    pub(super) judged_by: String,
    pub(super) verifiers: Vec<Verified>,
    pub(super) outcome: Told,
    pub(super) notes: Vec<String>,
}

/// What was read.
#[derive(Debug, Serialize)]
pub(super) struct Captured {
    pub(super) kind: &'static str,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: usize,
    pub(super) body_bytes: usize,
    pub(super) received_at: String,
    /// `capture`, `argument` or `now`.
    pub(super) received_at_from: &'static str,
}

/// One verifier of the route.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    pub(super) kind: &'static str,
    /// `None`: it cannot be judged by a capture.
    pub(super) proven: Option<bool>,
    /// As the log and the metrics have it.
    pub(super) reason: Option<&'static str>,
    pub(super) steps: Vec<Step>,
    pub(super) causes: Vec<Cause>,
}

/// What the gateway would answer.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) accepted: bool,
    pub(super) status: u16,
    pub(super) reason: Option<&'static str>,
    pub(super) told: String,
    pub(super) events: Vec<Step>,
}

/// Wide enough when the output is no terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 160;

impl Report {
    pub(super) fn print(&self) -> Result<(), Unwritten> {
        let captured = &self.capture;
        say!(
            "{BOLD}{} {}{BOLD:#} from {}: {} headers, a body of {} bytes; for the {BOLD}{}{BOLD:#}",
            captured.method,
            captured.path,
            captured.kind,
            captured.headers,
            captured.body_bytes,
            self.judged_by
        )?;
        let from = match captured.received_at_from {
            "capture" => "as the capture says",
            "argument" => "as --at says",
            _ => "which is now: the capture does not say when, see --at",
        };
        say!("received at {}, {from}", captured.received_at)?;
        for verified in &self.verifiers {
            verified.print()?;
        }
        say!("\n{BOLD}what the gateway would do{BOLD:#}")?;
        if !self.outcome.events.is_empty() {
            say!("{}", table(&self.outcome.events))?;
        }
        let (colour, mark) = match self.outcome.accepted {
            true => (GREEN, "✓"),
            false => (RED, "✗"),
        };
        say!(
            "  {colour}{mark} {} {}{colour:#}",
            self.outcome.status,
            self.outcome.told
        )?;
        for note in &self.notes {
            say!("{YELLOW}note{YELLOW:#}: {note}")?;
        }
        Ok(())
    }
}

impl Verified {
    fn print(&self) -> Result<(), Unwritten> {
        say!("\n{BOLD}{}{BOLD:#}", self.kind)?;
        say!("{}", table(&self.steps))?;
        match (self.proven, self.reason) {
            (Some(true), _) => say!("  {GREEN}✓ proven{GREEN:#}")?,
            (None, _) => say!("  {YELLOW}· not judged{YELLOW:#}")?,
            (Some(false), reason) => {
                let reason = reason.unwrap_or("refused");
                say!("  {RED}✗ refused: {reason}{RED:#}")?;
            }
        }
        for cause in &self.causes {
            say!(
                "  {BOLD}likely cause{BOLD:#} ({}): {}",
                cause.code,
                cause.told
            )?;
        }
        Ok(())
    }
}

/// Always styled: whoever prints it takes the colours out where nobody wants them.
fn table(steps: &[Step]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .enforce_styling();
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    for step in steps {
        let mark = match step.ok {
            Some(true) => Cell::new("✓").fg(Color::Green),
            Some(false) => Cell::new("✗").fg(Color::Red),
            None => Cell::new("·"),
        };
        table.add_row([mark, Cell::new(step.step), Cell::new(&step.told)]);
    }
    table.to_string()
}
