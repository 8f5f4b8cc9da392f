//! The line that a fault is about, as it may be shown: with the keys that are known, and without what may be a secret.
//!
//! What is shown of a line is chosen, never what is hidden: the signs of TOML, known keys in the places of keys, the names
//! and the value that the fault's own words repeat. A secret may stand under a misspelt key, beside the fault, in a comment,
//! or where a key belongs, and the file may be no TOML at all.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::surface::is_key;

/// What stands for what is not shown.
const HIDDEN: &str = "…";
/// Longer lines are cut around what is marked.
const COLUMNS_MAX: usize = 110;
const COLUMNS_BEFORE: usize = 40;
/// A tab, as it is shown.
const TAB: &str = "    ";
/// Some editors put it before a file. It is not seen.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';
/// The pieces from one of [`pieces`] to the next.
const STRIDE: usize = 64;
/// So many of [`pieces`] before what is marked have more columns than are shown: of two pieces at most one has none.
const PIECES_BEFORE: usize = 1 + (2 * COLUMNS_MAX).div_ceil(STRIDE);

/// One line, and the part of it that is marked. Columns are those of a terminal: a character takes two, one or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    pub line: String,
    /// Columns before the marked part.
    pub start: usize,
    /// Columns of the marked part; at least one.
    pub width: usize,
}

/// What the words beside a snippet say already.
pub(super) struct Told<'t> {
    /// The key path.
    pub(super) key: &'t str,
    pub(super) found: &'t str,
}

impl Snippet {
    /// The line of `text` in which `span` begins; `pieces` are the text's own. `None` for a span that is nowhere.
    pub(super) fn of(
        text: &str,
        pieces: &[usize],
        span: &Range<usize>,
        told: &Told<'_>,
    ) -> Option<Self> {
        if *span == (0..0) && !text.is_empty() {
            return None;
        }
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[line_start..];
        let line_end = line_start + rest.find('\n').unwrap_or(rest.len());
        let mut canvas = Canvas::new(start..span.end.max(start));
        let is_header = rest.trim_start().starts_with('[');
        let from = begin(pieces, line_start, start);
        let mut is_first = from <= line_start;
        for token in tokens(text, from, line_end) {
            if token.range.end <= line_start {
                continue;
            }
            if canvas.is_full() {
                break;
            }
            let words = Words {
                is_key: is_first
                    || is_header
                    || precedes_sign(&text[token.range.end..line_end.max(token.range.end)]),
                is_own: span.start <= token.range.start && token.range.end <= span.end,
                told,
            };
            is_first &= token.kind == Kind::Space;
            canvas.draw(text, &token, line_start..line_end, &words);
        }
        Some(canvas.finish())
    }
}

/// From which piece on a line is looked at for what is marked at `start`: where there are many before, not from the
/// line's own beginning, which would take long for many faults of one line.
fn begin(pieces: &[usize], line_start: usize, start: usize) -> usize {
    let last_until = |at| pieces.partition_point(|piece| *piece <= at).checked_sub(1);
    let near = last_until(start).and_then(|last| last.checked_sub(PIECES_BEFORE));
    let known = last_until(line_start).max(near);
    known
        .and_then(|known| pieces.get(known))
        .copied()
        .unwrap_or(0)
}

/// Whether an `=` or a `.` follows, which makes a key of what stands before.
fn precedes_sign(rest: &str) -> bool {
    rest.trim_start_matches([' ', '\t']).starts_with(['=', '.'])
}

struct Words<'t> {
    /// It stands where a key may stand.
    is_key: bool,
    /// It is within what is marked.
    is_own: bool,
    told: &'t Told<'t>,
}

impl Words<'_> {
    /// Whether a bare word may be shown.
    fn show(&self, word: &str) -> bool {
        let Told { key, found } = self.told;
        let is_known = is_key(word);
        let in_path = || {
            let mut steps = key.split(['.', '[']);
            steps.any(|step| step == word)
        };
        let is_found = || self.is_own && found.split([' ', ',']).next() == Some(word);
        matches!(word, "true" | "false") || self.is_key && (is_known || in_path()) || is_found()
    }

    /// Whether what stands between quotes may be shown: the fault's own words repeat it as it stands.
    fn show_text(&self, inner: &str) -> bool {
        let plain = !inner.contains(['\\', '"', '\n']) && !inner.chars().any(char::is_control);
        plain && !inner.is_empty() && self.told.found.contains(&format!("\"{inner}\""))
    }
}

