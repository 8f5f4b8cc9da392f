//! What may have become of a body on its way: the other bodies that it may have been when it was signed.

use serde_json::Value;

mod escapes;

use escapes::{escaped, unescaped, within_strings};

/// A larger body is not written anew.
const REWRITTEN_BYTES_MAX: usize = 512 * 1024;
/// Nor is one deeper than this.
const DEPTH_MAX: usize = 128;

/// Another body, and how it differs from the captured one, as in "the signature is that of the body …".
pub(super) struct Variant {
    pub(super) told: String,
    pub(super) body: Vec<u8>,
}

/// The likeliest first; none is the body itself, none stands twice.
pub(super) fn variants(body: &[u8]) -> Vec<Variant> {
    let mut found = Variants {
        captured: body,
        found: Vec::new(),
    };
    found.line_ends();
    if body.len() <= REWRITTEN_BYTES_MAX {
        found.json();
        found.form();
    }
    found.found
}

struct Variants<'b> {
    captured: &'b [u8],
    found: Vec<Variant>,
}

impl Variants<'_> {
    fn push(&mut self, told: impl Into<String>, body: Vec<u8>) {
        let is_known = |variant: &Variant| variant.body == body;
        if body != self.captured && !self.found.iter().any(is_known) {
            let told = told.into();
            self.found.push(Variant { told, body });
        }
    }

    fn line_ends(&mut self) {
        let body = self.captured;
        let with = |end: &[u8]| [body, end].concat();
        self.push("with a line end after it", with(b"\n"));
        self.push("with a line end (CRLF) after it", with(b"\r\n"));
        let without = body.strip_suffix(b"\n").unwrap_or(body);
        let without = without.strip_suffix(b"\r").unwrap_or(without);
        self.push("without the line end after it", without.to_vec());
        let trimmed = body.trim_ascii();
        self.push("without the space around it", trimmed.to_vec());
        let lf = replaced(body, b"\r\n", b"\n");
        let crlf = replaced(&lf, b"\n", b"\r\n");
        self.push("with line ends LF instead of CRLF", lf);
        self.push("with line ends CRLF instead of LF", crlf.clone());
        self.push(
            "with line ends CRLF instead of LF, and one after it",
            [&crlf[..], b"\r\n"].concat(),
        );
        let without_mark = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        self.push("without the byte order mark", without_mark.to_vec());
    }

    /// JSON, written by the usual libraries in the usual ways.
    fn json(&mut self) {
        let Ok(text) = std::str::from_utf8(self.captured) else {
            return;
        };
        let Ok(document) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let layouts = [
            None,
            Some(Layout::COMPACT),
            Some(Layout::SPACED),
            Some(Layout::indented(2)),
            Some(Layout::indented(4)),
            Some(Layout::TABS),
        ];
        let sorted = sorted(&document, 0);
        for text in std::iter::once(text.to_owned()).chain(sorted) {
            let is_sorted = text != *self.text();
            for layout in layouts {
                // Sorted it has no layout of its own.
                if is_sorted && layout.is_none() {
                    continue;
                }
                let (name, laid_out) = match layout {
                    None => ("", text.clone()),
                    Some(layout) => (layout.name, layout.write(&text)),
                };
                for (escaping, write) in ESCAPINGS {
                    let body = write(&laid_out);
                    let mut told: Vec<_> = [name, escaping].into();
                    if is_sorted {
                        told.push("with sorted keys");
                    }
                    told.retain(|part| !part.is_empty());
                    let told = told.join(", ");
                    let ended = format!("{body}\n");
                    self.push(told.clone(), body.into_bytes());
                    if layout.is_some_and(|layout| layout.indent.is_some()) {
                        self.push(format!("{told}, with a line end after it"), ended.into());
                    }
                }
            }
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.captured).unwrap_or_default()
    }

    fn form(&mut self) {
        let body = self.captured;
        let is_form = body.contains(&b'=') && !body.iter().any(u8::is_ascii_whitespace);
        if !is_form {
            return;
        }
        self.push(
            "as a form with %20 for spaces",
            replaced(body, b"+", b"%20"),
        );
        self.push("as a form with + for spaces", replaced(body, b"%20", b"+"));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(url::form_urlencoded::parse(body));
        self.push("as a form that is encoded anew", form.finish().into_bytes());
    }
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend_from_slice(to);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// How whitespace stands between the tokens of a JSON text; their order and the tokens themselves stay.
#[derive(Clone, Copy)]
struct Layout {
    name: &'static str,
    after_comma: &'static str,
    after_colon: &'static str,
    /// One step of it; `None`: on one line.
    indent: Option<&'static str>,
}

