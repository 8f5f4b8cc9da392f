//! `deploy/prometheus`: the alerts, the cases that prove them, and the runbook that they lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use super::{file, known_names, named, promtool::promtool};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const CASES: [&str; 2] = [
    "deploy/prometheus/alerts.test.yml",
    "deploy/prometheus/alerts-of-a-day.test.yml",
];
const RUNBOOK: &str = "docs/runbook.md";

/// Each alert's name with the text of its rules.
fn alerts() -> BTreeMap<String, String> {
    let mut alerts = BTreeMap::<String, String>::new();
    for rule in file(ALERTS).split("- alert: ").skip(1) {
        let (name, rule) = rule.split_once('\n').unwrap();
        *alerts.entry(name.to_owned()).or_default() += rule;
    }
    assert!(alerts.len() >= 15, "only {} alerts read", alerts.len());
    alerts
}

#[test]
fn the_rules_are_sound() {
    let (content, said) = promtool(&["check", "rules", "--lint=all", ALERTS], "");
    assert!(content, "{said}");
    let rules = file(ALERTS).matches("- alert: ").count();
    assert!(said.contains(&format!("{rules} rules found")), "{said}");
}

#[test]
fn each_fires_when_it_should_and_only_then() {
    let arguments: Vec<_> = ["test", "rules"].into_iter().chain(CASES).collect();
    let (content, said) = promtool(&arguments, "");
    assert!(content, "{said}");
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for text in CASES.map(file) {
        for case in text.split("- alertname: ").skip(1) {
            let (name, rest) = case.split_once('\n').unwrap();
            // Up to the next group.
            let expects = rest
                .split("- name: ")
                .next()
                .unwrap()
                .contains("exp_alerts:");
            let seen = if expects { &mut fires } else { &mut quiet };
            seen.insert(name.to_owned());
        }
    }
    let all: BTreeSet<_> = alerts().into_keys().collect();
    assert_eq!(fires, all, "a case that fires");
    assert_eq!(quiet, all, "a case that does not");
}

#[test]
fn each_says_what_where_and_how_bad_and_leads_to_its_section() {
    for (name, rule) in alerts() {
        let says = |text: &str| assert!(rule.contains(text), "{name} does not say {text}");
        for part in ["severity: ", "summary: ", "description: "] {
            says(part);
        }
        says(&format!("runbook_url: {RUNBOOK}#{}\n", name.to_lowercase()));
        let by = rule
            .split_once("by (")
            .map_or("", |(_, by)| by.split(')').next().unwrap());
        for label in ["route", "target", "reason", "credential"] {
            if by.split(", ").any(|word| word == label) {
                says(&format!("$labels.{label} "));
            }
        }
    }
}

#[test]
fn each_has_a_section_of_the_runbook_and_each_section_an_alert() {
    let runbook = file(RUNBOOK);
    let sections: BTreeMap<_, _> = runbook
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let of_alerts = sections
        .keys()
        .filter(|title| title.starts_with("Hookgate"));
    let found: BTreeSet<_> = of_alerts.map(|title| (*title).to_owned()).collect();
    let all: BTreeSet<_> = alerts().into_keys().collect();
    assert_eq!(found, all);
    for name in &all {
        let section = sections[name.as_str()];
        for part in ["**Means.**", "**Impact.**", "**Confirm.**", "**Do.**"] {
            assert!(section.contains(part), "{name}: no {part}");
        }
        let commands = section.contains("```sh\n");
        assert!(commands, "{name}: no command to confirm it with");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_they_name_is_there() {
    let known = known_names().await;
    for path in [ALERTS, CASES[0], CASES[1], RUNBOOK] {
        let text = file(path);
        let named = named(&text);
        assert!(named.len() > 2, "{path} names no metric");
        let unknown: Vec<_> = named
            .iter()
            .filter(|name| !known.contains(**name) && !known.contains(&format!("{name}_count")))
            .collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
}

/// With `--help` behind it a command line is read up to there, and nothing is done.
#[test]
fn every_command_of_the_runbook_is_one() {
    let runbook = file(RUNBOOK);
    let blocks = runbook.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines);
    let commands: BTreeSet<_> = lines
        .filter_map(|line| line.strip_prefix("hookgate "))
        .collect();
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let words = command.split(' ').chain(["--help"]);
        let mut program = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let output = program.args(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {told}");
    }
}