/// A line as it grows, and where what is marked has come to stand in it, in bytes.
struct Canvas {
    span: Range<usize>,
    line: String,
    start: Option<usize>,
    end: usize,
}

impl Canvas {
    fn new(span: Range<usize>) -> Self {
        Self {
            span,
            line: String::new(),
            start: None,
            end: 0,
        }
    }

    fn draw(&mut self, text: &str, token: &Token, line: Range<usize>, words: &Words<'_>) {
        let Range { start, end } = token.range;
        let raw = &text[start.max(line.start)..end.min(line.end).max(start.max(line.start))];
        match token.kind {
            Kind::Space => {
                let shown = raw.replace('\t', TAB).replace(['\r', BYTE_ORDER_MARK], "");
                self.put(&shown, start..end);
            }
            Kind::Sign => self.put(raw, start..end),
            Kind::Word if words.show(raw) => self.put(raw, start..end),
            Kind::Word => self.put(HIDDEN, start..end),
            Kind::Comment => self.put("# …", start..end),
            Kind::Text { quotes } => {
                let inner = text.get(start + quotes..end.saturating_sub(quotes));
                let shown = inner.filter(|inner| quotes == 1 && words.show_text(inner));
                if shown.is_some() {
                    self.put(raw, start..end);
                    return;
                }
                let opening = if start >= line.start {
                    &text[start..(start + quotes).min(end)]
                } else {
                    ""
                };
                let closing = if end <= line.end && is_closed(&text[start..end], quotes) {
                    &text[start..start + quotes]
                } else {
                    ""
                };
                self.put(&format!("{opening}{HIDDEN}{closing}"), start..end);
            }
        }
    }

    /// `shown` stands for `range` of the file.
    fn put(&mut self, shown: &str, range: Range<usize>) {
        if self.start.is_none() && range.contains(&self.span.start) {
            self.start = Some(self.line.len());
        }
        self.line.push_str(shown);
        if range.start < self.span.end {
            self.end = self.line.len();
        }
    }

    /// Whether more is there behind what is marked than is shown.
    fn is_full(&self) -> bool {
        let marked = self.start.and_then(|start| self.line.get(start..));
        marked.is_some_and(|marked| {
            // A column takes a byte at least.
            marked.len() > COLUMNS_MAX && marked.trim_end().width() > COLUMNS_MAX
        })
    }

    fn finish(self) -> Snippet {
        let shown = self.line.trim_end();
        let start = self.start.unwrap_or(shown.len()).min(shown.len());
        let end = self.end.min(shown.len()).max(start);
        let is_long = shown.width() > COLUMNS_MAX;
        let cut = match is_long {
            true => around(shown, start),
            false => 0..shown.len(),
        };
        let before = if cut.start > 0 { HIDDEN } else { "" };
        let after = if cut.end < shown.len() { HIDDEN } else { "" };
        Snippet {
            start: before.width() + shown[cut.start..start].width(),
            width: shown[start..end.min(cut.end).max(start)].width().max(1),
            line: format!("{before}{}{after}", &shown[cut]),
        }
    }
}

/// So much of `line`, in bytes, as is shown of a long one in which the byte `at` matters.
fn around(line: &str, at: usize) -> Range<usize> {
    let columns = |c: char| c.width().unwrap_or_default();
    let mut left = COLUMNS_BEFORE;
    let fits = |c: &char, left: &mut usize| {
        let rest = left.checked_sub(columns(*c));
        *left = rest.unwrap_or_default();
        rest.is_some()
    };
    let before = line[..at].chars().rev().take_while(|c| fits(c, &mut left));
    let start = at - before.map(char::len_utf8).sum::<usize>();
    let mut left = COLUMNS_MAX;
    let shown = line[start..].chars().take_while(|c| fits(c, &mut left));
    let end = start + shown.map(char::len_utf8).sum::<usize>();
    start..end
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    /// What TOML is made of: `=`, brackets, commas, dots.
    Sign,
    Word,
    /// With the number of quotes at each end: 1 or 3.
    Text {
        quotes: usize,
    },
    Comment,
}

