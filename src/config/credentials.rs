//! Secrets and API keys as the file names them.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    AdminToken, ApiKey, JwtSecret, Role, Secret, SecretText,
    caution::check_ends,
    reader::{Node, Place, Table, quoted},
};
use crate::signature::{
    KeyedScheme, Scheme, SecretFault, SecretForm, Source, Validity, is_public, schemes_of,
};

const SECRET_SHAPE: &str = "{ env = \"NAME\" }, { file = \"PATH\" } or { value = \"…\" }";
/// A secret that a signature rests on has at least this many bytes.
const SIGNATURE_SECRET_BYTES_MIN: usize = 8;
/// More than any key; a device or a log named by mistake is not read to its end.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The secrets of `schemes`, each keyed for those that it belongs to; schemes without one are left out. Empty only after
/// a fault.
pub(super) fn read_signature_secrets(node: Node<'_>, schemes: Vec<Scheme>) -> Vec<KeyedScheme> {
    let list = node.place.clone();
    let mut keyed: Vec<_> = schemes
        .into_iter()
        .map(|scheme| KeyedScheme {
            scheme,
            secrets: Vec::new(),
        })
        .collect();
    let kinds: Vec<_> = keyed.iter().map(|keyed| keyed.scheme.clone()).collect();
    for (place, name, loaded) in read_secrets(node) {
        let text = loaded.secret.expose();
        let own = schemes_of(&kinds, text);
        if own.is_empty() {
            place.fault(
                "a secret of another kind than the scheme's",
                "the secret as it was given out, with its prefix",
            );
        }
        for index in own {
            let keyed = &mut keyed[index];
            if let Some(encoding) = too_short(&keyed.scheme, text) {
                let found = format!("a secret whose {encoding} holds too few bytes");
                place.fault(found, format!("at least {SIGNATURE_SECRET_BYTES_MIN}"));
                break;
            }
            match keyed.scheme.keyed_secret(&name, text, loaded.validity) {
                Ok(secret) => keyed.secrets.push(secret),
                Err(fault) => {
                    let found = format!("a secret that does not fit ({fault})");
                    place.fault(found, fault.remedy());
                    break;
                }
            }
        }
    }
    for KeyedScheme { scheme, secrets } in &keyed {
        if let Source::Paired(headers) = &scheme.signature
            && secrets.len() > headers.len()
        {
            let found = format!("{} secrets for {} headers", secrets.len(), headers.len());
            list.fault(found, "one secret for each header, in their order");
        }
    }
    keyed.retain(|keyed| !keyed.secrets.is_empty());
    keyed
}

/// The encoding of a secret that is long enough as it stands, but comes to a key that is too short. Padding is apart.
fn too_short(scheme: &Scheme, text: &[u8]) -> Option<&'static str> {
    let base64_bytes = |prefix: &str| {
        let text = text.strip_prefix(prefix.as_bytes()).unwrap_or(text);
        text.iter().filter(|&&byte| byte != b'=').count() * 3 / 4
    };
    let (encoding, bytes) = match &scheme.secret_form {
        _ if scheme.method.has_public_key() => return None,
        SecretForm::Text | SecretForm::Spki => return None,
        SecretForm::Base64OrText { prefix } if !text.starts_with(prefix.as_bytes()) => return None,
        SecretForm::Hex => ("hex", text.len() / 2),
        SecretForm::Base64 { prefix, .. } | SecretForm::Base64OrText { prefix } => {
            ("base64", base64_bytes(prefix))
        }
    };
    (bytes < SIGNATURE_SECRET_BYTES_MIN).then_some(encoding)
}

/// The secrets of a token; empty only after a fault. Whoever has a public key could sign with it as a secret.
pub(super) fn read_token_secrets(node: Node<'_>) -> Vec<JwtSecret> {
    let mut secrets = Vec::new();
    for (place, name, loaded) in read_secrets(node) {
        if is_public(loaded.secret.expose()) {
            let fault = SecretFault::PublicKey;
            let found = format!("a secret that does not fit ({fault})");
            place.fault(found, fault.remedy());
        }
        secrets.push(JwtSecret {
            name: name.into(),
            secret: loaded.secret,
            validity: loaded.validity,
        });
    }
    secrets
}

/// The secrets of a list, as they stand.
pub(super) fn read_texts(node: Node<'_>) -> Vec<SecretText> {
    let secrets = read_secrets(node).into_iter();
    secrets
        .map(|(_, name, loaded)| SecretText {
            name,
            text: loaded.secret,
        })
        .collect()
}

