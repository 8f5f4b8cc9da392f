//! The rows and the reader say the same: of each table a file is made in which it stands, and is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::{Table, Value};

use super::{Key, Section, Shape, Usual, WHOLE, schema, schema::json_of};
use crate::config::{Config, Faults, reader::recorded};

/// A way into the file.
#[derive(Clone, Copy)]
enum Step {
    /// A table.
    At(&'static Section),
    Key(&'static Key),
    /// Of a list.
    Item,
    /// Of the operator's choosing.
    Name(&'static str),
}

/// Where a table stands.
struct Place {
    steps: Vec<Step>,
    section: &'static Section,
}

fn places() -> Vec<Place> {
    let mut places = Vec::new();
    static FILE: Shape = Shape::Table(&WHOLE);
    walk(&FILE, Vec::new(), &mut places);
    places
}

fn walk(shape: &'static Shape, steps: Vec<Step>, places: &mut Vec<Place>) {
    let with = |step| [&steps[..], &[step]].concat();
    match shape {
        Shape::Table(section) => {
            let steps = with(Step::At(section));
            for key in section.keys() {
                walk(&key.shape, [&steps[..], &[Step::Key(key)]].concat(), places);
            }
            places.push(Place { steps, section });
        }
        Shape::List(_, inner) => walk(inner, with(Step::Item), places),
        Shape::Named(_, inner) => walk(inner, with(Step::Name(name(&steps))), places),
        Shape::OneOf(shapes) => shapes
            .iter()
            .for_each(|shape| walk(shape, steps.clone(), places)),
        _ => {}
    }
}

/// A name that may stand there.
fn name(steps: &[Step]) -> &'static str {
    match steps.last() {
        Some(Step::Key(key)) if key.name == "targets" => "crm",
        Some(Step::Key(key)) if key.name == "routes" => "x",
        _ => "Authorization",
    }
}

impl Place {
    /// As the reader calls it.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::At(_) => {}
                Step::Item => path += "[0]",
                Step::Key(Key { name, .. }) | Step::Name(name) => {
                    path += if path.is_empty() { "" } else { "." };
                    path += name;
                }
            }
        }
        path
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path())
            .trim_start_matches('.')
            .to_owned()
    }

    /// A file in which this table has what it needs, and `key` if one is given.
    fn file(&self, key: Option<(&str, &str)>) -> String {
        let key = key.map(|(name, literal)| (name, toml_of(literal)));
        let whole = value(&self.steps, key.as_ref());
        toml::to_string(&whole).unwrap()
    }
}

fn value(steps: &[Step], key: Option<&(&str, Value)>) -> Value {
    match steps {
        [Step::Item, rest @ ..] => Value::Array(vec![value(rest, key)]),
        [Step::Name(name), rest @ ..] => {
            Value::Table(Table::from_iter([((*name).to_owned(), value(rest, key))]))
        }
        [Step::At(section), rest @ ..] => {
            let entry = match rest {
                [Step::Key(next), rest @ ..] => Some((next.name, value(rest, key))),
                _ => key.cloned(),
            };
            let mut table = needs(section, entry.as_ref().map(|(name, _)| *name));
            table.extend(entry.map(|(name, value)| (name.to_owned(), value)));
            Value::Table(table)
        }
        _ => unreachable!("a shape without a table"),
    }
}

fn toml_of(literal: &str) -> Value {
    let mut table: Table = toml::from_str(&format!("value = {literal}")).unwrap();
    table.remove("value").unwrap()
}

/// What a table must have beside `key` to load.
fn needs(section: &Section, key: Option<&str>) -> Table {
    let mut table = Table::new();
    for required in section.keys().filter(|key| key.is_required()) {
        table.insert(required.name.to_owned(), toml_of(required.example));
    }
    for (of, beside, text) in BESIDE {
        let fits = match beside {
            Beside::All => true,
            Beside::These(keys) => key.is_some_and(|key| keys.contains(&key)),
            Beside::AllBut(keys) => key.is_none_or(|key| !keys.contains(&key)),
        };
        if *of == section.name && fits {
            table.extend(toml::from_str::<Table>(text).unwrap());
        }
    }
    if let Some(key) = key {
        table.remove(key);
    }
    table
}

