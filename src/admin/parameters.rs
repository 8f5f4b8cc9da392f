//! What a request asks for: each parameter once, none that nobody knows, and each fault by its name.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt::{self, Display},
    ops::RangeInclusive,
};

use actix_web::HttpRequest;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Number, Value};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    clock::Timestamp,
    store::listing::{Filter, StateFilter},
};

/// Characters of one value.
const VALUE_MAX: usize = 512;
/// Items of one page.
const LIMIT_MAX: u32 = 500;
const LIMIT: u32 = 50;

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are the names and the documentation of parameters"
)]
pub(super) struct PageQuery {
    /// `next` of the page before.
    #[param(min_length = 1, max_length = 512)]
    cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Which page of a list.
pub(super) struct Paging {
    pub(super) cursor: Option<String>,
    pub(super) limit: usize,
}

/// Named texts that are taken one by one.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Of a URL's query: those that `Q` documents.
    pub(super) fn of<Q: IntoParams>(request: &HttpRequest) -> Result<Self, Problem> {
        let documented = Q::into_params(|| None);
        let known: Vec<_> = documented.iter().map(|one| one.name.as_str()).collect();
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            parameters.put(&name, value.into_owned(), &known)?;
        }
        Ok(parameters)
    }

    /// Of a request that has none.
    pub(super) fn none(request: &HttpRequest) -> Result<(), Problem> {
        Self::of::<Nothing>(request).map(|_| ())
    }

    /// From a JSON object of strings, and of whole numbers where `numbers` says so.
    pub(super) fn of_json(body: &[u8], texts: &[&str], numbers: &[&str]) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::bad("invalid_json", detail);
        let members: Members = serde_json::from_slice(body).map_err(|error| {
            invalid(match error.is_data() {
                true => "The body is not a JSON object.".to_owned(),
                false => format!("The body is not valid JSON: {error}."),
            })
        })?;
        let known = [texts, numbers].concat();
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in members.0 {
            let is_number = numbers.contains(&name.as_str());
            let text = match value {
                Value::String(text) if !is_number => text,
                Value::Number(number) if is_number => whole(&number),
                _ if !known.contains(&name.as_str()) => String::new(),
                _ if is_number => return Err(malformed(&name, "a whole number")),
                _ => return Err(malformed(&name, "a string")),
            };
            parameters.put(&name, text, &known)?;
        }
        Ok(parameters)
    }

    fn put(&mut self, name: &str, value: String, known: &[&str]) -> Result<(), Problem> {
        if !known.contains(&name) {
            let name: String = name.chars().take(64).collect();
            let known = match known {
                [] => "nothing is".to_owned(),
                known => format!("known are {}", known.join(", ")),
            };
            let name = name.escape_default();
            let detail = format!("`{name}` is not known here; {known}.");
            return Err(Problem::bad("unknown_parameter", detail));
        }
        if value.is_empty() || value.chars().count() > VALUE_MAX {
            return Err(malformed(name, format!("1 to {VALUE_MAX} characters")));
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

    pub(super) fn paging(&mut self) -> Result<Paging, Problem> {
        let limit = self.number("limit", 1..=LIMIT_MAX, LIMIT)?;
        Ok(Paging {
            cursor: self.take("cursor"),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }

    pub(super) fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match rfc3339(&text) {
            Some(at) => Ok(Some(at)),
            None => Err(malformed(
                name,
                "a moment of RFC 3339 such as 2026-05-20T15:30:00Z",
            )),
        }
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
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| range.contains(number));
        let (start, end) = (range.start(), range.end());
        number.ok_or_else(|| malformed(name, format!("a number from {start} to {end}")))
    }
}

/// JSON has one kind of number: `5.0` is whole, too.
fn whole(number: &Number) -> String {
    match number.as_f64() {
        Some(whole) if !number.is_u64() && whole.fract() == 0.0 => format!("{whole:.0}"),
        _ => number.to_string(),
    }
}

/// Of what else reads as a moment (no seconds, a blank for the `T`) none.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let shape = b"0000-00-00T00:00:00";
    let head = text.as_bytes().get(..shape.len())?;
    let fits = head.iter().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte.eq_ignore_ascii_case(shape),
    });
    let at: jiff::Timestamp = text.parse().ok().filter(|_| fits)?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Of a request without parameters.
struct Nothing;

impl IntoParams for Nothing {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
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

/// A UUID in a path.
pub(super) fn uid(name: &str, text: &str) -> Result<Uuid, Problem> {
    // The one form that is ever shown.
    let uid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    uid.ok_or_else(|| malformed(name, "a UUID such as 0197ab3e-5c1d-7000-8000-0123456789ab"))
}

/// One page of what is sorted by a text, and the cursor of the next: the text of its last. What has gone meanwhile
/// moves nothing.
pub(super) fn page<T>(
    sorted: Vec<T>,
    order: Ordering,
    key: impl Fn(&T) -> String,
    paging: &Paging,
) -> (Vec<T>, Option<String>) {
    let from = paging.cursor.as_deref().map_or(0, |cursor| {
        sorted.partition_point(|one| key(one).as_str().cmp(cursor) != order)
    });
    let mut rest = sorted.into_iter().skip(from);
    let page: Vec<_> = rest.by_ref().take(paging.limit).collect();
    let next = rest.next().and(page.last()).map(key);
    (page, next)
}

pub(super) fn malformed(name: &str, expected: impl Display) -> Problem {
    Problem::bad(
        "invalid_parameter",
        format!("`{name}`: expected {expected}."),
    )
}
