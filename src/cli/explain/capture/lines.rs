//! Requests written as lines: plain HTTP, and what `curl -v` shows.

use super::{Capture, CaptureFault};
use crate::clock::Timestamp;

/// `POST /path HTTP/1.1`
pub(super) fn is_request_line(line: &[u8]) -> bool {
    request_line(line).is_some()
}

/// Method and target.
fn request_line(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line).ok()?.trim_ascii_end();
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_method && version.starts_with("HTTP/") && words.next().is_none())
        .then_some((method, target))
}

/// A line without its end, its number from 1, and where the next begins.
struct Line<'b> {
    number: usize,
    text: &'b [u8],
    next: usize,
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut begin = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(begin..).filter(|rest| !rest.is_empty())?;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let text = &rest[..end.unwrap_or(rest.len())];
        begin += end.map_or(rest.len(), |end| end + 1);
        number += 1;
        Some(Line {
            number,
            text: text.strip_suffix(b"\r").unwrap_or(text),
            next: begin,
        })
    })
}

/// Those of `curl -v`, without the time that `--trace-time` writes before each.
fn dump_lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    lines(bytes).map(|line| Line {
        text: untimed(line.text),
        ..line
    })
}

/// `14:02:55.075818 > POST …` → `> POST …`
fn untimed(line: &[u8]) -> &[u8] {
    const SHAPE: &[u8] = b"00:00:00.000000 ";
    let matches = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    match line.split_at_checked(SHAPE.len()) {
        Some((time, rest)) if time.iter().zip(SHAPE).all(matches) => rest,
        _ => line,
    }
}

/// Whether this is a line that says what curl sent first.
fn begins_request(line: &Line<'_>) -> bool {
    line.text.strip_prefix(b"> ").is_some_and(is_request_line)
}

pub(super) fn is_curl(bytes: &[u8]) -> bool {
    dump_lines(bytes).any(|line| begins_request(&line))
}

