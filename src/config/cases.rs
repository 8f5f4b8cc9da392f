//! `routes.test.toml`: requests, and what is to become of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeString, DeValue},
};

use super::{
    Faults, Secret,
    load::{take_faults, tree},
    reader::{Context, Node, Table, quoted},
    source::Source,
    store::KEPT_MAX,
};
use crate::clock::Timestamp;

mod expect;
mod request;

pub use expect::Expect;
pub use request::{CaseProof, CaseRequest};
use {expect::read_expect, request::read_request};

/// A file of cases that has been read, but not understood.
pub struct CasesFile(Source);

/// What stands in the place of variables and files of the machine that the gateway will run on.
#[derive(Debug, Default)]
pub struct Stand {
    pub variables: BTreeMap<String, Secret>,
    /// By absolute path.
    pub files: BTreeMap<PathBuf, Secret>,
}

/// The names that cases may use.
pub struct Known<'n> {
    pub routes: &'n [&'n str],
    pub targets: &'n [&'n str],
    /// Why requests are refused.
    pub reasons: &'n [&'n str],
}

/// One request, or several, and what is to become of each.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// From 1.
    pub line: usize,
    pub called: Called,
    pub at: Option<Timestamp>,
    pub request: CaseRequest,
    pub expect: Expect,
    /// What comes after it, of a gateway that remembers what came before.
    pub again: Vec<Again>,
}

/// The case's request another time, as it was or otherwise.
#[derive(Debug)]
pub struct Again {
    /// Since the request before it.
    pub after: Duration,
    /// Whole: with what it has of the case's.
    pub request: CaseRequest,
    pub expect: Expect,
}

#[derive(Debug)]
pub enum Called {
    Route(String),
    Path(String),
}

impl CasesFile {
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let text = std::fs::read_to_string(path);
        let text =
            text.map_err(|error| Faults::of_file(path, format!("no readable file ({error})")))?;
        Ok(Self(Source::of_file(path, text)))
    }

    /// `[env]` and `[files]`.
    pub fn stand(&self) -> Result<Stand, Faults> {
        let context = Context::new(&|_| None);
        let mut root = Table::root(&context, &self.0, tree(&context, &self.0));
        let stand = read_stand(&mut root);
        take_faults(&context).map_or(Ok(stand), Err)
    }

    pub fn cases(&self, known: &Known<'_>) -> Result<Vec<Case>, Faults> {
        let context = Context::new(&|_| None);
        let mut root = Table::root(&context, &self.0, tree(&context, &self.0));
        read_stand(&mut root);
        let cases = root.take("case").and_then(|node| node.list(CASES_SHAPE));
        root.finish();
        let mut names: Vec<String> = Vec::new();
        let mut read = Vec::new();
        for node in cases.unwrap_or_default() {
            let place = node.place.clone();
            let Some(case) = read_case(node, known) else {
                continue;
            };
            if names.contains(&case.name) {
                place.fault(
                    format!("{} a second time", quoted(&case.name)),
                    "another name",
                );
            }
            names.push(case.name.clone());
            read.push(case);
        }
        take_faults(&context).map_or(Ok(read), Err)
    }
}

const CASES_SHAPE: &str = "tables under [[case]]";

fn read_stand(root: &mut Table<'_>) -> Stand {
    let base = root.place.source.base.clone();
    let mut texts = |key| {
        let entries = root.section(key).secret().named().into_iter();
        let texts = entries.filter_map(|(name, _, node)| {
            let text = node.string("a string")?;
            Some((name, Secret::new(text)))
        });
        texts.collect::<Vec<_>>()
    };
    let variables = texts("env").into_iter().collect();
    let files = texts("files").into_iter();
    let files = files.map(|(name, text)| (absolute(&base.join(name)), text));
    Stand {
        variables,
        files: files.collect(),
    }
}

