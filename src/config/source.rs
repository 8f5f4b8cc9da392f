//! One file of the configuration, and what is said about a place in it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    error::{Fault, Warning},
    reader::Place,
    snippet::{BYTE_ORDER_MARK, Snippet, Told, pieces},
};

/// A file's text, and what the operator calls it.
pub(super) struct Source {
    /// 0 is the file that was named; those that it includes follow.
    pub(super) number: usize,
    /// As the operator named it.
    pub(super) name: String,
    /// Where it was read from.
    pub(super) file: Option<PathBuf>,
    /// What relative paths in the file start from.
    pub(super) base: PathBuf,
    pub(super) text: String,
    /// From when something is first said about a place.
    pub(super) marks: OnceLock<Marks>,
}

/// So that of a file with many faults not all is read for each.
pub(super) struct Marks {
    newlines: Vec<usize>,
    pieces: Vec<usize>,
}

impl Source {
    /// The file that was named.
    pub(super) fn of_file(path: &Path, text: String) -> Self {
        let base = path.parent().unwrap_or(Path::new(""));
        Self {
            file: Some(path.to_owned()),
            ..Self::of_text(&path.display().to_string(), base, text)
        }
    }

    /// A text that is no file's.
    pub(super) fn of_text(name: &str, base: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            number: 0,
            name: name.to_owned(),
            file: None,
            base: base.into(),
            text: text.into(),
            marks: OnceLock::new(),
        }
    }

    fn marks(&self) -> &Marks {
        self.marks.get_or_init(|| Marks {
            newlines: self.text.match_indices('\n').map(|(at, _)| at).collect(),
            pieces: pieces(&self.text),
        })
    }

    fn snippet(&self, span: &Range<usize>, told: &Told<'_>) -> Option<Snippet> {
        Snippet::of(&self.text, &self.marks().pieces, span, told)
    }

    pub(super) fn fault(
        &self,
        place: &Place<'_>,
        found: Option<String>,
        expected: Option<String>,
        did_you_mean: Option<String>,
    ) -> Fault {
        let told = Told {
            key: &place.path,
            found: found.as_deref().unwrap_or_default(),
        };
        let snippet = self.snippet(&place.span, &told);
        let (line, column, end_line, end_column) = self.position(&place.span);
        Fault {
            file: self.name.clone(),
            line,
            column,
            end_line,
            end_column,
            key: place.path.clone(),
            found,
            expected,
            did_you_mean,
            snippet,
        }
    }

    pub(super) fn warning(&self, place: &Place<'_>, message: String, hint: String) -> Warning {
        let told = Told {
            key: &place.path,
            found: "",
        };
        let snippet = self.snippet(&place.span, &told);
        let (line, column, end_line, end_column) = self.position(&place.span);
        Warning {
            file: self.name.clone(),
            line,
            column,
            end_line,
            end_column,
            key: place.path.clone(),
            message,
            hint,
            snippet,
        }
    }

    /// The parser's words name no values.
    pub(super) fn syntax_fault(&self, error: &toml::de::Error) -> Fault {
        let end = self.text.len();
        let span = error.span().unwrap_or(end..end);
        let told = Told { key: "", found: "" };
        let snippet = self.snippet(&span, &told);
        let (line, column, end_line, end_column) = self.position(&span);
        Fault {
            file: self.name.clone(),
            line,
            column,
            end_line,
            end_column,
            key: String::new(),
            found: Some(format!("a fault of syntax: {}", error.message())),
            expected: None,
            did_you_mean: None,
            snippet,
        }
    }

    /// Line and column of the start and of the end.
    pub(super) fn position(&self, span: &Range<usize>) -> (usize, usize, usize, usize) {
        let (line, column) = self.place_of(span.start);
        let (end_line, end_column) = self.place_of(span.end.max(span.start));
        (line, column, end_line, end_column)
    }

    /// The line and the column of a byte offset, both from 1, columns in characters.
    fn place_of(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let newlines = &self.marks().newlines;
        let line = newlines.partition_point(|newline| *newline < offset);
        let before = line.checked_sub(1).and_then(|line| newlines.get(line));
        let line_start = before.map_or(0, |newline| newline + 1);
        // Editors do not count the mark of the byte order.
        let before = self.text[line_start..offset].trim_start_matches(BYTE_ORDER_MARK);
        (line + 1, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        for (text, offset, place) in [
            ("a = 1\nü = 2", 0, (1, 1)),
            ("a = 1\nü = 2", 5, (1, 6)),
            ("a = 1\nü = 2", 6, (2, 1)),
            ("a = 1\nü = 2", 11, (2, 5)),
            ("\u{feff}a = 1", 3, (1, 1)),
            ("a\n", 9, (2, 1)),
        ] {
            let source = Source::of_text("", "", text);
            assert_eq!(source.place_of(offset), place, "{offset} of {text:?}");
        }
    }
}
