//! What a case expects beside what came of it.

use serde::Serialize;
use serde_json::Value;

use super::Got;
use crate::config::cases::Expect;

/// Of one document no more are told.
const TOLD_MAX: usize = 20;
/// Longer texts are cut.
const SHOWN_CHARS_MAX: usize = 200;

/// One way in which something came otherwise than expected.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// A key of `expect`, with the target or the place in a document: `bodies.crm /who`.
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) got: String,
}

impl Difference {
    fn new(what: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    /// Of a request that comes after the case's own.
    pub(super) fn within(mut self, name: &str) -> Self {
        self.what = format!("{name}.{}", self.what);
        self
    }

    /// There was no such request.
    pub(super) fn unable(why: String) -> Self {
        Self::new("request", "one that can be made", why)
    }
}

pub(super) fn differences(expect: &Expect, got: &Got) -> Vec<Difference> {
    let mut found = Vec::new();
    if let Some(status) = expect.status.filter(|status| *status != got.status) {
        found.push(Difference::new("status", status.to_string(), got.status()));
    }
    if let Some(reason) = &expect.reason
        && got.reason != Some(reason.as_str())
    {
        found.push(Difference::new("reason", reason, got.reason()));
    }
    if let Some(expected) = expect.duplicate.as_ref()
        && *expected != got.duplicate
    {
        let words =
            |truths: &[bool]| shown(&truths.iter().map(bool::to_string).collect::<Vec<_>>());
        found.push(Difference::new(
            "duplicate",
            words(expected),
            words(&got.duplicate),
        ));
    }
    let lists = [
        ("id", &expect.id, &got.id),
        ("type", &expect.event_type, &got.event_type),
        ("targets", &expect.targets, &got.targets),
        ("filtered", &expect.filtered, &got.filtered),
        ("failed", &expect.failed, &got.failed),
    ];
    for (what, expected, got) in lists {
        if let Some(expected) = expected.as_ref().filter(|expected| *expected != got) {
            found.push(Difference::new(what, shown(expected), shown(got)));
        }
    }
    for (target, expected) in &expect.bodies {
        let what = format!("bodies.{target}");
        match got.bodies.get(target).map(Vec::as_slice) {
            None => found.push(Difference::new(
                what,
                brief(expected),
                "nothing is sent to it",
            )),
            Some([body]) => compare(&what, expected, body, &mut found),
            Some(several) => match expected.as_array() {
                Some(expected) if expected.len() == several.len() => {
                    for (index, (expected, body)) in std::iter::zip(expected, several).enumerate() {
                        compare(&format!("{what}[{index}]"), expected, body, &mut found);
                    }
                }
                _ => {
                    let got = format!("{} events", several.len());
                    found.push(Difference::new(what, brief(expected), got));
                }
            },
        }
    }
    if let Some(expected) = &expect.answer {
        compare("answer", expected, &got.answer, &mut found);
    }
    // Why is half of the answer.
    let is_told = found
        .iter()
        .any(|one| one.what == "status" || one.what == "reason");
    if !found.is_empty() && !is_told && got.reason.is_some() {
        found.push(Difference::new("status", "an event", got.status()));
    }
    found
}

impl Got {
    fn status(&self) -> String {
        match self.reason {
            Some(_) => format!("{} {}", self.status, self.reason()),
            None => self.status.to_string(),
        }
    }

