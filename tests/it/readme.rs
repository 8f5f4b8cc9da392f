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

/// A page that nobody can find, or a link that leads nowhere, is as good as none.
#[test]
fn every_page_is_in_the_index_and_every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let index = fs::read_to_string(root.join("docs/README.md")).unwrap();
    let mut pages = vec![root.join("README.md"), root.join("tests/README.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".md") {
            let listed = name == "README.md" || index.contains(&format!("({name})"));
            assert!(listed, "docs/README.md does not list {name}");
            pages.push(path);
        }
    }
    let mut followed = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: no {link}", page.display());
            if !heading.is_empty() {
                let there = fs::read_to_string(&target).unwrap();
                let known = headings(&there).any(|known| known == heading);
                assert!(known, "{}: no heading {link}", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links");
}

/// As pages name them in links: lower case, without punctuation, hyphens for spaces.
fn headings(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}