/// With the place and the name of each.
fn read_secrets<'a>(node: Node<'a>) -> Vec<(Place<'a>, String, Loaded)> {
    let node = node.secret();
    let place = node.place.clone();
    let items = node.list("a list of secrets such as [{ env = \"NAME\" }]");
    if items.as_ref().is_some_and(Vec::is_empty) {
        place.fault("an empty list", "at least one secret");
    }
    let items = items.unwrap_or_default().into_iter().enumerate();
    let secrets: Vec<_> = items
        .filter_map(|(index, item)| {
            let place = item.place.clone();
            let loaded = load(item, SIGNATURE_SECRET_BYTES_MIN, true)?;
            loaded.warn_if_literal(&place);
            let name = loaded.name.clone();
            Some((
                place,
                name.unwrap_or_else(|| format!("secrets[{index}]")),
                loaded,
            ))
        })
        .collect();
    let ends = secrets.iter();
    let ends: Vec<_> = ends
        .map(|(place, _, loaded)| (place.clone(), loaded.validity))
        .collect();
    check_ends(&ends);
    secrets
}

/// The admin token: it travels in a header, and whoever has it reads the metrics.
pub(super) fn read_token(node: Node<'_>) -> Option<Secret> {
    let place = node.place.clone();
    let loaded = load(node.secret(), SIGNATURE_SECRET_BYTES_MIN, false)?;
    token_of(loaded, &place)
}

/// One of the admin's tokens: `{ name, role }` and a secret.
pub(super) fn read_named_token(node: Node<'_>) -> Option<AdminToken> {
    const SHAPE: &str = "a table such as { name = \"grafana\", role = \"read\", env = \"NAME\" }";
    const NAME_SHAPE: &str = "a name of 1 to 64 printable characters";
    let mut table = node.secret().table(SHAPE)?;
    let place = table.place.clone();
    let name = table.require("name", NAME_SHAPE);
    let role = table.require("role", "\"read\" or \"write\"");
    let loaded = load_from(table, SIGNATURE_SECRET_BYTES_MIN, false);
    let name =
        name.and_then(|node| node.parse(NAME_SHAPE, |text| is_label(text).then(|| text.into())));
    let role = role.and_then(|node| node.choice(&[("read", Role::Read), ("write", Role::Write)]));
    let secret = token_of(loaded?, &place)?;
    Some(AdminToken {
        name: name?,
        role: role?,
        secret,
    })
}

fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn token_of(loaded: Loaded, place: &Place<'_>) -> Option<Secret> {
    loaded.warn_if_literal(place);
    if !loaded.secret.expose().iter().all(u8::is_ascii_graphic) {
        place.fault(
            "a token with spaces or unprintable bytes",
            "printable ASCII",
        );
    }
    Some(loaded.secret)
}

/// What a provider shows in its handshake, to be told from others.
pub(super) fn read_verify_token(node: Node<'_>) -> Option<Secret> {
    let place = node.place.clone();
    let loaded = load(node.secret(), SIGNATURE_SECRET_BYTES_MIN, false)?;
    loaded.warn_if_literal(&place);
    Some(loaded.secret)
}

/// A header's value. A literal is a fine thing for a header that is no credential.
pub(super) fn read_header_value(node: Node<'_>, header: &str) -> Option<Secret> {
    const CREDENTIAL_WORDS: [&str; 7] = [
        "auth",
        "token",
        "key",
        "secret",
        "cookie",
        "password",
        "signature",
    ];
    let place = node.place.clone();
    let loaded = load(node.secret(), 1, false)?;
    if CREDENTIAL_WORDS.iter().any(|word| header.contains(word)) {
        loaded.warn_if_literal(&place);
    }
    if http::HeaderValue::from_bytes(loaded.secret.expose()).is_err() {
        place.fault("a secret that no header can hold", "one line of text");
    }
    Some(loaded.secret)
}

/// A secret that is text.
pub(super) fn read_text(node: Node<'_>) -> Option<Zeroizing<String>> {
    let place = node.place.clone();
    let loaded = load(node.secret(), 1, false)?;
    loaded.warn_if_literal(&place);
    let text = std::str::from_utf8(loaded.secret.expose()).ok();
    if text.is_none() {
        place.fault("bytes that are not UTF-8", "text");
    }
    text.map(|text| Zeroizing::new(text.to_owned()))
}

struct Loaded {
    secret: Secret,
    /// The variable or the file; `None` for a literal.
    name: Option<String>,
    validity: Validity,
}

impl Loaded {
    fn warn_if_literal(&self, place: &Place<'_>) {
        if self.name.is_none() {
            warn_of_literal(place);
        }
    }
}

pub(super) fn warn_of_literal(place: &Place<'_>) {
    place.warn(
        "a secret is written in this file",
        "name an `env` or a `file` instead",
    );
}

fn load(node: Node<'_>, bytes_min: usize, expires: bool) -> Option<Loaded> {
    load_from(node.table(SECRET_SHAPE)?, bytes_min, expires)
}

