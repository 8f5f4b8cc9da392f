//! What `hookgate providers` prints: loaded again, and in the README.

use std::{path::Path, sync::Arc};

use hookgate::{
    config::{Config, Fingerprint, Route, Warning},
    providers::Proof,
    signature::SecretForm,
};

use super::*;
use crate::support::schema;

/// What the program prints.
fn printed(arguments: &[&str]) -> String {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .arg("providers")
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Secrets for all schemes of the preset: valid, and used nowhere.
fn secrets(preset: &Preset) -> String {
    let values = preset
        .schemes()
        .iter()
        .map(|scheme| match &scheme.secret_form {
            SecretForm::Text => "a long enough secret".to_owned(),
            SecretForm::Base64 { prefix, .. } | SecretForm::Base64OrText { prefix } => {
                format!("{prefix}A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
            }
            SecretForm::Hex => {
                "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664".to_owned()
            }
            SecretForm::Spki => "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==".to_owned(),
        });
    let mut values: Vec<_> = values
        .map(|value| format!("{{ value = {value:?} }}"))
        .collect();
    values.dedup();
    if values.is_empty() {
        values.push("{ value = \"a long enough secret\" }".to_owned());
    }
    format!("[{}]", values.join(", "))
}

/// The one route of `text`, whose secrets by name are replaced.
fn load(text: &str, preset: &Preset) -> Route {
    let name = preset.name.to_uppercase().replace('-', "_");
    let text = text.replace(
        &format!("[{{ env = \"{name}_SECRET\" }}]"),
        &secrets(preset),
    );
    let config = Config::parse(&text, "routes.toml", Path::new("."), &|_| None);
    let mut config = config.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    schema::assert_takes(&text);
    assert_eq!(config.routes.len(), 1, "{text}");
    let unsigned = |warning: &&Warning| warning.message.contains("the timestamp is not part");
    assert_eq!(config.warnings.iter().find(unsigned), None, "{text}");
    let mut route = Arc::into_inner(config.routes.remove(0)).unwrap();
    // They come with the name alone.
    route.handshakes = &[];
    // How it was spelled.
    (route.provider, route.fingerprint) = (None, Fingerprint::of(&[]));
    route
}

/// The same by its name, with what the printed text has of the operator's own.
fn by_name(preset: &Preset, shown: &str) -> String {
    let taken = |start: &str| {
        let mut lines = shown.lines().filter(|line| line.starts_with(start));
        lines.next().unwrap_or_default().to_owned()
    };
    let params: Vec<_> = preset
        .params
        .iter()
        .filter(|param| param.required)
        .map(|param| format!("{} = {:?}", param.name, param.name.to_uppercase()))
        .collect();
    let name = preset.name;
    let mut text = format!("[routes.{name}]\npath = \"/hooks/{name}\"\nprovider = {name:?}\n");
    text += &format!("{}\ndeliver = []\n", taken("public_url = "));
    if !params.is_empty() {
        text += &format!("params = {{ {} }}\n", params.join(", "));
    }
    text += &taken("secrets = ");
    if let Proof::Agreed = preset.proof {
        text += &format!(
            "\n[routes.{name}.verify]\n{}\n{}\n",
            taken("api_key = "),
            taken("keys = ")
        );
    }
    text
}

#[test]
fn every_preset_is_the_route_that_is_shown() {
    for preset in PRESETS.iter() {
        let shown = printed(&["show", preset.name]);
        let by_hand = load(&shown, preset);
        let by_name = load(&by_name(preset, &shown), preset);
        assert_eq!(
            format!("{by_hand:#?}"),
            format!("{by_name:#?}"),
            "{}:\n{shown}",
            preset.name
        );
    }
}

#[test]
fn the_list_is_told_to_programs() {
    let rows: Vec<Value> = serde_json::from_str(&printed(&["--format", "json"])).unwrap();
    assert_eq!(rows.len(), PRESETS.len());
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let stripe = row("stripe");
    assert_eq!(stripe["unverified"], Value::Null);
    assert_eq!(stripe["event_id"], "/id");
    assert_eq!(
        stripe["proven_by"][0],
        "HMAC-SHA256 hex of {sig.t}.{body} in stripe-signature at v1"
    );
    assert_eq!(stripe["covered"][0]["event_id"], true);
    assert_eq!(row("github")["covered"][0]["event_id"], false);
    assert_eq!(row("slack")["handshakes"][0], "url_verification");
    assert!(row("bitbucket")["unverified"].is_string());
}

#[test]
fn the_table_for_people_has_every_provider() {
    let table = printed(&[]);
    for preset in PRESETS.iter() {
        let mark = preset.doubts.map_or("", |_| " *");
        assert!(
            table.contains(&format!("│ {}{mark} ", preset.name)),
            "{}",
            preset.name
        );
    }
}

#[test]
fn the_readme_is_current() {
    let readme = include_str!("../../../README.md");
    let section = printed(&["--format", "markdown"]);
    assert!(section.lines().count() > PRESETS.len());
    assert!(
        readme.contains(section.trim_end()),
        "put the output of `hookgate providers --format markdown` into the README:\n{section}"
    );
}
