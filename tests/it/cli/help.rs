//! What the program tells of itself: help, examples, the next step, completions, manual pages; and in what colours.

use std::{path::Path, process::Command};

use super::program::{SHIPPED, hookgate, hookgate_where, stderr, stdout};
use crate::support::gateway::temporary;

/// What people must not see: the gateway starts it by itself.
const HIDDEN: &str = hookgate::expression::COMMAND;

/// The words of every command, those of commands too.
pub(super) fn commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut left = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let help = help(&words);
        let (_, listed) = help.split_once("\nCommands:\n").unwrap_or_default();
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !name.is_empty() && *name != "help");
        left.extend(names.map(|name| [words.clone(), vec![name.to_owned()]].concat()));
        if !words.is_empty() {
            all.push(words);
        }
    }
    assert!(all.len() > 12, "{all:?}");
    all
}

fn help(words: &[String]) -> String {
    let words = words.iter().map(String::as_str);
    let arguments: Vec<_> = words.chain(["--help"]).collect();
    let output = hookgate(Path::new("."), &arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    stdout(&output)
}

#[test]
fn every_command_has_examples_that_begin_with_its_name() {
    for words in commands() {
        let help = help(&words);
        let (_, examples) = help
            .split_once("\nExamples:\n")
            .unwrap_or_else(|| panic!("no examples: {words:?}"));
        let usual = format!("  hookgate {}", words.join(" "));
        let lines: Vec<_> = examples
            .lines()
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(lines.iter().all(|line| line.starts_with("  ")), "{lines:?}");
        assert!(
            lines.iter().any(|line| line.starts_with(&usual)),
            "{words:?}: {lines:?}"
        );
    }
}

#[test]
fn help_is_a_command_too() {
    let directory = temporary();
    let told = stdout(&hookgate(directory.path(), &["help"]));
    assert_eq!(told, stdout(&hookgate(directory.path(), &["--help"])));
    assert!(
        told.contains("  serve ") && !told.contains(HIDDEN),
        "{told}"
    );
    let told = stdout(&hookgate(directory.path(), &["help", "serve"]));
    assert!(told.contains("Examples:\n  hookgate serve\n"), "{told}");
}

#[test]
fn a_fault_of_usage_is_told_with_what_was_meant_and_where_to_read_on() {
    let directory = temporary();
    for (arguments, meant) in [
        (["serv", ""], "'serve'"),
        (["serve", "--confg=x"], "'--config'"),
        (["serve", "--log-format=jsn"], "'json'"),
        (["completions", "bsh"], "'bash'"),
    ] {
        let arguments = arguments.map(|word| word.trim());
        let arguments: Vec<_> = arguments
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let output = hookgate(directory.path(), &arguments);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.starts_with("error: "), "{told}");
        assert!(told.contains("tip: ") && told.contains(meant), "{told}");
        assert!(told.contains("try '--help'"), "{told}");
    }
}