enum Beside {
    All,
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

use Beside::{All, AllBut, These};

const OF_PROVIDER: &[&str] = &[
    "provider",
    "scheme",
    "params",
    "secrets",
    "verify_token",
    "tolerance",
];
const KEYED: &[&str] = &["api_key", "bearer", "basic", "query_key"];
const SHARED: &[&str] = &["hmac", "hash", "equal", "first_of"];
const PUBLIC: &[&str] = &["ed25519", "ecdsa_p256", "rsa"];
const SOURCES: &[&str] = &[
    "header",
    "numbered_header",
    "paired_headers",
    "json",
    "query",
    // Needs `json`.
    "each",
];
const PLACES: &[&str] = &["header", "sig", "json", "query"];
const GITHUB: &str = "provider = \"github\"\nsecrets = [{ env = \"SECRET\" }]";

/// By section: what must stand beside which of its keys.
const BESIDE: &[(&str, Beside, &str)] = &[
    (
        "file",
        AllBut(&["routes"]),
        "routes.x = { path = \"/x\", verify = \"none\", event_id = { json = \"/id\" }, deliver = [\"crm\"] }",
    ),
    (
        "file",
        AllBut(&["targets"]),
        "targets.crm.url = \"https://crm.example.com\"",
    ),
    (
        "file",
        AllBut(&["server"]),
        "server = { public_url = \"https://hooks.example.com\", tls = { client_ca = \"tls/ca.pem\" } }",
    ),
    (
        "server",
        These(&["listen"]),
        "tls = { certificate = \"tls/server.crt\", private_key = \"tls/server.key\" }",
    ),
    (
        "server.tls",
        AllBut(&["private_key"]),
        "private_key = \"tls/server.key\"",
    ),
    (
        "server.tls",
        AllBut(&["certificate"]),
        "certificate = \"tls/server.crt\"",
    ),
    (
        "store",
        These(&["shards", "spool"]),
        "url = \"redis://127.0.0.1\"",
    ),
    (
        "store",
        These(&["ca", "client_certificate", "client_key"]),
        "url = \"rediss://127.0.0.1\"",
    ),
    (
        "store",
        These(&["client_certificate"]),
        "client_key = \"tls/client.key\"",
    ),
    (
        "store",
        These(&["client_key"]),
        "client_certificate = \"tls/client.pem\"",
    ),
    (
        "target",
        These(&["client_certificate"]),
        "client_key = \"tls/client.key\"",
    ),
    (
        "target",
        These(&["client_key"]),
        "client_certificate = \"tls/client.pem\"",
    ),
    ("route", AllBut(OF_PROVIDER), "verify = \"none\""),
    ("route", All, "event_id = { json = \"/id\" }"),
    ("route", All, "event_type = { json = \"/type\" }"),
    ("route", These(&["provider", "secrets"]), GITHUB),
    (
        "route",
        These(&["tolerance"]),
        "provider = \"stripe\"\nsecrets = [{ env = \"SECRET\" }]",
    ),
    (
        "route",
        These(&["scheme"]),
        "provider = \"hubspot\"\nsecrets = [{ env = \"SECRET\" }]",
    ),
    ("route", These(&["params"]), "provider = \"paypal\""),
    (
        "route",
        These(&["verify_token"]),
        "provider = \"meta\"\nsecrets = [{ env = \"SECRET\" }]",
    ),
    ("deliver", These(&["on_dead"]), "order_by = \"/customerId\""),
    ("respond", These(&["content_type"]), "body = \"ok\""),
    (
        "secret",
        AllBut(&["env", "file", "value"]),
        "env = \"SECRET\"",
    ),
    (
        "timed_secret",
        AllBut(&["env", "file", "value"]),
        "env = \"SECRET\"",
    ),
    (
        "event_id",
        AllBut(&["json", "header", "body"]),
        "json = \"/id\"",
    ),
    (
        "event_type",
        AllBut(&["json", "header"]),
        "json = \"/type\"",
    ),
    (
        "verifier",
        These(KEYED),
        "keys = [{ name = \"a\", sha256 = \"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\" }]",
    ),
    (
        "verifier",
        These(SHARED),
        "secrets = [{ env = \"SECRET\" }]",
    ),
    (
        "verifier",
        These(PUBLIC),
        "secrets = [{ file = \"public.pem\" }]",
    ),
    ("verifier", These(&["keys"]), "bearer = {}"),
    (
        "verifier",
        These(&["secrets"]),
        "equal = { header = \"X-Token\" }",
    ),
    (
        "verifier",
        These(&["params"]),
        "hmac = { header = \"X-S\", algorithm = \"sha256\", encoding = \"hex\", signed = \"{param:account}{body}\" }\nsecrets = [{ env = \"SECRET\" }]",
    ),
    ("signature", AllBut(SOURCES), "header = \"X-Signature\""),
    (
        "signature_of_public_key",
        AllBut(SOURCES),
        "header = \"X-Signature\"",
    ),
    ("equal", AllBut(SOURCES), "header = \"X-Signature\""),
    (
        "signature",
        These(&["tolerance", "future"]),
        "timestamp = { header = \"X-Timestamp\" }\nsigned = \"{header:X-Timestamp}{body}\"",
    ),
    (
        "signature",
        These(&["body_sha256"]),
        "signed = \"{query:bodySHA256}{body}\"",
    ),
    (
        "signature_of_public_key",
        These(&["tolerance", "future"]),
        "timestamp = { header = \"X-Timestamp\" }\nsigned = \"{header:X-Timestamp}{body}\"",
    ),
    (
        "signature_of_public_key",
        These(&["body_sha256"]),
        "signed = \"{query:bodySHA256}{body}\"",
    ),
    (
        "equal",
        These(&["tolerance", "future"]),
        "timestamp = { header = \"X-Timestamp\" }",
    ),
    ("equal", These(&["each"]), "json = \"/signature\""),
    (
        "signature",
        These(&["each"]),
        "json = \"/signature\"\nsigned = \"{json:/id}\"\nallow_unsigned_body = true",
    ),
    (
        "signature_of_public_key",
        These(&["each"]),
        "json = \"/signature\"\nsigned = \"{json:/id}\"\nallow_unsigned_body = true",
    ),
    ("first_of", All, ""),
    ("timestamp", AllBut(PLACES), "header = \"X-Timestamp\""),
    ("when", AllBut(PLACES), "header = \"X-Version\""),
    (
        "when",
        AllBut(&["present", "is", "starts_with", "contains"]),
        "present = true",
    ),
    (
        "secret_form",
        AllBut(&["base64", "base64_or_text"]),
        "base64 = \"whsec_\"",
    ),
    (
        "jwt",
        AllBut(&["jwks_file", "jwks_url", "allow_private"]),
        "jwks_file = \"jwks.json\"",
    ),
    (
        "jwt",
        These(&["allow_private"]),
        "jwks_url = \"https://issuer.example.com/jwks.json\"",
    ),
    ("jwt", All, "issuer = false"),
];

fn load(text: &str) -> Result<Config, Faults> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let secret = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk=".to_owned();
    let mut config = Config::parse(text, "routes.toml", &fixtures, &|_| Some(secret.clone()))?;
    // They tell places in the text.
    config.warnings.clear();
    Ok(config)
}

