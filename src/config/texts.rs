//! The text of a route's secrets, for whoever looks for what is wrong with them. The gateway itself keeps only keys.

use std::path::Path;

use toml::de::DeValue;

use super::{
    Secret,
    credentials::read_texts,
    include::read_include,
    load::{environment, tree},
    reader::{Context, Node, Table},
    source::Source,
};

/// A secret as it stands in the environment or in its file.
#[derive(Clone, Debug)]
pub struct SecretText {
    /// What the operator calls it.
    pub name: String,
    pub text: Secret,
}

/// Every secret that stands anywhere below the route `name` of the file at `path`, or of one that it includes. Empty when
/// anything cannot be read: loading the configuration tells what.
pub fn secret_texts(path: &Path, name: &str) -> Vec<SecretText> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    of_source(&Source::of_file(path, text), name)
}

/// [`secret_texts`] of a file's text; relative paths start from `base`.
pub fn secret_texts_of(text: &str, base: &Path, name: &str) -> Vec<SecretText> {
    of_source(&Source::of_text("", base, text), name)
}

fn of_source(source: &Source, name: &str) -> Vec<SecretText> {
    let context = Context::new(&environment);
    let mut main = Table::root(&context, source, tree(&context, source));
    let included = read_include(main.take("include"));
    let mut found = Vec::new();
    let route = |mut table: Table<'_>, found: &mut Vec<SecretText>| {
        for (known, _, node) in table.section("routes").named() {
            if known == name {
                collect(node, found);
            }
        }
    };
    route(main, &mut found);
    for source in &included {
        let table = Table::root(&context, source, tree(&context, source));
        route(table, &mut found);
    }
    found
}

fn collect(node: Node<'_>, found: &mut Vec<SecretText>) {
    match node.value {
        DeValue::Table(_) => {
            let Some(table) = node.table("") else { return };
            for (key, _, node) in table.named() {
                if key == "secrets" && node.is_list() {
                    found.extend(read_texts(node));
                } else {
                    collect(node, found);
                }
            }
        }
        DeValue::Array(_) => {
            for node in node.list("").unwrap_or_default() {
                collect(node, found);
            }
        }
        _ => {}
    }
}
