//! Keys, passwords and other credentials that are sent as they are.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::ingest::steps::Step;

use super::{capture::Capture, causes::Cause};
use crate::config::{ApiKey, Verifier};

/// Places of a request that are tried.
const CANDIDATES_MAX: usize = 64;

/// Where a verifier looks for its credential.
pub(super) struct Presented<'v> {
    place: Place<'v>,
    keys: &'v [ApiKey],
}

enum Place<'v> {
    Header(&'v str),
    /// What stands after the word in `Authorization`.
    Authorization(&'static str),
    Query(&'v str),
}

impl<'v> Presented<'v> {
    pub(super) fn of(verifier: &'v Verifier) -> Option<Self> {
        let (place, keys) = match verifier {
            Verifier::ApiKey { header, keys } => (Place::Header(header), keys),
            Verifier::Bearer { keys } => (Place::Authorization("Bearer"), keys),
            Verifier::Basic { keys } => (Place::Authorization("Basic"), keys),
            Verifier::QueryKey { name, keys } => (Place::Query(name), keys),
            Verifier::Signature(_) | Verifier::Jwt(_) | Verifier::ClientCertificate { .. } => {
                return None;
            }
        };
        Some(Self { place, keys })
    }

    fn told(&self) -> String {
        match self.place {
            Place::Header(name) => format!("the header {name}"),
            Place::Authorization(word) => format!("`{word} …` in the header authorization"),
            Place::Query(name) => format!("the parameter {name} of the query string"),
        }
    }

    /// `reason`: what the gateway itself says; `None`: a key matches.
    pub(super) fn steps(&self, capture: &Capture, reason: Option<&str>) -> Vec<Step> {
        let is_there = match self.place {
            Place::Header(name) => capture.header(name).next().is_some(),
            Place::Authorization(word) => capture.header("authorization").any(|value| {
                let start = value.get(..word.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
            }),
            Place::Query(name) => parameters(capture).any(|(known, _)| known == name),
        };
        let names: Vec<_> = self.keys.iter().map(|key| &*key.name).collect();
        let told = match reason {
            None => format!("one of {} matches", names.join(", ")),
            Some("expired_key") => format!(
                "one of {} matches, but is not in force then",
                names.join(", ")
            ),
            Some(_) => format!("none of {} matches", names.join(", ")),
        };
        let found = match is_there {
            true => format!("found in {}", self.told()),
            false => format!("not found in {}", self.told()),
        };
        vec![
            Step::new("credential", is_there, found),
            Step::new("key", reason.is_none(), told),
        ]
    }

    /// What would have been right; `passes` says whether a request does.
    pub(super) fn causes(
        &self,
        capture: &Capture,
        reason: &str,
        passes: impl Fn(&Capture) -> bool,
    ) -> Vec<Cause> {
        if reason == "expired_key" {
            let told = "the key is right, but not in force at that time (not_before, not_after)";
            return vec![Cause::new("expired_key", told)];
        }
        let mut candidates = candidates(capture).into_iter().take(CANDIDATES_MAX);
        let found = candidates.find(|(_, value)| {
            let moved = self.presenting(capture, value);
            moved.is_some_and(|moved| passes(&moved))
        });
        let cause = match found {
            Some((place, _)) => Cause::new(
                "other_place",
                format!(
                    "the key is right, but it stands in {place}; it belongs into {}",
                    self.told()
                ),
            ),
            None => Cause::new(
                "wrong_secret",
                "no key of the route stands anywhere in the request: the sender has another",
            ),
        };
        vec![cause]
    }

    /// The request with `value` where the verifier looks.
    fn presenting(&self, capture: &Capture, value: &[u8]) -> Option<Capture> {
        let mut moved = Capture {
            method: capture.method.clone(),
            path: capture.path.clone(),
            query: capture.query.clone(),
            headers: capture.headers.clone(),
            body: capture.body.clone(),
            ..Capture::default()
        };
        let (name, value) = match self.place {
            Place::Header(name) => (name, value.to_vec()),
            Place::Authorization("Basic") => {
                let pair = format!("Basic {}", STANDARD.encode(value));
                ("authorization", pair.into_bytes())
            }
            Place::Authorization(word) => {
                let token = [word.as_bytes(), b" ", value].concat();
                ("authorization", token)
            }
            Place::Query(name) => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                for (known, value) in parameters(capture).filter(|(known, _)| known != name) {
                    query.append_pair(&known, &value);
                }
                query.append_pair(name, std::str::from_utf8(value).ok()?);
                moved.query = Some(query.finish());
                return Some(moved);
            }
        };
        moved.headers.retain(|(known, _)| known != name);
        moved.headers.push((name.to_owned(), value));
        Some(moved)
    }
}

fn parameters(capture: &Capture) -> impl Iterator<Item = (String, String)> {
    let query = capture.query.as_deref().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Every value of the request that may be a credential, with where it stands; each once.
fn candidates(capture: &Capture) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (name, value) in &capture.headers {
        let place = format!("the header {name}");
        found.push((place.clone(), value.clone()));
        let words = value.iter().position(|byte| *byte == b' ');
        if let Some(at) = words {
            let rest = value[at + 1..].trim_ascii();
            found.push((format!("{place}, after its first word"), rest.to_vec()));
            let decoded = STANDARD.decode(rest).unwrap_or_default();
            let trimmed = decoded.trim_ascii().to_vec();
            let told = match trimmed == decoded {
                true => format!("{place}, in base64"),
                false => format!("{place}, with space around it within its base64"),
            };
            found.push((told, trimmed));
        }
        let decoded = STANDARD.decode(value).unwrap_or_default();
        found.push((format!("{place}, in base64"), decoded.trim_ascii().to_vec()));
        let unquoted = value.strip_prefix(b"\"").unwrap_or(value);
        let unquoted = unquoted.strip_suffix(b"\"").unwrap_or(unquoted);
        found.push((format!("{place}, in quotes"), unquoted.to_vec()));
    }
    for (name, value) in parameters(capture) {
        let place = format!("the parameter {name} of the query string");
        found.push((place.clone(), value.trim().as_bytes().to_vec()));
    }
    // A credential is longer than most of what stands in headers, but not by much.
    let mut seen = BTreeSet::new();
    found.retain(|(_, value)| (4..=4096).contains(&value.len()) && seen.insert(value.clone()));
    found
}
