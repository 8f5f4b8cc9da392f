//! A walk over the spanned TOML tree that collects every fault on its way.
//!
//! Keys are *taken* from tables, so that whatever is left when a table is done is a key nobody knows.
//! A reading that fails notes its fault and gives `None`; the walk goes on with a default.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Display,
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

use crate::clock::{Clock, Timestamp};

use super::{
    Fingerprint, Keys, Secret,
    error::{Fault, Warning, closest},
    source::Source,
};

/// What is read in the place of the file at a path.
pub(super) type Given<'g> = dyn Fn(&Path) -> Option<Secret> + 'g;

/// What the whole walk shares: the world around the files, and what was found in it and found wrong.
pub(super) struct Context<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// What is read in the place of a file.
    given: Option<&'a Given<'a>>,
    pub(super) now: Timestamp,
    /// With the place of each, to sort by: the number of its file, and the offset in it.
    pub(super) faults: RefCell<Vec<(Order, Fault)>>,
    pub(super) warnings: RefCell<Vec<(Order, Warning)>>,
    /// What was read or looked for.
    pub(super) files: RefCell<BTreeSet<PathBuf>>,
    /// What variables and files held, in the order of reading.
    pub(super) contents: RefCell<Vec<Fingerprint>>,
}

/// The number of a file, and an offset in it.
pub(super) type Order = (usize, usize);

impl<'a> Context<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            env,
            given: None,
            now: Clock::system().now(),
            faults: RefCell::default(),
            warnings: RefCell::default(),
            files: RefCell::default(),
            contents: RefCell::default(),
        }
    }

    /// With what stands in the place of some files.
    pub(super) fn standing_in(mut self, files: &'a Given<'a>) -> Self {
        self.given = Some(files);
        self
    }

    pub(super) fn is_file(&self, path: &Path) -> bool {
        self.given.is_some_and(|given| given(path).is_some()) || path.is_file()
    }

    /// The value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        let value = (self.env)(name).map(Zeroizing::new)?;
        self.witness(value.as_bytes());
        Some(value)
    }

    /// The first `bytes_max` bytes of the file at `path`.
    pub(super) fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        self.look_at(path);
        if let Some(given) = self.given.and_then(|given| given(path)) {
            return Ok(Zeroizing::new(given.expose().to_vec()));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
        self.witness(&bytes);
        Ok(bytes)
    }

    /// Makes `path` one of [`super::Config::files`].
    pub(super) fn look_at(&self, path: &Path) {
        self.files.borrow_mut().insert(path.to_owned());
    }

    /// Whether nothing was found wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    fn witness(&self, bytes: &[u8]) {
        let content = Fingerprint::of(&[bytes]);
        self.contents.borrow_mut().push(content);
    }
}

/// Where something stands: a key path, and a part of a file.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) source: &'a Source,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    /// What stands here may be a secret: faults do not repeat it.
    pub(super) secret: bool,
}

impl<'a> Place<'a> {
    /// `found` must not hold a secret.
    pub(super) fn fault(&self, found: impl Into<String>, expected: impl Into<String>) {
        self.note(Some(found.into()), Some(expected.into()), None);
    }

    pub(super) fn missing(&self, key: &str, expected: impl Into<String>) {
        self.key(key, self.span.clone())
            .note(None, Some(expected.into()), None);
    }

    /// A fault of `key` in the table that stands here.
    pub(super) fn fault_at(&self, key: &str, found: &str, expected: &str) {
        self.key(key, self.span.clone()).fault(found, expected);
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

    /// What is wrong, and the next step.
    pub(super) fn warn(&self, message: impl Display, hint: impl Display) {
        let warning = self
            .source
            .warning(self, message.to_string(), hint.to_string());
        let mut warnings = self.context.warnings.borrow_mut();
        warnings.push((self.order(), warning));
    }

    pub(super) fn note(
        &self,
        found: Option<String>,
        expected: Option<String>,
        close: Option<String>,
    ) {
        let fault = self.source.fault(self, found, expected, close);
        self.context.faults.borrow_mut().push((self.order(), fault));
    }

    pub(super) fn order(&self) -> Order {
        (self.source.number, self.span.start)
    }

    /// As `routes.toml:12:1`.
    pub(super) fn shown(&self) -> String {
        let (line, column, ..) = self.source.position(&self.span);
        format!("{}:{line}:{column}", self.source.name)
    }

    /// `path` of this file as seen from the working directory.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.source.base.join(path)
    }