struct Token {
    kind: Kind,
    range: Range<usize>,
}

fn is_closed(text: &str, quotes: usize) -> bool {
    text.len() >= 2 * quotes && text.ends_with(&text[..quotes])
}

/// Where some of the pieces of `text` begin, in their order.
pub(super) fn pieces(text: &str) -> Vec<usize> {
    let pieces = tokens(text, 0, text.len()).step_by(STRIDE);
    pieces.map(|piece| piece.range.start).collect()
}

/// `text` in pieces, from where one begins to the one in which `end` is. What is no TOML is cut into words and signs too.
fn tokens(text: &str, from: usize, end: usize) -> impl Iterator<Item = Token> {
    let mut at = from;
    std::iter::from_fn(move || {
        let (kind, length) = token(text.get(at..).filter(|_| at < end)?);
        let range = at..at + length;
        at = range.end;
        Some(Token { kind, range })
    })
}

/// The first piece of `rest`, which is not empty.
fn token(rest: &str) -> (Kind, usize) {
    const SIGNS: [char; 7] = ['=', '[', ']', '{', '}', ',', '.'];
    let until = |stop: &dyn Fn(char) -> bool| rest.find(stop).unwrap_or(rest.len()).max(1);
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | BYTE_ORDER_MARK);
    match rest.chars().next().unwrap_or(' ') {
        '#' => (Kind::Comment, until(&|c| c == '\n')),
        quote @ ('"' | '\'') => quoted(rest, quote),
        c if is_space(c) => (Kind::Space, until(&|c| !is_space(c))),
        c if SIGNS.contains(&c) => (Kind::Sign, 1),
        first => {
            // The dot of a number is no sign.
            let is_number = first.is_ascii_digit() || matches!(first, '+' | '-');
            let is_sign = |c: char| SIGNS.contains(&c) && !(is_number && c == '.');
            let stop = |c: char| is_space(c) || is_sign(c) || matches!(c, '"' | '\'' | '#');
            (Kind::Word, until(&stop))
        }
    }
}

