//! What people are told of broken files: the words, the lines and the marks, exactly, as `tests/config/broken/NAME.stderr`
//! holds them. After a change of words: `HOOKGATE_ACCEPT_MESSAGES=1 cargo test --test it cli::broken`, and read the diff.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::program::{hookgate, hookgate_where, stderr, stdout};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken")
}

/// The names of the files that are checked, sorted.
fn files() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".toml")).collect();
    names.sort();
    assert!(names.len() >= 35, "{names:?}");
    names
}

#[allow(
    clippy::disallowed_methods,
    reason = "whoever changes a message says so"
)]
#[test]
fn every_message_is_as_it_was() {
    let accept = std::env::var_os("HOOKGATE_ACCEPT_MESSAGES").is_some();
    let mut others = Vec::new();
    for name in files() {
        let output = hookgate(&folder(), &["check", &name]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{name}: {told}");
        assert_eq!(stdout(&output), "", "{name}");
        assert!(!told.contains("canary"), "{name}: {told}");
        assert!(!told.contains('\x1b'), "colours for a file: {told}");
        let counted = told.lines().last().unwrap_or_default();
        let faults = told
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        let plural = if faults == 1 {
            "1 fault".to_owned()
        } else {
            format!("{faults} faults")
        };
        assert!(faults > 0 && counted.starts_with(&plural), "{name}: {told}");

        let kept = folder().join(name.replace(".toml", ".stderr"));
        if accept {
            fs::write(&kept, &told).unwrap();
        } else if fs::read_to_string(&kept).unwrap_or_default() != told {
            others.push(format!("--- {name}\n{told}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// For editors and CI: the same faults, and nothing but JSON.
#[test]
fn the_same_is_told_as_json() {
    for name in files() {
        let output = hookgate(&folder(), &["check", "--format", "json", &name]);
        assert_eq!(output.status.code(), Some(64), "{name}");
        assert_eq!(stderr(&output), "", "{name}");
        let told = stdout(&output);
        assert!(!told.contains("canary"), "{name}: {told}");
        let report: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(report["valid"], false);
        assert_eq!(report["file"], *name);
        let text = fs::read_to_string(folder().join(name.replace(".toml", ".stderr"))).unwrap();
        let faults = report["faults"].as_array().unwrap();
        assert!(!faults.is_empty());
        for fault in faults {
            let of = |key: &str| fault[key].as_u64().unwrap();
            let place = match of("line") {
                0 => fault["file"].as_str().unwrap().to_owned(),
                line => format!(
                    "{}:{line}:{}",
                    fault["file"].as_str().unwrap(),
                    of("column")
                ),
            };
            assert!(text.contains(&format!("--> {place}\n")), "{name}: {fault}");
            let message = fault["message"].as_str().unwrap();
            assert!(text.contains(message), "{name}: {fault}");
            let ends = (of("end_line"), of("end_column")) >= (of("line"), of("column"));
            assert!(ends, "{name}: {fault}");
            assert_eq!(fault["severity"], "error");
            assert!(
                fault["key"].is_string()
                    && fault.get("expected").is_some()
                    && fault.get("hint").is_some()
            );
        }
    }
}

#[test]
fn other_commands_tell_the_same() {
    let text = fs::read_to_string(folder().join("values.stderr")).unwrap();
    for arguments in [
        &["serve", "--config", "values.toml"][..],
        &["send", "--route", "fine", "--config", "values.toml"],
    ] {
        let output = hookgate(&folder(), arguments);
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(stderr(&output), text, "{arguments:?}");
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    let coloured = hookgate_where(
        &[("CLICOLOR_FORCE", "1")],
        &folder(),
        &["check", "values.toml"],
    );
    assert!(
        stderr(&coloured).contains("\x1b[31m"),
        "{}",
        stderr(&coloured)
    );
    let environment = [("CLICOLOR_FORCE", "0"), ("NO_COLOR", "1")];
    let plain = hookgate_where(&environment, &folder(), &["check", "values.toml"]);
    assert!(!stderr(&plain).contains('\x1b'));
}

/// A stable shape: what editors and CI read.
#[test]
fn a_valid_file_as_json() {
    let directory = crate::support::gateway::temporary();
    let text = "[routes.a]\npath = \"/a\"\nverify = \"none\"\nevent_id = { body = \"sha256\" }\ndeliver = [\"crm\"]\n[targets.crm]\nurl = \"https://crm.example.com\"\n";
    fs::write(directory.path().join("routes.toml"), text).unwrap();
    let output = hookgate(directory.path(), &["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let expected = serde_json::json!({
        "valid": true,
        "file": "routes.toml",
        "routes": 1,
        "targets": 1,
        "faults": [],
        "warnings": [{
            "severity": "warning",
            "file": "routes.toml",
            "line": 3,
            "column": 10,
            "end_line": 3,
            "end_column": 16,
            "key": "routes.a.verify",
            "message": "whoever knows the address may send events",
            "expected": null,
            "hint": "name a `provider` or how callers prove themselves; at least `allow_from`",
        }],
    });
    assert_eq!(report, expected);
}
