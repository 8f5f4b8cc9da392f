//! What the event is called, and where it goes.

use std::{borrow::Cow, sync::Arc};

use actix_http::{
    Method,
    header::{self, HeaderName},
};
use sha2::{Digest as _, Sha256};

use crate::{
    clock::Timestamp,
    config::Deliver,
    event::{BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup, event_uid},
    payload::FORM,
    trace::TRACEPARENT,
};

use super::{
    endpoint::{IdSource, Spot},
    json::Found,
    rejection::{Reason, Rejection},
    route::trace_of,
    validate::{EventType, SHORT_MAX, Valid, is_short_text, text_of},
};

impl Valid<'_> {
    /// 422.
    pub(super) fn identify(
        self,
        received_at: Timestamp,
        request_id: Arc<str>,
    ) -> Result<Event, Rejection> {
        let route = &self.endpoint.route;
        let digest = BodyDigest::of(self.body);
        let id = self.event_id()?;
        let key = EventKey::new(&route.name, &id);
        let deliveries = std::iter::zip(&route.deliver, &self.endpoint.order)
            .filter(|(deliver, _)| wants(deliver, &self.event_type))
            .map(|(deliver, key)| NewDelivery {
                order: key.and_then(|key| self.order(deliver, key)),
                ..NewDelivery::to(deliver.to.clone())
            })
            .collect();
        Ok(Event {
            uid: event_uid(key, received_at),
            key,
            route: route.name.clone(),
            id: id.into(),
            event_type: self.event_type.text.clone(),
            credential: self.credential.cloned(),
            request_id: Some(request_id),
            received_at,
            dedupe_window: route.dedupe_window,
            content_type: self.content_type(),
            headers: self.kept_headers(),
            body: self.body.clone(),
            digest,
            deliveries,
            together: route.split.is_some()
                || route.deliver.iter().any(|deliver| deliver.order.is_some()),
        })
    }

    fn event_id(&self) -> Result<Cow<'_, str>, Reason> {
        for source in &self.endpoint.event_id {
            let id = match source {
                IdSource::BodySha256 => Some(digest_id(self.body).into()),
                IdSource::Spots(spots) => self.joined(spots)?,
            };
            if let Some(id) = id {
                return match is_short_text(&id) {
                    true => Ok(id),
                    false => Err(Reason::InvalidEventId),
                };
            }
        }
        Err(Reason::MissingEventId)
    }

    /// One value as it stands; several joined.
    /// `None` when one of them does not exist.
    fn joined(&self, spots: &[Spot]) -> Result<Option<Cow<'_, str>>, Reason> {
        let mut parts = Vec::with_capacity(spots.len());
        for spot in spots {
            match self.value(spot)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        match parts.as_slice() {
            [_] => Ok(parts.pop()),
            parts => join(parts).map(|joined| Some(joined.into())),
        }
    }

    fn value(&self, spot: &Spot) -> Result<Option<Cow<'_, str>>, Reason> {
        match spot {
            Spot::Header(name) => {
                let mut values = self.head.headers.get_all(name.as_str());
                let first = values.next();
                if values.next().is_some() {
                    return Err(Reason::InvalidEventId);
                }
                let text = first.map(|value| value.to_str().map(Cow::Borrowed));
                text.transpose().map_err(|_| Reason::InvalidEventId)
            }
            Spot::Json(index) => match &self.found[*index] {
                Found::Missing | Found::Null => Ok(None),
                Found::Each(values) => joined_values(values),
                value => text_of(value).map(Some).ok_or(Reason::InvalidEventId),
            },
        }
    }

    /// `None`, and counted, when the event has no key to be ordered by: it is proven and valid, so it is not refused.
    fn order(&self, deliver: &Deliver, key: usize) -> Option<Order> {
        let rule = deliver.order.as_ref()?;
        let Some(key) = order_key(&self.found[key]) else {
            self.endpoint.metrics.unordered.inc();
            return None;
        };
        Some(Order {
            group: OrderGroup::new(&self.endpoint.route.name, &deliver.to, &key),
            hold: rule.hold,
        })
    }

    /// The original one; of an element, that of one event where the request's is that of a list of them (CloudEvents).
    fn content_type(&self) -> Option<Arc<str>> {
        if self.head.method == Method::GET {
            return Some(FORM.into());
        }
        let content_type = self.header(&header::CONTENT_TYPE)?;
        Some(match self.endpoint.split {
            Some(_) => content_type.replace("-batch+json", "+json").into(),
            None => content_type.into(),
        })
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn kept_headers(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.endpoint
            .keep_headers
            .iter()
            .filter_map(|kept| {
                let value = self.header(&kept.name)?;
                // What breaks the rules of trace contexts is not passed on.
                let is_fit = &*kept.text != TRACEPARENT || trace_of(&self.head.headers).is_some();
                is_fit.then(|| (kept.text.clone(), value.into()))
            })
            .collect()
    }
}

