//! What a request asks for: each parameter once, none that nobody knows, and each fault by its name.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    ops::RangeInclusive,
};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    clock::Timestamp,
    store::listing::{Filter, StateFilter},
};

/// Bytes of one value.
const VALUE_MAX: usize = 512;
pub(super) const FILTER: [&str; 7] = ["route", "target", "state", "type", "id", "since", "until"];

/// Named texts that are taken one by one.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// From a URL's query.
    pub(super) fn of_query(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parameters.put(&name, value.into_owned(), known)?;
        }
        Ok(parameters)
    }

    /// From a JSON object of strings and numbers.
    pub(super) fn of_json(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::bad("invalid_json", detail);
        let members: Members = serde_json::from_slice(body).map_err(|error| {
            invalid(match error.is_data() {
                true => "The body is not a JSON object.".to_owned(),
                false => format!("The body is not valid JSON: {error}."),
            })
        })?;
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in members.0 {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => return Err(malformed(&name, "a string or a number")),
            };
            parameters.put(&name, text, known)?;
        }
        Ok(parameters)
    }

    fn put(&mut self, name: &str, value: String, known: &[&str]) -> Result<(), Problem> {
        if !known.contains(&name) {
            let name: String = name.chars().take(64).collect();
            let known = known.join(", ");
            let detail = format!(
                "`{}` is not known here; known are {known}.",
                name.escape_default()
            );
            return Err(Problem::bad("unknown_parameter", detail));
        }
        if value.is_empty() || value.len() > VALUE_MAX {
            return Err(malformed(name, format!("1 to {VALUE_MAX} bytes")));
        }
        match self.0.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(malformed(name, "each parameter once")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(super) fn filter(&mut self) -> Result<Filter, Problem> {
        Ok(Filter {
            route: self.take("route").map(Into::into),
            target: self.take("target").map(Into::into),
            state: self.take("state").map(|name| state(&name)).transpose()?,
            event_type: self.take("type").map(Into::into),
            id: self.take("id").map(Into::into),
            since: self.moment("since")?,
            until: self.moment("until")?,
        })
    }

    fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_| malformed(name, "a moment of RFC 3339 such as 2026-05-20T15:30:00Z"))?;
        Ok(Some(Timestamp::from_millis(at.as_millisecond())))
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (start, end) = (range.start(), range.end());
        number.ok_or_else(|| malformed(name, format!("a number from {start} to {end}")))
    }
}

/// Of a JSON object all that it says: two members of one name are two.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

fn state(name: &str) -> Result<StateFilter, Problem> {
    let found = StateFilter::ALL
        .into_iter()
        .find(|state| state.as_str() == name);
    found.ok_or_else(|| {
        let names = StateFilter::ALL.map(StateFilter::as_str).join(", ");
        malformed("state", format!("one of {names}"))
    })
}

/// A uid in a path.
pub(super) fn uid(text: &str) -> Result<Uuid, Problem> {
    // The one form that is ever shown.
    let uid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    uid.ok_or_else(|| malformed("uid", "a UUID such as 0197ab3e-5c1d-7000-8000-0123456789ab"))
}

pub(super) fn malformed(name: &str, expected: impl Display) -> Problem {
    Problem::bad(
        "invalid_parameter",
        format!("`{name}`: expected {expected}."),
    )
}
