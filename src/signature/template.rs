//! The text form of what is signed, e.g. `{header:X-Timestamp}.{body}`.

use std::{borrow::Cow, fmt};

use super::{Listed, Part};

/// What may stand in braces.
const KNOWN: &str = "`{body}`, `{secret}`, `{method}`, `{url}`, `{path}`, `{header:NAME}`, `{sig.KEY}`, `{json:/POINTER}`, \
`{query:NAME}`, `{param:NAME}`, `{sorted_form}`, `{crc32}`, `{json_lines:NAME,…}`, `{listed:names:LIST:SEPARATOR:NAME,…}` \
and `{listed:values:LIST:SEPARATOR:NAME,…}`";

/// Parses placeholders and the literal text between them. Names of headers are taken in lower case.
///
/// An opening brace begins a placeholder, two are one literal brace; a closing one outside of a placeholder is literal.
pub fn parse_template(text: &str) -> Result<Vec<Part>, TemplateFault> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        let length = if rest.starts_with("{{") {
            literal.push('{');
            2
        } else if rest.starts_with('{') {
            let (part, length) =
                placeholder(rest).map_err(|kind| TemplateFault { position, kind })?;
            flush(&mut literal, &mut parts);
            parts.push(part);
            length
        } else {
            let length = rest.find('{').unwrap_or(rest.len());
            literal.push_str(&rest[..length]);
            length
        };
        position += length;
    }
    flush(&mut literal, &mut parts);
    if parts.is_empty() {
        let kind = TemplateFaultKind::Empty;
        return Err(TemplateFault { position, kind });
    }
    Ok(parts)
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(Cow::Owned(std::mem::take(literal))));
    }
}

/// The text that [`parse_template`] reads as `parts`.
pub fn template_text(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).collect()
}

/// As it stands in a template.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&text.replace('{', "{{")),
            Self::Body => f.write_str("{body}"),
            Self::Secret => f.write_str("{secret}"),
            Self::Method => f.write_str("{method}"),
            Self::Url => f.write_str("{url}"),
            Self::Path => f.write_str("{path}"),
            Self::SortedForm => f.write_str("{sorted_form}"),
            Self::Crc32 => f.write_str("{crc32}"),
            Self::Header(name) => write!(f, "{{header:{name}}}"),
            Self::Pair(key) => write!(f, "{{sig.{key}}}"),
            Self::Json(pointer) => write!(f, "{{json:{pointer}}}"),
            Self::Query(name) => write!(f, "{{query:{name}}}"),
            Self::Param(name) => write!(f, "{{param:{name}}}"),
            Self::JsonLines(names) => write!(f, "{{json_lines:{}}}", names.join(",")),
            Self::Listed(listed) => {
                let kind = if listed.with_names { "names" } else { "values" };
                let list = listed.list.to_string();
                let list = list.trim_matches(['{', '}']);
                write!(f, "{{listed:{kind}:{list}:{}", listed.separator)?;
                match listed.required.is_empty() {
                    true => f.write_str("}"),
                    false => write!(f, ":{}}}", listed.required.join(",")),
                }
            }
        }
    }
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
    #[error("`{0}` is no JSON pointer")]
    Pointer(String),
    #[error("`{{{0}}}` names nothing")]
    Nameless(String),
    #[error(
        "`{{{0}}}` is not `{{listed:names:LIST:SEPARATOR}}`, with `values` in the place of `names`, LIST as \
         `header:NAME` or `sig.KEY`, one character of ASCII as SEPARATOR, and at the end `:` and the names that \
         must be in the list"
    )]
    Listed(String),
}

/// The placeholder that `rest` begins with, and its length with both braces.
fn placeholder(rest: &str) -> Result<(Part, usize), TemplateFaultKind> {
    let close = rest.find('}').ok_or(TemplateFaultKind::Unclosed)?;
    Ok((part(&rest[1..close])?, close + 1))
}

/// What stands between the braces.
fn part(inner: &str) -> Result<Part, TemplateFaultKind> {
    let simple = match inner {
        "body" => Some(Part::Body),
        "secret" => Some(Part::Secret),
        "method" => Some(Part::Method),
        "url" => Some(Part::Url),
        "path" => Some(Part::Path),
        "sorted_form" => Some(Part::SortedForm),
        "crc32" => Some(Part::Crc32),
        _ => None,
    };
    if let Some(part) = simple {
        return Ok(part);
    }
    let named = |name: &str| match name.is_empty() {
        true => Err(TemplateFaultKind::Nameless(inner.to_owned())),
        false => Ok(Cow::Owned(name.to_owned())),
    };
    if let Some(key) = inner.strip_prefix("sig.") {
        return named(key).map(Part::Pair);
    }
    match inner.split_once(':') {
        Some(("header", name)) => header_name(name).map(Part::Header),
        Some(("query", name)) => named(name).map(Part::Query),
        Some(("param", name)) => named(name).map(Part::Param),
        Some(("json", pointer)) if pointer.starts_with('/') => {
            Ok(Part::Json(pointer.to_owned().into()))
        }
        Some(("json", pointer)) => Err(TemplateFaultKind::Pointer(pointer.to_owned())),
        Some(("json_lines", names)) => {
            let names: Result<Vec<_>, _> = names.split(',').map(named).collect();
            Ok(Part::JsonLines(names?.into()))
        }
        Some(("listed", rest)) => {
            let listed = listed(rest).map(Part::Listed);
            listed.ok_or_else(|| TemplateFaultKind::Listed(inner.to_owned()))
        }
        _ => Err(TemplateFaultKind::Unknown(inner.to_owned())),
    }
}

