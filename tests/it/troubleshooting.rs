//! A walk through `docs/troubleshooting.md`: each symptom is produced on a gateway of its own, and found with the
//! commands that the page gives, which must print what the page shows.
//!
//! What produces a symptom is a script in `tests/troubleshooting/`, one a section of the page, called by the section's
//! heading. It runs in a directory with `routes.toml`, which it may change before it calls `serve`; what it writes
//! into `words` (`NAME=VALUE` lines) stands for NAME in the page's commands and output.

mod page;
mod walk;

use std::path::Path;

use page::{Section, sections};
use walk::Walk;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The scripts by the names of the sections that they belong to.
fn scripts() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/troubleshooting");
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".sh").map(str::to_owned))
        .filter(|name| name != "common")
        .collect();
    names.sort();
    names
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "which symptoms to walk through is asked of whoever runs the test"
)]
fn every_symptom_is_produced_and_found_with_the_commands_of_the_page() {
    let sections = sections(&file("docs/troubleshooting.md"));
    let mut named: Vec<_> = sections.iter().map(Section::slug).collect();
    named.sort();
    assert_eq!(named, scripts(), "sections with commands, and scripts");
    assert!(named.len() >= 10, "only {} symptoms", named.len());
    // A walk at a time takes long and a processor hardly; all at once take two processors.
    let only = std::env::var("HOOKGATE_SYMPTOM").unwrap_or_default();
    let faults: Vec<String> = std::thread::scope(|scope| {
        let chosen = sections.iter().filter(|s| s.slug().contains(&only));
        let walks: Vec<_> = chosen
            .map(|section| scope.spawn(move || Walk::begin(section).and_then(Walk::go)))
            .collect();
        let ended = walks.into_iter().map(|walk| walk.join().unwrap());
        ended.filter_map(Result::err).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
