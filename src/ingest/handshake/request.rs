//! What a request says, as the handshakes of the presets ask it.

use std::{borrow::Cow, cell::OnceCell};

use actix_http::RequestHead;

use crate::{
    payload::{self, Content},
    providers::{Condition, Value},
    signature::Headers as _,
};

use super::{Authentic, Rejection, RequestHeaders, refused};

/// Of a value that goes back or is kept.
const VALUE_BYTES_MAX: usize = 2048;
/// A larger body is not a handshake's.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// A request, as handshakes see it.
pub(super) struct Request<'a> {
    head: &'a RequestHead,
    headers: RequestHeaders<'a>,
    body: &'a [u8],
    content: Content,
    /// `None`: nobody has proven anything.
    proven: Option<&'a Authentic<'a>>,
    document: OnceCell<Option<serde_json::Value>>,
}

/// It stands more than once, or is no text.
struct Unclear;

impl<'a> Request<'a> {
    pub(super) fn new(
        head: &'a RequestHead,
        body: &'a [u8],
        content: Content,
        proven: Option<&'a Authentic<'a>>,
    ) -> Self {
        Self {
            head,
            headers: RequestHeaders(&head.headers),
            body,
            content,
            proven,
            document: OnceCell::new(),
        }
    }

    pub(super) fn meets(&self, condition: &Condition) -> bool {
        match *condition {
            Condition::Method(method) => self.head.method.as_str() == method,
            Condition::Has(value) => !self.lacks(value),
            Condition::Lacks(value) => self.lacks(value),
            Condition::Is(value, text) => {
                (!matches!(value, Value::Json(_)) || self.mentions(text))
                    && matches!(self.value(value), Ok(Some(found)) if found == text)
            }
            Condition::OnlyMember(name) => self.only_member(name),
            Condition::EmptyBody => matches!(self.body.trim_ascii(), b"" | b"{}"),
        }
    }

    /// To look for the text costs less than to parse every event of a route whose handshakes are so told.
    fn mentions(&self, text: &str) -> bool {
        std::str::from_utf8(self.body).is_ok_and(|body| body.contains(text))
    }

    pub(super) fn lacks(&self, value: Value) -> bool {
        matches!(self.value(value), Ok(None))
    }

    fn only_member(&self, name: &str) -> bool {
        if !self.mentions(name) {
            return false;
        }
        let members = self.document().and_then(serde_json::Value::as_object);
        let is_it = |members: &serde_json::Map<_, _>| {
            members.len() == 1 && members.get(name).is_some_and(serde_json::Value::is_string)
        };
        members.is_some_and(is_it)
    }

    /// A value that must be there to be used.
    pub(super) fn given(&self, value: Value) -> Result<Cow<'_, str>, Rejection> {
        let Ok(Some(text)) = self.value(value) else {
            return Err(refused("a value is missing, repeated, or no text"));
        };
        if text.len() > VALUE_BYTES_MAX {
            return Err(refused("a value of more than 2048 bytes"));
        }
        Ok(text)
    }

    /// Text that goes back as it came: nothing that anyone could be shown as a page.
    pub(super) fn plain(&self, value: Value) -> Result<Cow<'_, str>, Rejection> {
        let text = self.given(value)?;
        match text.contains(|c: char| c == '<' || c == '>' || c.is_control()) {
            true => Err(refused("a value with markup or control characters")),
            false => Ok(text),
        }
    }

    fn value(&self, value: Value) -> Result<Option<Cow<'_, str>>, Unclear> {
        match value {
            Value::Query(name) => self.parameter(name),
            Value::Header(name) => {
                let value = self.headers.unique(name);
                let text = value.map_err(|_| Unclear)?.map(std::str::from_utf8);
                Ok(text.transpose().map_err(|_| Unclear)?.map(Cow::Borrowed))
            }
            Value::Json(pointer) => self.member(pointer),
            Value::HmacOf(pointer) => {
                let text = self.member(pointer)?;
                let key = self.proven.and_then(Authentic::proving_key);
                let (Some(text), Some(key)) = (text, key) else {
                    return Ok(None);
                };
                Ok(key.hmac_hex(text.as_bytes()).map(Cow::Owned))
            }
        }
    }

    fn parameter(&self, name: &str) -> Result<Option<Cow<'_, str>>, Unclear> {
        let query = self.head.uri.query().unwrap_or_default();
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter_map(|(key, value)| (key == name).then_some(value));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Unclear),
            (value, None) => Ok(value),
        }
    }

    fn member(&self, pointer: &str) -> Result<Option<Cow<'_, str>>, Unclear> {
        use serde_json::Value as Json;
        let found = self.document().and_then(|json| json.pointer(pointer));
        match found {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(Json::Number(number)) => Ok(Some(number.to_string().into())),
            Some(Json::Bool(truth)) => Ok(Some(truth.to_string().into())),
            Some(Json::Null | Json::Array(_) | Json::Object(_)) => Err(Unclear),
        }
    }

    /// A form as its document, any other body as JSON, whatever it is called.
    fn document(&self) -> Option<&serde_json::Value> {
        let parse = || {
            let small = self.body.len() <= BODY_BYTES_MAX;
            small.then(|| match self.content {
                Content::Form => payload::tree(Content::Form, self.body),
                _ => serde_json::from_slice(self.body).ok(),
            })?
        };
        self.document.get_or_init(parse).as_ref()
    }
}
