//! Bytes as they stand in addresses and forms, and a checksum of them.

use std::borrow::Cow;

/// Fields that a form may have whose fields are signed. No provider sends as many.
pub(super) const FIELDS_MAX: usize = 1_000;

/// Names and values of `a=1&b=2`, decoded, in order.
pub(super) fn fields(form: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    form.split(|&byte| byte == b'&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let equals = field.iter().position(|&byte| byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&field[..at], &field[at + 1..]),
                None => (field, &b""[..]),
            };
            (form_decoded(name), form_decoded(value))
        })
}

/// `+` is a space, `%41` is `A`; a `%` without two hex digits is itself.
fn form_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, others @ ..] = rest {
        rest = others;
        decoded.push(match first {
            b'+' => b' ',
            b'%' => match others.split_first_chunk::<2>().and_then(|(two, after)| {
                let mut byte = [0];
                hex::decode_to_slice(two, &mut byte).ok()?;
                Some((byte[0], after))
            }) {
                Some((byte, after)) => {
                    rest = after;
                    byte
                }
                None => b'%',
            },
            other => *other,
        });
    }
    Cow::Owned(decoded)
}

/// `text` as it stands in a form or a query string.
pub(super) fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Every field's name and value, sorted by name; of several values each once, sorted. `None`: too many fields.
pub(super) fn sorted_form(form: &[u8]) -> Option<Vec<u8>> {
    let mut all: Vec<_> = fields(form).take(FIELDS_MAX + 1).collect();
    if all.len() > FIELDS_MAX {
        return None;
    }
    all.sort_unstable();
    all.dedup();
    let mut text = Vec::with_capacity(form.len());
    for (name, value) in all {
        text.extend_from_slice(&name);
        text.extend_from_slice(&value);
    }
    Some(text)
}

/// The path and the query string of `url` as Contentful's library writes them: the query string as
/// `encodeURIComponent` makes it, and then all of it as `encodeURI` does.
pub(super) fn encoded_path(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..]
        .find(['/', '?', '#'])
        .map_or("", |at| &url[after_scheme + at..]);
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut text = percent_encoded(path, b";,/?:@&=+$#");
    if !query.is_empty() {
        let query = query.split('?').next().unwrap_or_default();
        text.push('?');
        text.push_str(&percent_encoded(&percent_encoded(query, b""), b""));
    }
    text
}

/// As JavaScript does, which leaves letters, digits, `-_.!~*'()` and what is in `kept` as they are.
fn percent_encoded(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The CRC-32 of zip and PNG.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (crc >> 8) ^ CRC_TABLE[usize::from((crc.to_le_bytes()[0]) ^ byte)]
    })
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(form: &str) -> Option<String> {
        sorted_form(form.as_bytes()).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_form_is_sorted_decoded_and_each_value_stands_once() {
        for (form, expected) in [
            ("", ""),
            ("b=2&a=1", "a1b2"),
            ("To=%2B1&From=a+b", "Froma bTo+1"),
            ("a=2&a=1&a=2&=x&b", "xa1a2b"),
            ("a=1=2&%zz=%4", "%zz%4a1=2"),
        ] {
            assert_eq!(sorted(form).as_deref(), Some(expected), "{form}");
        }
        let many = "a=1&".repeat(FIELDS_MAX);
        assert!(sorted(&many).is_some());
        assert_eq!(sorted(&(many + "a=1")), None);
        assert_eq!(sorted_form(b"a=%ff&a=%FE"), Some(b"a\xfea\xff".to_vec()));
    }

    #[test]
    fn a_path_is_written_as_javascript_writes_it() {
        for (url, expected) in [
            ("https://a.example", "/"),
            ("https://a.example/x/y", "/x/y"),
            ("https://a.example/a%20b?c=d&e", "/a%2520b?c%253Dd%2526e"),
            ("https://a.example?x", "/?x"),
            ("https://a.example/ü(1)[2]#f", "/%C3%BC(1)%5B2%5D"),
        ] {
            assert_eq!(encoded_path(url), expected, "{url}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
