//! `check`, `keys` and the help.

use std::{collections::BTreeSet, path::Path};

use super::program::{SHIPPED, hookgate, hookgate_where, stderr, stdout};
use crate::support::{gateway::temporary, sign::sha256_hex};

#[test]
fn the_shipped_configuration_is_valid_and_its_demo_secrets_are_warned_about() {
    let directory = temporary();
    std::fs::write(directory.path().join("routes.toml"), SHIPPED).unwrap();
    let output = hookgate(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("5 routes, 5 targets"),
        "{}",
        stdout(&output)
    );
    assert_eq!(
        stderr(&output)
            .matches("a secret is written in this file")
            .count(),
        3
    );
}

#[test]
fn every_fault_is_told_with_its_line_and_the_exit_code_is_64() {
    let directory = temporary();
    let broken = SHIPPED
        .replace("max_body = \"16KiB\"", "max_body = \"16 parsecs\"")
        .replace("deliver = [\"support\"]", "deliver = [\"suport\"]")
        .replace("retry = {", "retri = {");
    std::fs::write(directory.path().join("broken.toml"), broken).unwrap();
    for arguments in [
        &["check", "broken.toml"][..],
        &["serve", "--config", "broken.toml"],
        &["send", "--route", "github", "--config", "broken.toml"],
    ] {
        let output = hookgate(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let told = stderr(&output);
        for fault in ["16 parsecs", "suport", "did you mean `support`", "retri"] {
            assert!(
                told.contains(fault),
                "{arguments:?} does not tell {fault}: {told}"
            );
        }
        assert_eq!(told.matches("error: ").count(), 3, "{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("3 faults, ") && last.ends_with(" in broken.toml"),
            "{told}"
        );
    }
    let output = hookgate(directory.path(), &["check", "absent.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("absent.toml"));
}

/// Beside a `routes.toml` that is broken, so that reading it would show.
#[test]
fn the_environment_names_the_file_and_an_argument_overrules_it() {
    let directory = temporary();
    std::fs::write(directory.path().join("elsewhere.toml"), SHIPPED).unwrap();
    std::fs::write(directory.path().join("routes.toml"), "oops").unwrap();
    let environment = [("HOOKGATE_CONFIG", "elsewhere.toml")];
    let check = |arguments: &[&str]| hookgate_where(&environment, directory.path(), arguments);
    let named = check(&["check"]);
    assert_eq!(named.status.code(), Some(0), "{}", stderr(&named));
    assert!(stdout(&named).contains("5 routes, 5 targets"));
    // Every command that reads the file, by a fault that comes after the reading.
    let sent = check(&["send", "--route", "nobody"]);
    assert!(
        stderr(&sent).contains("there are github"),
        "{}",
        stderr(&sent)
    );
    for arguments in [
        &["check", "routes.toml"][..],
        &["serve", "--config", "routes.toml"],
        &["send", "--route", "github", "--config", "routes.toml"],
    ] {
        let overruled = check(arguments);
        assert_eq!(overruled.status.code(), Some(64), "{arguments:?}");
        let told = stderr(&overruled);
        assert!(told.contains("--> routes.toml:"), "{arguments:?}: {told}");
    }
}

#[test]
fn a_new_key_and_the_digest_for_the_configuration_agree() {
    let directory = temporary();
    for (user, prefix) in [
        (None, String::new()),
        (Some("partner"), "partner:".to_owned()),
    ] {
        let mut arguments = vec!["keys", "new", "--name", "glia-2026"];
        arguments.extend(user.map(|user| ["--user", user]).into_iter().flatten());
        let output = hookgate(directory.path(), &arguments);
        assert_eq!(output.status.code(), Some(0));
        let told = stdout(&output);
        let key = told
            .split_whitespace()
            .find(|word| word.starts_with("hg_"))
            .unwrap();
        assert!(key.len() >= 46, "256 bits: {key}");
        let digest = sha256_hex(&format!("{prefix}{key}"));
        assert!(
            told.contains(&format!("name = \"glia-2026\", sha256 = \"{digest}\"")),
            "{told}"
        );
    }
}

/// The keys are read by name from tables, so the source says which there are.
pub(crate) fn keys_of_the_source() -> BTreeSet<String> {
    const READERS: [&str; 7] = [
        "take(\"",
        "require(\"",
        "section(\"",
        "duration(\"",
        "size(\"",
        "count(\"",
        "flag(\"",
    ];
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut keys = BTreeSet::new();
    let mut left = vec![project.join("src/config")];
    while let Some(path) = left.pop() {
        // Their keys are those of `hookgate test`.
        if path.ends_with("cases.rs") || path.ends_with("cases") {
            continue;
        }
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap().replace("(\n", "(");
        for reader in READERS {
            let found = source.split(reader).skip(1);
            keys.extend(found.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    assert!(
        keys.contains("path_ends") && keys.contains("starts_with"),
        "the source is read otherwise now: {keys:?}"
    );
    keys
}

#[test]
fn the_readme_s_route_is_valid() {
    let directory = temporary();
    let readme = include_str!("../../../README.md");
    let toml = readme.split("```toml\n").nth(1).unwrap();
    let toml = toml.split("```").next().unwrap();
    let toml = toml.replace("THE DIGEST", &sha256_hex("a key"));
    std::fs::write(directory.path().join("routes.toml"), toml).unwrap();
    let output = hookgate(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_provider_that_is_not_known_is_told_with_one_that_comes_near() {
    let directory = temporary();
    for (name, near) in [
        ("Githb", "; did you mean `github`?"),
        ("Stripe", "; did you mean `stripe`?"),
        ("nothing-like-any", " is no provider\n"),
    ] {
        let output = hookgate(directory.path(), &["providers", "show", name]);
        assert_eq!(output.status.code(), Some(64));
        assert!(stderr(&output).contains(near), "{}", stderr(&output));
    }
}
