//! HAR 1.2, as browsers, proxies and webhook inspectors export it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Capture, CaptureFault};
use crate::clock::Timestamp;

pub(super) fn parse(bytes: &[u8], entry: Option<usize>) -> Result<Capture, CaptureFault> {
    let root: Value = serde_json::from_slice(bytes).map_err(|error| {
        let kind = match error.is_eof() {
            true => "the end of the file",
            false => "a fault of JSON's syntax",
        };
        CaptureFault::at(error.line(), kind, "a HAR file, which is JSON")
    })?;
    let (entry, place) = pick(&root, entry)?;
    let at = |key: &str| format!("{place}.{key}");
    let request = entry.get("request").unwrap_or(&Value::Null);
    let text = |key: &str, expected: &str| {
        let value = request.get(key).and_then(Value::as_str);
        value.ok_or_else(|| missing(&at(&format!("request.{key}")), expected))
    };
    let mut capture = Capture {
        kind: "a HAR file",
        method: text("method", "\"POST\"")?.to_ascii_uppercase(),
        body_is_exact: true,
        ..Capture::default()
    };
    let url = text("url", "the address that was called")?;
    if capture.set_target(url).is_err() {
        return Err(missing(&at("request.url"), "a whole address"));
    }
    let headers = request.get("headers").and_then(Value::as_array);
    let headers = headers.ok_or_else(|| {
        let expected = "a list of { \"name\": …, \"value\": … }";
        missing(&at("request.headers"), expected)
    })?;
    for (index, header) in headers.iter().enumerate() {
        let part = |key: &str| header.get(key).and_then(Value::as_str);
        let place = at(&format!("request.headers[{index}]"));
        let (Some(name), Some(value)) = (part("name"), part("value")) else {
            return Err(missing(&place, "{ \"name\": …, \"value\": … }"));
        };
        // HTTP/2 writes method and address as headers.
        if name.starts_with(':') {
            continue;
        }
        capture
            .push_header(name, value.as_bytes())
            .map_err(|found| CaptureFault::of(format!("{found} in {place}"), "a header"))?;
    }
    read_body(request, &at("request.postData"), &mut capture)?;
    capture.at = read_start(entry, &at("startedDateTime"))?;
    Ok(capture)
}

fn missing(place: &str, expected: &str) -> CaptureFault {
    CaptureFault::of(format!("no {place}"), expected)
}

/// The entry with this number, or the only one.
fn pick(root: &Value, entry: Option<usize>) -> Result<(&Value, String), CaptureFault> {
    if root.get("request").is_some() {
        return Ok((root, "entry".to_owned()));
    }
    let entries = root.pointer("/log/entries").and_then(Value::as_array);
    let entries =
        entries.ok_or_else(|| missing("log.entries", "a HAR file, or one of its entries"))?;
    let index = match (entry, entries.len()) {
        (_, 0) => return Err(CaptureFault::of("no entry", "one at least")),
        (None, 1) => 0,
        (None, count) => {
            let found = format!("{count} entries");
            return Err(CaptureFault::of(
                found,
                format!("one, or --entry N (1 to {count})"),
            ));
        }
        (Some(number), count) if (1..=count).contains(&number) => number - 1,
        (Some(number), count) => {
            let found = format!("no entry {number}");
            return Err(CaptureFault::of(found, format!("--entry 1 to {count}")));
        }
    };
    Ok((&entries[index], format!("log.entries[{index}]")))
}

fn read_body(request: &Value, place: &str, capture: &mut Capture) -> Result<(), CaptureFault> {
    let Some(data) = request.get("postData").filter(|data| !data.is_null()) else {
        return Ok(());
    };
    if let Some(text) = data.get("text").and_then(Value::as_str) {
        let encoding = data.get("encoding").and_then(Value::as_str);
        capture.body = match encoding.unwrap_or_default() {
            "" => text.as_bytes().to_vec(),
            "base64" => STANDARD.decode(text.trim()).map_err(|_| {
                CaptureFault::of(
                    format!("{place}.text that is not base64"),
                    "what `encoding` says",
                )
            })?,
            _ => {
                return Err(CaptureFault::of(
                    format!("another {place}.encoding"),
                    "\"base64\", or none",
                ));
            }
        };
        return Ok(());
    }
    if let Some(fields) = data.get("params").and_then(Value::as_array) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for field in fields {
            let part = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default();
            form.append_pair(part("name"), part("value"));
        }
        capture.body = form.finish().into_bytes();
        // The fields were encoded anew, perhaps not as they were.
        capture.body_is_exact = false;
    }
    Ok(())
}

fn read_start(entry: &Value, place: &str) -> Result<Option<Timestamp>, CaptureFault> {
    let Some(text) = entry.get("startedDateTime").and_then(Value::as_str) else {
        return Ok(None);
    };
    let at = text.parse::<jiff::Timestamp>().map_err(|_| {
        CaptureFault::of(
            format!("{place} that is no time"),
            "e.g. \"2026-05-20T15:30:00.000Z\"",
        )
    })?;
    Ok(Some(Timestamp::from_millis(at.as_millisecond())))
}
