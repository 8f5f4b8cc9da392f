//! What the event is called, and where it goes.

use std::{borrow::Cow, sync::Arc};

use actix_http::header::{self, HeaderName};
use sha2::{Digest as _, Sha256};

use crate::{
    clock::Timestamp,
    config::Deliver,
    event::{BodyDigest, Event, EventKey, NewDelivery, event_uid},
};

use super::{
    endpoint::{IdSource, Spot},
    json::Found,
    rejection::{Reason, Rejection},
    validate::{Valid, is_short_text, text_of},
};

impl Valid<'_> {
    /// 422.
    pub(super) fn identify(self, received_at: Timestamp) -> Result<Event, Rejection> {
        let route = &self.endpoint.route;
        let digest = BodyDigest::of(self.body);
        let id = self.event_id()?;
        let key = EventKey::new(&route.name, &id);
        let deliveries = route
            .deliver
            .iter()
            .filter(|deliver| wants(deliver, self.event_type.as_deref()))
            .map(|deliver| NewDelivery {
                target: deliver.to.clone(),
                lease: None,
                order: None,
            })
            .collect();
        Ok(Event {
            uid: event_uid(key, received_at),
            key,
            route: route.name.clone(),
            id: id.into(),
            event_type: self.event_type.clone(),
            received_at,
            dedupe_window: route.dedupe_window,
            content_type: self.header(&header::CONTENT_TYPE).map(Arc::from),
            headers: self.kept_headers(),
            body: self.body.clone(),
            digest,
            deliveries,
            together: false,
        })
    }

    fn event_id(&self) -> Result<Cow<'_, str>, Reason> {
        for source in &self.endpoint.event_id {
            let id = match source {
                IdSource::BodySha256 => {
                    Some(format!("sha256:{}", hex::encode(Sha256::digest(self.body))).into())
                }
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

    /// One value as it stands; several joined by `|`, escaped so that no two lists give the same text.
    /// `None` when one of them does not exist.
    fn joined(&self, spots: &[Spot]) -> Result<Option<Cow<'_, str>>, Reason> {
        let mut parts = Vec::with_capacity(spots.len());
        for spot in spots {
            match self.value(spot)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        if let [_] = parts.as_slice() {
            return Ok(parts.pop());
        }
        // Nothing joined with nothing names no event: all such events would be one.
        if parts.iter().all(|part| part.is_empty()) {
            return Err(Reason::InvalidEventId);
        }
        let escaped = parts
            .iter()
            .map(|part| part.replace('\\', r"\\").replace('|', r"\|"));
        Ok(Some(escaped.collect::<Vec<_>>().join("|").into()))
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
                value => text_of(value).map(Some).ok_or(Reason::InvalidEventId),
            },
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn kept_headers(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.endpoint
            .keep_headers
            .iter()
            .filter_map(|kept| Some((kept.text.clone(), self.header(&kept.name)?.into())))
            .collect()
    }
}

fn wants(deliver: &Deliver, event_type: Option<&str>) -> bool {
    deliver.events.is_empty()
        || event_type
            .is_some_and(|event_type| deliver.events.iter().any(|glob| glob.matches(event_type)))
}