/// What the answer to the request with this number says of its time.
fn answered_at(bytes: &[u8], number: usize) -> Option<Timestamp> {
    let mut begun = 0;
    let after = dump_lines(bytes).skip_while(|line| {
        begun += usize::from(begins_request(line));
        begun < number
    });
    let until_next = after.skip(1).take_while(|line| !begins_request(line));
    let mut headers = until_next.filter_map(|line| line.text.strip_prefix(b"< "));
    let date = headers.find_map(|header| {
        let (name, value) = header.split_at_checked("date:".len())?;
        name.eq_ignore_ascii_case(b"date:").then_some(value)
    })?;
    let date = std::str::from_utf8(date).ok()?.trim();
    let at = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

/// One request: its line, headers, an empty line, and the body to the end of the file.
pub(super) fn parse_http(
    bytes: &[u8],
    entry: Option<usize>,
    has_body: bool,
) -> Result<Capture, CaptureFault> {
    if entry.is_some_and(|entry| entry != 1) {
        return Err(only_one(1));
    }
    let mut capture = Capture {
        kind: "plain HTTP",
        ..Capture::default()
    };
    let mut lines = lines(bytes).skip_while(|line| line.text.is_empty());
    if let Some(first) = lines.next() {
        begin(&mut capture, first.text, first.number)?;
    }
    let mut body = &b""[..];
    for line in lines {
        if line.text.is_empty() {
            body = &bytes[line.next..];
            break;
        }
        header(&mut capture, line.text, line.number)?;
    }
    if !has_body {
        take_body(&mut capture, body)?;
    }
    Ok(capture)
}

/// The lines that begin with `>`, and what stands between them and the answer.
pub(super) fn parse_curl(
    bytes: &[u8],
    entry: Option<usize>,
    has_body: bool,
) -> Result<Capture, CaptureFault> {
    let count = dump_lines(bytes).filter(begins_request).count();
    let number = match entry {
        None if count > 1 => {
            let found = format!("{count} requests");
            let expected = format!("one, or --entry N (1 to {count})");
            return Err(CaptureFault::of(found, expected));
        }
        None => 1,
        Some(number) if (1..=count).contains(&number) => number,
        Some(_) => return Err(only_one(count)),
    };
    let mut capture = Capture {
        kind: "a dump of curl -v",
        at: answered_at(bytes, number),
        ..Capture::default()
    };
    let mut begun = 0;
    let mut lines = dump_lines(bytes).skip_while(|line| {
        begun += usize::from(begins_request(line));
        begun < number
    });
    if let Some(first) = lines.next() {
        begin(&mut capture, &first.text[2..], first.number)?;
    }
    let mut body = None;
    for line in lines.by_ref() {
        match line.text.strip_prefix(b">").map(<[u8]>::trim_ascii_start) {
            Some(b"") => {
                body = Some((line.next, line.next));
                break;
            }
            Some(text) => header(&mut capture, text, line.number)?,
            None if is_curls_own(line.text) => {}
            None => {
                return Err(CaptureFault::at(
                    line.number,
                    "a line of another kind",
                    "`> Header: value`, or an empty `>` at the end of the headers",
                ));
            }
        }
    }
    for line in lines {
        if is_curls_own(line.text) || line.text.starts_with(b"> ") {
            // What curl says before it sends stands before the body.
            let is_before = line.text.starts_with(b"*") || line.text.starts_with(b"} [");
            if is_before && body.is_some_and(|(start, end)| start == end) {
                body = Some((line.next, line.next));
                continue;
            }
            break;
        }
        if let Some((_, end)) = &mut body {
            *end = line.next;
        }
    }
    if !has_body {
        let body = body.map_or(&b""[..], |(start, end)| &bytes[start..end]);
        take_body(&mut capture, body)?;
    }
    Ok(capture)
}

/// What curl says itself, and the answer: `* …`, `< …`, `{ [5 bytes data]`.
fn is_curls_own(line: &[u8]) -> bool {
    let is_data = |open: &[u8]| line.starts_with(open) && line.ends_with(b"bytes data]");
    line.starts_with(b"* ")
        || line.starts_with(b"< ")
        || line == b"<"
        || is_data(b"} [")
        || is_data(b"{ [")
}

fn only_one(count: usize) -> CaptureFault {
    let expected = match count {
        1 => "--entry 1, or none: there is one request".to_owned(),
        count => format!("--entry 1 to {count}"),
    };
    CaptureFault::of("another --entry", expected)
}

fn begin(capture: &mut Capture, line: &[u8], number: usize) -> Result<(), CaptureFault> {
    let fault = || {
        let expected = "`POST /path HTTP/1.1`, with a path or a whole address";
        CaptureFault::at(number, "no request line", expected)
    };
    let (method, target) = request_line(line).ok_or_else(fault)?;
    capture.method = method.to_owned();
    capture.set_target(target).map_err(|()| fault())
}

fn header(capture: &mut Capture, line: &[u8], number: usize) -> Result<(), CaptureFault> {
    const EXPECTED: &str = "`Name: value`, or an empty line before the body";
    let fault = |found: String| CaptureFault::at(number, found, EXPECTED);
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = match colon {
        Some(at) => (&line[..at], line[at + 1..].trim_ascii()),
        None => return Err(fault("no header".to_owned())),
    };
    let name = std::str::from_utf8(name).map_err(|_| fault("no header's name".to_owned()))?;
    capture.push_header(name, value).map_err(fault)
}

/// A file of lines ends with a line end that may be its own: `Content-Length` tells, where it stands.
fn take_body(capture: &mut Capture, body: &[u8]) -> Result<(), CaptureFault> {
    let is_chunked = capture
        .header("transfer-encoding")
        .any(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
    if is_chunked && let Some(whole) = unchunked(body) {
        capture.body = whole;
        capture.body_is_exact = true;
        return Ok(());
    }
    let announced = capture.announced_bytes();
    if body.is_empty() && announced.is_some_and(|bytes| bytes > 0) {
        return Err(CaptureFault::of(
            "no body, though Content-Length announces one",
            "it after an empty line, or in a file of its own: --body FILE",
        ));
    }
    let end = announced.filter(|&announced| {
        let rest = body.get(announced..);
        rest.is_some_and(|rest| matches!(rest, b"" | b"\n" | b"\r\n"))
    });
    capture.body_is_exact = end.is_some();
    capture.body = body[..end.unwrap_or(body.len())].to_vec();
    Ok(())
}

/// `5\r\nhello\r\n0\r\n\r\n` → `hello`. `None`: these are no chunks.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = lines(rest).next()?;
        let size = std::str::from_utf8(line.text).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line.next..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        rest = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n"))?;
    }
}
