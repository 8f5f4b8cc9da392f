//! Proofs with one bit changed.

use serde_json::Value;

use crate::signature::{Encoding, Form, Scheme, Signed, Source};

/// Changes one bit of every signature of the request, and nothing else. `Err`: there is none to be changed.
pub(super) fn with(scheme: &Scheme, signed: &mut Signed, given: &[u8]) -> Result<(), String> {
    let changed = match &scheme.signature {
        Source::Headers(names) | Source::Paired(names) => signed
            .headers
            .iter_mut()
            .filter(|(name, _)| names.contains(&name.as_str().into()))
            .map(|(_, value)| *value = signature(scheme, value))
            .count(),
        Source::Numbered(prefix) => signed
            .headers
            .iter_mut()
            .filter(|(name, _)| name.starts_with(&**prefix))
            .map(|(_, value)| *value = signature(scheme, value))
            .count(),
        Source::Query(wanted) => signed
            .query
            .iter_mut()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| *value = signature(scheme, value))
            .count(),
        Source::Json(pointer) => {
            let body = signed.body.as_deref().unwrap_or(given);
            let (body, changed) = in_body(scheme, pointer, body);
            signed.body = Some(body);
            changed
        }
    };
    match changed {
        0 => Err("there is no signature in which a bit could be changed".to_owned()),
        _ => Ok(()),
    }
}

/// A signature in its form.
fn signature(scheme: &Scheme, value: &str) -> String {
    let at = match &scheme.form {
        Form::Bare { prefix } => prefix.len(),
        Form::Pairs { signature_key, .. } => {
            let key = format!("{signature_key}=");
            let found = value.match_indices(&key).find(|(at, _)| {
                // Not the end of another key.
                let before = value[..*at].chars().next_back();
                !before.is_some_and(char::is_alphanumeric)
            });
            found.map_or(0, |(at, key)| at + key.len())
        }
        Form::Versions { version } => version.len() + 1,
    };
    let (start, rest) = value.split_at_checked(at).unwrap_or(("", value));
    let changed = match scheme.encoding {
        Encoding::Hex => first(rest, hex_digit),
        Encoding::Base64 => first(rest, base64_digit),
        Encoding::Text => text(rest),
    };
    format!("{start}{changed}")
}

fn first(text: &str, change: fn(char) -> char) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(change);
    first.into_iter().chain(chars).collect()
}

/// Its lowest bit.
fn hex_digit(digit: char) -> char {
    let value = digit.to_digit(16).unwrap_or_default() ^ 1;
    char::from_digit(value, 16).unwrap_or('0')
}

/// Its lowest bit.
fn base64_digit(digit: char) -> char {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let known = ALPHABET
        .iter()
        .position(|known| char::from(*known) == digit);
    // Base64url has two letters of its own.
    char::from(ALPHABET[known.unwrap_or_default() ^ 1])
}

/// A secret that is sent as it is.
pub(super) fn text(text: &str) -> String {
    first(text, |c| match u8::try_from(c) {
        Ok(byte @ 0x21..=0x7d) => char::from(((byte - 0x20) ^ 1) + 0x20),
        _ => 'x',
    })
}

/// A JWS: the first letter of its signature.
pub(super) fn token(token: &str) -> String {
    match token.rsplit_once('.') {
        Some((signed, signature)) => format!("{signed}.{}", first(signature, base64_digit)),
        None => token.to_owned(),
    }
}

/// At the pointer, of each element where each is signed; in a form the field of that name. Says how many were changed.
fn in_body(scheme: &Scheme, pointer: &str, body: &[u8]) -> (Vec<u8>, usize) {
    let mut changed = 0;
    if let Ok(mut document) = serde_json::from_slice::<Value>(body) {
        let pointer = format!("{}{pointer}", scheme.each.as_deref().unwrap_or_default());
        let tokens: Vec<_> = pointer.split('/').skip(1).collect();
        at_each(&mut document, &tokens, &mut |value| {
            if let Value::String(text) = value {
                *text = signature(scheme, text);
                changed += 1;
            }
        });
        return (document.to_string().into_bytes(), changed);
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(body) {
        if pointer.strip_prefix('/') == Some(&*name) {
            form.append_pair(&name, &signature(scheme, &value));
            changed += 1;
        } else {
            form.append_pair(&name, &value);
        }
    }
    (form.finish().into_bytes(), changed)
}

fn at_each(value: &mut Value, tokens: &[&str], change: &mut dyn FnMut(&mut Value)) {
    match (tokens, value) {
        ([], value) => change(value),
        (["*", rest @ ..], Value::Array(elements)) => {
            for element in elements {
                at_each(element, rest, change);
            }
        }
        ([name, rest @ ..], Value::Object(members)) => {
            if let Some(member) = members.get_mut(*name) {
                at_each(member, rest, change);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_changes() {
        assert_eq!(hex_digit('a'), 'b');
        assert_eq!(hex_digit('0'), '1');
        assert_eq!(base64_digit('A'), 'B');
        assert_eq!(base64_digit('/'), '+');
        for byte in 0x21..=0x7d_u8 {
            let changed = text(&char::from(byte).to_string());
            let changed = changed.bytes().next().unwrap();
            assert_eq!((changed ^ byte).count_ones(), 1, "{byte}");
            assert!((0x20..0x7f).contains(&changed), "{byte}");
        }
        assert_eq!(token("a.b.cd"), "a.b.dd");
    }
}
