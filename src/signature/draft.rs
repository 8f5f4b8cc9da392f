//! A request that is being signed.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    ENTRIES_MAX, Guard, Headers, KeySource, Listed, Part, Repeated, Scheme, SignFault, Signed,
    Signing, Source, Test, content::numbered, encoding, mac,
};

pub(super) struct Draft<'g> {
    pub(super) given: &'g Signing<'g>,
    pub(super) pairs: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The body's; `None` when it has none.
    document: Option<Value>,
    /// Whether the document is JSON; else it is that of a form.
    is_json: bool,
    /// Whether it is no longer what was given.
    is_changed: bool,
}

impl<'g> Draft<'g> {
    /// With all that is signed but the signature: what is not given is filled in.
    pub(super) fn new(scheme: &Scheme, given: &'g Signing<'g>) -> Result<Self, SignFault> {
        let mut draft = Self {
            given,
            pairs: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            document: None,
            is_json: true,
            is_changed: false,
        };
        if scheme.reads_document() {
            draft.read_document();
        }
        if let Some(rule) = &scheme.timestamp {
            let at = rule.unit.text(given.timestamp);
            match &rule.source {
                Part::Json(pointer) => {
                    for element in draft.elements(scheme)? {
                        draft.set(&format!("{element}{pointer}"), &at)?;
                    }
                }
                Part::Header(name) => draft.headers.push((name.to_string(), at)),
                source => draft.fill(source, &at),
            }
        }
        for guard in scheme.guards.iter() {
            draft.satisfy(guard)?;
        }
        for part in scheme.signed.iter() {
            match part {
                Part::Listed(listed) => draft.list(listed),
                part => draft.fill(part, given.id),
            }
        }
        if let Some(place) = &scheme.body_sha256 {
            let digest = hex::encode(mac::sha256(&draft.body()).as_bytes());
            draft.put(place, &digest)?;
        }
        Ok(draft)
    }

    /// What was given as JSON, or else as a form.
    fn read_document(&mut self) {
        let json = serde_json::from_slice(self.given.body);
        self.is_json = json.is_ok();
        self.document = json.ok().or_else(|| {
            let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
            let fields = encoding::fields(self.given.body).take(encoding::FIELDS_MAX);
            let members: Map<_, _> = fields
                .map(|(name, value)| (text(name), Value::String(text(value))))
                .collect();
            Some(Value::Object(members))
        });
    }

    /// `value` at a place that has none yet; headers that are given win.
    fn fill(&mut self, part: &Part, value: &str) {
        match part {
            Part::Header(name) if self.headers.iter().all(|(known, _)| known != name) => {
                let given = self.given_header(name).unwrap_or(value).to_owned();
                self.headers.push((name.to_string(), given));
            }
            Part::Pair(name) if self.pairs.iter().all(|(known, _)| known != name) => {
                self.pairs.push((name.to_string(), value.to_owned()));
            }
            Part::Query(name) if self.parameter(name).is_none() => {
                self.query.push((name.to_string(), value.to_owned()));
            }
            _ => {}
        }
    }

    /// `value` at a place, whatever stands there.
    fn put(&mut self, part: &Part, value: &str) -> Result<(), SignFault> {
        match part {
            Part::Header(name) => {
                self.headers.retain(|(known, _)| known != name);
                self.headers.push((name.to_string(), value.to_owned()));
            }
            Part::Query(name) => {
                self.query.retain(|(known, _)| known != name);
                self.query.push((name.to_string(), value.to_owned()));
            }
            Part::Json(pointer) => self.set(pointer, value)?,
            other => self.fill(other, value),
        }
        Ok(())
    }

    fn satisfy(&mut self, guard: &Guard) -> Result<(), SignFault> {
        let known = match &guard.place {
            Part::Header(name) => self.header(name).map(str::to_owned),
            Part::Query(name) => self.parameter(name),
            Part::Json(pointer) => {
                let value = self
                    .document
                    .as_ref()
                    .and_then(|root| root.pointer(pointer));
                value.and_then(Value::as_str).map(str::to_owned)
            }
            _ => None,
        };
        if known.is_some_and(|value| guard.test.holds(value.as_bytes())) {
            return Ok(());
        }
        let value = match &guard.test {
            Test::Present => self.given.id,
            Test::Is(text) | Test::StartsWith(text) | Test::Contains(text) => text,
        };
        self.put(&guard.place, value)
    }

    /// The list, with the required names when none is given, and the headers that it names.
    fn list(&mut self, listed: &Listed) {
        let names = listed.required.join(&listed.separator.to_string());
        self.fill(&listed.list, &names);
        let list = match &*listed.list {
            Part::Header(name) => self.header(name),
            Part::Pair(name) => self
                .pairs
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str()),
            _ => None,
        };
        for name in listed.names(list.unwrap_or_default().as_bytes()) {
            self.fill(&Part::Header(name.into()), self.given.id);
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let set = self.headers.iter().find(|(known, _)| known == name);
        set.map(|(_, value)| value.as_str())
            .or_else(|| self.given_header(name))
    }

