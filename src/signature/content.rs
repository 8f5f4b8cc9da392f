//! What a scheme reads from one request: where the signature stands, what is signed, and what is wrong with it.

use std::{borrow::Cow, cell::OnceCell};

use serde_json::Value;

use super::{
    Guard, Listed, Message, NUMBERED_MAX, Part, Refusal, Repeated, Scheme, Source, Test, encoding,
};

/// Headers that a request may list as signed.
const LISTED_MAX: usize = 64;

/// A request, whose document is made once at most.
pub(super) struct Request<'m> {
    pub(super) message: &'m Message<'m>,
    document: OnceCell<Option<Value>>,
}

impl<'m> Request<'m> {
    pub(super) fn new(message: &'m Message<'m>) -> Self {
        Self {
            message,
            document: OnceCell::new(),
        }
    }

    pub(super) fn document(&self) -> Option<&Value> {
        self.document.get_or_init(self.message.document).as_ref()
    }

    /// A parameter of the query string, decoded.
    fn query(&self, name: &str) -> Result<Option<Cow<'m, [u8]>>, Repeated> {
        let url = self.message.url.split('#').next().unwrap_or_default();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let mut values = encoding::fields(query.as_bytes())
            .filter(|(known, _)| **known == *name.as_bytes())
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (value, None) => Ok(value),
        }
    }

    /// What stands at a place that may be missing; not for the parts that always are there.
    fn find<'r>(
        &'r self,
        root: Option<&'r Value>,
        place: &Part,
    ) -> Result<Option<Cow<'r, [u8]>>, Repeated> {
        match place {
            Part::Header(name) => Ok(self.message.headers.unique(name)?.map(Cow::Borrowed)),
            Part::Query(name) => self.query(name),
            Part::Json(pointer) => Ok(self.root(root).and_then(|root| text_at(root, pointer))),
            _ => Ok(None),
        }
    }

    /// Whether `guard` holds. A place that stands twice is neither.
    pub(super) fn passes(&self, guard: &Guard) -> Result<bool, Repeated> {
        let value = self.find(None, &guard.place)?;
        Ok(value.is_some_and(|value| guard.test.holds(&value)))
    }

    /// Whether anything stands where `source` says.
    pub(super) fn has(&self, root: Option<&Value>, source: &Source) -> bool {
        let is_there = |name: &str| !matches!(self.message.headers.unique(name), Ok(None));
        match source {
            Source::Headers(names) | Source::Paired(names) => {
                names.iter().any(|name| is_there(name))
            }
            Source::Numbered(name) => (1..=NUMBERED_MAX).any(|n| is_there(&numbered(name, n))),
            Source::Json(pointer) => {
                let root = self.root(root);
                root.is_some_and(|root| text_at(root, pointer).is_some())
            }
            Source::Query(name) => !matches!(self.query(name), Ok(None)),
        }
    }

    fn root<'r>(&'r self, root: Option<&'r Value>) -> Option<&'r Value> {
        root.or_else(|| self.document())
    }
}

pub(super) fn numbered(name: &str, number: usize) -> String {
    format!("{name}-{number}")
}

/// A string, number or boolean as text.
fn text_at<'v>(root: &'v Value, pointer: &str) -> Option<Cow<'v, [u8]>> {
    text_of(root.pointer(pointer)?)
}

fn text_of(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Number(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { b"true" } else { b"false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Test {
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Is(text) => value == text.as_bytes(),
            Self::StartsWith(text) => value
                .get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes())),
            Self::Contains(text) => value
                .windows(text.len().max(1))
                .any(|window| window == text.as_bytes()),
        }
    }
}

/// A piece of the signed content.
pub(super) enum Piece<'r> {
    Bytes(Cow<'r, [u8]>),
    /// The secret that is being tried.
    Secret,
}

impl Piece<'_> {
    pub(super) fn bytes<'b>(&'b self, secret: &'b [u8]) -> &'b [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Secret => secret,
        }
    }
}

/// Where the signatures of one request stand, as text.
#[derive(Default)]
pub(super) struct Signatures<'r> {
    /// Of the sources that have one place; empty when it is missing.
    pub(super) only: Cow<'r, [u8]>,
    /// Of the sources that have several: each with the number of its place.
    pub(super) several: Vec<(usize, Cow<'r, [u8]>)>,
}

