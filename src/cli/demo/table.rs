//! What came of each request, as a table for people.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

/// One request and what came of it.
pub(super) struct Row {
    pub(super) request: String,
    pub(super) answer: String,
    /// From sending to the answer's end.
    pub(super) answered_in: String,
    pub(super) delivered: String,
    /// From acceptance to the end of the last delivery.
    pub(super) delivered_in: String,
    /// `Err` tells what was expected instead.
    pub(super) verdict: Result<(), String>,
}

/// Wide enough to hold every row when the output is no terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 200;

/// Always styled: whoever prints it takes the colours out where nobody wants them.
pub(super) fn render(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .enforce_styling()
        .set_header([
            "request",
            "answer",
            "took",
            "delivered to",
            "took",
            "as expected",
        ]);
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    for row in rows {
        let verdict = match &row.verdict {
            Ok(()) => Cell::new("ok").fg(Color::Green),
            Err(expected) => Cell::new(format!("FAILED: {expected}")).fg(Color::Red),
        };
        table.add_row([
            Cell::new(&row.request),
            Cell::new(&row.answer),
            Cell::new(&row.answered_in),
            Cell::new(&row.delivered),
            Cell::new(&row.delivered_in),
            verdict,
        ]);
    }
    table.to_string()
}