#[test]
fn alone_it_says_what_to_do_next() {
    let directory = temporary();
    let alone = || {
        let output = hookgate_where(&[("GITHUB_WEBHOOK_SECRET", "x")], directory.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let told = stdout(&output);
        assert!(told.lines().count() < 15, "too long: {told}");
        assert!(told.contains("hookgate --help"), "{told}");
        told
    };
    let said = |told: &str, command: &str| told.contains(&format!("\n  hookgate {command}"));

    let told = alone();
    assert!(told.contains("There is no routes.toml"), "{told}");
    assert!(said(&told, "demo "), "{told}");
    assert!(!said(&told, "serve  "), "{told}");

    let file = directory.path().join("routes.toml");
    let route = "[routes.open]\npath = \"/open\"\nverify = \"none\"\nevent_id = { body = \"sha256\" }\ndeliver = []\n";
    std::fs::write(&file, route).unwrap();
    let told = alone();
    assert!(
        told.contains("routes.toml can be served: 1 route, 0 targets."),
        "{told}"
    );
    assert!(
        said(&told, "serve ") && said(&told, "send --route open "),
        "{told}"
    );

    std::fs::write(&file, route.replace("path", "pfad")).unwrap();
    let told = alone();
    assert!(told.contains("routes.toml has 2 faults"), "{told}");
    assert!(said(&told, "check ") && !said(&told, "serve"), "{told}");
}

/// As Compose sets a variable that nobody has set.
#[test]
fn alone_it_says_that_the_name_of_the_file_is_empty() {
    let directory = temporary();
    let output = hookgate_where(&[("HOOKGATE_CONFIG", "")], directory.path(), &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert_eq!(told.matches("error:").count(), 1, "{told}");
    assert!(told.contains("--config"), "{told}");
}

#[test]
fn a_file_that_is_not_there_leads_somewhere() {
    let directory = temporary();
    for command in ["serve", "check"] {
        let output = hookgate(directory.path(), &[command]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains("--config") && told.contains("hookgate demo"),
            "{told}"
        );
    }
}

#[test]
fn the_version_tells_the_commit() {
    let directory = temporary();
    for argument in ["--version", "-V"] {
        let told = stdout(&hookgate(directory.path(), &[argument]));
        let expected = format!("hookgate {} ({})\n", hookgate::VERSION, hookgate::COMMIT);
        assert_eq!(told, expected);
    }
}

#[test]
fn shells_complete_commands_and_options() {
    let directory = temporary();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = hookgate(directory.path(), &["completions", shell]);
        let script = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for word in ["serve", "providers", "log-format"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        assert!(!script.contains(HIDDEN), "{shell}");
        std::fs::write(directory.path().join(shell), script).unwrap();
    }
    let completed = |words: &str| {
        let number = words.split(' ').count() - 1;
        let (before, last) = words.rsplit_once(' ').unwrap();
        let previous = before.rsplit(' ').next().unwrap();
        let script = format!(
            "source ./bash; COMP_WORDS=({words}); COMP_CWORD={number}; _hookgate hookgate '{last}' '{previous}'; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        let output = bash
            .args(["-euc", &script])
            .current_dir(directory.path())
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    assert_eq!(completed("hookgate ser"), "serve");
    assert_eq!(completed("hookgate serve --log"), "--log-format");
    assert_eq!(completed("hookgate serve --log-format j"), "json");
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let directory = temporary();
    let output = hookgate(directory.path(), &["man", "--output", "man/man1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let pages = directory.path().join("man/man1");
    for words in commands() {
        let name = format!("hookgate-{}.1", words.join("-"));
        let page = std::fs::read_to_string(pages.join(&name));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", "Examples:"] {
            assert!(page.contains(part), "{name}: no {part}");
        }
    }
    let whole = std::fs::read_to_string(pages.join("hookgate.1")).unwrap();
    assert_eq!(whole, stdout(&hookgate(directory.path(), &["man"])));
    assert!(!pages.join(format!("hookgate-{HIDDEN}.1")).exists());

    std::fs::write(directory.path().join("file"), "").unwrap();
    let output = hookgate(directory.path(), &["man", "--output", "file/man1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write to file/man1"));
}

/// Nothing here is a terminal.
#[test]
fn colours_are_for_terminals_unless_they_are_asked_for_or_forbidden() {
    let directory = temporary();
    std::fs::write(directory.path().join("routes.toml"), SHIPPED).unwrap();
    std::fs::write(directory.path().join("broken.toml"), "[server]\nlisten = 1").unwrap();
    std::fs::write(
        directory.path().join("capture"),
        "POST /hooks/glia HTTP/1.1\nHost: a\n\n{}",
    )
    .unwrap();
    let commands: [&[&str]; 9] = [
        &[],
        &["--help"],
        &["help", "serve"],
        &["serv"],
        &["check"],
        &["check", "broken.toml"],
        &["serve", "--config", "broken.toml"],
        &["keys", "new", "--name", "me"],
        &["explain", "--capture", "capture", "--route", "glia"],
    ];
    for arguments in commands {
        let coloured = |environment: &[(&str, &str)]| {
            let output = hookgate_where(environment, directory.path(), arguments);
            let told = stdout(&output) + &stderr(&output);
            assert!(!told.trim().is_empty(), "{arguments:?}");
            told.contains('\x1b')
        };
        assert!(!coloured(&[]), "{arguments:?} in a pipe");
        assert!(
            coloured(&[("CLICOLOR_FORCE", "1")]),
            "{arguments:?}, forced"
        );
        let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert!(!coloured(&both), "{arguments:?}, forbidden");
    }
}
