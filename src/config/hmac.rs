//! `hmac = { … }`: a signature scheme spelled out.

use std::{borrow::Cow, time::Duration};

use super::{
    reader::{Node, Place},
    scalar::{DAY, MINUTE},
};
use crate::signature::{
    Algorithm, Encoding, Form, KeySource, Method, Part, Scheme, SecretForm, Source, TimestampRule,
    Unit, parse_template,
};

/// The oldest signature that may ever be believed.
pub(super) const TOLERANCE_MAX: Duration = DAY;
const TOLERANCE_DEFAULT: Duration = MINUTE.saturating_mul(5);

const HEADER_SHAPE: &str = "the header that holds the signature";
const ALGORITHM_SHAPE: &str = "\"sha1\", \"sha256\" or \"sha512\"";
const ENCODING_SHAPE: &str = "\"hex\" or \"base64\"";

pub(super) fn read_hmac(node: Node<'_>) -> Option<Scheme> {
    let mut table = node.table("a table such as { header = \"X-Signature\", … }")?;
    let place = table.place.clone();
    let header = table.require("header", HEADER_SHAPE);
    let algorithm = table.require("algorithm", ALGORITHM_SHAPE);
    let encoding = table.require("encoding", ENCODING_SHAPE);
    let prefix = table.take("prefix");
    let signed = table.take("signed");
    let timestamp = table.take("timestamp");
    let tolerance = table.take("tolerance");
    table.finish();

    let header = header.and_then(|node| node.header_name());
    let algorithm = algorithm.and_then(|node| node.choice(&ALGORITHMS));
    let encoding = encoding.and_then(|node| node.choice(&ENCODINGS));
    let prefix = prefix.and_then(|node| Some(node.string("a string")?.to_owned()));
    let signed = signed.map_or_else(|| Some(vec![Part::Body]), |node| read_signed(&node));
    let timestamp = read_timestamp(timestamp, tolerance);
    if let (Some(rule), Some(signed)) = (&timestamp, &signed) {
        warn_if_unsigned(rule, signed, &place);
    }
    Some(Scheme {
        name: Cow::Borrowed("hmac"),
        method: Method::Hmac(algorithm?),
        encoding: encoding?,
        signature: Source::Headers(Cow::Owned(vec![Cow::Owned(header?)])),
        guards: Cow::Borrowed(&[]),
        body_sha256: None,
        each: None,
        key: KeySource::Secrets,
        form: Form::Bare {
            prefix: Cow::Owned(prefix.unwrap_or_default()),
        },
        signed: Cow::Owned(signed?),
        timestamp,
        secret_form: SecretForm::Text,
    })
}

const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("sha1", Algorithm::Sha1),
    ("sha256", Algorithm::Sha256),
    ("sha512", Algorithm::Sha512),
];

const ENCODINGS: [(&str, Encoding); 2] = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];

/// A signature that leaves out the body would let anyone write another one.
fn read_signed(node: &Node<'_>) -> Option<Vec<Part>> {
    const SHAPE: &str = "a template such as \"{header:X-Timestamp}.{body}\"";
    let parts = parse_template(node.string(SHAPE)?)
        .map_err(|fault| node.reject(format!("{SHAPE} ({fault})")))
        .ok()?;
    if !parts.contains(&Part::Body) {
        node.reject("a template with {body}: what is not signed can be forged");
        return None;
    }
    Some(parts)
}

/// Tolerates as much of the future as of the past.
fn read_timestamp(node: Option<Node<'_>>, tolerance: Option<Node<'_>>) -> Option<TimestampRule> {
    let Some(node) = node else {
        if let Some(tolerance) = tolerance {
            tolerance
                .place
                .fault("a tolerance without `timestamp`", "both or neither");
        }
        return None;
    };
    let mut table = node.table("a table such as { header = \"X-Timestamp\", unit = \"s\" }")?;
    let header = table.require("header", "the header that holds the time");
    let unit = table.take("unit");
    table.finish();
    let unit = unit.and_then(|node| node.choice(&[("s", Unit::Seconds), ("ms", Unit::Millis)]));
    let tolerance = tolerance
        .and_then(|node| node.duration(TOLERANCE_MAX))
        .unwrap_or(TOLERANCE_DEFAULT);
    Some(TimestampRule {
        source: Part::Header(Cow::Owned(header?.header_name()?)),
        unit: unit.unwrap_or(Unit::Seconds),
        past: Some(tolerance),
        future: Some(tolerance),
    })
}

fn warn_if_unsigned(rule: &TimestampRule, signed: &[Part], place: &Place<'_>) {
    if !signed.contains(&rule.source) {
        place.warn("the timestamp is not part of `signed`, so anyone can renew an old request");
    }
}