    fn reason(&self) -> String {
        let reason = self.reason.unwrap_or("no refusal");
        match self.told.as_slice() {
            [] => reason.to_owned(),
            told => format!("{reason} ({})", told.join("; ")),
        }
    }
}

fn shown(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// A text is compared as it is, where it is no JSON document; all else as JSON.
fn compare(what: &str, expected: &Value, body: &[u8], found: &mut Vec<Difference>) {
    let document = serde_json::from_slice::<Value>(body).ok();
    let expected = match expected {
        Value::String(text) => match (serde_json::from_str(text), &document) {
            (Ok(Value::String(_)) | Err(_), _) | (_, None) => {
                if text.as_bytes() != body {
                    let got = String::from_utf8_lossy(body);
                    found.push(Difference::new(what, cut(text), cut(&got)));
                }
                return;
            }
            (Ok(value), Some(_)) => value,
        },
        other => other.clone(),
    };
    match document {
        None => {
            let got = String::from_utf8_lossy(body);
            found.push(Difference::new(what, brief(&expected), cut(&got)));
        }
        Some(document) => {
            let mut places = Vec::new();
            walk("", &expected, &document, &mut places);
            let left = places.len().saturating_sub(TOLD_MAX);
            places.truncate(TOLD_MAX);
            for (place, expected, got) in places {
                let separator = if place.is_empty() { "" } else { " " };
                let what = format!("{what}{separator}{place}");
                found.push(Difference::new(what, expected, got));
            }
            if left > 0 {
                found.push(Difference::new(
                    what,
                    "no more",
                    format!("{left} more differences"),
                ));
            }
        }
    }
}

const NOTHING: &str = "nothing";

fn walk(place: &str, expected: &Value, got: &Value, found: &mut Vec<(String, String, String)>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, value) in expected {
                let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
                match got.get(key) {
                    Some(got) => walk(&place, value, got, found),
                    None => found.push((place, brief(value), NOTHING.to_owned())),
                }
            }
            for (key, value) in got.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
                found.push((place, NOTHING.to_owned(), brief(value)));
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            for index in 0..expected.len().max(got.len()) {
                let place = format!("{place}/{index}");
                match (expected.get(index), got.get(index)) {
                    (Some(expected), Some(got)) => walk(&place, expected, got, found),
                    (expected, got) => {
                        let told = |value: Option<&Value>| value.map_or(NOTHING.to_owned(), brief);
                        found.push((place, told(expected), told(got)));
                    }
                }
            }
        }
        (expected, got) if same(expected, got) => {}
        (expected, got) => found.push((place.to_owned(), brief(expected), brief(got))),
    }
}

/// `1` and `1.0` are one number; integers are compared to their last digit.
fn same(one: &Value, other: &Value) -> bool {
    let is_integer = |value: &Value| value.is_i64() || value.is_u64();
    let as_fractions = !(is_integer(one) && is_integer(other));
    one == other || as_fractions && one.is_number() && one.as_f64() == other.as_f64()
}

fn brief(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    match text.chars().count() {
        0..=SHOWN_CHARS_MAX => text.to_owned(),
        _ => text.chars().take(SHOWN_CHARS_MAX).collect::<String>() + "…",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(expected: Value, body: &str) -> Vec<String> {
        let mut found = Vec::new();
        compare("body", &expected, body.as_bytes(), &mut found);
        let told = found.into_iter();
        told.map(|one| format!("{}: {} | {}", one.what, one.expected, one.got))
            .collect()
    }

    #[test]
    fn documents_are_compared_by_what_they_say_and_texts_as_they_are() {
        let same = [
            (json!({ "a": 1, "b": [true] }), r#"{"b": [true], "a": 1.0}"#),
            (json!(r#"{"a": 1}"#), r#"{ "a":1 }"#),
            (json!("a=1&b=2"), "a=1&b=2"),
            (json!(""), ""),
            (json!("\"text\""), "\"text\""),
        ];
        for (expected, body) in same {
            assert_eq!(told(expected, body), Vec::<String>::new(), "{body}");
        }
    }

    #[test]
    fn each_difference_is_told_with_its_place() {
        for (expected, body, differences) in [
            (json!({ "a": 1 }), r#"{"a": 2}"#, vec!["body /a: 1 | 2"]),
            (
                json!({ "a": 1 }),
                r#"{"b/c": 1}"#,
                vec!["body /a: 1 | nothing", "body /b~1c: nothing | 1"],
            ),
            (
                json!([1, { "x": "y" }]),
                r#"[1, {"x": "z"}, 3]"#,
                vec!["body /1/x: \"y\" | \"z\"", "body /2: nothing | 3"],
            ),
            (json!({ "a": 1 }), "a=1", vec!["body: {\"a\":1} | a=1"]),
            (json!("a=1"), "a=2", vec!["body: a=1 | a=2"]),
            (json!(1), "\"1\"", vec!["body: 1 | \"1\""]),
            (
                json!(9_007_199_254_740_993_i64),
                "9007199254740992",
                vec!["body: 9007199254740993 | 9007199254740992"],
            ),
        ] {
            assert_eq!(told(expected, body), differences);
        }
    }

    #[test]
    fn of_many_differences_the_rest_is_counted() {
        let expected: Vec<_> = (0..30).collect();
        let differences = told(json!(expected), "[]");
        assert_eq!(differences.len(), TOLD_MAX + 1);
        assert_eq!(differences[TOLD_MAX], "body: no more | 10 more differences");
    }
}
