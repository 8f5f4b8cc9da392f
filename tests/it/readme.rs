//! `tests/README.md` tells which test proves what: every test and file that it names is there.

use std::{fs, path::Path};

/// Shorter words in backticks are no tests' names.
const NAME_MIN: usize = 15;

#[test]
fn every_test_that_the_readme_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut code = String::new();
    let mut left = vec![root.join("it")];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                code += &fs::read_to_string(path).unwrap_or_default();
            }
        }
    }
    let mut named = 0;
    for word in readme.split('`').skip(1).step_by(2) {
        if word.starts_with("it/") {
            assert!(root.join(word).exists(), "no {word}");
        }
        let name = word.trim_end_matches('…');
        let is_name = name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if name.len() >= NAME_MIN && is_name && name.contains('_') {
            // `store_unavailable` and the like are codes.
            let known =
                code.contains(&format!("fn {name}")) || code.contains(&format!("\"{name}\""));
            assert!(known, "no test {name}");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} names read");
}