impl Layout {
    const COMPACT: Self = Self {
        name: "as compact JSON",
        after_comma: "",
        after_colon: "",
        indent: None,
    };
    const SPACED: Self = Self {
        name: "as JSON with a space after each comma and colon (as Python writes it)",
        after_comma: " ",
        after_colon: " ",
        indent: None,
    };
    const TABS: Self = Self {
        name: "as JSON indented by tabs",
        after_comma: "",
        after_colon: " ",
        indent: Some("\t"),
    };

    const fn indented(spaces: usize) -> Self {
        let (name, indent) = match spaces {
            2 => ("as JSON indented by 2 spaces", "  "),
            _ => ("as JSON indented by 4 spaces", "    "),
        };
        Self {
            name,
            after_comma: "",
            after_colon: " ",
            indent: Some(indent),
        }
    }

    fn write(self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut depth = 0_usize;
        let mut tokens = Tokens(json).peekable();
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                out.push('\n');
                (0..depth.min(DEPTH_MAX)).for_each(|_| out.push_str(indent));
            }
        };
        while let Some(token) = tokens.next() {
            match token {
                "{" | "[" => {
                    out.push_str(token);
                    if let Some(end @ ("}" | "]")) = tokens.peek().copied() {
                        out.push_str(end);
                        tokens.next();
                        continue;
                    }
                    depth += 1;
                    line(&mut out, depth);
                }
                "}" | "]" => {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                    out.push_str(token);
                }
                "," => {
                    out.push(',');
                    out.push_str(self.after_comma);
                    line(&mut out, depth);
                }
                ":" => {
                    out.push(':');
                    out.push_str(self.after_colon);
                }
                other => out.push_str(other),
            }
        }
        out
    }
}

/// The tokens of valid JSON.
struct Tokens<'j>(&'j str);

impl<'j> Iterator for Tokens<'j> {
    type Item = &'j str;

    fn next(&mut self) -> Option<&'j str> {
        let rest = self.0.trim_ascii_start();
        let first = *rest.as_bytes().first()?;
        let end = match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_end(rest),
            _ => rest
                .find(|c: char| c.is_ascii_whitespace() || ",:{}[]\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        self.0 = after;
        Some(token)
    }
}

/// Where the string at the start of `text` ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The document with the keys of every object in order, compact; `None` when it is too deep.
fn sorted(document: &Value, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match document {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable();
            let members: Option<Vec<_>> = names
                .into_iter()
                .map(|name| {
                    let value = sorted(&members[name], depth + 1)?;
                    Some(format!("{}:{value}", Value::from(name.as_str())))
                })
                .collect();
            format!("{{{}}}", members?.join(","))
        }
        Value::Array(elements) => {
            let elements: Option<Vec<_>> = elements
                .iter()
                .map(|element| sorted(element, depth + 1))
                .collect();
            format!("[{}]", elements?.join(","))
        }
        other => other.to_string(),
    })
}

type Escaping = (&'static str, fn(&str) -> String);

/// How libraries write what may be written in two ways in a string.
const ESCAPINGS: [Escaping; 7] = [
    ("", str::to_owned),
    ("with letters beyond ASCII as \\u escapes", |text| {
        escaped(text, |c| !c.is_ascii())
    }),
    ("with \\u escapes as the letters themselves", unescaped),
    ("with `/` as `\\/`", |text| {
        within_strings(text, |c, out| match c {
            '/' => out.push_str("\\/"),
            c => out.push(c),
        })
    }),
    ("with `\\/` as `/`", |text| text.replace("\\/", "/")),
    ("with `<`, `>` and `&` as \\u escapes", |text| {
        escaped(text, |c| matches!(c, '<' | '>' | '&'))
    }),
    (
        "with letters beyond ASCII as \\u escapes and `/` as `\\/` (as PHP writes it)",
        |text| {
            let text = escaped(&text.replace("\\/", "/"), |c| !c.is_ascii());
            within_strings(&text, |c, out| match c {
                '/' => out.push_str("\\/"),
                c => out.push(c),
            })
        },
    ),
];

#[cfg(test)]
mod tests;
