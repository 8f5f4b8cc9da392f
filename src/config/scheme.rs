//! `hmac = { … }` and its like: signature schemes spelled out.

use std::{borrow::Cow, time::Duration};

use super::{
    reader::{Node, Table, quoted},
    scalar::{DAY, MINUTE, NAME_SHAPE, is_name},
};
use crate::signature::{
    Algorithm, Encoding, Form, Guard, KeySource, Method, Part, REGION, Scheme, SecretForm, Source,
    Test, TimestampRule, Unit, parse_template,
};

mod check;
mod print;

pub use print::{parse_schemes, schemes_text};

/// The oldest signature that may ever be believed.
pub(super) const TOLERANCE_MAX: Duration = DAY;
const TOLERANCE_DEFAULT: Duration = MINUTE.saturating_mul(5);
/// Where the age does not count.
const ANY: &str = "any";

/// What a scheme may stand under.
pub(super) const KINDS: [&str; 6] = ["hmac", "hash", "equal", "ed25519", "ecdsa_p256", "rsa"];
pub(super) const FIRST_OF: &str = "first_of";

const SOURCE_SHAPE: &str = "the header that holds the signature";
const ALGORITHM_SHAPE: &str = "\"sha1\", \"sha256\" or \"sha512\"";
const ENCODING_SHAPE: &str = "\"hex\" or \"base64\"";
const POINTER_SHAPE: &str = "a JSON pointer such as \"/signature/timestamp\"";
const SIGNED_SHAPE: &str = "a template such as \"{header:X-Timestamp}.{body}\"";

const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("sha1", Algorithm::Sha1),
    ("sha256", Algorithm::Sha256),
    ("sha512", Algorithm::Sha512),
];
const ENCODINGS: [(&str, Encoding); 2] = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
const UNITS: [(&str, Unit); 3] = [
    ("s", Unit::Seconds),
    ("ms", Unit::Millis),
    ("rfc3339", Unit::Rfc3339),
];

/// The kinds of signature that stand in `table`.
pub(super) fn take<'a>(table: &mut Table<'a>) -> Vec<(&'static str, Node<'a>)> {
    let kinds = KINDS.into_iter().chain([FIRST_OF]);
    kinds
        .filter_map(|kind| Some((kind, table.take(kind)?)))
        .collect()
}

/// One scheme, or those of `first_of`; `None` only after a fault.
pub(super) fn read_schemes(kind: &'static str, node: Node<'_>) -> Option<Vec<Scheme>> {
    if kind != FIRST_OF {
        return Some(vec![read_scheme(kind, node, kind.to_owned())?]);
    }
    const SHAPE: &str =
        "a list such as [{ name = \"v2\", hmac = { … } }, { name = \"v1\", hmac = { … } }]";
    let place = node.place.clone();
    let items = node.list(SHAPE)?;
    if items.is_empty() {
        place.fault("an empty list", SHAPE);
    }
    let mut schemes: Vec<Scheme> = Vec::new();
    for item in items {
        let place = item.place.clone();
        let scheme = read_named(item)?;
        if schemes.iter().any(|other| other.name == scheme.name) {
            place.fault(
                format!("{} a second time", quoted(&scheme.name)),
                "another name",
            );
        }
        schemes.push(scheme);
    }
    (!schemes.is_empty()).then_some(schemes)
}

fn read_named(node: Node<'_>) -> Option<Scheme> {
    let place = node.place.clone();
    let mut table = node.table("a table such as { name = \"v1\", hmac = { … } }")?;
    let name = table.require("name", NAME_SHAPE);
    let kinds = KINDS.into_iter();
    let mut found: Vec<_> = kinds
        .filter_map(|kind| Some((kind, table.take(kind)?)))
        .collect();
    table.finish();
    let name =
        name.and_then(|node| node.parse(NAME_SHAPE, |text| is_name(text).then(|| text.to_owned())));
    let (Some((kind, node)), true) = (found.pop(), found.is_empty()) else {
        let names: Vec<_> = KINDS.iter().map(|kind| format!("`{kind}`")).collect();
        place.fault(
            "none or several schemes",
            format!("one of {}", names.join(", ")),
        );
        return None;
    };
    read_scheme(kind, node, name?)
}

