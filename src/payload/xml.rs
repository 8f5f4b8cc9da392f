//! XML as an object of its root element: `{"root": …}`.
//!
//! An element without attributes and children is its text, as a string. Any other is an object: attributes are members
//! `@name`, children members of their names (several of one name: a list), and text beside them, unless it is only white
//! space, the member `#text`. Names stand without their prefix; declarations of namespaces are left out.
//!
//! What is no well-formed XML 1.0 in UTF-8 is refused, and so is every document type: there are no entities but the five
//! that need no declaration, nothing is expanded and nothing is fetched.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use quick_xml::{
    Reader,
    errors::{IllFormedError, SyntaxError},
    events::Event,
};

use super::{Flaw, push_string};

mod syntax;

use syntax::{
    Attributes, check_characters, check_name, is_space, local_name, push_value, reference,
};

/// Elements inside each other, the root included.
const DEPTH_MAX: usize = 64;
const NO_DOCTYPE: &str = "a document type (DTD) is not taken";

pub(super) fn document(body: &[u8]) -> Result<Vec<u8>, Flaw> {
    let text = super::text(body)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mark = body.len() - text.len();
    check_characters(text)
        .and_then(|()| Document::read(text))
        .map_err(|flaw| Flaw::new(flaw.message, flaw.offset + mark))
}

/// What has been read so far.
struct Document<'a> {
    text: &'a str,
    /// The elements that are open, the root first.
    open: Vec<Element<'a>>,
    root: Option<Vec<u8>>,
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Vec<u8>, Flaw> {
        let mut document = Self {
            text,
            open: Vec::new(),
            root: None,
        };
        let mut reader = Reader::from_str(text);
        let offset = |position: u64| usize::try_from(position).unwrap_or(text.len());
        loop {
            let start = offset(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => event,
                Err(error) => {
                    let message = message(&error);
                    let at = match message {
                        NO_DOCTYPE => start,
                        _ => offset(reader.error_position()),
                    };
                    return Err(Flaw::new(message, at));
                }
            };
            document.take(&event, start, offset(reader.buffer_position()))?;
        }
        if !document.open.is_empty() {
            return Err(Flaw::new("an element that is not closed", text.len()));
        }
        document.root.ok_or(Flaw::new("no element", text.len()))
    }

    /// `start` and `end`: where the event stands.
    fn take(&mut self, event: &Event<'a>, start: usize, end: usize) -> Result<(), Flaw> {
        match event {
            Event::Start(tag) => self.begin(tag.name().as_ref().len(), start, end - ">".len()),
            Event::Empty(tag) => {
                self.begin(tag.name().as_ref().len(), start, end - "/>".len())?;
                self.close();
                Ok(())
            }
            Event::End(_) => {
                self.close();
                Ok(())
            }
            Event::Text(text) => self.characters(text, start),
            Event::CData(text) => {
                let element = self.inside(start)?;
                push_lines(&mut element.text, text);
                Ok(())
            }
            Event::GeneralRef(name) => {
                let meant = reference(name);
                let element = self.inside(start)?;
                element
                    .text
                    .push(meant.ok_or(Flaw::new("an entity that is not known", start))?);
                Ok(())
            }
            Event::Comment(text) if text.contains("--") || text.ends_with('-') => {
                Err(Flaw::new("`--` in a comment", start))
            }
            Event::Comment(_) | Event::Eof => Ok(()),
            Event::PI(instruction) => {
                check_name(instruction.target(), start)?;
                match instruction.target().eq_ignore_ascii_case("xml") {
                    true => Err(Flaw::new(
                        "an instruction of this name is not allowed",
                        start,
                    )),
                    false => Ok(()),
                }
            }
            Event::Decl(_) if start > 0 => Err(Flaw::new(
                "an XML declaration that is not at the start",
                start,
            )),
            Event::Decl(_) => {
                let inside = "<?xml".len()..end - "?>".len();
                declaration(&self.text[inside], "<?xml".len())
            }
            Event::DocType(_) => Err(Flaw::new(NO_DOCTYPE, start)),
        }
    }

    /// A tag from `<` at `start` to what closes it at `end`.
    fn begin(&mut self, name_bytes: usize, start: usize, end: usize) -> Result<(), Flaw> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(Flaw::new("a second root element", start));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Flaw::new("deeper than 64 levels", start));
        }
        let name_at = start + 1;
        let attributes_at = name_at + name_bytes;
        let name = &self.text[name_at..attributes_at];
        check_name(name, name_at)?;
        let mut element = Element::new(local_name(name));
        let mut names = HashSet::new();
        for attribute in Attributes::new(&self.text[attributes_at..end], attributes_at) {
            let attribute = attribute?;
            if !names.insert(attribute.name) {
                return Err(Flaw::new("an attribute that stands twice", attribute.at));
            }
            if attribute.name == "xmlns" || attribute.name.starts_with("xmlns:") {
                continue;
            }
            let mut value = Vec::new();
            push_string(&mut value, &attribute.value()?);
            element.add(Key::Attribute(local_name(attribute.name)), &value);
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) {
        let Some(element) = self.open.pop() else {
            return;
        };
        let (name, value) = (element.name, element.value());
        match self.open.last_mut() {
            Some(parent) => parent.add(Key::Child(name), &value),
            None => {
                let mut root = vec![b'{'];
                push_string(&mut root, name);
                root.push(b':');
                root.extend_from_slice(&value);
                root.push(b'}');
                self.root = Some(root);
            }
        }
    }

    fn characters(&mut self, text: &str, start: usize) -> Result<(), Flaw> {
        if let Some(at) = text.find("]]>") {
            return Err(Flaw::new("`]]>` outside of CDATA", start + at));
        }
        if self.open.is_empty() && text.chars().all(is_space) {
            return Ok(());
        }
        push_lines(&mut self.inside(start)?.text, text);
        Ok(())
    }

    fn inside(&mut self, start: usize) -> Result<&mut Element<'a>, Flaw> {
        let outside = Flaw::new("text outside of the root element", start);
        self.open.last_mut().ok_or(outside)
    }
}

