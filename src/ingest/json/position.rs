//! Lines and columns, both from 1; columns in bytes. Only looked for once a body is refused.

pub(super) use crate::payload::position::of_byte;

/// The position of the first bracket that opens the level `depth`. Everything before it is valid JSON.
pub(super) fn of_depth(body: &[u8], depth: usize) -> Option<(usize, usize)> {
    let mut level = 0;
    let mut in_string = false;
    let mut bytes = body.iter().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            // The escaped byte may be a quote.
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => level += 1,
            b']' | b'}' if !in_string => level -= 1,
            _ => continue,
        }
        if level == depth {
            return Some(of_byte(body, offset));
        }
    }
    None
}

/// The last byte that is no white space, at or before the one at `line` and `column`.
///
/// The parser skips the space behind a key before it tells where it is.
pub(super) fn before_space(body: &[u8], line: usize, column: usize) -> (usize, usize) {
    let line_start = match line.checked_sub(2) {
        None => 0,
        Some(nth) => body
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .nth(nth)
            .map_or(0, |(newline, _)| newline + 1),
    };
    let end = body.len().min(line_start + column);
    let last = body[..end].iter().rposition(|b| !b.is_ascii_whitespace());
    of_byte(body, last.unwrap_or(0))
}
