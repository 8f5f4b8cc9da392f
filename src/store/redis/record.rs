//! An event as it is stored: one string that the scripts read only the front of, see `record.lua`.
//!
//! What `record.lua` tells of; then what no script reads: the key, the digest, the time of acceptance, the window, (in
//! version 1 only) the route, the id, the type, the content type, the kept headers; then the body. Numbers are
//! little-endian; a text follows its length (4; what the scripts read: 2), and one that may be absent a byte that tells.
//!
//! The credential, if there is one, is one more header, the last, and the request's id the one before: gateways of a
//! version that does not know them may share the Redis, and deliver the event without them, because their names are none
//! that a header can have.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{super::StoreError, encoding::millis};
use crate::{
    clock::Timestamp,
    event::{BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup},
};

/// What is written; version 1, without orders, is read too.
const VERSION: u8 = 2;
const CREDENTIAL: &str = ":credential";
const REQUEST: &str = ":request";

/// All of an event's record but its body, which follows it.
pub(super) fn front(event: &Event) -> Result<Vec<u8>, StoreError> {
    let mut front = Writer(Vec::with_capacity(256));
    front.0.push(VERSION);
    // The length of the front, once it is known.
    front.0.extend_from_slice(&[0; 4]);
    front.length(event.body.len())?;
    front.short_length(event.deliveries.len())?;
    front.short_text(&event.route)?;
    for delivery in &event.deliveries {
        front.short_text(&delivery.target)?;
        front.0.push(order_kind(delivery.order));
        if let Some(order) = delivery.order {
            front.0.extend_from_slice(&order.group.0);
        }
    }
    front.0.extend_from_slice(&event.key.0);
    front.0.extend_from_slice(&event.digest.0);
    front.integer(event.received_at.as_millis());
    front.integer(millis(event.dedupe_window));
    front.text(&event.id)?;
    front.optional(event.event_type.as_deref())?;
    front.optional(event.content_type.as_deref())?;
    let headers = event.headers.iter().map(|(name, value)| (&**name, value));
    let credential = event.credential.iter().map(|value| (CREDENTIAL, value));
    let request = event.request_id.iter().map(|value| (REQUEST, value));
    front.length(event.headers.len() + request.len() + credential.len())?;
    for (name, value) in headers.chain(request).chain(credential) {
        front.text(name)?;
        front.text(value)?;
    }
    let bytes = length(front.0.len())?;
    front.0[1..5].copy_from_slice(&bytes.to_le_bytes());
    Ok(front.0)
}

/// How a record, and a state, tell whether a delivery is ordered.
pub(super) const fn order_kind(order: Option<Order>) -> u8 {
    match order {
        None => 0,
        Some(Order { hold: false, .. }) => 1,
        Some(Order { hold: true, .. }) => 2,
    }
}

/// The event again; its deliveries ask for no lease. `None` when the record cannot be read.
pub(super) fn event(uid: Uuid, record: Vec<u8>) -> Option<Event> {
    let record = Bytes::from(record);
    let (event, front_bytes, body_bytes) = read(uid, &record)?;
    (record.len() - front_bytes == body_bytes).then(|| Event {
        body: record.slice(front_bytes..),
        ..event
    })
}

/// The event of a record's front, without the body, and the body's bytes.
pub(super) fn description(uid: Uuid, front: Vec<u8>) -> Option<(Event, usize)> {
    let (event, front_bytes, body_bytes) = read(uid, &front)?;
    (front.len() == front_bytes).then_some((event, body_bytes))
}

