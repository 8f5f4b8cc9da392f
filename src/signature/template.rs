//! The text form of what is signed, e.g. `{header:X-Timestamp}.{body}`.

use std::borrow::Cow;

use super::Part;

/// What may stand in braces.
const KNOWN: &str = "`{body}` and `{header:NAME}`";

/// Parses `{body}`, `{header:NAME}` (taken in lower case) and literal text between them.
///
/// An opening brace always begins a placeholder; a closing one outside of it is literal.
pub fn parse_template(text: &str) -> Result<Vec<Part>, TemplateFault> {
    let mut parts = Vec::new();
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        let (part, length) = match rest.find('{') {
            Some(0) => placeholder(rest).map_err(|kind| TemplateFault { position, kind })?,
            Some(brace) => (literal(&rest[..brace]), brace),
            None => (literal(rest), rest.len()),
        };
        parts.push(part);
        position += length;
    }
    if parts.is_empty() {
        let kind = TemplateFaultKind::Empty;
        return Err(TemplateFault { position, kind });
    }
    Ok(parts)
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {kind}")]
pub struct TemplateFault {
    /// Bytes from the beginning of the template to the fault.
    pub position: usize,
    pub kind: TemplateFaultKind,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFaultKind {
    #[error("nothing is signed; write at least one of {KNOWN}")]
    Empty,
    #[error("the brace is never closed; known are {KNOWN}")]
    Unclosed,
    #[error("`{{{0}}}` is unknown; known are {KNOWN}")]
    Unknown(String),
    #[error("`{0}` is no header name")]
    HeaderName(String),
}

/// The placeholder that `rest` begins with, and its length with both braces.
fn placeholder(rest: &str) -> Result<(Part, usize), TemplateFaultKind> {
    let close = rest.find('}').ok_or(TemplateFaultKind::Unclosed)?;
    let part = match &rest[1..close] {
        "body" => Part::Body,
        inner => match inner.strip_prefix("header:") {
            Some(name) if is_header_name(name) => Part::Header(name.to_ascii_lowercase().into()),
            Some(name) => return Err(TemplateFaultKind::HeaderName(name.to_owned())),
            None => return Err(TemplateFaultKind::Unknown(inner.to_owned())),
        },
    };
    Ok((part, close + 1))
}

fn literal(text: &str) -> Part {
    Part::Literal(Cow::Owned(text.to_owned()))
}

/// A `token` of RFC 9110.
fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_headers_and_the_body_come_in_order() {
        assert_eq!(
            parse_template("v0:{header:X-Time}.{body}}").unwrap(),
            [
                Part::Literal("v0:".into()),
                Part::Header("x-time".into()),
                Part::Literal(".".into()),
                Part::Body,
                Part::Literal("}".into()),
            ]
        );
        assert_eq!(parse_template("{body}").unwrap(), [Part::Body]);
    }

    #[test]
    fn a_fault_says_where_and_what_is_known() {
        let unknown = |text: &str| TemplateFaultKind::Unknown(text.to_owned());
        let name = |text: &str| TemplateFaultKind::HeaderName(text.to_owned());
        for (text, position, kind) in [
            ("", 0, TemplateFaultKind::Empty),
            ("a.{body", 2, TemplateFaultKind::Unclosed),
            ("{body}{", 6, TemplateFaultKind::Unclosed),
            ("{bdoy}", 0, unknown("bdoy")),
            ("{body}.{}", 7, unknown("")),
            ("ü{Body}", 2, unknown("Body")),
            ("{header:}", 0, name("")),
            ("{header:X Y}", 0, name("X Y")),
        ] {
            let fault = parse_template(text).unwrap_err();
            assert_eq!(fault, TemplateFault { position, kind }, "{text}");
        }
        let told = parse_template("{bdoy}").unwrap_err().to_string();
        assert_eq!(
            told,
            "at byte 0: `{bdoy}` is unknown; known are `{body}` and `{header:NAME}`"
        );
    }
}
