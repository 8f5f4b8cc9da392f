//! `include`: routes and targets of other files.

use std::{fs, os::unix::fs::symlink, path::Path};

use hookgate::config::{Config, Faults};

use crate::support::gateway::temporary;

const MAIN: &str = "[routes.main]\npath = \"/main\"\nverify = \"none\"\nevent_id = { body = \"sha256\" }\ndeliver = [\"crm\"]\n[targets.crm]\nurl = \"https://crm.example.com\"\n";

fn route(name: &str) -> String {
    format!(
        "[routes.{name}]\npath = \"/{name}\"\nverify = \"none\"\nevent_id = {{ body = \"sha256\" }}\ndeliver = [\"crm\"]\n"
    )
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// With this `include` before `MAIN`.
fn load(directory: &Path, include: &str) -> Result<Config, Faults> {
    write(
        directory,
        "routes.toml",
        &format!("include = {include}\n{MAIN}"),
    );
    Config::load(&directory.join("routes.toml"))
}

fn names(directory: &Path, include: &str) -> Vec<String> {
    let config = load(directory, include).unwrap_or_else(|faults| panic!("{faults}"));
    config
        .routes
        .iter()
        .map(|route| route.name.to_string())
        .collect()
}

/// What is told, with paths below `directory`.
fn told(directory: &Path, include: &str) -> Vec<String> {
    let Err(faults) = load(directory, include) else {
        panic!("{include} loads")
    };
    let here = format!("{}/", directory.display());
    let lines = faults.to_string().replace(&here, "");
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn files_follow_in_the_order_of_the_list_and_of_their_names() {
    let directory = temporary();
    let here = directory.path();
    for name in ["b", "a", "c"] {
        write(here, &format!("routes.d/{name}.toml"), &route(name));
    }
    write(here, "team/z.toml", &route("z"));
    write(here, "team/notes.md", "not for us");
    write(here, "team/.hidden.toml", "not toml");
    fs::create_dir(here.join("routes.d/d.toml")).unwrap();
    assert_eq!(
        names(here, "[\"routes.d/*.toml\"]"),
        ["main", "a", "b", "c"]
    );
    assert_eq!(
        names(here, "[\"team/*.toml\", \"routes.d/[ab].toml\"]"),
        ["main", "z", "a", "b"]
    );
    // Each once, the file itself among them.
    assert_eq!(
        names(here, "[\"routes.d/b.toml\", \"*/*.toml\", \"*.toml\"]"),
        ["main", "b", "a", "c", "z"]
    );
    assert_eq!(names(here, "[\"nowhere/*.toml\"]"), ["main"]);
    assert_eq!(
        names(here, &format!("[\"{}/team/z.toml\"]", here.display())),
        ["main", "z"]
    );
}

/// What may be in the files of a name with signs that patterns have.
#[test]
fn the_directory_s_own_name_is_no_pattern() {
    let directory = temporary();
    let here = directory.path().join("a[b]*");
    write(&here, "routes.d/a.toml", &route("a"));
    assert_eq!(names(&here, "[\"routes.d/*.toml\"]"), ["main", "a"]);
}

/// As Kubernetes mounts a ConfigMap: links to links into a directory that is swapped.
#[test]
fn a_mounted_config_map_is_read_once_and_again_when_it_is_swapped() {
    let directory = temporary();
    let here = directory.path();
    let mounted = here.join("routes.d");
    write(&mounted, "..2026_01/a.toml", &route("a"));
    symlink("..2026_01", mounted.join("..data")).unwrap();
    symlink("..data/a.toml", mounted.join("a.toml")).unwrap();
    for include in [
        "[\"routes.d/*.toml\"]",
        "[\"routes.d/*\"]",
        "[\"routes.d/*.toml\", \"routes.d/*/*.toml\"]",
    ] {
        assert_eq!(names(here, include), ["main", "a"], "{include}");
    }
    write(&mounted, "..2026_02/a.toml", &route("other"));
    symlink("..2026_02", mounted.join("..data_tmp")).unwrap();
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
    assert_eq!(names(here, "[\"routes.d/*.toml\"]"), ["main", "other"]);
}

#[test]
fn what_may_come_to_be_included_is_watched() {
    let directory = temporary();
    let here = directory.path();
    write(here, "teams/a/routes.toml", &route("a"));
    fs::create_dir(here.join("teams/b")).unwrap();
    let config = load(here, "[\"teams/*/routes.toml\", \"later/*.toml\"]").unwrap();
    let expected = [
        "later",
        "routes.toml",
        "teams",
        "teams/a",
        "teams/a/routes.toml",
        "teams/b",
    ];
    assert_eq!(config.files, expected.map(|name| here.join(name)));

    let faults = load(here, "[\"absent.toml\", \"later/*.toml\"]").unwrap_err();
    let expected = ["absent.toml", "later", "routes.toml"];
    assert_eq!(faults.files(), expected.map(|name| here.join(name)));
}

#[test]
fn relative_paths_start_from_the_file_that_says_them() {
    let directory = temporary();
    let here = directory.path();
    write(here, "team/key", "canary-canary");
    let own = route("own").replace(
        "verify = \"none\"\nevent_id = { body = \"sha256\" }",
        "provider = \"github\"\nsecrets = [{ file = \"key\" }]",
    );
    write(here, "team/routes.toml", &own);
    assert_eq!(names(here, "[\"team/routes.toml\"]"), ["main", "own"]);
    let texts = hookgate::config::secret_texts(&here.join("routes.toml"), "own");
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].text.expose(), b"canary-canary");
    // What stands in it counts, and not where.
    let before = load(here, "[\"team/routes.toml\"]").unwrap();
    write(here, "other/key", "canary-canary");
    write(here, "other/routes.toml", &own);
    let after = load(here, "[\"other/routes.toml\"]").unwrap();
    assert!(hookgate::config::diff(&before, &after).is_empty());
    write(here, "other/key", "canary-other");
    let changed = load(here, "[\"other/routes.toml\"]").unwrap();
    assert_eq!(hookgate::config::diff(&after, &changed).routes.len(), 1);
}