/// The same for whatever way one file is named in.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read_case(node: Node<'_>, known: &Known<'_>) -> Option<Case> {
    let (line, ..) = node.place.source.position(&node.place.span);
    let mut table = node.table("a table under [[case]]")?;
    let name = table.require(
        "name",
        "what the case is about, such as \"a push is accepted\"",
    );
    let name = name.and_then(|node| Some(node.string("a string")?.to_owned()));
    let called = read_called(&mut table, known);
    let at = table.take("at").and_then(|node| node.moment());
    let request = read_request(&mut table, &CaseRequest::default());
    let expect = read_expectation(&mut table, known);
    let again = table.take("again");
    let again = again.and_then(|node| node.list("tables under [[case.again]]"));
    let again = again.unwrap_or_default().into_iter();
    let again: Vec<_> = again
        .filter_map(|node| read_again(node, &request, known))
        .collect();
    table.finish();
    Some(Case {
        name: name?,
        line,
        called: called?,
        at,
        request,
        expect: expect?,
        again,
    })
}

fn read_again(node: Node<'_>, request: &CaseRequest, known: &Known<'_>) -> Option<Again> {
    let mut table = node.table("a table under [[case.again]]")?;
    let after = table.duration("after", Duration::ZERO, KEPT_MAX);
    let request = read_request(&mut table, request);
    let expect = read_expectation(&mut table, known);
    table.finish();
    Some(Again {
        after,
        request,
        expect: expect?,
    })
}

fn read_expectation(table: &mut Table<'_>, known: &Known<'_>) -> Option<Expect> {
    let node = table.require(
        "expect",
        "what is to become of it, such as { status = 200 }",
    );
    node.and_then(|node| read_expect(node, known))
}

/// Exactly one of `route` and `path`.
fn read_called(table: &mut Table<'_>, known: &Known<'_>) -> Option<Called> {
    match (table.take("route"), table.take("path")) {
        (Some(node), None) => named(&node, known.routes, "the name of a route").map(Called::Route),
        (None, Some(node)) => node
            .parse("a path such as \"/hooks/crm\"", |text| {
                let is_path = text.starts_with('/') && !text.contains(['?', '#']);
                (is_path && http::Uri::try_from(text).is_ok()).then(|| text.to_owned())
            })
            .map(Called::Path),
        (None, None) => {
            let expected = "the route that is called, or `path` for an address";
            table.place.missing("route", expected);
            None
        }
        (Some(_), Some(node)) => {
            node.place.fault("`path` beside `route`", "one of them");
            None
        }
    }
}

fn named(node: &Node<'_>, names: &[&str], expected: &str) -> Option<String> {
    let expected = one_of(expected, names);
    let name = node.string(&expected)?;
    if !names.contains(&name) {
        node.place.unknown(name, &expected, names.iter().copied());
        return None;
    }
    Some(name.to_owned())
}

fn one_of(expected: &str, names: &[&str]) -> String {
    format!("{expected}: one of {}", names.join(", "))
}

fn text(node: &Node<'_>) -> Option<String> {
    Some(node.string("a string")?.to_owned())
}

/// Nothing only after a fault.
fn document(node: &Node<'_>) -> Value {
    let document = json_of(&node.value);
    if document.is_none() {
        let expected = "numbers of at most 64 bits, neither `inf` nor `nan`";
        node.place
            .fault("a number that cannot be told in JSON", expected);
    }
    document.unwrap_or_default()
}

/// A value of TOML as JSON; dates are text.
fn json_of(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Number(Number::from_f64(number.as_str().parse().ok()?)?),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json_of(item.get_ref()));
            Value::Array(items.collect::<Option<_>>()?)
        }
        DeValue::Table(entries) => {
            let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
                Some((key.get_ref().to_string(), json_of(value.get_ref())?))
            };
            Value::Object(entries.iter().map(entry).collect::<Option<Map<_, _>>>()?)
        }
    })
}
