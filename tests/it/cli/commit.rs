//! `build.rs`: which commit a build says that it is of. It needs nothing, so it is compiled and run here by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::program::{stderr, stdout};
use crate::support::gateway::temporary;

/// What a run printed.
struct Told {
    commit: String,
    follows: Vec<PathBuf>,
}

struct Script(PathBuf);

impl Script {
    fn compile(directory: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let script = directory.join("script");
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition", "2024", "-o"])
            .arg(&script)
            .arg(source);
        let output = rustc.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        Self(script)
    }

    /// As cargo would run it for the package in `root`.
    fn run(&self, root: &Path, environment: &[(&str, &str)]) -> Told {
        let mut script = Command::new(&self.0);
        script
            .env("CARGO_MANIFEST_DIR", root)
            .env("PROFILE", "release")
            .env_remove("HOOKGATE_COMMIT")
            .env_remove("GIT_DIR")
            .envs(environment.iter().copied());
        let output = script.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        let values = |key: &str| {
            let lines = text.lines();
            lines
                .filter_map(move |line| {
                    line.strip_prefix("cargo::")?
                        .strip_prefix(key)?
                        .strip_prefix('=')
                })
                .collect::<Vec<_>>()
        };
        let commit = values("rustc-env=HOOKGATE_BUILT_FROM");
        let follows = values("rerun-if-changed").into_iter();
        Told {
            commit: commit.concat(),
            follows: follows
                .filter(|path| *path != "build.rs")
                .map(PathBuf::from)
                .collect(),
        }
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "user.name=me",
        "-c",
        "user.email=me@example.com",
        "-c",
        "commit.gpgsign=false",
    ])
    .args(arguments)
    .current_dir(directory)
    .env("GIT_CONFIG_GLOBAL", "/dev/null")
    .env_remove("GIT_DIR");
    let output = git.output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output).trim().to_owned()
}

fn commit(directory: &Path, message: &str) -> String {
    git(
        directory,
        &["commit", "--allow-empty", "--quiet", "--message", message],
    );
    git(directory, &["rev-parse", "--short=12", "HEAD"])
}

/// What cargo compares; a file that is not there would have it build each time.
fn looked_at(told: &Told) -> Vec<Vec<u8>> {
    assert!(!told.follows.is_empty());
    told.follows
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

#[test]
fn a_release_tells_its_commit_and_is_built_again_after_the_next_one_only() {
    let directory = temporary();
    let script = Script::compile(directory.path());
    let root = directory.path().join("repository");
    fs::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    let first = commit(&root, "first");
    let packed = |root: &Path| drop(git(root, &["pack-refs", "--all"]));
    for arrange in [|_: &Path| {}, packed] {
        arrange(&root);
        let told = script.run(&root, &[]);
        assert_eq!(
            told.commit,
            git(&root, &["rev-parse", "--short=12", "HEAD"])
        );
        let before = looked_at(&told);
        assert_eq!(before, looked_at(&told));
        let next = commit(&root, "next");
        assert_ne!(before, looked_at(&told), "a commit is not seen");
        assert_eq!(script.run(&root, &[]).commit, next);
    }
    assert_ne!(script.run(&root, &[]).commit, first);

    let tree = directory.path().join("tree");
    git(
        &root,
        &[
            "worktree",
            "add",
            "--quiet",
            "-b",
            "other",
            tree.to_str().unwrap(),
        ],
    );
    let told = script.run(&tree, &[]);
    let before = looked_at(&told);
    let next = commit(&tree, "in the work tree");
    assert_ne!(
        before,
        looked_at(&told),
        "a commit in a work tree is not seen"
    );
    assert_eq!(script.run(&tree, &[]).commit, next);
}

#[test]
fn packagers_have_the_first_word_and_without_a_repository_it_is_unknown() {
    let directory = temporary();
    let script = Script::compile(directory.path());
    let root = directory.path().join("repository");
    let archive = root.join("vendor/hookgate");
    fs::create_dir_all(&archive).unwrap();
    // Nothing above the temporary directory is a repository of this one.
    assert_eq!(script.run(&root, &[]).commit, "unknown");
    git(&root, &["init", "--quiet"]);
    // No commit yet.
    assert_eq!(script.run(&root, &[]).commit, "unknown");
    let head = commit(&root, "first");
    // Somebody else's repository.
    assert_eq!(script.run(&archive, &[]).commit, "unknown");
    for (told, expected) in [
        ("4f2a-dist", "4f2a-dist"),
        ("", head.as_str()),
        ("a b\nc", &head),
    ] {
        let told = script.run(&root, &[("HOOKGATE_COMMIT", told)]);
        assert_eq!(told.commit, expected);
    }
    // It would be compiled anew after each commit.
    let development = script.run(&root, &[("PROFILE", "debug")]);
    assert_eq!(development.commit, "development");
    assert!(development.follows.is_empty());
    let told = script.run(&root, &[("PROFILE", "debug"), ("HOOKGATE_COMMIT", "4f2a")]);
    assert_eq!(told.commit, "4f2a");
}