#[test]
fn a_pattern_that_no_file_has_is_told() {
    let directory = temporary();
    let here = directory.path();
    write(here, "routes.d/a.toml", &route("a"));
    let warnings = |include: &str| {
        let mut warnings = load(here, include).unwrap().warnings;
        // The routes here are open.
        warnings.retain(|warning| !warning.key.ends_with(".verify"));
        warnings
    };
    assert_eq!(warnings("[\"routes.d/*.toml\"]"), []);
    let told = warnings("[\"routes.d/*.toml\", \"route.d/*.toml\"]");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].key, "include[1]");
    assert!(told[0].message.contains("no file"), "{told:?}");
}

#[test]
fn faults_name_the_file_that_they_are_in() {
    let directory = temporary();
    let here = directory.path();
    write(here, "a.toml", &route("main"));
    write(here, "b.toml", "[targets.erp]\ntimeout = 3\n");
    write(
        here,
        "c.toml",
        "include = [\"d.toml\"]\n[server]\nworkers = 1\n[route.x]\n",
    );
    write(here, "bad.toml", "[routes.a]\noops\n");
    write(here, "team/a.toml", &route("a"));
    let told = |include: &str| told(here, include);
    assert_eq!(
        told("[\"a.toml\"]"),
        [
            "a.toml:1:9: routes.main: found a second routes.main, after that at routes.toml:2:9, expected another name, or only one of them",
            "a.toml:2:8: routes.main.path: found \"/main\", the path of routes.main, expected another path, or other methods",
        ]
    );
    assert_eq!(
        told("[\"b.toml\"]"),
        [
            "b.toml:1:1: targets.erp.url: missing, expected a URL such as \"https://crm.example.com/in\"",
            "b.toml:2:11: targets.erp.timeout: found 3, expected a duration such as \"10s\"",
        ]
    );
    let main = here.join("routes.toml").display().to_string();
    let belongs = format!("expected it in {main}; only [routes.NAME] and [targets.NAME] here")
        .replace(&format!("{}/", here.display()), "");
    assert_eq!(
        told("[\"c.toml\"]"),
        [
            format!("c.toml:1:1: include: found what an included file does not hold, {belongs}"),
            format!("c.toml:2:2: server: found what an included file does not hold, {belongs}"),
            "c.toml:4:2: route: found an unknown key; did you mean `routes`?".to_owned(),
        ]
    );
    let bad = told("[\"bad.toml\", \"b.toml\"]");
    assert!(
        bad.len() == 1 && bad[0].starts_with("bad.toml:2:"),
        "{bad:?}"
    );
    assert_eq!(
        told("[\"absent.toml\"]"),
        [
            "routes.toml:1:12: include[0]: found \"absent.toml\", which cannot be read (No such file or directory (os error 2)), expected a file that the gateway may read at absent.toml",
        ]
    );
    assert_eq!(
        told("[\"team/\"]"),
        [
            "routes.toml:1:12: include[0]: found \"team/\", which is a directory, expected \"team/*.toml\"",
        ]
    );
    assert_eq!(
        told("[\"routes.toml\"]"),
        [
            "routes.toml:1:12: include[0]: found \"routes.toml\", expected another file than this one"
        ]
    );
    assert_eq!(told("[3, \"\"]").len(), 2);
    fs::write(here.join("bytes.toml"), b"\xff").unwrap();
    assert!(told("[\"bytes.toml\"]")[0].contains("which is not UTF-8"));
}
