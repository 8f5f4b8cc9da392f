//! The same JSON with its strings escaped otherwise.

/// JSON has these only within strings, so no token is looked at.
pub(super) fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match which(c) {
            true => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            false => out.push(c),
        }
    }
    out
}

/// Escapes of what needs none become letters.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (letter, len) = escape(rest);
        match letter.filter(|letter| !letter.is_control() && !matches!(letter, '"' | '\\')) {
            Some(letter) => out.push(letter),
            None => out.push_str(&rest[..len]),
        }
        rest = &rest[len..];
    }
    out + rest
}

/// What the escape at the start of `text` stands for, if it is a `\u`, and how long it is.
fn escape(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        // A backslash and the character after it.
        let len = text.chars().take(2).map(char::len_utf8).sum();
        return (None, len);
    };
    let units = [first, unit(6).unwrap_or_default()];
    match char::from_u32(u32::from(first)) {
        Some(letter) => (Some(letter), 6),
        None => match char::decode_utf16(units).next() {
            Some(Ok(letter)) => (Some(letter), 12),
            _ => (None, 6),
        },
    }
}

/// `write` for each character of each string; what is escaped already stays.
pub(super) fn within_strings(text: &str, write: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_string, mut is_escape) = (false, false);
    for c in text.chars() {
        match (is_string, is_escape, c) {
            (true, true, c) => {
                out.push(c);
                is_escape = false;
            }
            (true, false, '\\') => {
                out.push(c);
                is_escape = true;
            }
            (_, false, '"') => {
                out.push(c);
                is_string = !is_string;
            }
            (true, false, c) => write(c, &mut out),
            (_, _, c) => out.push(c),
        }
    }
    out
}
