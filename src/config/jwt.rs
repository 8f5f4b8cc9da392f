//! `jwt = { … }`: a token, and where its key is found.

use std::{borrow::Cow, time::Duration};

use super::{
    JwtKeySource, JwtVerifier, Verifier,
    credentials::read_token_secrets,
    reader::{Node, Place, Table, quoted},
    scalar::MINUTE,
    scheme::TOLERANCE_MAX,
};
use crate::signature::jwt::{Audience, JwtAlgorithm, JwtRule, KeySet};

/// How far the clocks may be apart. More would keep tokens alive that have expired.
const LEEWAY_MAX: Duration = MINUTE.saturating_mul(10);
const LEEWAY_DEFAULT: Duration = MINUTE;
/// Bytes of a JWKS in a file.
const JWKS_BYTES_MAX: u64 = 256 * 1024;

const KEYS_SHAPE: &str = "`jwks_url`, `jwks_file`, or `secrets` beside `jwt` (HS256)";
const NAMES_SHAPE: &str = "a string, a list of strings, or false for any";

/// `secrets` stands beside `jwt`.
pub(super) fn read_jwt(node: Node<'_>, secrets: Option<Node<'_>>) -> Option<Verifier> {
    const SHAPE: &str = "a table such as { jwks_url = \"https://…\", issuer = \"https://…\", audience = \"hooks\" }";
    let mut table = node.table(SHAPE)?;
    let place = table.place.clone();
    let keys = read_keys(&mut table, secrets);
    let (header, prefix) = read_header(&mut table);
    let algorithms = table.take("algorithms");
    let issuer = table.take("issuer");
    if issuer.is_none() && matches!(keys, Some(JwtKeySource::File(_) | JwtKeySource::Url { .. })) {
        place.missing("issuer", NAMES_SHAPE);
    }
    let issuers = issuer.and_then(read_names).flatten();
    let audience = match table.take("audience") {
        None => Some(Audience::PublicUrl),
        Some(node) => read_names(node).map(|names| match names {
            None => Audience::Anyone,
            Some(names) => Audience::These(names.into()),
        }),
    };
    let rule = JwtRule {
        header: header.into(),
        prefix: prefix.into(),
        algorithms: read_algorithms(algorithms, keys.as_ref()).into(),
        issuers: issuers.unwrap_or_default().into(),
        audience: audience.unwrap_or(Audience::Anyone),
        expires: table.flag("expires", true),
        max_age: table
            .take("max_age")
            .and_then(|node| node.duration(TOLERANCE_MAX)),
        leeway: table
            .take("leeway")
            .and_then(|node| read_leeway(&node))
            .unwrap_or(LEEWAY_DEFAULT),
        body_sha256: table
            .take("body_sha256")
            .and_then(|node| node.parse("the name of a claim", name)),
        claims: table
            .take("claims")
            .map(read_claims)
            .unwrap_or_default()
            .into(),
    };
    table.finish();
    Some(Verifier::Jwt(JwtVerifier { rule, keys: keys? }))
}

/// Exactly one of the three.
fn read_keys(table: &mut Table<'_>, secrets: Option<Node<'_>>) -> Option<JwtKeySource> {
    let url = table.take("jwks_url");
    let file = table.take("jwks_file");
    let allow_private = table.take("allow_private");
    if let (None, Some(node)) = (&url, &allow_private) {
        node.place.fault(
            "`allow_private` without `jwks_url`",
            "it with the address that it is for",
        );
    }
    let allow_private = allow_private.and_then(|node| node.boolean());
    match (url, file, secrets) {
        (Some(node), None, None) => Some(JwtKeySource::Url {
            url: node.secret().parse(KEY_URL_SHAPE, key_url)?,
            allow_private: allow_private.unwrap_or(false),
        }),
        (None, Some(node), None) => read_file(&node).map(JwtKeySource::File),
        (None, None, Some(node)) => Some(JwtKeySource::Secrets(read_token_secrets(node))),
        (None, None, None) => {
            table.place.missing("jwks_url", KEYS_SHAPE);
            None
        }
        _ => {
            let found = "several of `jwks_url`, `jwks_file` and `secrets`";
            table.place.fault(found, format!("one of {KEYS_SHAPE}"));
            None
        }
    }
}

/// Where keys may be asked for.
pub(super) const KEY_URL_SHAPE: &str = "an https URL without credentials, such as \"https://issuer.example.com/.well-known/jwks.json\" (http only on a loopback address)";

