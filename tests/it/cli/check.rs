//! `check`, `keys` and the help.

use super::program::{SHIPPED, hookgate, stderr, stdout};
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
        assert!(
            told.lines().all(|line| line.starts_with("broken.toml:")),
            "{told}"
        );
    }
    let output = hookgate(directory.path(), &["check", "absent.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("absent.toml"));
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

#[test]
fn every_subcommand_has_help_with_examples() {
    let directory = temporary();
    let subcommands = [
        &["serve"][..],
        &["demo"],
        &["check"],
        &["send"],
        &["keys", "new"],
    ];
    for subcommand in subcommands {
        let output = hookgate(directory.path(), &[subcommand, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{subcommand:?}");
        let help = stdout(&output);
        let example = format!("  hookgate {}", subcommand.join(" "));
        assert!(
            help.contains("Examples:") && help.contains(&example),
            "{subcommand:?}: {help}"
        );
    }
    for listed in stdout(&hookgate(directory.path(), &["--help"]))
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
    {
        assert!(
            subcommands.iter().any(|known| known[0] == listed),
            "no example is tested for {listed}"
        );
    }
}

#[test]
fn alone_it_says_what_to_do_next() {
    let directory = temporary();
    let output = hookgate(directory.path(), &[]);
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    for next in [
        "hookgate demo",
        "hookgate check",
        "hookgate serve",
        "hookgate send",
    ] {
        assert!(told.contains(next), "{told}");
    }
    assert_eq!(
        hookgate(directory.path(), &["sevre"]).status.code(),
        Some(64)
    );
}
