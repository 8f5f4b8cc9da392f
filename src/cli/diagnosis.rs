//! Faults and warnings of a configuration, as people see them: each with its line and a mark under what it is about.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use super::{BOLD, RED, YELLOW};
use crate::config::{Fault, Faults, Snippet, Warning};

const BLUE: anstyle::Style = anstyle::AnsiColor::Blue.on_default();

/// All of them, and a line that counts them.
pub(super) fn faults(faults: &Faults, file: &Path) -> String {
    let mut text: String = faults.as_slice().iter().map(fault).collect();
    text.extend(faults.warnings().iter().map(warning));
    let counted = counted(faults.as_slice().len(), faults.warnings().len());
    let files: BTreeSet<_> = faults.as_slice().iter().map(|fault| &fault.file).collect();
    let place = match files.len() {
        1 => files
            .first()
            .map(|name| (*name).clone())
            .unwrap_or_default(),
        several => format!("{several} files of {}", file.display()),
    };
    let _written = write!(text, "{RED}{counted} in {place}{RED:#}");
    if !file.exists() {
        text.push_str("\nName it with --config, or see how one works first: `hookgate demo`.");
    }
    text
}

/// `1 route`, `2 routes`
pub(super) fn plural(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// `3 faults, 1 warning`
fn counted(faults: usize, warnings: usize) -> String {
    match warnings {
        0 => plural(faults, "fault"),
        _ => format!(
            "{}, {}",
            plural(faults, "fault"),
            plural(warnings, "warning")
        ),
    }
}

fn fault(fault: &Fault) -> String {
    // A long list of names helps nobody who meant one of them.
    const EXPECTED_CHARS_MAX: usize = 240;
    let found = match &fault.found {
        Some(found) => format!("found {found}"),
        None => "missing".to_owned(),
    };
    let expected = fault.expected.as_ref().filter(|expected| {
        fault.did_you_mean.is_none() || expected.chars().count() <= EXPECTED_CHARS_MAX
    });
    let expected = expected.map(|expected| format!("expected {expected}"));
    let block = Block {
        style: RED,
        severity: "error",
        key: &fault.key,
        message: &found,
        place: (&fault.file, fault.line, fault.column),
        snippet: fault.snippet.as_ref(),
        notes: expected.into_iter().chain(fault.hint()).collect(),
    };
    block.text()
}

pub(super) fn warning(warning: &Warning) -> String {
    let block = Block {
        style: YELLOW,
        severity: "warning",
        key: &warning.key,
        message: &warning.message,
        place: (&warning.file, warning.line, warning.column),
        snippet: warning.snippet.as_ref(),
        notes: vec![warning.hint.clone()],
    };
    block.text()
}

struct Block<'b> {
    style: anstyle::Style,
    severity: &'static str,
    key: &'b str,
    message: &'b str,
    /// File, line and column; line 0 for the file as a whole.
    place: (&'b str, usize, usize),
    snippet: Option<&'b Snippet>,
    notes: Vec<String>,
}

impl Block<'_> {
    /// Ends with an empty line.
    fn text(&self) -> String {
        let Self {
            style,
            severity,
            key,
            message,
            place: (file, line, column),
            ..
        } = *self;
        let key = match key {
            "" => String::new(),
            key => format!("{key}: "),
        };
        let place = match line {
            0 => file.to_owned(),
            line => format!("{file}:{line}:{column}"),
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let mut lines = vec![
            format!("{style}{severity}{style:#}{BOLD}: {key}{message}{BOLD:#}"),
            format!("{margin}{BLUE}-->{BLUE:#} {place}"),
        ];
        if let Some(snippet) = self.snippet {
            let blank = " ".repeat(snippet.start);
            let mark = "^".repeat(snippet.width);
            lines.extend([
                format!("{margin} {BLUE}|{BLUE:#}"),
                format!("{BLUE}{number} |{BLUE:#} {}", snippet.line),
                format!("{margin} {BLUE}|{BLUE:#} {blank}{style}{mark}{style:#}"),
            ]);
        }
        let notes = self.notes.iter();
        lines.extend(notes.map(|note| format!("{margin} {BLUE}={BLUE:#} {note}")));
        let lines = lines.iter().map(|line| line.trim_end());
        lines.collect::<Vec<_>>().join("\n") + "\n\n"
    }
}
