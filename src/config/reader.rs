//! A walk over the spanned TOML tree that collects every fault on its way.
//!
//! Keys are *taken* from tables, so that whatever is left when a table is done is a key nobody knows.
//! A reading that fails notes its fault and gives `None`; the walk goes on with a default.

use std::{
    cell::RefCell,
    fmt::Display,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::Fingerprint;
use super::error::{Fault, Warning, closest, position};

/// What the whole walk shares: the file, the world around it, and what was found wrong.
pub(super) struct Context<'a> {
    pub(super) text: &'a str,
    pub(super) file_name: &'a str,
    /// What relative paths in the file start from.
    pub(super) base: &'a Path,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: RefCell<Vec<Fault>>,
    /// With the offset of each, to sort by.
    pub(super) warnings: RefCell<Vec<(usize, Warning)>>,
}

impl Context<'_> {
    /// `path` of the file as seen from the working directory.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

/// Where something stands: a key path and an offset.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) path: String,
    pub(super) offset: usize,
    /// What stands here may be a secret: faults do not repeat it.
    pub(super) secret: bool,
}

impl<'a> Place<'a> {
    /// `found` must not hold a secret.
    pub(super) fn fault(&self, found: impl Into<String>, expected: impl Into<String>) {
        self.note(Some(found.into()), Some(expected.into()), None);
    }

    pub(super) fn missing(&self, key: &str, expected: impl Into<String>) {
        self.key(key, self.offset)
            .note(None, Some(expected.into()), None);
    }

    /// A fault of `key` in the table that stands here.
    pub(super) fn fault_at(&self, key: &str, found: &str, expected: &str) {
        self.key(key, self.offset).fault(found, expected);
    }

    /// The name found here stands for nothing.
    pub(super) fn unknown<'n>(
        &self,
        name: &str,
        expected: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) {
        let close = closest(name, names).map(str::to_owned);
        self.note(Some(quoted(name)), Some(expected.into()), close);
    }

    pub(super) fn warn(&self, message: impl Display) {
        let (line, column) = position(self.context.text, self.offset);
        let warning = Warning {
            file: self.context.file_name.to_owned(),
            line,
            column,
            key: self.path.clone(),
            message: message.to_string(),
        };
        let mut warnings = self.context.warnings.borrow_mut();
        warnings.push((self.offset, warning));
    }

    pub(super) fn note(
        &self,
        found: Option<String>,
        expected: Option<String>,
        close: Option<String>,
    ) {
        let (line, column) = position(self.context.text, self.offset);
        self.context.faults.borrow_mut().push(Fault {
            file: self.context.file_name.to_owned(),
            line,
            column,
            key: self.path.clone(),
            found,
            expected,
            did_you_mean: close,
        });
    }

    fn key(&self, key: &str, offset: usize) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let step = if !key.is_empty() && key.chars().all(bare) {
            key.to_owned()
        } else {
            quoted(key)
        };
        let path = if self.path.is_empty() {
            step
        } else {
            format!("{}.{step}", self.path)
        };
        Self {
            path,
            offset,
            ..self.clone()
        }
    }

    fn item(&self, index: usize, offset: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            offset,
            ..self.clone()
        }
    }
}

/// A value and its place.
pub(super) struct Node<'a> {
    pub(super) place: Place<'a>,
    pub(super) value: DeValue<'a>,
}

impl<'a> Node<'a> {
    /// Faults will no longer repeat this value, nor anything in it.
    pub(super) fn secret(mut self) -> Self {
        self.place.secret = true;
        self
    }

