//! Whether the payload is what the route expects.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use actix_http::RequestHead;
use bytes::Bytes;
use jsonschema::{ValidationError, error::ValidationErrorKind};

use crate::{
    config::{Kind, Schemas},
    payload::{self, Content},
};

use super::{
    authenticate::Authentic,
    endpoint::{Endpoint, Spot},
    json::{Found, JsonFault, JsonFaultKind},
    rejection::{Detail, Reason, Rejection, Violation},
};

/// A proven request whose body has been read as what it is.
pub(super) struct Documented<'a> {
    pub(super) authentic: &'a Authentic<'a>,
    /// The JSON that stands for the body, not checked yet; `None`: there is nothing to be read.
    pub(super) document: Option<Cow<'a, [u8]>>,
}

/// A proven request whose payload is valid; borrows what the one pass over the body found.
pub(super) struct Valid<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) head: &'a RequestHead,
    pub(super) credential: Option<&'a Arc<str>>,
    /// Of the event: the request's, or an element of it.
    pub(super) body: &'a Bytes,
    pub(super) found: Vec<Found<'a>>,
    pub(super) event_type: EventType,
}

#[derive(Default)]
pub(super) struct EventType {
    pub(super) text: Option<Arc<str>>,
    /// Where one event has several types: each once. The text is then all of them, as far as they fit.
    pub(super) several: Vec<Arc<str>>,
}

/// More than these are not told.
pub(super) const VIOLATIONS_MAX: usize = 32;

impl Authentic<'_> {
    /// 400.
    pub(super) fn document(&self) -> Result<Documented<'_>, Rejection> {
        let document = payload::document(self.content, &self.body);
        Ok(Documented {
            authentic: self,
            document: document.map_err(unreadable)?,
        })
    }

    /// Whether a body with this document is what the route expects. 400, 422.
    pub(super) fn judge<'b>(
        &'b self,
        body: &'b Bytes,
        document: Option<&'b [u8]>,
    ) -> Result<Valid<'b>, Rejection> {
        let found = match document {
            Some(document) => {
                let found = self.endpoint.plan.scan(document);
                found.map_err(|fault| rejection_of(fault, self.content))?
            }
            None => vec![Found::Missing; self.endpoint.pointers.len()],
        };
        let mut violations = self.required(&found);
        let event_type = self.event_type(&found).unwrap_or_else(|violation| {
            violations.push(violation);
            EventType::default()
        });
        if let Some(schemas) = &self.endpoint.route.schema {
            let event_type = event_type.text.as_deref();
            violations.extend(schema_violations(schemas, event_type, document));
        }
        if !violations.is_empty() {
            violations.truncate(VIOLATIONS_MAX);
            return Err(Rejection::with(
                Reason::SchemaViolation,
                Detail::Violations(violations),
            ));
        }
        Ok(Valid {
            endpoint: self.endpoint,
            head: self.head,
            credential: self.credential.as_ref(),
            body,
            found,
            event_type,
        })
    }

    fn required(&self, found: &[Found<'_>]) -> Vec<Violation> {
        let requirements = self
            .endpoint
            .route
            .require
            .iter()
            .zip(&self.endpoint.require);
        requirements
            .filter_map(|(requirement, &index)| {
                let complaint = match &found[index] {
                    Found::Missing => format!("is missing; expected {}", requirement.kind.as_str()),
                    value if is_kind(value, requirement.kind) => return None,
                    value => format!(
                        "is {}; expected {}",
                        name_of(value),
                        requirement.kind.as_str()
                    ),
                };
                Some(Violation {
                    pointer: requirement.pointer.to_string(),
                    message: complaint,
                    rule: None,
                })
            })
            .collect()
    }

    /// The first source that exists. A type that is no short text is a violation, lest a filter miss it unseen.
    fn event_type(&self, found: &[Found<'_>]) -> Result<EventType, Violation> {
        for spot in &self.endpoint.event_type {
            let text = match spot {
                Spot::Header(name) => {
                    let mut values = self.head.headers.get_all(name.as_str());
                    match (values.next(), values.next()) {
                        (None, _) => continue,
                        (Some(value), None) => value.to_str().ok().map(Cow::Borrowed),
                        // The type picks the targets: it is not for us to choose among several.
                        (Some(_), Some(_)) => None,
                    }
                }
                Spot::Json(index) => match &found[*index] {
                    Found::Missing | Found::Null => continue,
                    Found::Each(values) => match distinct(values) {
                        Some(types) if types.is_empty() => continue,
                        Some(types) => return Ok(EventType::of(types)),
                        None => None,
                    },
                    value => text_of(value),
                },
            };
            let short = text.filter(|text| is_short_text(text));
            let short = short.ok_or_else(|| self.type_violation(spot))?;
            return Ok(EventType {
                text: Some(short.as_ref().into()),
                several: Vec::new(),
            });
        }
        Ok(EventType::default())
    }

    fn type_violation(&self, spot: &Spot) -> Violation {
        let pointer = match spot {
            Spot::Header(_) => String::new(),
            Spot::Json(index) => self.endpoint.pointers[*index].to_string(),
        };
        Violation {
            pointer,
            message: "the event type is a string of 1 to 256 bytes without control characters"
                .into(),
            rule: None,
        }
    }
}

impl Documented<'_> {
    /// 400, 422.
    pub(super) fn validate(&self) -> Result<Valid<'_>, Rejection> {
        let authentic = self.authentic;
        authentic.judge(&authentic.body, self.document.as_deref())
    }
}