/// The kind and the text of a value, so that `"1"` and `1` are two keys. Numbers are told apart as numbers: `1` and `1.0`
/// are one key, and so are two of more than 64 bits that differ only beyond what a float holds, which costs time, not order.
fn order_key(value: &Found<'_>) -> Option<String> {
    match value {
        Found::String(text) => Some(format!("string:{text}")),
        Found::Integer(number) => Some(format!("number:{number}")),
        Found::Number(number) if number.fract() == 0.0 && number.abs() < 1e38 => {
            Some(format!("number:{}", *number as i128))
        }
        Found::Number(number) => Some(format!("number:{number}")),
        Found::Bool(truth) => Some(format!("boolean:{truth}")),
        Found::Missing | Found::Null | Found::Object | Found::Array | Found::Each(_) => None,
    }
}

/// Of several types one is enough.
fn wants(deliver: &Deliver, event_type: &EventType) -> bool {
    let types = match event_type.several.as_slice() {
        [] => event_type.text.as_slice(),
        several => several,
    };
    let wanted = |event_type: &Arc<str>| deliver.events.iter().any(|glob| glob.matches(event_type));
    deliver.events.is_empty() || types.iter().any(wanted)
}

/// All values of a pointer with `*`. `None` when one is not there: without it, this would be the id of other events too.
fn joined_values(values: &[Found<'_>]) -> Result<Option<Cow<'static, str>>, Reason> {
    if values
        .iter()
        .any(|value| matches!(value, Found::Missing | Found::Null))
    {
        return Ok(None);
    }
    let parts: Option<Vec<_>> = values.iter().map(text_of).collect();
    let joined = join(&parts.ok_or(Reason::InvalidEventId)?)?;
    if joined.chars().any(char::is_control) {
        return Err(Reason::InvalidEventId);
    }
    Ok(Some(match joined.len() {
        0..=SHORT_MAX => joined.into(),
        _ => digest_id(joined.as_bytes()).into(),
    }))
}

/// By `|`, escaped so that no two lists give the same text.
fn join(parts: &[Cow<'_, str>]) -> Result<String, Reason> {
    // Nothing joined with nothing names no event: all such events would be one.
    if parts.iter().all(|part| part.is_empty()) {
        return Err(Reason::InvalidEventId);
    }
    let escaped = parts
        .iter()
        .map(|part| part.replace('\\', r"\\").replace('|', r"\|"));
    Ok(escaped.collect::<Vec<_>>().join("|"))
}

fn digest_id(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: Found<'_>) -> Option<String> {
        order_key(&value)
    }

    #[test]
    fn keys_of_different_kinds_never_meet() {
        let text = |text: &'static str| key(Found::String(text.into()));
        let keys = [
            text("1"),
            key(Found::Integer(1)),
            text("true"),
            key(Found::Bool(true)),
            key(Found::Bool(false)),
            text(""),
            text("number:1"),
            key(Found::Number(1.5)),
            key(Found::Integer(-1)),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(one.is_some() && !keys[..index].contains(one), "{one:?}");
        }
    }

    #[test]
    fn one_number_is_one_key_however_it_is_written() {
        for (integer, number) in [
            (1, 1.0),
            (0, -0.0),
            (-12, -12.0),
            (1 << 60, 1_152_921_504_606_846_976.0),
        ] {
            assert_eq!(
                key(Found::Integer(integer)),
                key(Found::Number(number)),
                "{integer}"
            );
        }
    }

    #[test]
    fn what_is_no_single_value_is_no_key() {
        for value in [Found::Missing, Found::Null, Found::Object, Found::Array] {
            assert_eq!(key(value), None);
        }
    }
}