/// The version, then what may follow it, in this order and each once.
fn declaration(raw: &str, base: usize) -> Result<(), Flaw> {
    const ORDER: [&str; 3] = ["version", "encoding", "standalone"];
    let mut read = 0;
    for attribute in Attributes::new(raw, base) {
        let attribute = attribute?;
        let value = attribute.raw;
        let place = ORDER.iter().position(|name| *name == attribute.name);
        let place = place.filter(|&place| place == read || (read == 1 && place == 2));
        let message = match place {
            Some(0) if matches!(value, "1.0" | "1.1") => None,
            Some(0) => Some("a version of XML that is not known"),
            Some(1) if value.eq_ignore_ascii_case("utf-8") => None,
            Some(1) => Some("an encoding other than UTF-8"),
            Some(2) if matches!(value, "yes" | "no") => None,
            _ => Some("an XML declaration of another form"),
        };
        if let Some(message) = message {
            return Err(Flaw::new(message, attribute.at));
        }
        read = place.map_or(read, |place| place + 1);
    }
    match read {
        0 => Err(Flaw::new("an XML declaration without a version", 0)),
        _ => Ok(()),
    }
}

/// An element that is open. What is closed inside it stands here as JSON.
struct Element<'a> {
    name: &'a str,
    text: String,
    /// Each key once, in the order in which they first stand.
    members: Vec<Member<'a>>,
    places: HashMap<Key<'a>, usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Attribute(&'a str),
    Child(&'a str),
}

struct Member<'a> {
    key: Key<'a>,
    /// Separated by commas.
    values: Vec<u8>,
    count: usize,
}

impl<'a> Element<'a> {
    fn new(name: &'a str) -> Self {
        Self {
            name,
            text: String::new(),
            members: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn add(&mut self, key: Key<'a>, value: &[u8]) {
        let place = *self.places.entry(key).or_insert_with(|| {
            let values = Vec::new();
            self.members.push(Member {
                key,
                values,
                count: 0,
            });
            self.members.len() - 1
        });
        let member = &mut self.members[place];
        if member.count > 0 {
            member.values.push(b',');
        }
        member.values.extend_from_slice(value);
        member.count += 1;
    }

    fn value(self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.members.is_empty() {
            push_string(&mut out, &self.text);
            return out;
        }
        for (index, member) in self.members.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            let key = match member.key {
                Key::Attribute(name) => Cow::Owned(format!("@{name}")),
                Key::Child(name) => Cow::Borrowed(name),
            };
            push_string(&mut out, &key);
            out.push(b':');
            let (open, close): (&[u8], &[u8]) = match member.count {
                1 => (b"", b""),
                _ => (b"[", b"]"),
            };
            out.extend_from_slice(open);
            out.extend_from_slice(&member.values);
            out.extend_from_slice(close);
        }
        if !self.text.chars().all(is_space) {
            out.extend_from_slice(br##","#text":"##);
            push_string(&mut out, &self.text);
        }
        out.push(b'}');
        out
    }
}

/// Every end of a line becomes `\n`.
fn push_lines(out: &mut String, text: &str) {
    push_value(out, text, '\n');
}

/// The parser's own messages may repeat names of the document.
fn message(error: &quick_xml::Error) -> &'static str {
    use quick_xml::Error as E;
    match error {
        E::Syntax(SyntaxError::UnclosedDoctype)
        | E::IllFormed(IllFormedError::MissingDoctypeName) => NO_DOCTYPE,
        E::Syntax(SyntaxError::UnclosedPI | SyntaxError::UnclosedXmlDecl) => {
            "an instruction that is not closed"
        }
        E::Syntax(SyntaxError::UnclosedComment) => "a comment that is not closed",
        E::Syntax(SyntaxError::UnclosedCData) => "CDATA that is not closed",
        E::Syntax(SyntaxError::InvalidBangMarkup) => "`<!` that begins nothing known",
        E::Syntax(_) => "a tag that is not closed",
        E::IllFormed(IllFormedError::MismatchedEndTag { .. }) => {
            "an end tag that does not match its start tag"
        }
        E::IllFormed(IllFormedError::UnmatchedEndTag(_)) => "an end tag without its start tag",
        E::IllFormed(IllFormedError::UnclosedReference) => "a `&` that begins no reference",
        _ => "not well-formed",
    }
}