/// A string, to its closing quotes; without them to the end of the line, or of the file where three open it.
fn quoted(rest: &str, quote: char) -> (Kind, usize) {
    let triple: String = [quote; 3].iter().collect();
    let is_triple = rest.starts_with(&triple);
    let quotes = if is_triple { 3 } else { 1 };
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(quotes) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            '\n' if !is_triple => return (Kind::Text { quotes }, at),
            _ if c == quote && !is_triple => return (Kind::Text { quotes }, at + 1),
            _ if c == quote && rest[at..].starts_with(&triple) => {
                // Up to two quotes may stand before the closing ones.
                let more = rest[at + 3..].chars().take(2).take_while(|&c| c == quote);
                return (Kind::Text { quotes }, at + 3 + more.count());
            }
            _ => {}
        }
    }
    (Kind::Text { quotes }, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From wherever the reading of the text begins, the line comes to the same.
    #[test]
    fn pieces_change_nothing() {
        let text = format!(
            "{}a = \"\"\"\nb = 1 # 'x\n]\"\"\" # \"\n{}",
            "[a]\nb = 'c' # \"\n".repeat(30),
            "\t[a.b]\nc = [1.5,\n\"d]\", {e = '''\n#f'''}]\n".repeat(30)
        );
        let pieces = pieces(&text);
        assert!(pieces.len() > 5, "{pieces:?}");
        let told = Told {
            key: "a.b",
            found: "\"d]\"",
        };
        for start in 1..text.len() {
            let span = start..start + 3;
            assert_eq!(
                Snippet::of(&text, &pieces, &span, &told),
                Snippet::of(&text, &[], &span, &told),
                "{start}"
            );
        }
    }

    /// Of a long line only what is near the marks is looked at, and what is shown is what all of it would show.
    #[test]
    fn long_lines_come_to_the_same_in_part() {
        let items = [
            "crm",
            "注文",
            "a",
            "cafe\u{301}s",
            "'x y'",
            "{ b = 1 },",
            "[",
            "]",
        ];
        let line: Vec<_> = (0..800)
            .map(|number| items[number * number % 7 % items.len()])
            .collect();
        let spaces = " ".repeat(200);
        let mut in_part = 0;
        for separator in ["\", \"", "=", " ", ",", "\t.", "[", &spaces] {
            let text = format!(
                "before = 1\n x.deliver = [{}]\nafter = 2\n",
                line.join(separator)
            );
            let pieces = pieces(&text);
            let told = Told {
                key: "x.deliver.crm.a",
                found: "\"crm\", \"注文\" a",
            };
            for start in (1..text.len()).step_by(text.len() / 12) {
                for width in [9, 5_000] {
                    let span = start..start + width;
                    let snippet = Snippet::of(&text, &pieces, &span, &told);
                    assert_eq!(snippet, Snippet::of(&text, &[], &span, &told), "{span:?}");
                }
                let begun = begin(&pieces, 11, start);
                let before = tokens(&text, begun, start).count();
                assert!(before <= (PIECES_BEFORE + 2) * STRIDE, "{before}");
                in_part += usize::from(begun > 11);
            }
        }
        assert!(in_part > 20, "{in_part}");
    }

    /// The line, and what of it stands over the marks where each character takes as many columns as a terminal gives it.
    fn marked(before: &str, found: &str, after: &str) -> (Snippet, String) {
        let text = format!("{before}\"{found}\"{after}\n");
        let told = Told {
            key: "targets.注文",
            found: &format!("\"{found}\""),
        };
        let span = before.len()..before.len() + found.len() + 2;
        let snippet = Snippet::of(&text, &pieces(&text), &span, &told).unwrap();
        let mut at = 0;
        let over = snippet.line.chars().filter(|c| {
            let column = at;
            at += c.width().unwrap_or_default();
            (snippet.start..snippet.start + snippet.width).contains(&column)
        });
        let over = over.collect();
        (snippet, over)
    }

    #[test]
    fn marks_stand_under_what_is_wide_or_takes_no_column() {
        for (before, found, start, width) in [
            ("deliver = [", "crm", 11, 5),
            ("deliver = [", "注文", 11, 6),
            ("targets.注文 = [", "crm", 16, 5),
            // A letter and an accent of its own.
            ("deliver = [", "cafe\u{301}s", 11, 7),
            ("deliver = [", "📦", 11, 4),
            ("\tdeliver\t= [", "crm", 18, 5),
            ("[targets.注文.📦]\tdeliver = [", "注文📦", 31, 8),
        ] {
            let (snippet, over) = marked(before, found, "]");
            let line = &snippet.line;
            assert_eq!((snippet.start, snippet.width), (start, width), "{line}");
            assert_eq!(over, format!("\"{found}\""), "{line}");
        }
        // What a terminal joins is as wide as it is together.
        let (snippet, _) = marked("deliver = [", "👩\u{200d}👩\u{200d}👧", "]");
        assert_eq!((snippet.start, snippet.width), (11, 4));
    }

    #[test]
    fn long_lines_are_cut_by_columns() {
        let long = "\"注文\", ".repeat(30);
        let (snippet, over) = marked(&format!("deliver = [{long}"), "注文", &format!(", {long}]"));
        assert!(snippet.line.width() <= COLUMNS_MAX + 2, "{}", snippet.line);
        assert!(snippet.line.width() > COLUMNS_MAX - 2, "{}", snippet.line);
        assert!(snippet.line.starts_with('…') && snippet.line.ends_with('…'));
        assert!(snippet.start <= COLUMNS_BEFORE + 1, "{snippet:?}");
        assert_eq!(over, "\"注文\"");
        // What is marked goes on where the line is cut.
        let (snippet, _) = marked("deliver = [", &"注".repeat(80), "]");
        assert_eq!(snippet.start + snippet.width + 1, snippet.line.width());
        assert!(snippet.line.width() <= COLUMNS_MAX + 1, "{}", snippet.line);
    }
}