    fn given_header(&self, name: &str) -> Option<&'g str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let given = self.given.headers.iter().find(named);
        given.map(|(_, value)| value.as_str())
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let url = self.url();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let mut fields = encoding::fields(query.as_bytes());
        let (_, value) = fields.find(|(known, _)| **known == *name.as_bytes())?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// With the parameters that were appended.
    pub(super) fn url(&self) -> String {
        let mut url = self.given.url.to_owned();
        for (name, value) in &self.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&encoding::form_encoded(name));
            url.push('=');
            url.push_str(&encoding::form_encoded(value));
        }
        url
    }

    pub(super) fn document(&self) -> Option<&Value> {
        self.document.as_ref()
    }

    pub(super) fn body(&self) -> Cow<'g, [u8]> {
        match &self.document {
            Some(document) if self.is_changed => Cow::Owned(match (self.is_json, document) {
                (false, Value::Object(members)) => {
                    let text = |(name, value): (&String, &Value)| {
                        let value = value.as_str().unwrap_or_default();
                        format!(
                            "{}={}",
                            encoding::form_encoded(name),
                            encoding::form_encoded(value)
                        )
                    };
                    members
                        .iter()
                        .map(text)
                        .collect::<Vec<_>>()
                        .join("&")
                        .into_bytes()
                }
                _ => document.to_string().into_bytes(),
            }),
            _ => Cow::Borrowed(self.given.body),
        }
    }

    /// Pointers to what [`Scheme::each`] names; one, to the whole, where it names nothing.
    pub(super) fn elements(&self, scheme: &Scheme) -> Result<Vec<String>, SignFault> {
        let mut found = vec![(String::new(), self.document.as_ref())];
        let each = scheme.each.as_deref().unwrap_or_default();
        for segment in each.split('/').skip(1) {
            let mut next = Vec::new();
            for (pointer, value) in found {
                match (value, segment) {
                    (Some(Value::Array(elements)), "*") => {
                        let elements = elements.iter().enumerate();
                        next.extend(
                            elements.map(|(at, one)| (format!("{pointer}/{at}"), Some(one))),
                        );
                    }
                    (Some(value), name) => {
                        let member = value.pointer(&format!("/{name}"));
                        next.push((
                            format!("{pointer}/{name}"),
                            Some(member.ok_or(SignFault::Body)?),
                        ));
                    }
                    (None, _) => return Err(SignFault::Body),
                }
            }
            found = next;
        }
        match found.is_empty() {
            true => Err(SignFault::Body),
            false => Ok(found.into_iter().map(|(pointer, _)| pointer).collect()),
        }
    }

    /// Sets the string at `pointer`, in objects that are made where they are missing.
    fn set(&mut self, pointer: &str, text: &str) -> Result<(), SignFault> {
        let mut value = self.document.as_mut().ok_or(SignFault::Body)?;
        let segments: Vec<_> = pointer.split('/').skip(1).collect();
        if !self.is_json && segments.len() != 1 {
            return Err(SignFault::Body);
        }
        for segment in segments {
            let name = segment.replace("~1", "/").replace("~0", "~");
            value = match value {
                Value::Array(elements) => {
                    let at = name.parse::<usize>().map_err(|_| SignFault::Body)?;
                    elements.get_mut(at).ok_or(SignFault::Body)?
                }
                Value::Object(members) => members
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new())),
                _ => return Err(SignFault::Body),
            };
        }
        *value = match (&value, text.parse::<i64>()) {
            (Value::Number(_), Ok(number)) => number.into(),
            _ => Value::String(text.to_owned()),
        };
        self.is_changed = true;
        Ok(())
    }

    /// Puts the signatures where they belong.
    pub(super) fn place(
        &mut self,
        source: &Source,
        element: &str,
        texts: Vec<String>,
    ) -> Result<(), SignFault> {
        let first = texts.first().ok_or(SignFault::NoSecret)?;
        match source {
            Source::Headers(names) => {
                let name = names.first().map_or("", |name| name);
                self.put(&Part::Header(name.to_owned().into()), first)?;
            }
            Source::Paired(names) => {
                for (name, text) in names.iter().zip(&texts) {
                    self.put(&Part::Header(name.clone()), text)?;
                }
            }
            Source::Numbered(name) => {
                for (text, number) in texts.iter().zip(1..=ENTRIES_MAX) {
                    self.put(&Part::Header(numbered(name, number).into()), text)?;
                }
            }
            Source::Json(pointer) => self.set(&format!("{element}{pointer}"), first)?,
            Source::Query(name) => self.put(&Part::Query(name.clone()), first)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Signed {
        let body = self.is_changed.then(|| self.body().into_owned());
        Signed {
            headers: self.headers,
            query: self.query,
            body,
        }
    }
}

impl Headers for Draft<'_> {
    fn unique(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        Ok(self.header(name).map(str::as_bytes))
    }
}

impl Scheme {
    /// Whether anything is read from the body's document.
    pub fn reads_document(&self) -> bool {
        let is_json = |part: &Part| matches!(part, Part::Json(_) | Part::JsonLines(_));
        let time = self.timestamp.as_ref().map(|rule| &rule.source);
        let guards = self.guards.iter().map(|guard| &guard.place);
        let certificate = match &self.key {
            KeySource::Certificate { url, .. } => Some(url),
            KeySource::Secrets => None,
        };
        let mut parts = self
            .signed
            .iter()
            .chain(time)
            .chain(guards)
            .chain(certificate);
        matches!(self.signature, Source::Json(_)) || self.each.is_some() || parts.any(is_json)
    }
}