fn read_scheme(kind: &'static str, node: Node<'_>, name: String) -> Option<Scheme> {
    let mut table = node.table("a table such as { header = \"X-Signature\", … }")?;
    let place = table.place.clone();
    let signature = read_source(&mut table);
    let method = read_method(kind, &mut table);
    let encoding = match kind {
        "equal" => Some(Encoding::Text),
        _ => {
            let node = table.require("encoding", ENCODING_SHAPE);
            node.and_then(|node| node.choice(&ENCODINGS))
        }
    };
    let form = read_form(&mut table);
    let signed = match kind {
        "equal" => Some(Vec::new()),
        _ => table
            .take("signed")
            .map_or_else(|| Some(vec![Part::Body]), |node| read_signed(&node)),
    };
    let timestamp = read_timestamp(&mut table);
    let key = match table.take("certificate") {
        Some(node) => read_certificate(node),
        None => Some(KeySource::Secrets),
    };
    let secret_form = match table.take("secret_form") {
        Some(node) => read_secret_form(node),
        None if method.is_some_and(Method::has_public_key) => Some(SecretForm::Spki),
        None => Some(SecretForm::Text),
    };
    let guards = read_guards(table.take("when"));
    let body_sha256 = table.take("body_sha256").map(|node| read_part(&node));
    let each = table.take("each").map(|node| read_pointer(&node));
    let allowed = table.flag("allow_unsigned_body", false);
    table.finish();

    let scheme = Scheme {
        name: Cow::Owned(name),
        method: method?,
        encoding: encoding?,
        signature: signature?,
        form: form?,
        signed: Cow::Owned(signed?),
        timestamp: timestamp?,
        secret_form: secret_form?,
        guards: Cow::Owned(guards?),
        body_sha256: transposed(body_sha256)?,
        each: transposed(each)?,
        key: key?,
    };
    check::check(&scheme, allowed, &place);
    Some(scheme)
}

/// `None` when it is there and faulty.
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(some) => Some(some),
        None => Some(None),
    }
}

fn read_method(kind: &str, table: &mut Table<'_>) -> Option<Method> {
    let mut algorithm = || {
        let node = table.require("algorithm", ALGORITHM_SHAPE);
        node.and_then(|node| node.choice(&ALGORITHMS))
    };
    Some(match kind {
        "hmac" => Method::Hmac(algorithm()?),
        "hash" => Method::Digest(algorithm()?),
        "rsa" => Method::Rsa(algorithm()?),
        "ed25519" => Method::Ed25519,
        "ecdsa_p256" => Method::EcdsaP256,
        _ => Method::Equal,
    })
}

/// Exactly one of the places.
fn read_source(table: &mut Table<'_>) -> Option<Source> {
    let header = table.take("header");
    let numbered = table.take("numbered_header");
    let paired = table.take("paired_headers");
    let json = table.take("json");
    let query = table.take("query");
    match (header, numbered, paired, json, query) {
        (Some(node), None, None, None, None) => read_headers(node).map(Source::Headers),
        (None, Some(node), None, None, None) => Some(Source::Numbered(node.header_name()?.into())),
        (None, None, Some(node), None, None) => read_headers(node).map(Source::Paired),
        (None, None, None, Some(node), None) => read_pointer(&node).map(Source::Json),
        (None, None, None, None, Some(node)) => read_word(&node).map(Source::Query),
        (None, None, None, None, None) => {
            table.place.missing("header", SOURCE_SHAPE);
            None
        }
        _ => {
            table.place.fault(
                "several of `header`, `numbered_header`, `paired_headers`, `json` and `query`",
                "the one place where the signature stands",
            );
            None
        }
    }
}

fn read_headers(node: Node<'_>) -> Option<Cow<'static, [Cow<'static, str>]>> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        place.fault("an empty list", SOURCE_SHAPE);
        return None;
    }
    let names = nodes
        .iter()
        .map(|node| Some(Cow::Owned(node.header_name()?)));
    names.collect::<Option<Vec<_>>>().map(Cow::Owned)
}