fn listed(text: &str) -> Option<Listed> {
    let (kind, rest) = text.split_once(':')?;
    let with_names = match kind {
        "names" => true,
        "values" => false,
        _ => return None,
    };
    let (list, rest) = match rest.strip_prefix("header:") {
        Some(rest) => {
            let (name, rest) = rest.split_once(':')?;
            (Part::Header(header_name(name).ok()?), rest)
        }
        None => {
            let (key, rest) = rest.strip_prefix("sig.")?.split_once(':')?;
            (Part::Pair(key.to_owned().into()), rest)
        }
    };
    let mut rest = rest.chars();
    let separator = rest.next().filter(char::is_ascii)?;
    let required: Vec<_> = match rest.as_str() {
        "" => Vec::new(),
        names => {
            let names = names.strip_prefix(':')?.split(',');
            names.map(header_name).collect::<Result<_, _>>().ok()?
        }
    };
    Some(Listed {
        list: Box::new(list),
        separator,
        with_names,
        required: required.into(),
    })
}

/// A `token` of RFC 9110, in lower case.
fn header_name(name: &str) -> Result<Cow<'static, str>, TemplateFaultKind> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !name.is_empty() && name.bytes().all(is_token) {
        true => Ok(name.to_ascii_lowercase().into()),
        false => Err(TemplateFaultKind::HeaderName(name.to_owned())),
    }
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
        let braces = [Part::Literal("a{b".into()), Part::Body];
        assert_eq!(parse_template("a{{b{body}").unwrap(), braces);
    }

    #[test]
    fn every_part_is_written_as_it_is_read() {
        let all = "{body}{secret}{method}{url}{path}{header:x-a}{sig.t}{json:/a/0/b~1c}{query:q}{param:p}{sorted_form}\
                   {crc32}{json_lines:A,B}{listed:names:header:x-list:,:x-a,x-b}{listed:values:sig.h: }\n{{literal}";
        let parts = parse_template(all).unwrap();
        assert_eq!(parts.len(), 16);
        assert_eq!(template_text(&parts), all);
        assert_eq!(
            parts[13..15],
            [
                Part::Listed(Listed {
                    list: Box::new(Part::Header("x-list".into())),
                    separator: ',',
                    with_names: true,
                    required: vec!["x-a".into(), "x-b".into()].into(),
                }),
                Part::Listed(Listed {
                    list: Box::new(Part::Pair("h".into())),
                    separator: ' ',
                    with_names: false,
                    required: vec![].into(),
                }),
            ]
        );
    }

    #[test]
    fn a_fault_says_where_and_what_is_known() {
        let unknown = |text: &str| TemplateFaultKind::Unknown(text.to_owned());
        let name = |text: &str| TemplateFaultKind::HeaderName(text.to_owned());
        let nameless = |text: &str| TemplateFaultKind::Nameless(text.to_owned());
        let listed = |text: &str| TemplateFaultKind::Listed(text.to_owned());
        for (text, position, kind) in [
            ("", 0, TemplateFaultKind::Empty),
            ("a.{body", 2, TemplateFaultKind::Unclosed),
            ("{body}{", 6, TemplateFaultKind::Unclosed),
            ("{bdoy}", 0, unknown("bdoy")),
            ("{body}.{}", 7, unknown("")),
            ("ü{Body}", 2, unknown("Body")),
            ("{{{x}", 2, unknown("x")),
            ("{header:}", 0, name("")),
            ("{header:X Y}", 0, name("X Y")),
            ("{json:a}", 0, TemplateFaultKind::Pointer("a".to_owned())),
            ("{sig.}", 0, nameless("sig.")),
            ("{json_lines:A,}", 0, nameless("json_lines:A,")),
            (
                "{listed:names:header:x}",
                0,
                listed("listed:names:header:x"),
            ),
            ("{listed:all:sig.h:,}", 0, listed("listed:all:sig.h:,")),
            (
                "{listed:names:sig.h:,,}",
                0,
                listed("listed:names:sig.h:,,"),
            ),
        ] {
            let fault = parse_template(text).unwrap_err();
            assert_eq!(fault, TemplateFault { position, kind }, "{text}");
        }
        let told = parse_template("{bdoy}").unwrap_err().to_string();
        assert!(
            told.starts_with("at byte 0: `{bdoy}` is unknown; known are `{body}`, `{secret}`, "),
            "{told}"
        );
    }
}
