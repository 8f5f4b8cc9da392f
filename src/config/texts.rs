//! The text of a route's secrets, for whoever looks for what is wrong with them. The gateway itself keeps only keys.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{
    Secret,
    credentials::read_texts,
    load::environment,
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

/// Every secret that stands anywhere below the route `name` of the file at `path`. Empty when anything cannot be read:
/// loading the configuration tells what.
pub fn secret_texts(path: &Path, name: &str) -> Vec<SecretText> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let base = path.parent().unwrap_or(Path::new(""));
    secret_texts_of(&text, base, name)
}

/// [`secret_texts`] of a file's text; relative paths start from `base`.
pub fn secret_texts_of(text: &str, base: &Path, name: &str) -> Vec<SecretText> {
    let (root, _) = DeTable::parse_recoverable(text);
    let context = Context::new(&environment);
    let source = Source::of_text("", base, text);
    let routes = Table::root(&context, &source, root.into_inner()).section("routes");
    let mut routes = routes.named().into_iter();
    let route = routes.find(|(known, ..)| known == name);
    let mut found = Vec::new();
    if let Some((.., route)) = route {
        collect(route, &mut found);
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
