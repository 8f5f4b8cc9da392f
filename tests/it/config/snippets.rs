//! The lines that are shown with faults: never a secret, always the mark.

use std::collections::BTreeSet;

use hookgate::config::{Config, Snippet};
use unicode_width::UnicodeWidthStr as _;

use super::{environment, fixtures, parse};

/// All that is said of `text`, with the lines.
fn told(text: &str) -> (String, Vec<Snippet>) {
    let config = Config::parse(text, "routes.toml", &fixtures(), &environment);
    let (faults, warnings) = match &config {
        Ok(config) => (&[][..], config.warnings.as_slice()),
        Err(faults) => (faults.as_slice(), faults.warnings()),
    };
    let words = faults.iter().map(ToString::to_string);
    let words: Vec<_> = words
        .chain(warnings.iter().map(ToString::to_string))
        .collect();
    let snippets = faults.iter().filter_map(|fault| fault.snippet.clone());
    let snippets = snippets.chain(
        warnings
            .iter()
            .filter_map(|warning| warning.snippet.clone()),
    );
    (words.join("\n"), snippets.collect())
}

fn assert_silent(text: &str) -> usize {
    let (words, snippets) = told(text);
    assert!(!words.contains("canary"), "{words}\n---\n{text}");
    for snippet in &snippets {
        assert!(!snippet.line.contains("canary"), "{snippet:?}\n---\n{text}");
        assert!(
            snippet.width > 0 && snippet.start <= snippet.line.width(),
            "{snippet:?}"
        );
    }
    snippets.len()
}

/// However a secret stands in a file, and whatever is wrong beside it.
#[test]
fn no_shape_of_a_secret_is_shown() {
    let secrets = [
        "\"canary-canary\"",
        "'canary-canary'",
        "\"\"\"canary\ncanary\"\"\"",
        "'''\ncanary\n'''",
        "\"canary\\\"canary\"",
        "[\"canary\"]",
        "{ value = \"canary-canary\" }",
        "[{ value = \"canary-canary\" }]",
        "{ vaule = \"canary-canary\" }",
        "{ env = \"canary canary\" }",
        "{ canary = 1 }",
        "{ \"canary\" = 1 }",
        "[{ file = \"x\", canary = true }]",
        "12 # canary",
        "canary",
        "canary-canary",
        "\"canary",
        "'canary",
        "\"\"\"canary",
        "\"canary\" canary",
        "[{ value = \"canary\"",
        "{ value = canary }",
        "canary = \"canary\"",
        "\"a\" # \"canary\"",
        "\"\\canary\"",
        "\"#canary\"",
        "\"'canary'\"",
        "1canary",
        "\"https://u:canary@h/canary?canary\"",
    ];
    let keys = [
        "secrets",
        "secret",
        "secretts",
        "verify_token",
        "token",
        "colour",
        "headers",
        "sign",
        "url",
        "params",
        "verify",
    ];
    let beside = [
        "",
        "provider = \"githb\"\n",
        "path = 3\n",
        "deliver = [\"crn\"]\n",
        "max_body = \"x\"; \n",
    ];
    let mut snippets = 0;
    for secret in secrets {
        for key in keys {
            // Where no secret belongs, a key that nobody knows is told by its name.
            let is_key = ["canary = 1", "canary\" = 1", "canary = true"];
            let is_key = is_key.iter().any(|shape| secret.contains(shape));
            if is_key && matches!(key, "verify" | "params" | "headers" | "sign") {
                continue;
            }
            for line in beside {
                for table in ["routes.a", "targets.a", "server", "admin", "store"] {
                    let text = format!("[{table}]\n{line}{key} = {secret}\n");
                    snippets += assert_silent(&text);
                    snippets += assert_silent(&format!("{table}.{key} = {secret}\n{line}"));
                }
            }
            snippets += assert_silent(&format!(
                "[routes.a]\nverify = {{ hmac = {{ }}, {key} = {secret}, timeout = 1 }}\n"
            ));
            snippets += assert_silent(&format!("[routes.a] {key} = {secret}\n"));
            snippets += assert_silent(&format!("{key} = {secret}\r\n{key} = {secret}\r\n"));
        }
    }
    assert!(snippets > 10_000, "{snippets}");
}

