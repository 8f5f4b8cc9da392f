//! Tells the program the commit that it is built from: `HOOKGATE_COMMIT` (packagers, images), else git's, else `unknown`.
//!
//! Only a release follows git: a development build would be compiled anew after each commit.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "cargo tells a build script what to do by its environment, and is told by its output"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HOOKGATE_COMMIT");
    let commit = told()
        .or_else(development)
        .or_else(of_git)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=HOOKGATE_BUILT_FROM={commit}");
}

/// Packagers may have names of their own for it, but of one word.
fn told() -> Option<String> {
    let told = env::var("HOOKGATE_COMMIT").ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    (!told.is_empty() && told.chars().all(plain)).then_some(told)
}

fn development() -> Option<String> {
    (env::var("PROFILE").ok()? == "debug").then(|| "development".to_owned())
}

fn of_git() -> Option<String> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    // A source archive that is unpacked within somebody else's repository is not of that commit.
    let top = PathBuf::from(git(&root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(&root, &["rev-parse", "--short=12", "HEAD"])?;
    let branch = git(&root, &["symbolic-ref", "--quiet", "HEAD"]);
    // A branch has a file of its own or a line in `packed-refs`; then the next commit shows in the log.
    for name in ["HEAD", "logs/HEAD", "packed-refs"]
        .into_iter()
        .chain(branch.as_deref())
    {
        follow(&root, name);
    }
    Some(commit)
}

/// A file that is not there would have everything built anew each time.
fn follow(root: &Path, name: &str) {
    let path = git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
    if let Some(path) = path.filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
