//! One file of the configuration, and what is said about a place in it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    error::{Fault, Warning},
    reader::Place,
    snippet::{Snippet, Told},
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
        }
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
        let snippet = Snippet::of(&self.text, &place.span, &told);
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
        let snippet = Snippet::of(&self.text, &place.span, &told);
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
        let snippet = Snippet::of(&self.text, &span, &told);
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
        let (line, column) = position(&self.text, span.start);
        let (end_line, end_column) = position(&self.text, span.end.max(span.start));
        (line, column, end_line, end_column)
    }
}

/// The line and the column of a byte offset, both from 1, columns in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        assert_eq!(position("a = 1\nü = 2", 0), (1, 1));
        assert_eq!(position("a = 1\nü = 2", 11), (2, 5));
    }
}
