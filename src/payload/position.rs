//! Lines and columns, both from 1; columns in bytes. Only looked for once a body is refused.

/// The position of the byte at `offset`.
pub(crate) fn of_byte(body: &[u8], offset: usize) -> (usize, usize) {
    let before = &body[..offset];
    let line_start = match before.iter().rposition(|b| *b == b'\n') {
        Some(newline) => newline + 1,
        None => 0,
    };
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    (line, offset - line_start + 1)
}