impl EventType {
    /// Joined by commas; of more than a type may be long, those that fit and `...`.
    fn of(types: Vec<Arc<str>>) -> Self {
        const MORE: &str = "...";
        let mut told: Vec<&str> = types.iter().map(|one| &**one).collect();
        if told.join(",").len() > SHORT_MAX {
            let mut left = SHORT_MAX - MORE.len();
            let fits = |one: &&&str| {
                let room = left.checked_sub(one.len() + ",".len());
                left = room.unwrap_or(0);
                room.is_some()
            };
            let fitting = told.iter().take_while(fits).count();
            told.truncate(fitting);
            told.push(MORE);
        }
        let text = Some(told.join(",").into());
        let several = if types.len() > 1 { types } else { Vec::new() };
        Self { text, several }
    }
}

/// Each type once, in the order of the document; `None`: one is no short text, or they are too many.
fn distinct(values: &[Found<'_>]) -> Option<Vec<Arc<str>>> {
    let mut types: Vec<Arc<str>> = Vec::new();
    let mut known = HashSet::new();
    for value in values {
        if let Found::Missing | Found::Null = value {
            continue;
        }
        let text = text_of(value).filter(|text| is_short_text(text))?;
        if !known.contains(text.as_ref()) {
            let one: Arc<str> = text.as_ref().into();
            known.insert(one.clone());
            types.push(one);
        }
        if types.len() > TYPES_MAX {
            return None;
        }
    }
    Some(types)
}

/// Of one event: more are no types.
const TYPES_MAX: usize = 256;
/// Bytes of an id or a type.
pub(super) const SHORT_MAX: usize = 256;

/// A string, or an integer as its digits; nothing else names an event.
pub(super) fn text_of<'a>(value: &'a Found<'_>) -> Option<Cow<'a, str>> {
    match value {
        Found::String(text) => Some(Cow::Borrowed(text)),
        Found::Integer(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// 1–256 bytes without control characters: what an id or a type may be.
pub(super) fn is_short_text(text: &str) -> bool {
    (1..=SHORT_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn unreadable(fault: payload::PayloadFault) -> Rejection {
    let reason = match fault.content {
        Content::Xml => Reason::InvalidXml,
        _ => Reason::InvalidForm,
    };
    let (line, column) = (fault.line, fault.column);
    let message = fault.message.to_owned();
    Rejection::with(
        reason,
        Detail::Position {
            line,
            column,
            message,
        },
    )
}

/// The place in the JSON that a form holds tells something; that in the document of XML does not: the sender has never
/// seen it.
pub(super) fn rejection_of(fault: JsonFault, content: Content) -> Rejection {
    let (reason, message) = match fault.kind {
        JsonFaultKind::Invalid(message) => (Reason::InvalidJson, message),
        JsonFaultKind::TooDeep => (Reason::TooDeep, "deeper than 64 levels".into()),
        JsonFaultKind::DuplicateKey(pointer) => {
            (Reason::DuplicateKey, format!("{pointer} stands twice"))
        }
    };
    let (line, column) = (fault.line, fault.column);
    let detail = match content {
        Content::Xml => Detail::None,
        _ => Detail::Position {
            line,
            column,
            message,
        },
    };
    Rejection::with(reason, detail)
}

fn is_kind(value: &Found<'_>, kind: Kind) -> bool {
    match (kind, value) {
        (Kind::Any, _)
        | (Kind::String, Found::String(_))
        | (Kind::Integer | Kind::Number, Found::Integer(_))
        | (Kind::Number, Found::Number(_))
        | (Kind::Boolean, Found::Bool(_))
        | (Kind::Object, Found::Object)
        | (Kind::Array, Found::Array)
        | (Kind::Null, Found::Null) => true,
        (Kind::DateTime, Found::String(text)) => is_rfc3339(text),
        (Kind::Uuid, Found::String(text)) => {
            text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
        }
        _ => false,
    }
}

/// `2026-05-20T15:30:00Z`, with a fraction or an offset of hours and minutes where one is meant, and a moment that exists.
fn is_rfc3339(text: &str) -> bool {
    let Some((whole, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    wanted => byte.eq_ignore_ascii_case(&wanted),
                })
    };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|first: char| first.is_ascii_digit()) => {
            fraction.trim_start_matches(|digit: char| digit.is_ascii_digit())
        }
        Some(_) => return false,
        None => rest,
    };
    shaped(whole, "0000-00-00T00:00:00")
        && (shaped(zone, "Z") || shaped(zone, "+00:00") || shaped(zone, "-00:00"))
        && text.parse::<jiff::Timestamp>().is_ok()
}

fn name_of(value: &Found<'_>) -> &'static str {
    match value {
        Found::Missing => "missing",
        Found::Null => "null",
        Found::Bool(_) => "a boolean",
        Found::String(_) => "a string of another form",
        Found::Integer(_) => "an integer",
        Found::Number(_) => "a number",
        Found::Object => "an object",
        Found::Array => "an array",
        Found::Each(_) => "several values",
    }
}

/// The only place that builds a tree of the body: JSON Schema needs one.
fn schema_violations(
    schemas: &Schemas,
    event_type: Option<&str>,
    document: Option<&[u8]>,
) -> Vec<Violation> {
    let validator = event_type
        .and_then(|event_type| schemas.by_type.get(event_type))
        .or(schemas.others.as_ref());
    let Some(validator) = validator else {
        return Vec::new();
    };
    let document = document.and_then(|document| serde_json::from_slice(document).ok());
    let Some(document) = document else {
        return vec![Violation {
            pointer: String::new(),
            message: "cannot be read as a document".into(),
            rule: None,
        }];
    };
    validator
        .iter_errors(&document)
        .take(VIOLATIONS_MAX)
        .map(|error| Violation {
            pointer: error.instance_path().to_string(),
            // Masked: the caller is not told back its own values, which may be secrets.
            message: error.masked().to_string(),
            rule: Some(rule_of(&error)),
        })
        .collect()
}

/// The place of the rule in the schema, and what it asks for: without the names of members that the body has.
fn rule_of(error: &ValidationError<'_>) -> String {
    let place = error.schema_path();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. }
        | ValidationErrorKind::PropertyNames { .. } => {
            format!("{place} of the schema: a member has a name that is not allowed")
        }
        _ => format!("{place} of the schema: {}", error.masked()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_time_is_that_of_rfc_3339() {
        let good = [
            "2026-05-20T15:30:00Z",
            "2026-05-20t15:30:00z",
            "2026-05-20T15:30:00.123456789Z",
            "2026-05-20T15:30:00+02:00",
            "2026-05-20T15:30:00.5-11:30",
            "2024-02-29T00:00:00Z",
        ];
        let bad = [
            "",
            "2026-05-20",
            "2026-05-20T15:30:00",
            "2026-05-20T15:30:00+02",
            "2026-05-20T15:30:00+0200",
            "2026-05-20T15:30:00Z[UTC]",
            "2026-05-20T15:30:00.Z",
            "20260520T153000Z",
            "2026-05-20 15:30:00Z",
            "2026-02-29T00:00:00Z",
            "2026-05-20T25:30:00Z",
            "+002026-05-20T15:30:00Z",
            "2026-05-20T15:30:0\u{661}Z",
        ];
        assert!(good.iter().all(|text| is_rfc3339(text)));
        for text in bad {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