/// Cut anywhere, and with any one of its signs missing.
#[test]
fn a_damaged_file_shows_no_secret() {
    let text = std::fs::read_to_string(fixtures().join("full.toml")).unwrap();
    let text = text.replace("{ env = ", "{ value = \"canary-canary\", env = ");
    assert!(text.contains("canary"));
    let mut shown = 0;
    for (at, sign) in text
        .char_indices()
        .filter(|(_, c)| "\"'[]{}=#\n".contains(*c))
    {
        let mut damaged = text.clone();
        damaged.remove(at);
        shown += assert_silent(&damaged);
        if sign == '"' {
            shown += assert_silent(&text[..at]);
            shown += assert_silent(&text[..at + 1]);
        }
    }
    assert!(shown > 500, "{shown}");
}

#[track_caller]
fn line(text: &str, expected: &str, mark: &str) {
    let (words, snippets) = told(text);
    let snippet = snippets.first().unwrap_or_else(|| panic!("{words}"));
    let shown = format!("{}{}", " ".repeat(snippet.start), "^".repeat(snippet.width));
    assert_eq!(
        (snippet.line.as_str(), shown.as_str()),
        (expected, mark),
        "{words}"
    );
}

#[test]
fn what_is_wrong_is_marked() {
    line(
        "[server]\nmax_body = \"16 parsecs\"",
        r#"max_body = "16 parsecs""#,
        r"           ^^^^^^^^^^^^",
    );
    line(
        "[server]\n\tworkers\t=\t0 # few",
        "    workers    =    0 # …",
        "                    ^",
    );
    line("[server]\nmax_bdy = 'x'", "max_bdy = '…'", "^^^^^^^");
    line(
        "server.workers = [1, 2]",
        "server.workers = […, …]",
        "                 ^^^^^^",
    );
    line(
        "[server]\nworkers = true",
        "workers = true",
        "          ^^^^",
    );
    line("[store]\nurl = 7\nmax = 3", "url = …", "      ^");
    line("[\"se rver\"]\nx = 1", "[\"…\"]", " ^^^");
    // The mark begins where a string of many lines begins.
    line(
        "[server]\nlisten = \"\"\"a\nb\"\"\"",
        "listen = \"\"\"…",
        "         ^^^^",
    );
    line(
        "[server]\npublic_url = \"ftp://x\" # ü",
        "public_url = \"…\" # …",
        "             ^^^",
    );
    let long = format!(
        "[routes.a]\nallow_from = [{}\"x\"]",
        "\"10.0.0.1\", ".repeat(60)
    );
    let (_, snippets) = told(&long);
    let snippet = snippets
        .iter()
        .find(|snippet| snippet.line.contains("\"x\""))
        .unwrap();
    assert!(snippet.line.chars().count() <= 112, "{snippet:?}");
    let marked: String = snippet
        .line
        .chars()
        .skip(snippet.start)
        .take(snippet.width)
        .collect();
    assert_eq!(marked, "\"x\"");
}

/// The keys are read by name from tables, so the source says which there are: each may be shown.
#[test]
fn every_key_is_known_to_snippets() {
    let keys = crate::cli::keys_of_the_source();
    assert!(keys.len() > 100);
    let hidden: BTreeSet<_> = keys
        .iter()
        .filter(|key| {
            let (_, snippets) = told(&format!("{key} = ?"));
            snippets[0].line != format!("{key} = …")
        })
        .collect();
    assert!(
        hidden.is_empty(),
        "src/config/words.rs does not have {hidden:?}"
    );
    let (_, snippets) = told("nobody_s_key = ?");
    assert_eq!(snippets[0].line, "… = …");
    assert!(parse("nobody_s_key = ?").is_err());
}

/// Whoever pastes the line of a request has its value where the name belongs.
#[test]
fn the_line_of_a_header_in_the_place_of_its_name_is_not_shown() {
    let target = "[targets.a]\nurl = \"https://a.example.com\"\n";
    let shown = assert_silent(&format!(
        "{target}headers = {{ \"Authorization: Bearer canary\" = {{ value = \"x\" }} }}\n"
    ));
    assert!(shown > 0);
}

#[test]
fn a_byte_order_mark_is_not_seen() {
    let text = "\u{feff}listn = 1\r\n";
    let faults = Config::parse(text, "routes.toml", &fixtures(), &environment).unwrap_err();
    let fault = faults.as_slice().iter().find(|fault| fault.key == "listn");
    let fault = fault.unwrap_or_else(|| panic!("{faults}"));
    assert_eq!((fault.line, fault.column, fault.end_column), (1, 1, 6));
    let snippet = fault.snippet.as_ref().unwrap();
    assert_eq!(
        (snippet.line.as_str(), snippet.start, snippet.width),
        ("listn = …", 0, 5)
    );
}
