//! The presets, against the providers' own published examples and against themselves.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookgate::{
    payload::{self, Content},
    providers::{PRESETS, Preset, preset},
    signature::{Headers, Repeated},
};
use serde::Deserialize;
use serde_json::Value;

mod gateway;
mod library;
mod show;
mod table;

/// A request of a provider, and whether the provider's own libraries take it.
#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    secret: Secrets,
    method: String,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    body_b64: String,
    /// `None`: the verdict does not depend on the time.
    now_unix: Option<i64>,
    valid: bool,
    expected_event_id: Option<String>,
    #[serde(default)]
    extra: Value,
}

/// One, or several in their order.
#[derive(Deserialize)]
#[serde(untagged)]
enum Secrets {
    One(String),
    Several(Vec<String>),
}

impl Vector {
    /// All 107 of them.
    fn all() -> Vec<Self> {
        let text = include_str!("../vectors/vectors.json");
        let vectors: Vec<Self> = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.len(), 107);
        vectors
    }

    fn preset(&self) -> &'static Preset {
        preset(&self.provider).unwrap_or_else(|| panic!("no preset for {}", self.provider))
    }

    fn secrets(&self) -> &[String] {
        match &self.secret {
            Secrets::One(secret) => std::slice::from_ref(secret),
            Secrets::Several(secrets) => secrets,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body_b64).unwrap()
    }

    /// What the body is to a route that takes what its preset says.
    fn content(&self) -> Option<Content> {
        let preset = self.preset();
        let json_types = preset.json_types.iter().map(|&name| name.to_owned());
        let json_types: Vec<_> = json_types.collect();
        Content::of(self.header("content-type"), preset.content, &json_types)
    }

    fn document(&self) -> Option<Value> {
        let body = self.body();
        let document = payload::document(self.content()?, &body).ok()??;
        serde_json::from_slice(&document).ok()
    }
}

impl Headers for Vector {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        Ok(self.header(name).map(str::as_bytes))
    }
}

/// The providers of which there are vectors, each with how many are refused and how many are valid.
fn tally() -> BTreeMap<String, [usize; 2]> {
    let mut tally: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for vector in Vector::all() {
        tally.entry(vector.provider).or_default()[usize::from(vector.valid)] += 1;
    }
    assert!(tally.len() > 35, "{tally:?}");
    tally
}