/// The event without its body, the bytes before that, and its own.
fn read(uid: Uuid, record: &[u8]) -> Option<(Event, usize, usize)> {
    let mut reader = Reader(record);
    let [version @ 1..=VERSION] = reader.array()? else {
        return None;
    };
    let front_bytes = reader.length()?;
    let body_bytes = reader.length()?;
    let deliveries = reader.short_length()?;
    let route_before = if version == 1 {
        None
    } else {
        Some(reader.short_text()?)
    };
    let deliveries = (0..deliveries)
        .map(|_| {
            Some(NewDelivery {
                target: reader.short_text()?.into(),
                lease: None,
                order: if version == 1 { None } else { reader.order()? },
            })
        })
        .collect::<Option<_>>()?;
    let mut event = Event {
        uid,
        deliveries,
        key: EventKey(reader.array()?),
        digest: BodyDigest(reader.array()?),
        received_at: Timestamp::from_millis(reader.integer()?),
        dedupe_window: Duration::from_millis(u64::try_from(reader.integer()?).ok()?),
        route: match route_before {
            Some(route) => route.into(),
            None => reader.text()?.into(),
        },
        id: reader.text()?.into(),
        event_type: reader.optional()?.map(Into::into),
        credential: None,
        request_id: None,
        content_type: reader.optional()?.map(Into::into),
        headers: (0..reader.length()?)
            .map(|_| Some((reader.text()?.into(), reader.text()?.into())))
            .collect::<Option<_>>()?,
        body: Bytes::new(),
        together: false,
    };
    let mut last = |known: &str| {
        let value = event.headers.pop_if(|(name, _)| **name == *known);
        value.map(|(_, value)| value)
    };
    let (credential, request_id) = (last(CREDENTIAL), last(REQUEST));
    (event.credential, event.request_id) = (credential, request_id);
    (record.len() - reader.0.len() == front_bytes).then_some((event, front_bytes, body_bytes))
}

fn length(bytes: usize) -> Result<u32, StoreError> {
    u32::try_from(bytes).map_err(|_| too_large())
}

fn too_large() -> StoreError {
    StoreError::Unavailable("an event is too large to be stored".into())
}

struct Writer(Vec<u8>);

impl Writer {
    fn length(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.0.extend_from_slice(&length(bytes)?.to_le_bytes());
        Ok(())
    }

    fn short_length(&mut self, bytes: usize) -> Result<(), StoreError> {
        let bytes = u16::try_from(bytes).map_err(|_| too_large())?;
        self.0.extend_from_slice(&bytes.to_le_bytes());
        Ok(())
    }

