//! What a body is: JSON, a form, XML, or anything; and the JSON document that stands for it. Pure.

use std::{borrow::Cow, fmt};

mod form;
pub(crate) mod position;
mod tree;
mod xml;

/// A kind of body that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `application/json` and `application/*+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/xml`, `text/xml` and `application/*+xml`.
    Xml,
    /// Whatever comes: nothing is read from it.
    Any,
}

/// The media type of forms, and of what a GET brings.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Whether `content_type`, its parameters apart, is one of `types`.
fn is_listed(content_type: &str, types: &[String]) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    types
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

impl Content {
    /// What a request with this `Content-Type` is, of the kinds that are `taken`: the kind that it names, with any
    /// parameters (JSON, too, if it is one of `json_types`), else [`Content::Any`], which also takes a request without the
    /// header. `None`: it is not taken.
    pub fn of(content_type: Option<&str>, taken: &[Self], json_types: &[String]) -> Option<Self> {
        let named = content_type.and_then(|value| match is_listed(value, json_types) {
            true => Some(Self::Json),
            false => Self::named(value),
        });
        named
            .filter(|kind| taken.contains(kind))
            .or_else(|| taken.contains(&Self::Any).then_some(Self::Any))
    }

    fn named(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next()?.trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        let has_suffix = |suffix: &str| {
            let (start, end) = (
                "application/".len(),
                essence.len().checked_sub(suffix.len()),
            );
            end.is_some_and(|end| {
                end > start
                    && essence
                        .get(..start)
                        .is_some_and(|start| start.eq_ignore_ascii_case("application/"))
                    && essence
                        .get(end..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            })
        };
        if is("application/json") || has_suffix("+json") {
            Some(Self::Json)
        } else if is(FORM) {
            Some(Self::Form)
        } else if is("application/xml") || is("text/xml") || has_suffix("+xml") {
            Some(Self::Xml)
        } else {
            None
        }
    }

    /// What a sender is told to send.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => FORM,
            Self::Xml => "application/xml",
            Self::Any => "anything",
        }
    }
}

/// Why a form or an XML has no document, and where. Holds nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFault {
    /// [`Content::Form`] or [`Content::Xml`].
    pub content: Content,
    pub message: &'static str,
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
}

impl fmt::Display for PayloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        write!(f, "{} at line {line} column {column}", self.message)
    }
}

impl std::error::Error for PayloadFault {}

/// The JSON document that stands for a body, as text: of JSON the body itself, unread; of a form an object of strings
/// (see [`form`]); of XML an object of its root element (see [`xml`]). `None`: there is nothing to be read.
///
/// In linear time and memory: the document of a form is at most six times as large as the form, that of an XML at most
/// three times.
pub fn document(content: Content, body: &[u8]) -> Result<Option<Cow<'_, [u8]>>, PayloadFault> {
    let read = match content {
        Content::Json => return Ok(Some(Cow::Borrowed(body))),
        Content::Any => return Ok(None),
        Content::Form => form::document(body),
        Content::Xml => xml::document(body),
    };
    read.map(|document| Some(Cow::Owned(document)))
        .map_err(|flaw| {
            let (line, column) = position::of_byte(body, flaw.offset.min(body.len()));
            let message = flaw.message;
            PayloadFault {
                content,
                message,
                line,
                column,
            }
        })
}

/// The document as a tree, for those who must prove what stands in it. `None`: there is none, or it can be read in two
/// ways, since a name stands twice in an object.
pub fn tree(content: Content, body: &[u8]) -> Option<serde_json::Value> {
    tree::of_json(&document(content, body).ok()??)
}

/// What is wrong at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flaw {
    message: &'static str,
    offset: usize,
}

impl Flaw {
    fn new(message: &'static str, offset: usize) -> Self {
        Self { message, offset }
    }
}

/// The body as text.
fn text(body: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(body).map_err(|error| Flaw::new("invalid UTF-8", error.valid_up_to()))
}

/// Appends a JSON string.
fn push_string(out: &mut Vec<u8>, text: &str) {
    // A string can always be written to memory.
    let _always_ok = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests;