/// One request as one scheme reads it, and what is wrong with it so far.
pub(super) struct Reading<'r> {
    scheme: &'r Scheme,
    request: &'r Request<'r>,
    /// What the pointers start from: `None` for the whole document.
    root: Option<&'r Value>,
    pub(super) refusal: Option<Refusal>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        scheme: &'r Scheme,
        request: &'r Request<'r>,
        root: Option<&'r Value>,
    ) -> Self {
        Self {
            scheme,
            request,
            root,
            refusal: None,
        }
    }

    /// Notes `refusal` unless a weightier one is known.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let known = self.refusal.get_or_insert(refusal);
        if refusal.weight() > known.weight() {
            *known = refusal;
        }
    }

    pub(super) fn signatures(&mut self) -> Signatures<'r> {
        let mut found = Signatures::default();
        let scheme = self.scheme;
        match &scheme.signature {
            Source::Headers(names) => found.only = self.first_header(names),
            Source::Json(pointer) => {
                let root = self.request.root(self.root);
                let value = root.and_then(|root| root.pointer(pointer));
                match value.and_then(Value::as_str) {
                    Some(text) => found.only = Cow::Borrowed(text.as_bytes()),
                    None => self.refuse(Refusal::MissingSignature),
                }
            }
            Source::Query(name) => match self.request.query(name) {
                Ok(Some(value)) => found.only = value,
                Ok(None) => self.refuse(Refusal::MissingSignature),
                Err(Repeated) => self.refuse(Refusal::RepeatedHeader),
            },
            Source::Paired(names) => {
                for (place, name) in names.iter().enumerate() {
                    self.also(place, name, &mut found);
                }
            }
            Source::Numbered(name) => {
                for place in 1..=NUMBERED_MAX {
                    self.also(place, &numbered(name, place), &mut found);
                }
            }
        }
        let several = matches!(scheme.signature, Source::Paired(_) | Source::Numbered(_));
        if several && found.several.is_empty() {
            self.refuse(Refusal::MissingSignature);
        }
        found
    }

    /// Empty when none is there, or the first that is stands twice.
    fn first_header(&mut self, names: &[Cow<'static, str>]) -> Cow<'r, [u8]> {
        for name in names {
            match self.request.message.headers.unique(name) {
                Ok(Some(value)) => return Cow::Borrowed(value),
                Ok(None) => {}
                Err(Repeated) => {
                    self.refuse(Refusal::RepeatedHeader);
                    return Cow::Borrowed(b"");
                }
            }
        }
        self.refuse(Refusal::MissingSignature);
        Cow::Borrowed(b"")
    }

    fn also(&mut self, place: usize, name: &str, found: &mut Signatures<'r>) {
        match self.request.message.headers.unique(name) {
            Ok(Some(value)) => found.several.push((place, Cow::Borrowed(value))),
            Ok(None) => {}
            Err(Repeated) => self.refuse(Refusal::RepeatedHeader),
        }
    }

    /// What is signed. `value` holds the pairs that [`Part::Pair`] reads.
    pub(super) fn pieces<'v>(&mut self, value: &'v [u8]) -> Vec<Piece<'v>>
    where
        'r: 'v,
    {
        let scheme = self.scheme;
        scheme
            .signed
            .iter()
            .map(|part| self.piece(part, value))
            .collect()
    }

    /// What `part` stands for in this request; empty where it is missing, and then it is refused, unless it may be
    /// missing.
    pub(super) fn piece<'v>(&mut self, part: &'v Part, value: &'v [u8]) -> Piece<'v>
    where
        'r: 'v,
    {
        let message = self.request.message;
        Piece::Bytes(match part {
            Part::Secret => return Piece::Secret,
            Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Part::Body => Cow::Borrowed(message.body),
            Part::Method => Cow::Borrowed(message.method.as_bytes()),
            Part::Url => Cow::Borrowed(message.url.as_bytes()),
            Part::Path => Cow::Owned(encoding::encoded_path(message.url).into_bytes()),
            Part::Header(_) | Part::Query(_) | Part::Json(_) => self.found(part),
            Part::Pair(name) => Cow::Borrowed(self.pair(part, name, value)),
            Part::Param(name) => {
                let param = message.params.iter().find(|(known, _)| known == name);
                if param.is_none() {
                    self.refuse(Refusal::MalformedSignature);
                }
                Cow::Borrowed(param.map_or(b"", |(_, value)| value.as_bytes()))
            }
            // Its fields stand in the address.
            Part::SortedForm
                if message.method == "GET" && self.scheme.signed.contains(&Part::Url) =>
            {
                Cow::Borrowed(b"")
            }
            Part::SortedForm => Cow::Owned(self.or_malformed(encoding::sorted_form(message.body))),
            Part::Crc32 => Cow::Owned(encoding::crc32(message.body).to_string().into_bytes()),
            Part::JsonLines(members) => {
                let lines = self.json_lines(members);
                Cow::Owned(self.or_malformed(lines))
            }
            Part::Listed(listed) => Cow::Owned(self.listed(listed, value)),
        })
    }

    fn or_malformed(&mut self, text: Option<Vec<u8>>) -> Vec<u8> {
        text.unwrap_or_else(|| {
            self.refuse(Refusal::MalformedSignature);
            Vec::new()
        })
    }

    /// The refusal where `part` is missing: `otherwise`, unless it is the time.
    fn missing(&self, part: &Part, otherwise: Refusal) -> Refusal {
        match &self.scheme.timestamp {
            Some(rule) if rule.source == *part => Refusal::MissingTimestamp,
            _ => otherwise,
        }
    }

    fn found(&mut self, part: &Part) -> Cow<'r, [u8]> {
        match self.request.find(self.root, part) {
            Ok(Some(value)) => return value,
            Err(Repeated) => self.refuse(Refusal::RepeatedHeader),
            Ok(None) => match self.missing(part, Refusal::MissingSignature) {
                // A member that is missing counts as empty.
                Refusal::MissingSignature if self.holds_no_text(part) => {
                    self.refuse(Refusal::MalformedSignature);
                }
                Refusal::MissingSignature if matches!(part, Part::Json(_)) => {}
                refusal => self.refuse(refusal),
            },
        }
        Cow::Borrowed(b"")
    }

    /// Whether a list or an object stands where text belongs: it is not signed.
    fn holds_no_text(&self, part: &Part) -> bool {
        let Part::Json(pointer) = part else {
            return false;
        };
        let value = self.request.root(self.root);
        value
            .and_then(|root| root.pointer(pointer))
            .is_some_and(|value| value.is_array() || value.is_object())
    }

    /// A pair that must stand once.
    fn pair<'v>(&mut self, part: &Part, name: &str, value: &'v [u8]) -> &'v [u8] {
        let mut values = self.scheme.form.pairs(value);
        let mut values = values
            .by_ref()
            .filter(|(key, _)| *key == name.as_bytes())
            .map(|(_, value)| value);
        let refusal = match (values.next(), values.next()) {
            (Some(value), None) => return value,
            (None, _) => self.missing(part, Refusal::MalformedSignature),
            (Some(_), Some(_)) => Refusal::MalformedSignature,
        };
        self.refuse(refusal);
        b""
    }

    /// `None` when one of the members is no text, or one but the first holds a line break.
    fn json_lines(&self, members: &[Cow<'static, str>]) -> Option<Vec<u8>> {
        let root = self.request.root(self.root)?;
        let mut lines = Vec::new();
        for (index, name) in members.iter().enumerate() {
            let Some(value) = root.get(&**name).filter(|value| !value.is_null()) else {
                continue;
            };
            let value = text_of(value)?;
            if index > 0 && value.contains(&b'\n') {
                return None;
            }
            lines.extend_from_slice(name.as_bytes());
            lines.push(b'\n');
            lines.extend_from_slice(&value);
            lines.push(b'\n');
        }
        Some(lines)
    }

    fn listed(&mut self, listed: &Listed, value: &[u8]) -> Vec<u8> {
        let list = self.piece(&listed.list, value);
        let names = listed.names(list.bytes(b""));
        let is_named = |required: &Cow<'static, str>| names.iter().any(|name| name == required);
        if names.len() > LISTED_MAX || !listed.required.iter().all(is_named) {
            self.refuse(Refusal::MalformedSignature);
            return Vec::new();
        }
        let mut text = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if index > 0 {
                text.push(if listed.with_names { b';' } else { b'.' });
            }
            if listed.with_names {
                text.extend_from_slice(name.as_bytes());
                text.push(b':');
            }
            let value = self.found(&Part::Header(Cow::Owned(name)));
            text.extend_from_slice(value.trim_ascii());
        }
        text
    }

    /// Whether the body is what the place of its digest says.
    pub(super) fn judge_body(&mut self, value: &[u8]) {
        let scheme = self.scheme;
        let Some(place) = &scheme.body_sha256 else {
            return;
        };
        let piece = self.piece(place, value);
        let mut digest = [0; 32];
        if hex::decode_to_slice(piece.bytes(b""), &mut digest).is_err() {
            self.refuse(Refusal::MalformedSignature);
        } else if super::mac::sha256(self.request.message.body).as_bytes() != digest {
            self.refuse(Refusal::SignatureMismatch);
        }
    }
}

impl Listed {
    /// The names that `list` holds, in lower case; at most one more than may be.
    pub(super) fn names(&self, list: &[u8]) -> Vec<String> {
        let list = String::from_utf8_lossy(list);
        list.split(self.separator)
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .take(LISTED_MAX + 1)
            .map(str::to_ascii_lowercase)
            .collect()
    }
}