/// The faults of `key` and of what stands in it.
fn faults(place: &Place, key: &str, literal: &str) -> Vec<String> {
    let path = place.path_of(key);
    let within = |at: &str| {
        at.strip_prefix(&path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match load(&place.file(Some((key, literal)))) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .as_slice()
            .iter()
            .filter(|fault| within(&fault.key))
            .map(ToString::to_string)
            .collect(),
    }
}

/// Every key of every section, with the places where it stands.
fn keys() -> BTreeMap<(&'static str, &'static str), (&'static Key, Vec<Place>)> {
    let mut keys = BTreeMap::new();
    for place in places() {
        for key in place.section.keys() {
            let (_, at) = keys
                .entry((place.section.name, key.name))
                .or_insert((key, Vec::new()));
            at.push(Place {
                steps: place.steps.clone(),
                section: place.section,
            });
        }
    }
    assert!(keys.len() > 150, "{}", keys.len());
    keys
}

#[test]
fn the_reader_takes_the_keys_of_the_table_and_no_others() {
    // Seen without being taken.
    const SEEN: [&str; 1] = ["handshake"];
    let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for place in places() {
        let keys = place.section.keys().map(|key| key.name);
        let keys = keys.filter(|key| !SEEN.contains(key));
        known.entry(place.path()).or_default().extend(keys);
    }
    let mut taken: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for place in places() {
        let text = place.file(None);
        for (path, key) in recorded(|| drop(load(&text))) {
            taken.entry(path).or_default().insert(key);
        }
    }
    // What stands there is named by the preset.
    taken.remove("routes.x.params");
    for (path, keys) in &known {
        let taken = taken.get(path).cloned().unwrap_or_default();
        assert_eq!(&taken, keys, "taken (left) and told (right) at {path:?}");
    }
    for (path, keys) in &taken {
        assert!(
            known.contains_key(path),
            "{path:?} is not told of: {keys:?}"
        );
    }
}

/// Taken to be refused: `equal` signs nothing that a key or a digest could stand in.
const UNUSABLE: [(&str, &str); 2] = [("equal", "body_sha256"), ("equal", "certificate")];

/// At one of the places at least.
#[track_caller]
fn assert_taken(places: &[Place], key: &str, literal: &str) {
    let mut told = Vec::new();
    let is_taken = places.iter().any(|place| {
        told = faults(place, key, literal);
        told.is_empty()
    });
    assert!(is_taken, "{told:#?}");
}

#[test]
fn every_example_is_taken() {
    for ((section, name), (key, places)) in keys() {
        if UNUSABLE.contains(&(section, name)) {
            continue;
        }
        assert_taken(&places, name, key.example);
    }
}

/// What no configuration shows: it only allows something.
const TRACELESS: [(&str, &str); 4] = [
    ("server", "allow_plain"),
    ("signature", "allow_unsigned_body"),
    ("signature_of_public_key", "allow_unsigned_body"),
    ("equal", "allow_unsigned_body"),
];

#[test]
fn every_default_is_what_holds_without_the_key() {
    let mut compared = 0;
    for ((section, name), (key, places)) in keys() {
        let (Usual::Is(default) | Usual::But(default, _)) = key.usual else {
            continue;
        };
        let shown = |place: &Place, literal: Option<&str>| {
            let key = literal.map(|literal| (name, literal));
            load(&place.file(key)).map(|config| format!("{config:?}"))
        };
        let mut differs = false;
        let mut loaded = 0;
        for place in &places {
            // Without the key, but with what it needs.
            let mut file: Table = toml::from_str(&place.file(Some((name, default)))).unwrap();
            remove(&mut file, &place.steps, name);
            let Ok(bare) = load(&toml::to_string(&file).unwrap()) else {
                continue;
            };
            let bare = format!("{bare:?}");
            assert_eq!(
                shown(place, Some(default)).as_deref(),
                Ok(bare.as_str()),
                "the default of {section}.{name}"
            );
            differs |= shown(place, Some(key.example)).is_ok_and(|shown| shown != bare);
            loaded += 1;
            if differs {
                break;
            }
        }
        assert!(loaded > 0, "no file for {section}.{name}");
        let is_traceless = TRACELESS.contains(&(section, name));
        assert!(
            differs != is_traceless,
            "whether {section}.{name} is another than its default cannot be told"
        );
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

fn remove(table: &mut Table, steps: &[Step], key: &str) {
    let mut whole = Value::Table(std::mem::take(table));
    let mut at = &mut whole;
    for step in steps {
        at = match step {
            Step::At(_) => at,
            Step::Item => &mut at[0],
            Step::Key(Key { name, .. }) | Step::Name(name) => &mut at[*name],
        };
    }
    at.as_table_mut().unwrap().remove(key).unwrap();
    if let Value::Table(done) = whole {
        *table = done;
    }
}

/// The choices that stand in a shape.
fn choices(shape: &Shape) -> Vec<&'static str> {
    match shape {
        Shape::Choice(names) => names.to_vec(),
        Shape::List(_, inner) | Shape::Named(_, inner) => choices(inner),
        Shape::OneOf(shapes) => shapes.iter().flat_map(choices).collect(),
        _ => Vec::new(),
    }
}

/// Choices that do not go with the file of that section: its keys are not shared, or shared, or it reads the payload.
const REFUSED: [(&str, &str); 4] = [
    ("route", "any"),
    ("jwt", "HS256"),
    ("equal", "spki"),
    ("signature_of_public_key", "text"),
];

#[test]
fn the_choices_are_those_of_the_reader() {
    let mut compared = 0;
    for ((section, name), (key, places)) in keys() {
        let choices = choices(&key.shape);
        if choices.is_empty() {
            continue;
        }
        let literal = |choice: &str| match key.shape {
            Shape::List(..) => format!("[\"{choice}\"]"),
            Shape::Named(..) => format!("{{ \"/a\" = \"{choice}\" }}"),
            _ => format!("\"{choice}\""),
        };
        for choice in &choices {
            if REFUSED.contains(&(section, choice)) {
                continue;
            }
            assert_taken(&places, name, &literal(choice));
        }
        // What the reader expects instead of nonsense are these.
        let told = faults(&places[0], name, &literal("nonsense")).join("\n");
        let (_, expected) = told
            .split_once(", expected ")
            .unwrap_or_else(|| panic!("{section}.{name} takes nonsense: {told:?}"));
        let parts: Vec<_> = expected.split('"').collect();
        for pair in parts.chunks_exact(2) {
            let (before, word) = (pair[0], pair[1]);
            // Of an example of a table.
            if before.ends_with("= ") {
                continue;
            }
            let is_choice = choices.contains(&word);
            let fits = json_of(&literal(word)).is_some_and(|value| fits(key, value));
            assert!(
                is_choice || fits,
                "{section}.{name} may be {word:?}: {told}"
            );
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

/// Whether the schema takes `value` for `key`.
fn fits(key: &Key, value: serde_json::Value) -> bool {
    let mut schema = schema();
    let whole = serde_json::json!({ "$defs": schema["$defs"].take(), "allOf": [super::schema::of_key(key)] });
    jsonschema::validator_for(&whole).unwrap().is_valid(&value)
}

#[test]
fn the_schema_takes_every_example_and_default() {
    for ((section, name), (key, _)) in keys() {
        let default = match key.usual {
            Usual::Is(value) | Usual::But(value, _) => Some(value),
            _ => None,
        };
        for literal in [key.example].into_iter().chain(default) {
            let value = json_of(literal).unwrap();
            assert!(fits(key, value), "{literal} of {section}.{name}");
        }
    }
}

/// The bounds of numbers are those of the reader.
#[test]
fn numbers_have_the_bounds_of_the_reader() {
    let mut compared = 0;
    for ((section, name), (key, places)) in keys() {
        let place = &places[0];
        let (inside, outside) = match key.shape {
            Shape::Integer(from, to) => (
                vec![from.to_string(), to.to_string()],
                vec![
                    (i128::from(from) - 1).to_string(),
                    (i128::from(to) + 1).to_string(),
                ],
            ),
            Shape::Number(from, to) => (
                vec![format!("{from:?}"), format!("{to:?}")],
                vec![format!("{:?}", from - 0.01), format!("{:?}", to + 0.01)],
            ),
            Shape::Above(from, to) => (
                vec![format!("{:?}", from + 0.01), format!("{to:?}")],
                vec![format!("{from:?}"), format!("{:?}", to + 0.01)],
            ),
            _ => continue,
        };
        for literal in inside {
            let told = faults(place, name, &literal);
            assert!(told.is_empty(), "{section}.{name}: {told:?}");
        }
        for literal in outside {
            let told = faults(place, name, &literal);
            assert!(!told.is_empty(), "{section}.{name} may be {literal}");
        }
        compared += 1;
    }
    assert!(compared > 8, "{compared}");
}

/// What a reload takes up: all other keys of the gateway need a restart, and are told to.
const RELOADED: [&str; 13] = [
    "admin.token",
    "admin.tokens",
    "defaults.target",
    "log.accepted_lines_per_second",
    "server.allow_plain",
    "server.body_timeout",
    "server.max_body",
    "server.public_url",
    "server.tls",
    "server.trusted_proxies",
    "store.dedupe_window",
    "store.retention",
    "store.retention_size",
];

#[test]
fn every_key_of_the_gateway_is_reloaded_or_needs_a_restart() {
    let is_below = |path: &str, known: &&str| {
        let rest = path.strip_prefix(*known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let (mut restarts, mut seen) = (0, BTreeSet::new());
    for place in places() {
        for key in place.section.keys() {
            let path = place.path_of(key.name);
            let is_table = !path.contains('.');
            let mut elsewhere = ["routes", "targets"].iter();
            if is_table || elsewhere.any(|known| is_below(&path, known)) {
                continue;
            }
            let text = place.file(Some((key.name, key.example)));
            let mut file: Table = toml::from_str(&text).unwrap();
            remove(&mut file, &place.steps, key.name);
            let bare = load(&toml::to_string(&file).unwrap());
            let (Ok(bare), Ok(config)) = (bare, load(&text)) else {
                continue;
            };
            let restart = crate::config::diff(&bare, &config).restart;
            let is_reloaded = RELOADED.iter().any(|known| is_below(&path, known));
            assert_eq!(restart.is_empty(), is_reloaded, "{path}: {restart:?}");
            restarts += usize::from(!is_reloaded);
            seen.insert(path);
        }
    }
    assert!(restarts > 12 && seen.len() > 40, "{restarts} of {seen:?}");
}

/// What routes and targets take from elsewhere is part of what they are.
#[test]
fn whatever_a_route_or_target_shows_is_in_its_fingerprint() {
    let mut differed = 0;
    for ((section, name), (key, places)) in keys() {
        for place in places {
            let text = place.file(Some((name, key.example)));
            let mut file: Table = toml::from_str(&text).unwrap();
            remove(&mut file, &place.steps, name);
            let bare = load(&toml::to_string(&file).unwrap());
            let (Ok(bare), Ok(config)) = (bare, load(&text)) else {
                continue;
            };
            let diff = crate::config::diff(&bare, &config);
            let route = |config: &Config| format!("{:?}", config.routes.first());
            let target = |config: &Config| format!("{:?}", config.targets.first_key_value());
            let is_told = |same: bool, told: bool| {
                assert!(same || told, "{section}.{name}: {diff:?}");
                usize::from(!same)
            };
            differed += is_told(route(&bare) == route(&config), !diff.routes.is_empty());
            differed += is_told(target(&bare) == target(&config), !diff.targets.is_empty());
        }
    }
    assert!(differed > 80, "{differed}");
}

/// Of values that stand for the same, editors do not mark one.
#[test]
fn the_schema_takes_what_the_reader_takes() {
    const LITERALS: [&str; 10] = [
        "\"1.5h\"",
        "\"1h 30m\"",
        "\"10 min\"",
        "\".5MB\"",
        "\"5.MB\"",
        "\"+5\"",
        "\"1.5KiB\"",
        "\"1 KIB\"",
        "0x10",
        "[\"x\"]",
    ];
    let mut compared = 0;
    for ((section, name), (key, places)) in keys() {
        // What is wrong with it is told of the whole list.
        if section == "secret_from_handshake" {
            continue;
        }
        for literal in LITERALS {
            let value = json_of(literal).unwrap();
            if faults(&places[0], name, literal).is_empty() {
                assert!(fits(key, value), "{literal} of {section}.{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}
