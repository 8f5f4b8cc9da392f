//! Schemes as the text that is read as them.

use std::{path::Path, time::Duration};

use toml::de::DeTable;

use super::{ALGORITHMS, ANY, ENCODINGS, FIRST_OF, UNITS, read_schemes, take};
use crate::{
    config::{
        Faults,
        load::take_faults,
        reader::{Context, Table},
        scalar::shown,
        source::Source as File,
    },
    signature::{
        Encoding, Form, KeySource, Method, Part, Scheme, SecretForm, Source, Test, TimestampRule,
        template_text,
    },
};

/// What stands for `schemes` in a table of `verify`, beside `secrets`: one key and its value, e.g. `hmac = { … }`.
/// [`parse_schemes`] reads it back.
pub fn schemes_text(schemes: &[Scheme]) -> String {
    if let [only] = schemes
        && only.name == kind(only)
    {
        return format!("{} = {}", kind(only), scheme_text(only));
    }
    let mut text = format!("{FIRST_OF} = [\n");
    for scheme in schemes {
        let (name, kind) = (quoted(&scheme.name), kind(scheme));
        text.push_str(&format!(
            "  {{ name = {name}, {kind} = {} }},\n",
            scheme_text(scheme)
        ));
    }
    text + "]"
}

/// The schemes of one key and its value, as they stand in a table of `verify`.
pub fn parse_schemes(text: &str) -> Result<Vec<Scheme>, Faults> {
    let name = Path::new("scheme");
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        return Err(Faults::of_file(name, error.message().to_owned()));
    }
    let context = Context::new(&|_| None);
    let file = File::of_text("scheme", "", text);
    let mut table = Table::root(&context, &file, root.into_inner());
    let schemes: Vec<_> = take(&mut table)
        .into_iter()
        .filter_map(|(kind, node)| read_schemes(kind, node))
        .flatten()
        .collect();
    table.finish();
    match take_faults(&context) {
        Some(faults) => Err(faults),
        None => Ok(schemes),
    }
}

const fn kind(scheme: &Scheme) -> &'static str {
    match scheme.method {
        Method::Hmac(_) => "hmac",
        Method::Digest(_) => "hash",
        Method::Equal => "equal",
        Method::Ed25519 => "ed25519",
        Method::EcdsaP256 => "ecdsa_p256",
        Method::Rsa(_) => "rsa",
    }
}

/// An inline table.
fn scheme_text(scheme: &Scheme) -> String {
    let mut keys = vec![source(&scheme.signature)];
    if let Method::Hmac(algorithm) | Method::Digest(algorithm) | Method::Rsa(algorithm) =
        scheme.method
    {
        keys.push(format!("algorithm = {}", named(&ALGORITHMS, algorithm)));
    }
    if scheme.encoding != Encoding::Text {
        keys.push(format!("encoding = {}", named(&ENCODINGS, scheme.encoding)));
    }
    keys.extend(form(&scheme.form));
    if scheme.method != Method::Equal && *scheme.signed != [Part::Body] {
        keys.push(format!(
            "signed = {}",
            quoted(&template_text(&scheme.signed))
        ));
    }
    keys.extend(scheme.timestamp.as_ref().map(timestamp));
    keys.extend(secret_form(scheme));
    if !scheme.guards.is_empty() {
        let guards = scheme.guards.iter().map(|guard| {
            let test = match &guard.test {
                Test::Present => "present = true".to_owned(),
                Test::Is(text) => format!("is = {}", quoted(text)),
                Test::StartsWith(text) => format!("starts_with = {}", quoted(text)),
                Test::Contains(text) => format!("contains = {}", quoted(text)),
            };
            format!("{{ {}, {test} }}", place(&guard.place))
        });
        keys.push(format!(
            "when = [{}]",
            guards.collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(part) = &scheme.body_sha256 {
        keys.push(format!("body_sha256 = {}", quoted(&part.to_string())));
    }
    if let Some(pointer) = &scheme.each {
        keys.push(format!("each = {}", quoted(pointer)));
    }
    if let KeySource::Certificate {
        url,
        hosts,
        path_ends,
    } = &scheme.key
    {
        keys.push(format!(
            "certificate = {{ url = {}, hosts = {}, path_ends = {} }}",
            quoted(&url.to_string()),
            list(hosts),
            quoted(path_ends)
        ));
    }
    if scheme.method != Method::Equal && !scheme.covers_body() {
        keys.push("allow_unsigned_body = true".to_owned());
    }
    format!("{{ {} }}", keys.join(", "))
}

fn source(source: &Source) -> String {
    match source {
        Source::Headers(names) => match &**names {
            [only] => format!("header = {}", quoted(only)),
            names => format!("header = {}", list(names)),
        },
        Source::Numbered(name) => format!("numbered_header = {}", quoted(name)),
        Source::Paired(names) => format!("paired_headers = {}", list(names)),
        Source::Json(pointer) => format!("json = {}", quoted(pointer)),
        Source::Query(name) => format!("query = {}", quoted(name)),
    }
}

fn form(form: &Form) -> Option<String> {
    match form {
        Form::Bare { prefix } if prefix.is_empty() => None,
        Form::Bare { prefix } => Some(format!("prefix = {}", quoted(prefix))),
        Form::Versions { version } => Some(format!("version = {}", quoted(version))),
        Form::Pairs {
            separator,
            signature_key,
        } => {
            let separator = quoted(&separator.to_string());
            let key = quoted(signature_key);
            Some(format!(
                "pairs = {{ separator = {separator}, key = {key} }}"
            ))
        }
    }
}

fn timestamp(rule: &TimestampRule) -> String {
    let place = place(&rule.source);
    let unit = named(&UNITS, rule.unit);
    let past = tolerance(rule.past);
    let mut text = format!("timestamp = {{ {place}, unit = {unit} }}, tolerance = {past}");
    if rule.future != rule.past {
        text.push_str(&format!(", future = {}", tolerance(rule.future)));
    }
    text
}

fn tolerance(duration: Option<Duration>) -> String {
    quoted(&duration.map_or_else(|| ANY.to_owned(), shown))
}

fn place(part: &Part) -> String {
    match part {
        Part::Pair(key) => format!("sig = {}", quoted(key)),
        Part::Json(pointer) => format!("json = {}", quoted(pointer)),
        Part::Query(name) => format!("query = {}", quoted(name)),
        Part::Header(name) => format!("header = {}", quoted(name)),
        // No scheme has another part there.
        other => format!("header = {}", quoted(&other.to_string())),
    }
}

fn secret_form(scheme: &Scheme) -> Option<String> {
    let default = match scheme.method.has_public_key() {
        true => SecretForm::Spki,
        false => SecretForm::Text,
    };
    let value = match &scheme.secret_form {
        form if *form == default => return None,
        SecretForm::Text => quoted("text"),
        SecretForm::Hex => quoted("hex"),
        SecretForm::Spki => quoted("spki"),
        SecretForm::Base64OrText { prefix } => {
            format!("{{ base64_or_text = {} }}", quoted(prefix))
        }
        SecretForm::Base64 { prefix, required } => match required {
            true => format!("{{ base64 = {}, required = true }}", quoted(prefix)),
            false => format!("{{ base64 = {} }}", quoted(prefix)),
        },
    };
    Some(format!("secret_form = {value}"))
}

fn named<T: PartialEq>(names: &[(&str, T)], wanted: T) -> String {
    let found = names.iter().find(|(_, value)| *value == wanted);
    quoted(found.map_or("", |(name, _)| name))
}

fn list(texts: &[std::borrow::Cow<'static, str>]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A string of TOML on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
