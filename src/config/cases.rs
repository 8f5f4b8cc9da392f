//! `routes.test.toml`: requests, and what is to become of them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeString, DeValue},
};

use super::{
    Faults, Secret,
    load::{take_faults, tree},
    reader::{Context, Node, Place, Table, quoted},
    source::Source,
};
use crate::clock::Timestamp;

/// More than any body that a route takes is not read from a file.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

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

/// One request, and what is to become of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// From 1.
    pub line: usize,
    pub called: Called,
    /// `None`: the route's first.
    pub method: Option<String>,
    /// In the order of the file.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// `None`: a sample that the route takes.
    pub body: Option<Vec<u8>>,
    pub content_type: Option<String>,
    /// Without `?`.
    pub query: Option<String>,
    pub address: Option<IpAddr>,
    /// The certificate that the caller shows: PEM, the leaf first.
    pub certificate: Option<Vec<u8>>,
    pub at: Option<Timestamp>,
    /// Signed as a provider would.
    pub proof: Option<CaseProof>,
    pub expect: Expect,
}

#[derive(Debug)]
pub enum Called {
    Route(String),
    Path(String),
}

/// How a request is signed.
#[derive(Debug, Default)]
pub struct CaseProof {
    /// The event's id, where it stands in a header.
    pub id: Option<String>,
    /// Its type, where it stands in a header.
    pub event_type: Option<String>,
    /// Instead of the route's first.
    pub secret: Option<Secret>,
    /// Where the configuration holds only a digest.
    pub key: Option<Secret>,
    /// Where it holds only a public key: the private one, PEM (PKCS #8).
    pub signing_key: Option<Secret>,
    pub bad_signature: bool,
    pub stale: bool,
}

/// What is compared; at least one of them.
#[derive(Debug, Default)]
pub struct Expect {
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// Of each event.
    pub id: Option<Vec<String>>,
    /// Of each event.
    pub event_type: Option<Vec<String>>,
    /// Sorted, as the next two.
    pub targets: Option<Vec<String>>,
    /// Targets whose `when` does not want the event.
    pub filtered: Option<Vec<String>>,
    /// Targets whose expressions fail on it.
    pub failed: Option<Vec<String>>,
    /// What targets are sent; of several events a list.
    pub bodies: BTreeMap<String, Value>,
    pub answer: Option<Value>,
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
    let method = table.take("method");
    let headers = table.take("headers").map(read_headers);
    let body = read_body(&mut table);
    let content_type = table.take("content_type").and_then(|node| text(&node));
    let query = table.take("query").and_then(|node| text(&node));
    let address = table.take("address").and_then(|node| {
        node.parse("an address such as \"203.0.113.7\"", |text| {
            text.parse().ok()
        })
    });
    let certificate = table.take("certificate").and_then(|node| read_file(&node));
    let at = table.take("at").and_then(|node| node.moment());
    let proof = read_proof(&mut table);
    let expect = table.require(
        "expect",
        "what is to become of it, such as { status = 200 }",
    );
    let expect = expect.and_then(|node| read_expect(node, known));
    table.finish();
    Some(Case {
        name: name?,
        line,
        called: called?,
        method: method.and_then(|node| node.choice(&METHODS).map(str::to_owned)),
        headers: headers.unwrap_or_default(),
        body,
        content_type,
        query: query.map(|query| query.trim_start_matches('?').to_owned()),
        address,
        certificate,
        at,
        proof,
        expect: expect?,
    })
}

/// Some that no route takes: that they are refused can be tested.
const METHODS: [(&str, &str); 7] = [
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("DELETE", "DELETE"),
    ("OPTIONS", "OPTIONS"),
];

