//! Every key of `routes.toml` as data: what it is called, what stands there, what it means.
//!
//! One row a key, in the files beside this one. From the rows are made the JSON Schema that editors check and complete by
//! ([`schema`]) and the tables of docs/configuration.md ([`reference`]). Tests hold the rows to what the reader takes, to its
//! defaults and to its choices.

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

mod gateway;
mod reference;
mod routes;
mod schema;
mod schemes;
mod shapes;
mod targets;
#[cfg(test)]
mod tests;
mod verify;

pub use gateway::WHOLE;
pub use reference::reference;
pub use schema::{plain, schema};

/// A table of the file.
pub struct Section {
    /// In the schema and in the markers of the reference; no two are called the same.
    pub name: &'static str,
    keys: &'static [Key],
    /// Those of `keys` that it does not have.
    without: &'static [&'static str],
    rules: &'static [Rule],
}

impl Section {
    const fn new(name: &'static str, keys: &'static [Key], rules: &'static [Rule]) -> Self {
        Self {
            name,
            keys,
            without: &[],
            rules,
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        let has = |key: &&Key| !self.without.contains(&key.name);
        self.keys.iter().filter(has)
    }
}

/// One key.
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    usual: Usual,
    /// A sentence or two of Markdown; links are relative to `docs/`.
    pub meaning: &'static str,
    /// A value as it may stand in the file, in TOML.
    pub example: &'static str,
}

const fn key(
    name: &'static str,
    shape: Shape,
    usual: Usual,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        shape,
        usual,
        meaning,
        example,
    }
}

/// What holds where a key is left out.
#[derive(Clone, Copy)]
enum Usual {
    /// A fault.
    Required,
    /// This value of TOML.
    Is(&'static str),
    /// This value of TOML; the rest says where another.
    But(&'static str, &'static str),
    /// What no value says.
    Words(&'static str),
}

/// What may stand somewhere.
#[derive(Clone, Copy)]
pub enum Shape {
    Flag,
    /// From … to.
    Integer(u64, u64),
    /// From … to, fractions too.
    Number(f64, f64),
    /// Above … and up to.
    Above(f64, f64),
    /// A string that matches the pattern of ECMA 262.
    Text(&'static str),
    Choice(&'static [&'static str]),
    /// The name of a preset.
    Provider,
    /// Only this.
    False,
    /// Of at least so many.
    List(usize, &'static Shape),
    OneOf(&'static [Shape]),
    Table(&'static Section),
    /// Names of the operator's choosing, that match the pattern.
    Named(&'static str, &'static Shape),
}

/// What keys of one table have to do with each other.
enum Rule {
    /// Exactly one of them.
    One(&'static [&'static str]),
    /// At least one of them.
    Some(&'static [&'static str]),
    /// One of them at most.
    AtMostOne(&'static [&'static str]),
    /// All of them or none.
    Together(&'static [&'static str]),
    /// The first only beside the second.
    Needs(&'static str, &'static str),
}

/// All tables, by name.
pub fn sections() -> BTreeMap<&'static str, &'static Section> {
    let mut found = BTreeMap::new();
    collect(&Shape::Table(&WHOLE), &mut found);
    found
}

/// Whether any table has a key of this name.
pub(super) fn is_key(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let sections = sections();
        let keys = sections.values().flat_map(|section| section.keys());
        keys.map(|key| key.name).collect()
    });
    NAMES.contains(name)
}

fn collect(shape: &Shape, found: &mut BTreeMap<&'static str, &'static Section>) {
    match shape {
        Shape::Table(section) if found.contains_key(section.name) => {}
        Shape::Table(section) => {
            found.insert(section.name, section);
            section.keys().for_each(|key| collect(&key.shape, found));
        }
        Shape::List(_, inner) | Shape::Named(_, inner) => collect(inner, found),
        Shape::OneOf(shapes) => shapes.iter().for_each(|shape| collect(shape, found)),
        _ => {}
    }
}
