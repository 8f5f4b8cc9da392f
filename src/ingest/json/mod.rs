//! One pass over a JSON body.
//!
//! A route's pointers are compiled into a [`Plan`] once; [`Plan::scan`] then checks a whole body
//! and picks what stands at the pointers, without building a tree. What it refuses beyond broken
//! JSON: invalid UTF-8 anywhere, lone surrogates, numbers too large for any type, more than
//! [`DEPTH_MAX`] nested containers, and a repeated key on the way to a pointer, because two readers
//! of such a body could see two different events. Pointers with `*`, and the elements of a [`List`],
//! are looked for in a pass of their own.

use std::{borrow::Cow, fmt};

use serde::de::DeserializeSeed;

use crate::config::Pointer;

mod each;
#[cfg(test)]
mod each_tests;
mod fast;
#[cfg(test)]
mod fast_tests;
mod plan;
mod position;
mod walk;

pub use plan::Plan;
use walk::{State, Walk};

/// Arrays and objects inside each other, the outermost included.
pub const DEPTH_MAX: usize = 64;

/// What stands at a pointer. Strings borrow from the body unless they have escapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    Missing,
    Null,
    Bool(bool),
    String(Cow<'a, str>),
    /// An integer of at most 64 bits, signed or not, written without fraction and exponent.
    Integer(i128),
    /// Any other number. Not exact: two different texts may give one value.
    Number(f64),
    Object,
    Array,
    /// Of a pointer with `*`: what stands at each place, not empty; `Missing` where the way to it ends before.
    Each(Vec<Found<'a>>),
}

/// Why a body was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonFault {
    pub kind: JsonFaultKind,
    /// From 1.
    pub line: usize,
    /// From 1, in bytes: the last byte that was looked at.
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// Says what is wrong without a word of the body.
    Invalid(String),
    /// More than [`DEPTH_MAX`]; the position is that of the container that is too much.
    TooDeep,
    /// A key on the way to, or at, this pointer stands twice; the position is the end of the second.
    DuplicateKey(String),
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            JsonFaultKind::Invalid(message) => f.write_str(message)?,
            JsonFaultKind::TooDeep => write!(f, "more than {DEPTH_MAX} levels deep")?,
            JsonFaultKind::DuplicateKey(pointer) => write!(f, "`{pointer}` stands twice")?,
        }
        write!(f, " at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for JsonFault {}

impl Plan {
    /// What stands at each pointer, in the order of [`Plan::new`]. The first fault ends the scan.
    pub fn scan<'a>(&self, body: &'a [u8]) -> Result<Vec<Found<'a>>, JsonFault> {
        let text = checked_text(body)?;
        let mut found = match fast::scan(self, text) {
            Some(found) => found,
            None => self.walk(text, body)?,
        };
        for (slot, tokens) in self.each() {
            let texts =
                each::texts(text, tokens).map_err(|(error, kind)| fault(&error, kind, body))?;
            let values = texts
                .into_iter()
                .map(|text| text.map_or(Found::Missing, each::found));
            let values: Vec<_> = values.collect();
            if !values.is_empty() {
                found[*slot] = Found::Each(values);
            }
        }
        Ok(found)
    }

    /// Reads every form there is, and says what is wrong.
    fn walk<'a>(&self, text: &'a str, body: &[u8]) -> Result<Vec<Found<'a>>, JsonFault> {
        let mut state = State::new(self);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Walk::root(self, &mut state)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| fault(&error, state.fault.take(), body))?;
        Ok(state.found)
    }
}

/// The list at a pointer, whose elements are read one by one.
#[derive(Clone, Debug)]
pub struct List {
    plan: Plan,
    /// Of its elements.
    tokens: Vec<Box<str>>,
}

impl List {
    pub fn new(pointer: &Pointer) -> Self {
        let each = std::iter::once(each::EACH.into());
        Self {
            plan: Plan::new(std::slice::from_ref(pointer)),
            tokens: pointer.tokens().iter().cloned().chain(each).collect(),
        }
    }

    /// The exact text of each element, in a body that is checked as [`Plan::scan`] does. `None`: there is no list.
    pub fn elements<'a>(&self, body: &'a [u8]) -> Result<Option<Vec<&'a str>>, JsonFault> {
        if self.plan.scan(body)? != [Found::Array] {
            return Ok(None);
        }
        let texts = each::texts(checked_text(body)?, &self.tokens)
            .map_err(|(error, kind)| fault(&error, kind, body))?;
        Ok(Some(texts.into_iter().flatten().collect()))
    }
}

/// The body as text, if it is any.
fn checked_text(body: &[u8]) -> Result<&str, JsonFault> {
    let invalid = |message: &str, offset| {
        let (line, column) = position::of_byte(body, offset);
        let kind = JsonFaultKind::Invalid(message.to_owned());
        JsonFault { kind, line, column }
    };
    let text =
        std::str::from_utf8(body).map_err(|error| invalid("invalid UTF-8", error.valid_up_to()))?;
    match text {
        "" => Err(invalid("the body is empty", 0)),
        _ if text.starts_with('\u{feff}') => Err(invalid("a byte order mark before the JSON", 0)),
        _ => Ok(text),
    }
}

/// `kind` is what the walk refused; without it the parser did.
fn fault(error: &serde_json::Error, kind: Option<JsonFaultKind>, body: &[u8]) -> JsonFault {
    let (line, column) = (error.line(), error.column().max(1));
    let (kind, (line, column)) = match kind {
        None => (JsonFaultKind::Invalid(message(error)), (line, column)),
        // The parser tells the position only after it has tried to end the container.
        Some(JsonFaultKind::TooDeep) => {
            let at = position::of_depth(body, DEPTH_MAX + 1).unwrap_or((line, column));
            (JsonFaultKind::TooDeep, at)
        }
        Some(kind) => (kind, position::before_space(body, line, error.column())),
    };
    JsonFault { kind, line, column }
}

/// The parser's message, which is one of a fixed set, without the position.
fn message(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let end = told.rfind(" at line ").unwrap_or(told.len());
    told[..end].to_owned()
}

#[cfg(test)]
mod tests;