fn text(node: &Node<'_>) -> Option<String> {
    Some(node.string("a string")?.to_owned())
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

fn read_headers(node: Node<'_>) -> Vec<(http::HeaderName, http::HeaderValue)> {
    const SHAPE: &str = "a table such as { X-GitHub-Event = \"push\" }";
    let mut headers = Vec::new();
    let entries = node.table(SHAPE).map(Table::named).unwrap_or_default();
    for (name, place, node) in entries {
        let Ok(name) = http::HeaderName::try_from(&name) else {
            place.fault(quoted(&name), "the name of a header");
            continue;
        };
        let values = node.one_or_many().into_iter();
        let values = values.filter_map(|node| {
            node.parse("a value of one line, or a list of such", |text| {
                http::HeaderValue::try_from(text).ok()
            })
        });
        headers.extend(values.map(|value| (name.clone(), value)));
    }
    headers
}

/// One of `body`, `json` and `file`, or none.
fn read_body(table: &mut Table<'_>) -> Option<Vec<u8>> {
    let (body, json, file) = (table.take("body"), table.take("json"), table.take("file"));
    match (body, json, file) {
        (Some(node), None, None) => text(&node).map(String::into_bytes),
        (None, Some(node), None) => Some(document(&node).to_string().into_bytes()),
        (None, None, Some(node)) => read_file(&node),
        (None, None, None) => None,
        _ => {
            let found = "several of `body`, `json` and `file`";
            table.place.fault(found, "the one that is sent");
            None
        }
    }
}

fn read_file(node: &Node<'_>) -> Option<Vec<u8>> {
    let name = node.string("the path of a file")?;
    let path = node.place.resolve(name);
    let read = node.place.context.read(&path, BODY_BYTES_MAX);
    read.map_err(|error| {
        let found = format!("{}, which cannot be read ({error})", quoted(name));
        node.place
            .fault(found, format!("a file at {}", path.display()));
    })
    .ok()
    .map(|bytes| bytes.to_vec())
}

/// A request is signed where the case says so, or how.
fn read_proof(table: &mut Table<'_>) -> Option<CaseProof> {
    let sign = table.take("sign");
    let secret = |node: Node<'_>| node.secret().string("a string").map(Secret::new);
    let how = [
        ("secret", table.take("secret")),
        ("key", table.take("key")),
        ("signing_key", table.take("signing_key")),
        ("bad_signature", table.take("bad_signature")),
        ("stale", table.take("stale")),
        ("id", table.take("id")),
        ("event_type", table.take("event_type")),
    ];
    let says_no = sign.as_ref().and_then(|node| node.boolean()) == Some(false);
    let is_signed = !says_no && (sign.is_some() || how.iter().any(|(_, node)| node.is_some()));
    let mut proof = CaseProof::default();
    let mut flaws = 0;
    for (key, node) in how {
        let Some(node) = node else { continue };
        if says_no {
            let found = format!("`{key}` beside `sign = false`");
            node.place.fault(found, "`sign = true`, or no such key");
        }
        match key {
            "secret" => proof.secret = secret(node),
            "key" => proof.key = secret(node),
            "signing_key" => proof.signing_key = read_file(&node).map(Secret::new),
            "id" => proof.id = text(&node),
            "event_type" => proof.event_type = text(&node),
            _ => {
                let truth = node.boolean().unwrap_or(false);
                flaws += u8::from(truth);
                if flaws > 1 {
                    node.place
                        .fault("both `bad_signature` and `stale`", "one of them");
                }
                match key {
                    "stale" => proof.stale = truth,
                    _ => proof.bad_signature = truth,
                }
            }
        }
    }
    is_signed.then_some(proof)
}

fn read_expect(node: Node<'_>, known: &Known<'_>) -> Option<Expect> {
    const SHAPE: &str = "a table such as { status = 200, targets = [\"crm\"] }";
    let mut table = node.table(SHAPE)?;
    let place = table.place.clone();
    if table.is_empty() {
        place.fault("nothing", SHAPE);
    }
    let status = table
        .take("status")
        .and_then(|node| node.integer(100..=599));
    let reason = table
        .take("reason")
        .and_then(|node| named(&node, known.reasons, "why requests are refused"));
    let mut targets = |key| {
        let node = table.take(key)?;
        let items = node.list("a list of targets such as [\"crm\"]")?;
        let names = items
            .iter()
            .filter_map(|item| named(item, known.targets, "the name of a target"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        Some(names)
    };
    let (all, filtered, failed) = (targets("targets"), targets("filtered"), targets("failed"));
    let texts = |node: Node<'_>| node.one_or_many().iter().filter_map(text).collect();
    let expect = Expect {
        status: status.and_then(|status| u16::try_from(status).ok()),
        reason,
        id: table.take("id").map(texts),
        event_type: table.take("type").map(texts),
        targets: all,
        filtered,
        failed,
        bodies: table
            .take("bodies")
            .map(|node| read_bodies(node, known))
            .unwrap_or_default(),
        answer: table.take("answer").map(|node| document(&node)),
    };
    table.finish();
    Some(expect)
}

fn read_bodies(node: Node<'_>, known: &Known<'_>) -> BTreeMap<String, Value> {
    const SHAPE: &str = "a table such as { crm = { ticket = 1 } }";
    let at = node.place.clone();
    let entries = node.table(SHAPE).map(Table::named);
    if entries.as_ref().is_some_and(Vec::is_empty) {
        at.fault("nothing", SHAPE);
    }
    let entries = entries.unwrap_or_default();
    let body = |(name, place, node): (String, Place<'_>, Node<'_>)| {
        if !known.targets.contains(&name.as_str()) {
            let expected = one_of("the name of a target", known.targets);
            place.unknown(&name, &expected, known.targets.iter().copied());
        }
        (name, document(&node))
    };
    entries.into_iter().map(body).collect()
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