    fn short_text(&mut self, text: &str) -> Result<(), StoreError> {
        self.short_length(text.len())?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn integer(&mut self, integer: i64) {
        self.0.extend_from_slice(&integer.to_le_bytes());
    }

    fn text(&mut self, text: &str) -> Result<(), StoreError> {
        self.length(text.len())?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn optional(&mut self, text: Option<&str>) -> Result<(), StoreError> {
        self.0.push(text.is_some().into());
        text.map_or(Ok(()), |text| self.text(text))
    }
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (read, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(read)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn short_length(&mut self) -> Option<usize> {
        Some(u16::from_le_bytes(self.array()?).into())
    }

    fn short_text(&mut self) -> Option<&'a str> {
        let bytes = self.short_length()?;
        str::from_utf8(self.bytes(bytes)?).ok()
    }

    fn order(&mut self) -> Option<Option<Order>> {
        let hold = match self.array()? {
            [0] => return Some(None),
            [1] => false,
            [2] => true,
            _ => return None,
        };
        let group = OrderGroup(self.array()?);
        Some(Some(Order { group, hold }))
    }

    fn integer(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let bytes = self.length()?;
        str::from_utf8(self.bytes(bytes)?).ok()
    }

    fn optional(&mut self) -> Option<Option<&'a str>> {
        match self.array()? {
            [0] => Some(None),
            [1] => self.text().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Event {
        let key = EventKey::new("github", "id");
        let received_at = Timestamp::from_millis(1_790_000_000_123);
        let body = Bytes::from_static(b"\x00body\xff");
        let delivery = |target: &str, hold: Option<bool>| NewDelivery {
            target: target.into(),
            lease: None,
            order: hold.map(|hold| Order {
                group: OrderGroup::new("github", target, "key"),
                hold,
            }),
        };
        Event {
            uid: crate::event::event_uid(key, received_at),
            key,
            route: "github".into(),
            id: "id \"ü\"".into(),
            event_type: Some("push".into()),
            credential: Some("secret#2".into()),
            request_id: Some("01a316c5a47b00c0ffee00000001".into()),
            received_at,
            dedupe_window: Duration::from_secs(3600),
            content_type: Some("application/json".into()),
            headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "".into())],
            digest: BodyDigest::of(&body),
            body,
            deliveries: vec![
                delivery("crm", None),
                delivery("billing", Some(true)),
                delivery("audit", Some(false)),
            ],
            together: false,
        }
    }

    fn record(event: &Event) -> Vec<u8> {
        [&front(event).unwrap()[..], &event.body].concat()
    }

    #[test]
    fn every_field_comes_back() {
        let mut bare = full();
        (bare.event_type, bare.content_type, bare.credential) = (None, None, None);
        bare.request_id = None;
        let nobody = Event {
            credential: None,
            ..full()
        };
        let older = Event {
            request_id: None,
            ..full()
        };
        (bare.headers, bare.deliveries) = (Vec::new(), Vec::new());
        (bare.body, bare.dedupe_window) = (Bytes::new(), Duration::ZERO);
        for sent in [full(), nobody, older, bare] {
            let back = event(sent.uid, record(&sent)).unwrap();
            let (described, body_bytes) = description(sent.uid, front(&sent).unwrap()).unwrap();
            assert_eq!(described.id, sent.id);
            assert_eq!((described.body.len(), body_bytes), (0, sent.body.len()));
            assert_eq!((back.uid, back.key), (sent.uid, sent.key));
            assert_eq!((back.route, back.id), (sent.route, sent.id));
            assert_eq!(back.event_type, sent.event_type);
            assert_eq!(back.content_type, sent.content_type);
            assert_eq!(back.credential, sent.credential);
            assert_eq!(back.request_id, sent.request_id);
            assert_eq!(back.received_at, sent.received_at);
            assert_eq!(back.dedupe_window, sent.dedupe_window);
            assert_eq!(back.headers, sent.headers);
            assert_eq!((back.body, back.digest), (sent.body, sent.digest));
            assert_eq!(back.deliveries, sent.deliveries);
        }
    }

    #[test]
    fn a_record_that_is_cut_or_too_long_is_refused() {
        let whole = record(&full());
        let front_bytes = front(&full()).unwrap().len();
        for bytes in 0..whole.len() {
            assert!(event(full().uid, whole[..bytes].to_vec()).is_none());
            assert!(
                description(full().uid, whole[..bytes].to_vec()).is_none() || bytes == front_bytes
            );
        }
        assert!(event(full().uid, [&whole[..], b"x"].concat()).is_none());
    }

    #[test]
    fn another_version_is_refused() {
        for version in [0, VERSION + 1] {
            let mut other = record(&full());
            other[0] = version;
            assert!(event(full().uid, other).is_none());
        }
    }

    #[test]
    fn a_record_of_version_1_is_read() {
        let mut front = vec![1, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0];
        front.extend_from_slice(b"\x03\x00crm");
        front.extend_from_slice(&[7; 16]);
        front.extend_from_slice(&[8; 16]);
        front.extend_from_slice(&5_i64.to_le_bytes());
        front.extend_from_slice(&6_i64.to_le_bytes());
        front
            .extend_from_slice(b"\x06\x00\x00\x00github\x02\x00\x00\x00id\x00\x00\x00\x00\x00\x00");
        front[1] = u8::try_from(front.len()).unwrap();
        let uid = full().uid;
        let back = event(uid, [&front[..], b"{}"].concat()).unwrap();
        assert_eq!(
            (&*back.route, &*back.id, &*back.body),
            ("github", "id", &b"{}"[..])
        );
        assert_eq!(back.deliveries, [NewDelivery::to("crm".into())]);
        assert_eq!(
            (back.key, back.digest),
            (EventKey([7; 16]), BodyDigest([8; 16]))
        );
        assert_eq!(back.received_at, Timestamp::from_millis(5));
        assert_eq!(back.dedupe_window, Duration::from_millis(6));
    }

    /// So a version that knows nothing of it reads the rest, and has one header that it cannot send.
    #[test]
    fn a_credential_is_one_more_header_that_is_none() {
        let sent = full();
        let mut other = sent.clone();
        let credential = other.credential.take().unwrap();
        other.headers.push((":credential".into(), credential));
        assert_eq!(front(&sent).unwrap(), front(&other).unwrap());
        assert!(http::HeaderName::from_bytes(CREDENTIAL.as_bytes()).is_err());
    }

    /// What `record.lua` reads.
    #[test]
    fn the_front_stands_where_the_scripts_look() {
        let (event, front) = (full(), front(&full()).unwrap());
        assert_eq!(front[0], 2);
        let number = |at: usize| u32::from_le_bytes(front[at..at + 4].try_into().unwrap());
        assert_eq!(number(1) as usize, front.len());
        assert_eq!(number(5) as usize, event.body.len());
        assert_eq!(
            &front[9..35],
            b"\x03\x00\x06\x00github\x03\x00crm\x00\x07\x00billing\x02"
        );
        let group = OrderGroup::new("github", "billing", "key");
        assert_eq!(&front[35..51], &group.0);
    }
}
