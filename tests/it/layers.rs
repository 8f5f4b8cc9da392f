//! The rule of the layers, read from the source: who may name whom.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A layer, and the modules of this crate that its code may name. Tests at the end of a file may name any.
const MAY_NAME: [(&str, &[&str]); 17] = [
    ("clock", &[]),
    ("event", &["clock"]),
    ("signature", &["clock"]),
    ("payload", &[]),
    ("expression", &[]),
    ("providers", &["payload", "signature"]),
    (
        "config",
        &[
            "clock",
            "event",
            "expression",
            "payload",
            "providers",
            "signature",
        ],
    ),
    ("rate", &["config"]),
    ("metrics", &["event"]),
    ("outbound", &[]),
    (
        "keys",
        &[
            "clock",
            "config",
            "metrics",
            "outbound",
            "rate",
            "signature",
        ],
    ),
    ("store", &["clock", "config", "event", "metrics", "rate"]),
    ("trace", &["clock", "config", "event", "metrics", "rate"]),
    (
        "ingest",
        &[
            "clock",
            "config",
            "event",
            "keys",
            "metrics",
            "payload",
            "providers",
            "rate",
            "signature",
            "store",
            "trace",
        ],
    ),
    (
        "delivery",
        &[
            "clock",
            "config",
            "event",
            "expression",
            "metrics",
            "outbound",
            "payload",
            "rate",
            "signature",
            "store",
            "trace",
        ],
    ),
    ("listener", &["clock", "config", "ingest", "metrics"]),
    (
        "admin",
        &["clock", "config", "event", "ingest", "metrics", "store"],
    ),
];

/// The composition root and the command line may name everything.
const UNRULED: [&str; 4] = ["app", "cli", "lib", "main"];

struct Source {
    path: PathBuf,
    /// `ingest` for `src/ingest.rs` and everything below `src/ingest/`.
    layer: String,
    /// Without comments and without the tests at the end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut left = vec![root.clone()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap();
                let first = below.components().next().unwrap().as_os_str();
                let layer = Path::new(first).with_extension("");
                sources.push(Source {
                    layer: layer.to_str().unwrap().to_owned(),
                    code: code_of(&fs::read_to_string(&path).unwrap()),
                    path: below.to_owned(),
                });
            }
        }
    }
    assert!(sources.len() > 25, "only {} files read", sources.len());
    sources
}

fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| {
        let comment = line.find("//").filter(|&at| !line[..at].ends_with(':'));
        &line[..comment.unwrap_or(line.len())]
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths below `crate::` that the code names, groups taken apart: `crate::{a, b::{c, d}}` names
/// `a`, `b::c` and `b::d`.
fn names(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$') {
            paths(&code[at + root.len()..], "", &mut found);
        }
    }
    found
}

/// Reads one path, or a group of them, off the front; returns what follows.
fn paths<'c>(code: &'c str, prefix: &str, found: &mut BTreeSet<String>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            assert!(!rest.is_empty(), "a group without an end");
            rest = paths(rest, prefix, found);
        }
    }
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
    let (name, rest) = code.split_at(end.unwrap_or(code.len()));
    let path = match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}::{name}"),
    };
    match rest.strip_prefix("::") {
        Some(deeper) => paths(deeper, &path, found),
        None => {
            found.insert(path);
            // `as other`, up to what ends the item.
            let rest = rest.trim_start();
            match rest.strip_prefix("as ") {
                Some(alias) => alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
                None if rest.starts_with([',', '}']) => rest,
                None => rest.get(1..).unwrap_or_default(),
            }
        }
    }
}

#[test]
fn the_reader_of_names_sees_through_groups_and_comments() {
    let code = "use crate::{a, b::{c, d as e, f::*}, g::H};\nlet x = crate::i::j(1); // crate::k\n";
    let found = names(&code_of(code));
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["a", "b::c", "b::d", "b::f::*", "g::H", "i::j"]);
    assert_eq!(code_of("a\n#[cfg(test)]\nmod tests { b }"), "a");
    assert_eq!(code_of(r#"x("http://y")"#), r#"x("http://y")"#);
}

#[test]
fn every_layer_names_only_those_below() {
    let mut named = 0;
    for source in sources() {
        let layer = source.layer.as_str();
        let rule = MAY_NAME.iter().find(|(name, _)| *name == layer);
        let Some((_, allowed)) = rule else {
            assert!(UNRULED.contains(&layer), "{layer} has no rule");
            continue;
        };
        for path in names(&source.code) {
            let other = path.split("::").next().unwrap();
            let lawful = other == layer || allowed.contains(&other);
            assert!(lawful, "{} names crate::{path}", source.path.display());
            named += 1;
        }
        // A way around `crate::` that this test would not see.
        let deep = source.code.contains("super::super::") && source.path.components().count() < 4;
        assert!(!deep, "{} climbs out of its layer", source.path.display());
    }
    assert!(named > 50, "only {named} names read");
}

#[test]
fn only_the_composition_root_names_a_concrete_store() {
    let mut seen = 0;
    for source in sources() {
        let names = names(&source.code);
        let concrete = |path: &&String| {
            ["store::embedded", "store::redis"]
                .iter()
                .any(|store| path.starts_with(store))
        };
        if let Some(path) = names.iter().find(concrete) {
            let lawful = ["app", "store"].contains(&source.layer.as_str());
            assert!(lawful, "{} names crate::{path}", source.path.display());
            seen += usize::from(source.layer == "app");
        }
    }
    assert!(seen > 0, "nobody names a store: this test reads nothing");
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    let mut readers = BTreeSet::new();
    for source in sources() {
        let calls = [
            "SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
            "Utc::now",
        ];
        if calls.iter().any(|call| source.code.contains(call)) {
            readers.insert(source.path);
        }
    }
    assert_eq!(readers, BTreeSet::from([PathBuf::from("clock.rs")]));
}