/// From what is left in the table.
fn load_from(mut table: Table<'_>, bytes_min: usize, expires: bool) -> Option<Loaded> {
    let place = table.place.clone();
    let env = table.take("env").map(|node| (read_env as Origin, node));
    let file = table.take("file").map(|node| (read_file as Origin, node));
    let value = table.take("value").map(|node| (read_value as Origin, node));
    let validity = if expires {
        read_validity(&mut table)
    } else {
        Validity::default()
    };
    let known = table.finish();

    let mut sources: Vec<_> = [env, file, value].into_iter().flatten().collect();
    let (Some((read, node)), true) = (sources.pop(), sources.is_empty()) else {
        if known {
            place.fault("none or several of `env`, `file` and `value`", SECRET_SHAPE);
        }
        return None;
    };
    let (name, secret) = read(&node)?;
    if secret.expose().len() < bytes_min {
        let found = if secret.expose().is_empty() {
            "an empty secret".to_owned()
        } else {
            format!("a secret of fewer than {bytes_min} bytes")
        };
        let of = name
            .as_ref()
            .map(|name| format!(" in {name}"))
            .unwrap_or_default();
        place.fault(found + &of, at_least(bytes_min));
        return None;
    }
    Some(Loaded {
        secret,
        name,
        validity,
    })
}

/// `not_before` and `not_after`, either or both or none.
fn read_validity(table: &mut Table<'_>) -> Validity {
    let not_before = table.take("not_before").and_then(|node| node.moment());
    let node = table.take("not_after");
    let not_after = node.as_ref().and_then(Node::moment);
    if let (Some(start), Some(end), Some(node)) = (not_before, not_after, node)
        && end < start
    {
        let found = "an end before `not_before`";
        node.place
            .fault(found, "a later moment, or no `not_before`");
    }
    Validity {
        not_before,
        not_after,
    }
}

fn at_least(bytes: usize) -> String {
    match bytes {
        1 => "a value".to_owned(),
        bytes => format!("at least {bytes} bytes"),
    }
}

type Origin = fn(&Node<'_>) -> Option<(Option<String>, Secret)>;

/// A name that no variable can have is not repeated: it may be the secret itself.
fn read_env(node: &Node<'_>) -> Option<(Option<String>, Secret)> {
    const SHAPE: &str = "the name of an environment variable";
    let is_name = |text: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.chars().all(inner) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    };
    let name = node.parse(SHAPE, |text| is_name(text).then(|| text.to_owned()))?;
    let Some(value) = node.place.context.variable(&name) else {
        node.place.fault(
            format!("{}, which is not set", quoted(&name)),
            format!("a variable of the gateway's environment; set {name}"),
        );
        return None;
    };
    Some((Some(name), Secret::new(value.as_bytes())))
}

fn read_file(node: &Node<'_>) -> Option<(Option<String>, Secret)> {
    let name = node.string("the path of a file")?.to_owned();
    let path = node.place.resolve(&name);
    let read = node.place.context.read(&path, SECRET_FILE_BYTES_MAX);
    let bytes = read
        .map_err(|error| {
            node.place.fault(
                format!("{}, which cannot be read ({error})", quoted(&name)),
                format!("a file that the gateway may read at {}", path.display()),
            );
        })
        .ok()?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some((Some(name), Secret::new(line)))
}

fn read_value(node: &Node<'_>) -> Option<(Option<String>, Secret)> {
    let text = node.string("a string")?;
    Some((None, Secret::new(text)))
}

/// API keys by their digests; empty only after a fault.
pub(super) fn read_keys(node: Node<'_>) -> Vec<ApiKey> {
    let node = node.secret();
    let place = node.place.clone();
    let items = node.list("a list of keys such as [{ name = \"crm-2026\", sha256 = \"…\" }]");
    if items.as_ref().is_some_and(Vec::is_empty) {
        place.fault("an empty list", "at least one key");
    }
    let mut keys: Vec<ApiKey> = Vec::new();
    let mut ends = Vec::new();
    for item in items.unwrap_or_default() {
        let place = item.place.clone();
        let Some(key) = read_key(item) else { continue };
        if keys.iter().any(|other| other.name == key.name) {
            place.fault(
                format!("{} a second time", quoted(&key.name)),
                "another name",
            );
        }
        if keys.iter().any(|other| other.sha256 == key.sha256) {
            place.fault("the digest of another key", "each key once");
        }
        ends.push((place, key.validity));
        keys.push(key);
    }
    check_ends(&ends);
    keys
}

fn read_key(node: Node<'_>) -> Option<ApiKey> {
    const SHA256_SHAPE: &str = "the SHA-256 of the key, 64 hex digits";
    const NAME_SHAPE: &str = "a name of 1 to 64 printable characters";
    let mut table: Table<'_> = node.table("{ name = \"…\", sha256 = \"…\" }")?;
    let name = table.require("name", NAME_SHAPE);
    let sha256 = table.require("sha256", SHA256_SHAPE);
    let validity = read_validity(&mut table);
    table.finish();

    let name = name?.parse(NAME_SHAPE, |text| is_label(text).then(|| text.to_owned()));
    let sha256 = sha256?.parse(SHA256_SHAPE, |text| {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        // The digest of nothing would let in whoever sends nothing.
        (Sha256::digest(b"")[..] != digest).then_some(digest)
    });
    Some(ApiKey {
        name: name?.into(),
        sha256: sha256?,
        validity,
    })
}
