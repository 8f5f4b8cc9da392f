//! What is sent.

use std::net::IpAddr;

use super::{document, text};
use crate::config::{
    Secret,
    reader::{Node, Table, quoted},
};

/// More than any body that a route takes is not read from a file.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Clone, Debug, Default)]
pub struct CaseRequest {
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
    /// Signed as a provider would.
    pub proof: Option<CaseProof>,
}

/// How a request is signed.
#[derive(Clone, Debug, Default)]
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

/// What `table` leaves out is as in `base`.
pub(super) fn read_request(table: &mut Table<'_>, base: &CaseRequest) -> CaseRequest {
    let method = table.take("method");
    let method = method.and_then(|node| node.choice(&METHODS).map(str::to_owned));
    let headers = table.take("headers").map(read_headers);
    let body = read_body(table);
    let mut words = |key| table.take(key).and_then(|node| text(&node));
    let (content_type, query) = (words("content_type"), words("query"));
    let query = query.map(|query| query.trim_start_matches('?').to_owned());
    let address = table.take("address").and_then(|node| {
        node.parse("an address such as \"203.0.113.7\"", |text| {
            text.parse().ok()
        })
    });
    let certificate = table.take("certificate").and_then(|node| read_file(&node));
    CaseRequest {
        method: method.or_else(|| base.method.clone()),
        headers: headers.unwrap_or_else(|| base.headers.clone()),
        body: body.or_else(|| base.body.clone()),
        content_type: content_type.or_else(|| base.content_type.clone()),
        query: query.or_else(|| base.query.clone()),
        address: address.or(base.address),
        certificate: certificate.or_else(|| base.certificate.clone()),
        proof: read_proof(table, base.proof.as_ref()),
    }
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
fn read_proof(table: &mut Table<'_>, base: Option<&CaseProof>) -> Option<CaseProof> {
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
    let is_told = sign.is_some() || how.iter().any(|(_, node)| node.is_some());
    let is_signed = !says_no && (is_told || base.is_some());
    let mut proof = base.cloned().unwrap_or_default();
    let is_flaw = |key: &str| matches!(key, "bad_signature" | "stale");
    if how.iter().any(|(key, node)| is_flaw(key) && node.is_some()) {
        (proof.bad_signature, proof.stale) = (false, false);
    }
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