    /// Notes that this value is not what is expected here.
    pub(super) fn reject(&self, expected: impl Into<String>) {
        self.place.fault(self.describe(), expected);
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn string(&self, expected: &str) -> Option<&str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.reject(expected);
        }
        text
    }

    /// A string that `parse` accepts.
    pub(super) fn parse<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = self.value.as_str().and_then(parse);
        if parsed.is_none() {
            self.reject(expected);
        }
        parsed
    }

    /// One of `choices`, by name.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = choices.iter().map(|(name, _)| quoted(name)).collect();
        self.parse(&one_of(&names), |text| {
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, choice)| *choice)
        })
    }

    pub(super) fn table(self, expected: &str) -> Option<Table<'a>> {
        if !self.is_table() {
            self.reject(expected);
        }
        let DeValue::Table(entries) = self.value else {
            return None;
        };
        Some(Table {
            place: self.place,
            entries,
            known: Vec::new(),
        })
    }

    pub(super) fn list(self, expected: &str) -> Option<Vec<Self>> {
        if !self.is_list() {
            self.reject(expected);
        }
        let DeValue::Array(items) = self.value else {
            return None;
        };
        let node = |(index, item): (usize, toml::Spanned<DeValue<'a>>)| Self {
            place: self.place.item(index, item.span().start),
            value: item.into_inner(),
        };
        Some(items.into_iter().enumerate().map(node).collect())
    }

    /// A list as it stands, or one value as a list of one.
    pub(super) fn one_or_many(self) -> Vec<Self> {
        if self.is_list() {
            self.list("").unwrap_or_default()
        } else {
            vec![self]
        }
    }

    pub(super) fn describe(&self) -> String {
        match &self.value {
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::String(_) if self.place.secret => "a string".to_owned(),
            DeValue::Integer(_) | DeValue::Float(_) if self.place.secret => "a number".to_owned(),
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(at) => at.to_string(),
        }
    }
}

/// A table whose keys are taken one by one.
pub(super) struct Table<'a> {
    pub(super) place: Place<'a>,
    entries: DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn root(context: &'a Context<'a>, entries: DeTable<'a>) -> Self {
        let place = Place {
            context,
            path: String::new(),
            offset: 0,
            secret: false,
        };
        Self {
            place,
            entries,
            known: Vec::new(),
        }
    }

    /// Of what stands in it.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&[format!("{:?}", self.entries).as_bytes()])
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        #[cfg(test)]
        RECORD.with_borrow_mut(|record| record.insert((self.place.path.clone(), key)));
        let value = self.entries.remove(key)?;
        Some(Node {
            place: self.place.key(key, value.span().start),
            value: value.into_inner(),
        })
    }

    /// Like [`Table::take`]; a fault when the key is not there.
    pub(super) fn require(&mut self, key: &'static str, expected: &str) -> Option<Node<'a>> {
        let node = self.take(key);
        if node.is_none() {
            self.place.missing(key, expected);
        }
        node
    }

    /// A table under `key`, empty when the file leaves it out.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let offset = self.place.offset;
        let section = self.take(key).and_then(|node| node.table("a table"));
        section.unwrap_or_else(|| Self {
            place: self.place.key(key, offset),
            entries: DeTable::new(),
            known: Vec::new(),
        })
    }

    /// All that is left, where keys are names of the operator's choosing: name, place of the name,
    /// value; in the order of the file.
    pub(super) fn named(self) -> Vec<(String, Place<'a>, Node<'a>)> {
        let mut entries: Vec<_> = self
            .entries
            .into_iter()
            .map(|(key, value)| {
                let place = self.place.key(key.get_ref(), key.span().start);
                let node = Node {
                    place: self.place.key(key.get_ref(), value.span().start),
                    value: value.into_inner(),
                };
                (key.into_inner().into_owned(), place, node)
            })
            .collect();
        entries.sort_by_key(|(_, place, _)| place.offset);
        entries
    }

    /// Every key left over is a fault. True when there was none.
    pub(super) fn finish(self) -> bool {
        let known = self.known;
        let clean = self.entries.is_empty();
        for key in self.entries.keys() {
            let close = closest(key.get_ref(), known.iter().copied()).map(str::to_owned);
            // A secret may have been written where its key belongs.
            let place = if self.place.secret && close.is_none() {
                self.place.key("…", key.span().start)
            } else {
                self.place.key(key.get_ref(), key.span().start)
            };
            let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            let expected = close.is_none().then(|| one_of(&names));
            place.note(Some("an unknown key".to_owned()), expected, close);
        }
        clean
    }
}

#[cfg(test)]
thread_local! {
    static RECORD: RefCell<std::collections::BTreeSet<(String, &'static str)>> = RefCell::default();
}

/// The keys that tables were asked for within `read`, each with the path of its table.
#[cfg(test)]
pub(super) fn recorded(read: impl FnOnce()) -> std::collections::BTreeSet<(String, &'static str)> {
    RECORD.take();
    read();
    RECORD.take()
}

/// `text` in quotes, escaped and cut.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    if text.chars().count() <= CHARS_MAX {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{:?}", cut + "…")
}

fn one_of(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