    pub(super) fn key(&self, key: &str, span: Range<usize>) -> Self {
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
            span,
            ..self.clone()
        }
    }

    fn item(&self, index: usize, span: Range<usize>) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            span,
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

    /// What is no table may be a secret that stands where its table belongs.
    pub(super) fn table_or_secret(self) -> Self {
        match self.is_table() {
            true => self,
            false => self.secret(),
        }
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
        let node = |(index, item): (usize, Spanned<DeValue<'a>>)| Self {
            place: self.place.item(index, item.span()),
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

/// A key of the operator's choosing, where it stands, and what stands under it.
pub(super) type Named<'a> = (String, Place<'a>, Node<'a>);

/// A table whose keys are taken one by one.
pub(super) struct Table<'a> {
    pub(super) place: Place<'a>,
    entries: DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Faults will not repeat what stands in it.
    pub(super) fn secret(mut self) -> Self {
        self.place.secret = true;
        self
    }

    pub(super) fn root(context: &'a Context<'a>, source: &'a Source, entries: DeTable<'a>) -> Self {
        let place = Place {
            context,
            source,
            path: String::new(),
            span: 0..0,
            secret: false,
        };
        Self {
            place,
            entries,
            known: Vec::new(),
        }
    }

    /// What is left in it.
    pub(super) fn add_to(&self, keys: &mut Keys) {
        keys.add(&self.entries);
    }

    /// Begins to look at what is read on behalf of this table.
    pub(super) fn witness(&self) -> Witness<'a> {
        let mut text = Vec::new();
        write_table(&self.entries, &mut text);
        self.witness_of(text)
    }

    /// [`Table::witness`] of some of its keys.
    pub(super) fn witness_keys(&self, keys: &[&str]) -> Witness<'a> {
        let mut text = Vec::new();
        for key in keys {
            if let Some(value) = self.entries.get(*key) {
                write_text(key, &mut text);
                write_value(value.get_ref(), &mut text);
            }
        }
        self.witness_of(text)
    }

    fn witness_of(&self, text: Vec<u8>) -> Witness<'a> {
        let context = self.place.context;
        Witness {
            context,
            begin: context.contents.borrow().len(),
            text,
        }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        #[cfg(test)]
        RECORD.with_borrow_mut(|record| record.insert((self.place.path.clone(), key)));
        let value = self.entries.remove(key)?;
        Some(Node {
            place: self.place.key(key, value.span()),
            value: value.into_inner(),
        })
    }

    /// Where the value of `key` stands, which is not taken.
    pub(super) fn place_of(&self, key: &str) -> Option<Place<'a>> {
        let value = self.entries.get(key)?;
        Some(self.place.key(key, value.span()))
    }

    /// Whether `key` holds a table.
    pub(super) fn has_table(&self, key: &str) -> Option<bool> {
        let value = self.entries.get(key)?;
        Some(value.get_ref().is_table())
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
        let span = self.place.span.clone();
        let section = self.take(key).and_then(|node| node.table("a table"));
        section.unwrap_or_else(|| Self {
            place: self.place.key(key, span),
            entries: DeTable::new(),
            known: Vec::new(),
        })
    }

    /// All that is left, where keys are names of the operator's choosing: name, place of the name,
    /// value; in the order of the file.
    pub(super) fn named(self) -> Vec<Named<'a>> {
        let mut entries: Vec<_> = self
            .entries
            .into_iter()
            .map(|(key, value)| {
                let place = self.place.key(key.get_ref(), key.span());
                let node = Node {
                    place: self.place.key(key.get_ref(), value.span()),
                    value: value.into_inner(),
                };
                (key.into_inner().into_owned(), place, node)
            })
            .collect();
        entries.sort_by_key(|(_, place, _)| place.span.start);
        entries
    }

    /// Of a file that `main` includes: what is left over belongs there, or nowhere.
    pub(super) fn finish_included(self, main: &str) {
        for key in self.entries.keys() {
            let place = self.place.key(key.get_ref(), key.span());
            let close = closest(key.get_ref(), self.known.iter().copied());
            match close {
                Some(close) => {
                    let found = "an unknown key".to_owned();
                    place.note(Some(found), None, Some(close.to_owned()));
                }
                None => place.fault(
                    "what an included file does not hold",
                    format!("it in {main}; only [routes.NAME] and [targets.NAME] here"),
                ),
            }
        }
    }

    /// Every key left over is a fault. True when there was none.
    pub(super) fn finish(self) -> bool {
        let known = self.known;
        let clean = self.entries.is_empty();
        for key in self.entries.keys() {
            let close = closest(key.get_ref(), known.iter().copied()).map(str::to_owned);
            // A secret may have been written where its key belongs.
            let place = if self.place.secret && close.is_none() {
                self.place.key("…", key.span())
            } else {
                self.place.key(key.get_ref(), key.span())
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

/// What a table says, and from where on what is read is read for it.
pub(super) struct Witness<'a> {
    context: &'a Context<'a>,
    begin: usize,
    text: Vec<u8>,
}

impl Witness<'_> {
    /// Of the table, of what was read for it, and of `inherited`, which it takes from elsewhere in the file.
    pub(super) fn fingerprint(self, inherited: &str) -> Fingerprint {
        let contents = self.context.contents.borrow();
        let read = contents.iter().skip(self.begin);
        let mut parts = vec![self.text.as_slice(), inherited.as_bytes()];
        parts.extend(read.map(|content| content.0.as_slice()));
        Fingerprint::of(&parts)
    }
}

/// The same for whatever means the same: places, comments, quotes and the order of keys do not count.
fn write_value(value: &DeValue<'_>, out: &mut Vec<u8>) {
    let mut scalar = |kind: u8, text: &str| {
        out.push(kind);
        write_text(text, out);
    };
    match value {
        DeValue::String(text) => scalar(b's', text),
        DeValue::Integer(number) => scalar(b'i', &number.to_string()),
        DeValue::Float(number) => scalar(b'f', &number.to_string()),
        DeValue::Boolean(truth) => scalar(b'b', &truth.to_string()),
        DeValue::Datetime(at) => scalar(b'd', &at.to_string()),
        DeValue::Array(items) => {
            out.push(b'[');
            out.extend((items.len() as u64).to_le_bytes());
            for item in items.iter() {
                write_value(item.get_ref(), out);
            }
        }
        DeValue::Table(entries) => write_table(entries, out),
    }
}

/// In the order of the keys' names, which is how the table holds them.
fn write_table(entries: &DeTable<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        write_text(key.get_ref(), out);
        write_value(value.get_ref(), out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
