//! The small forms of XML 1.0 (fifth edition): characters, names, references, attributes.

use super::super::Flaw;

/// White space, and nothing else that Unicode calls so.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_character(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// What no XML may hold, wherever it stands.
pub(super) fn check_characters(text: &str) -> Result<(), Flaw> {
    let first = text.char_indices().find(|(_, c)| !is_character(*c));
    first.map_or(Ok(()), |(at, _)| {
        Err(Flaw::new("a character that XML does not allow", at))
    })
}

/// A name with at most one prefix.
pub(super) fn check_name(name: &str, at: usize) -> Result<(), Flaw> {
    let is_plain = |part: &str| {
        part.starts_with(begins_name) && part.chars().all(|c| begins_name(c) || goes_on_in_name(c))
    };
    let is_name = match name.split_once(':') {
        Some((prefix, local)) => is_plain(prefix) && is_plain(local),
        None => is_plain(name),
    };
    match is_name {
        true => Ok(()),
        false => Err(Flaw::new("no name where one belongs", at)),
    }
}

/// The name without its prefix.
pub(super) fn local_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn begins_name(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

fn goes_on_in_name(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// What stands between `&` and `;`: a character by number, or one of the five names that need no declaration.
pub(super) fn reference(name: &str) -> Option<char> {
    let of_number = |digits: &str, radix| {
        // A sign would be read as one.
        let number = digits
            .chars()
            .all(|c| c.is_digit(radix))
            .then_some(digits)?;
        char::from_u32(u32::from_str_radix(number, radix).ok()?).filter(|c| is_character(*c))
    };
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => match name.strip_prefix('#')? {
            hex if hex.starts_with('x') => of_number(&hex[1..], 16),
            decimal => of_number(decimal, 10),
        },
    }
}

/// Appends `text` with `line_end` for every end of a line: `\r\n`, `\r` or `\n`.
pub(super) fn push_value(out: &mut String, text: &str, line_end: char) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push(line_end);
            }
            '\n' => out.push(line_end),
            c => out.push(c),
        }
    }
}

/// The attributes of one tag, from behind its name to its end.
pub(super) struct Attributes<'a> {
    rest: &'a str,
    /// Where `rest` stands.
    at: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    /// Where it stands.
    pub(super) at: usize,
    /// Between the quotes.
    pub(super) raw: &'a str,
    raw_at: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(raw: &'a str, at: usize) -> Self {
        Self { rest: raw, at }
    }

    /// Drops so many bytes.
    fn pass(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.at += bytes;
    }

    /// Drops white space; whether there was any.
    fn pass_space(&mut self) -> bool {
        let space = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        self.pass(space);
        space > 0
    }

    fn read(&mut self) -> Result<Attribute<'a>, Flaw> {
        let at = self.at;
        let ends = self.rest.find(|c| c == '=' || is_space(c));
        let name = &self.rest[..ends.unwrap_or(self.rest.len())];
        check_name(name, at)?;
        self.pass(name.len());
        self.pass_space();
        if !self.rest.starts_with('=') {
            return Err(Flaw::new("an attribute without a value", at));
        }
        self.pass("=".len());
        self.pass_space();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.ok_or(Flaw::new("a value without quotes", self.at))?;
        self.pass(quote.len_utf8());
        let raw_at = self.at;
        let end = self.rest.find(quote);
        let end = end.ok_or(Flaw::new("a value that is not closed", raw_at))?;
        let raw = &self.rest[..end];
        self.pass(end + quote.len_utf8());
        Ok(Attribute {
            name,
            at,
            raw,
            raw_at,
        })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        let spaced = self.pass_space();
        if self.rest.is_empty() {
            return None;
        }
        Some(match spaced {
            true => self.read(),
            false => Err(Flaw::new("no space before an attribute", self.at)),
        })
    }
}

impl Attribute<'_> {
    /// With its references decoded, and a space for each white space that stands as itself.
    pub(super) fn value(&self) -> Result<String, Flaw> {
        let mut out = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(stop) = rest.find(['&', '<', '\t']) {
            let at = self.raw_at + self.raw.len() - rest.len() + stop;
            push_value(&mut out, &rest[..stop], ' ');
            rest = &rest[stop..];
            if let Some(after) = rest.strip_prefix('\t') {
                out.push(' ');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('&') {
                let known = after
                    .split_once(';')
                    .and_then(|(name, after)| Some((reference(name)?, after)));
                let (meant, after) = known.ok_or(Flaw::new("an entity that is not known", at))?;
                out.push(meant);
                rest = after;
            } else {
                return Err(Flaw::new("`<` in an attribute", at));
            }
        }
        push_value(&mut out, rest, ' ');
        Ok(out)
    }
}
