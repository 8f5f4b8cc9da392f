//! The JSON Schema and the reference of the keys, both made from one table of data.

use std::{fs, path::Path};

use hookgate::config::surface;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `HOOKGATE_BLESS=1` writes it anew.
#[test]
fn the_tables_of_the_reference_are_those_of_the_program() {
    let path = project().join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let current = surface::reference(&text).unwrap();
    if std::env::var_os("HOOKGATE_BLESS").is_some() {
        fs::write(path, &current).unwrap();
        return;
    }
    let stale = std::iter::zip(text.lines(), current.lines()).find(|(is, should)| is != should);
    assert!(
        text == current,
        "docs/configuration.md is not current, from {stale:?} on: HOOKGATE_BLESS=1 cargo test --test it config::surface"
    );
}
