//! `application/x-www-form-urlencoded`: names and values as an object of strings, in the order in which the names first
//! stand. A name that stands more than once has the list of its values. Where a field `payload` holds a JSON object or
//! list, as GitHub and Slack send it, that JSON is the document.
//!
//! Stricter than browsers: a `%` without two hex digits, and what is no UTF-8 once decoded, is refused, because two
//! readers of such a form could see two different events.

use std::{borrow::Cow, collections::HashMap};

use serde::de::IgnoredAny;

use super::{Flaw, push_string};

/// Of one form, repeated names counted each time.
const FIELDS_MAX: usize = 1000;

pub(super) fn document(body: &[u8]) -> Result<Vec<u8>, Flaw> {
    let fields = Fields::read(body)?;
    if let Some([payload]) = fields.values_of("payload")
        && is_json(payload)
    {
        return Ok(payload.as_bytes().to_vec());
    }
    Ok(fields.object())
}

/// An object or a list, that is: `payload=12` and `payload="x"` are fields like any other.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[derive(Default)]
struct Fields<'a> {
    /// Each name once.
    named: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Flaw> {
        let mut fields = Self::default();
        let (mut count, mut offset) = (0, 0);
        for pair in body.split(|byte| *byte == b'&') {
            let start = offset;
            offset += pair.len() + 1;
            // As between two `&`, and in an empty body.
            if pair.is_empty() {
                continue;
            }
            count += 1;
            if count > FIELDS_MAX {
                return Err(Flaw::new("more than 1000 fields", start));
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let name = decoded(&pair[..equals.unwrap_or(pair.len())], start)?;
            let value = match equals {
                Some(at) => decoded(&pair[at + 1..], start + at + 1)?,
                None => Cow::Borrowed(""),
            };
            fields.add(name, value);
        }
        Ok(fields)
    }

    fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            self.named.push((name.clone(), Vec::new()));
            self.named.len() - 1
        });
        self.named[place].1.push(value);
    }

    fn values_of(&self, name: &str) -> Option<&[Cow<'a, str>]> {
        let place = self.places.get(name)?;
        Some(&self.named[*place].1)
    }

    fn object(&self) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (index, (name, values)) in self.named.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_string(&mut out, name);
            out.push(b':');
            match values.as_slice() {
                [value] => push_string(&mut out, value),
                values => push_list(&mut out, values),
            }
        }
        out.push(b'}');
        out
    }
}

fn push_list(out: &mut Vec<u8>, values: &[Cow<'_, str>]) {
    for (index, value) in values.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        push_string(out, value);
    }
    out.push(b']');
}

/// A name or a value as it is meant. `start`: where it stands in the body.
fn decoded(raw: &[u8], start: usize) -> Result<Cow<'_, str>, Flaw> {
    let not_text = |valid: usize| Flaw::new("invalid UTF-8", start + valid);
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|error| not_text(error.valid_up_to()));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let escaped = raw.get(at + 1..at + 3).and_then(hex_byte);
                let flaw = Flaw::new("a `%` without two hex digits", start + at);
                out.push(escaped.ok_or(flaw)?);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| not_text(0))
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    match digits {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    }
}