pub(super) fn key_url(text: &str) -> Option<url::Url> {
    let url = url::Url::parse(text).ok()?;
    let is_loopback = match url.host()? {
        url::Host::Domain(_) => false,
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback;
    let is_bare = url.username().is_empty() && url.password().is_none();
    (is_safe && is_bare).then_some(url)
}

fn read_file(node: &Node<'_>) -> Option<KeySet> {
    let name = node.string("the path of a JSON file")?;
    let path = node.place.resolve(name);
    let fault = |why: String| {
        let found = format!("{}: {why}", quoted(name));
        node.place.fault(
            found,
            "a file with a JWKS: {\"keys\": [ … ]}, public keys only",
        );
    };
    let read = node.place.context.read(&path, JWKS_BYTES_MAX + 1);
    let text = read.map_err(|error| fault(error.to_string())).ok()?;
    if text.len() as u64 > JWKS_BYTES_MAX {
        fault(format!("more than {JWKS_BYTES_MAX} bytes"));
        return None;
    }
    let Ok(document) = serde_json::from_slice(&text) else {
        fault("not JSON".to_owned());
        return None;
    };
    KeySet::from_jwks(&document)
        .map_err(|why| fault(why.to_string()))
        .ok()
}

/// It may be nothing at all.
fn read_leeway(node: &Node<'_>) -> Option<Duration> {
    const SHAPE: &str = "a duration from 0s to 10m";
    node.parse(SHAPE, |text| {
        let leeway = humantime::parse_duration(text).ok()?;
        (leeway <= LEEWAY_MAX).then_some(leeway)
    })
}

/// `Authorization: Bearer TOKEN`, unless the file says otherwise.
fn read_header(table: &mut Table<'_>) -> (String, String) {
    const AUTHORIZATION: &str = "authorization";
    let header = table.take("header").and_then(|node| node.header_name());
    let header = header.unwrap_or_else(|| AUTHORIZATION.to_owned());
    let prefix = table
        .take("prefix")
        .and_then(|node| Some(node.string("a string")?.to_owned()));
    let usual = if header == AUTHORIZATION {
        "Bearer "
    } else {
        ""
    };
    (header, prefix.unwrap_or_else(|| usual.to_owned()))
}

/// HS256 with secrets, and never with public keys: whoever has a public key could sign.
fn read_algorithms(node: Option<Node<'_>>, keys: Option<&JwtKeySource>) -> Vec<JwtAlgorithm> {
    const PUBLIC: [JwtAlgorithm; 4] = [
        JwtAlgorithm::Rs256,
        JwtAlgorithm::Ps256,
        JwtAlgorithm::Es256,
        JwtAlgorithm::EdDsa,
    ];
    let (known, usual): (&[_], _) = match keys {
        Some(JwtKeySource::Secrets(_)) => (&[JwtAlgorithm::Hs256], JwtAlgorithm::Hs256),
        _ => (&PUBLIC, JwtAlgorithm::Rs256),
    };
    let Some(node) = node else {
        return vec![usual];
    };
    let choices: Vec<_> = known.iter().map(|one| (one.name(), *one)).collect();
    let place = node.place.clone();
    let items = node.list("a list such as [\"RS256\"]").unwrap_or_default();
    if items.is_empty() {
        place.fault("no algorithm", "at least one; what is not named is refused");
    }
    items
        .iter()
        .filter_map(|item| item.choice(&choices))
        .collect()
}

type Names = Vec<Cow<'static, str>>;

/// `Some(None)`: any.
fn read_names(node: Node<'_>) -> Option<Option<Names>> {
    if node.value.as_bool() == Some(false) {
        return Some(None);
    }
    if !node.is_list() {
        return node.parse(NAMES_SHAPE, name).map(|name| Some(vec![name]));
    }
    let place = node.place.clone();
    let items = node.list(NAMES_SHAPE)?;
    if items.is_empty() {
        place.fault("an empty list", NAMES_SHAPE);
    }
    let names = items.iter().map(|item| item.parse(NAMES_SHAPE, name));
    names.collect::<Option<_>>().map(Some)
}

fn name(text: &str) -> Option<Cow<'static, str>> {
    (!text.is_empty()).then(|| Cow::Owned(text.to_owned()))
}

type Claims = Vec<(Cow<'static, str>, Cow<'static, str>)>;

fn read_claims(node: Node<'_>) -> Claims {
    let Some(table) = node.table("a table such as { azp = \"crm\", email_verified = true }") else {
        return Vec::new();
    };
    let read = |(claim, place, node): (String, Place<'_>, Node<'_>)| {
        if READ_ALREADY.contains(&claim.as_str()) {
            let expected = "a key of `jwt` beside `claims` for it";
            place.fault(format!("the claim {}", quoted(&claim)), expected);
            return None;
        }
        let value = match node.value.as_bool() {
            Some(truth) => truth.to_string(),
            None => node.string("a string, true or false")?.to_owned(),
        };
        Some((claim.into(), value.into()))
    };
    table.named().into_iter().filter_map(read).collect()
}

/// Claims that have a key of their own, or a meaning that no equality has.
const READ_ALREADY: [&str; 5] = ["aud", "exp", "iat", "iss", "nbf"];