fn read_pointer(node: &Node<'_>) -> Option<Cow<'static, str>> {
    node.parse(POINTER_SHAPE, |text| {
        text.starts_with('/').then(|| Cow::Owned(text.to_owned()))
    })
}

fn read_word(node: &Node<'_>) -> Option<Cow<'static, str>> {
    node.parse("a name", |text| {
        (!text.is_empty()).then(|| Cow::Owned(text.to_owned()))
    })
}

/// `prefix`, `pairs` or `version`; none of them: the signature alone.
fn read_form(table: &mut Table<'_>) -> Option<Form> {
    let prefix = table.take("prefix");
    let pairs = table.take("pairs");
    let version = table.take("version");
    match (prefix, pairs, version) {
        (None, None, None) => Some(Form::Bare { prefix: "".into() }),
        (Some(node), None, None) => Some(Form::Bare {
            prefix: Cow::Owned(node.string("a string")?.to_owned()),
        }),
        (None, Some(node), None) => {
            let mut table = node.table("a table such as { separator = \",\", key = \"v1\" }")?;
            let separator = table.take("separator");
            let key = table.require("key", "the key of the signatures");
            table.finish();
            let separator = separator.map_or(Some(','), |node| read_separator(&node));
            Some(Form::Pairs {
                signature_key: read_word(&key?)?,
                separator: separator?,
            })
        }
        (None, None, Some(node)) => Some(Form::Versions {
            version: read_word(&node)?,
        }),
        _ => {
            let found = "several of `prefix`, `pairs` and `version`";
            table
                .place
                .fault(found, "the one shape that the signature has");
            None
        }
    }
}

fn read_separator(node: &Node<'_>) -> Option<char> {
    node.parse("one character of ASCII such as \",\"", |text| {
        let mut chars = text.chars();
        let (only, rest) = (chars.next()?, chars.next());
        (only.is_ascii() && rest.is_none()).then_some(only)
    })
}

fn read_signed(node: &Node<'_>) -> Option<Vec<Part>> {
    parse_template(node.string(SIGNED_SHAPE)?)
        .map_err(|fault| node.reject(format!("{SIGNED_SHAPE} ({fault})")))
        .ok()
}

/// A template of one placeholder.
fn read_part(node: &Node<'_>) -> Option<Part> {
    const SHAPE: &str = "one placeholder such as \"{query:bodySHA256}\"";
    let parts = parse_template(node.string(SHAPE)?)
        .map_err(|fault| node.reject(format!("{SHAPE} ({fault})")))
        .ok()?;
    match <[Part; 1]>::try_from(parts) {
        Ok([part]) if !matches!(part, Part::Literal(_)) => Some(part),
        _ => {
            node.reject(SHAPE);
            None
        }
    }
}

/// Tolerates as much of the future as of the past, unless `future` says otherwise. `None` only after a fault.
fn read_timestamp(table: &mut Table<'_>) -> Option<Option<TimestampRule>> {
    let timestamp = table.take("timestamp");
    let tolerance = table.take("tolerance");
    let future = table.take("future");
    let Some(node) = timestamp else {
        for (node, name) in [(tolerance, "tolerance"), (future, "future")] {
            if let Some(node) = node {
                let found = format!("a {name} without `timestamp`");
                node.place.fault(found, "both or neither");
            }
        }
        return Some(None);
    };
    let mut table = node.table("a table such as { header = \"X-Timestamp\", unit = \"s\" }")?;
    let source = read_place(&mut table, "the header that holds the time");
    let unit = table.take("unit");
    table.finish();
    let unit = unit.map_or(Some(Unit::Seconds), |node| node.choice(&UNITS));
    let past = tolerance.map_or(Some(Some(TOLERANCE_DEFAULT)), |node| read_tolerance(&node));
    let future = future.map_or(past, |node| read_tolerance(&node));
    Some(Some(TimestampRule {
        source: source?,
        unit: unit?,
        past: past?,
        future: future?,
    }))
}

/// A duration, or `"any"`.
fn read_tolerance(node: &Node<'_>) -> Option<Option<Duration>> {
    match node.value.as_str() {
        Some(ANY) => Some(None),
        _ => node.duration(TOLERANCE_MAX).map(Some),
    }
}

/// One of `header`, `sig`, `json` and `query`.
fn read_place(table: &mut Table<'_>, expected: &str) -> Option<Part> {
    let header = table.take("header");
    let pair = table.take("sig");
    let json = table.take("json");
    let query = table.take("query");
    match (header, pair, json, query) {
        (Some(node), None, None, None) => Some(Part::Header(node.header_name()?.into())),
        (None, Some(node), None, None) => read_word(&node).map(Part::Pair),
        (None, None, Some(node), None) => read_pointer(&node).map(Part::Json),
        (None, None, None, Some(node)) => read_word(&node).map(Part::Query),
        (None, None, None, None) => {
            table.place.missing("header", expected);
            None
        }
        _ => {
            let found = "several of `header`, `sig`, `json` and `query`";
            table.place.fault(found, "one place");
            None
        }
    }
}

fn read_secret_form(node: Node<'_>) -> Option<SecretForm> {
    const SHAPE: &str =
        "\"text\", \"hex\", \"spki\", { base64 = \"PREFIX\" } or { base64_or_text = \"PREFIX\" }";
    if !node.is_table() {
        return node.parse(SHAPE, |text| match text {
            "text" => Some(SecretForm::Text),
            "hex" => Some(SecretForm::Hex),
            "spki" => Some(SecretForm::Spki),
            _ => None,
        });
    }
    let place = node.place.clone();
    let mut table = node.table(SHAPE)?;
    let base64 = table.take("base64");
    let or_text = table.take("base64_or_text");
    let required = table.take("required");
    table.finish();
    let prefix = |node: Node<'_>| Some(Cow::Owned(node.string("a prefix")?.to_owned()));
    match (base64, or_text, required) {
        (Some(node), None, required) => Some(SecretForm::Base64 {
            prefix: prefix(node)?,
            required: required.map_or(Some(false), |node| node.boolean())?,
        }),
        (None, Some(node), None) => Some(SecretForm::Base64OrText {
            prefix: prefix(node)?,
        }),
        _ => {
            place.fault(
                "none or several forms, or `required` without `base64`",
                SHAPE,
            );
            None
        }
    }
}

/// What a request must have for the scheme to apply.
fn read_guards(node: Option<Node<'_>>) -> Option<Vec<Guard>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let nodes = node.list("a list such as [{ header = \"X-Signature-Version\", is = \"1\" }]")?;
    nodes.into_iter().map(read_guard).collect()
}

fn read_guard(node: Node<'_>) -> Option<Guard> {
    const SHAPE: &str = "one of `present = true`, `is`, `starts_with` and `contains`";
    let mut table =
        node.table("a table such as { header = \"X-Signature-Version\", is = \"1\" }")?;
    let place = table.place.clone();
    let guarded = read_place(&mut table, "a header, or `json` or `query`");
    let present = table.take("present");
    let is = table.take("is");
    let start = table.take("starts_with");
    let part = table.take("contains");
    table.finish();
    let text = |node: &Node<'_>| read_word(node);
    let test = match (present, is, start, part) {
        (Some(node), None, None, None) => match node.boolean()? {
            true => Some(Test::Present),
            false => {
                node.reject("true");
                None
            }
        },
        (None, Some(node), None, None) => text(&node).map(Test::Is),
        (None, None, Some(node), None) => text(&node).map(Test::StartsWith),
        (None, None, None, Some(node)) => text(&node).map(Test::Contains),
        _ => {
            place.fault("no test, or several", SHAPE);
            None
        }
    };
    Some(Guard {
        place: guarded?,
        test: test?,
    })
}

fn read_certificate(node: Node<'_>) -> Option<KeySource> {
    const HOSTS_SHAPE: &str = "a list of host names such as [\"*.example.com\"]";
    let mut table =
        node.table("a table such as { url = \"{header:X-Cert-Url}\", hosts = [ … ] }")?;
    let url = table.require("url", "where the request names the certificate's address");
    let hosts = table.require("hosts", HOSTS_SHAPE);
    let path_ends = table.take("path_ends");
    table.finish();
    let url = url.and_then(|node| read_part(&node));
    let hosts = hosts.and_then(|node| {
        let place = node.place.clone();
        let hosts = node.list(HOSTS_SHAPE)?;
        if hosts.is_empty() {
            place.fault("an empty list", HOSTS_SHAPE);
        }
        let hosts = hosts.iter().map(|node| node.parse(HOST_SHAPE, host));
        hosts.collect::<Option<Vec<_>>>()
    });
    let path_ends = path_ends.map_or(Some(String::new()), |node| {
        Some(
            node.string("what the path ends with, e.g. \".pem\"")?
                .to_owned(),
        )
    });
    Some(KeySource::Certificate {
        url: url?,
        hosts: hosts?.into(),
        path_ends: path_ends?.into(),
    })
}

const HOST_SHAPE: &str = "a host name; `*` stands for one label, at the beginning for one or more, `{region}` for a region of Amazon's, not for the last two";
const ANY_LABEL: &str = "*";

/// A pattern must end in two labels of its own: else anybody's host would fit.
fn host(text: &str) -> Option<Cow<'static, str>> {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(inner);
    let mut labels = text.rsplit('.');
    let own = labels.next().is_some_and(is_label) && labels.next().is_some_and(is_label);
    let rest = labels.all(|label| [ANY_LABEL, REGION].contains(&label) || is_label(label));
    (own && rest).then(|| text.to_owned().into())
}
