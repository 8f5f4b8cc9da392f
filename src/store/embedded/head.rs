//! All of an event but its body, as one packed record: its row's `head`.
//!
//! A version byte, then in this order, integers little-endian:
//!
//! ```text
//! uid 16 · key 16 · received_ms i64 · window_ms u64 · digest · route · id · type? · content type?
//! · kept headers: number, (name, value)… · together u8 · credential? · request id?
//! · deliveries: number, (target, order u8, group 16 if there is an order)…
//! ```
//!
//! Bytes of variable length come after their length; lengths and numbers are LEB128. What may be missing
//! has its length plus one, and zero when it is missing. `order`: 0 none, 1 one that does not hold, 2 one that
//! does. The places of uid and route are the same in every version. Earlier ones are read too: version 3, of format
//! 4, has no request id, version 2, of format 3, no credential either, and version 1, of format 2, ends with the names of
//! the targets.

use std::{str, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{BodyDigest, Event, EventKey, NewDelivery, Order, OrderGroup},
};

const VERSION: u8 = 4;
const VERSION_WITHOUT_REQUEST: u8 = 3;
const VERSION_WITHOUT_CREDENTIAL: u8 = 2;
const VERSION_WITHOUT_ORDER: u8 = 1;
/// Of the digest, with the route behind it.
const DIGEST_AT: usize = 1 + 16 + 16 + 8 + 8;

pub(super) fn encode(event: &Event) -> Vec<u8> {
    let mut head = Writer(Vec::with_capacity(256));
    head.0.push(VERSION);
    head.0.extend_from_slice(event.uid.as_bytes());
    head.0.extend_from_slice(&event.key.0);
    head.0
        .extend_from_slice(&event.received_at.as_millis().to_le_bytes());
    let window_ms = u64::try_from(event.dedupe_window.as_millis()).unwrap_or(u64::MAX);
    head.0.extend_from_slice(&window_ms.to_le_bytes());
    head.bytes(&event.digest.0);
    head.bytes(event.route.as_bytes());
    head.bytes(event.id.as_bytes());
    head.option(event.event_type.as_deref());
    head.option(event.content_type.as_deref());
    head.number(event.headers.len());
    for (name, value) in &event.headers {
        head.bytes(name.as_bytes());
        head.bytes(value.as_bytes());
    }
    head.0.push(u8::from(event.together));
    head.option(event.credential.as_deref());
    head.option(event.request_id.as_deref());
    head.number(event.deliveries.len());
    for delivery in &event.deliveries {
        head.bytes(delivery.target.as_bytes());
        head.order(delivery.order);
    }
    head.0
}

/// An event that was read back, without its body; no delivery asks for a lease. `None` when the record is not
/// whole, or of another version.
pub(super) fn decode(head: &[u8]) -> Option<Event> {
    let mut head = Reader(head);
    let [version] = head.array()?;
    if !(VERSION_WITHOUT_ORDER..=VERSION).contains(&version) {
        return None;
    }
    let mut event = Event {
        uid: Uuid::from_bytes(head.array()?),
        key: EventKey(head.array()?),
        received_at: Timestamp::from_millis(i64::from_le_bytes(head.array()?)),
        dedupe_window: Duration::from_millis(u64::from_le_bytes(head.array()?)),
        digest: BodyDigest(head.bytes()?.try_into().ok()?),
        route: head.text()?,
        id: head.text()?,
        event_type: head.option()?,
        credential: None,
        request_id: None,
        content_type: head.option()?,
        headers: head.list(|head| Some((head.text()?, head.text()?)))?,
        body: Bytes::new(),
        deliveries: Vec::new(),
        together: false,
    };
    if version > VERSION_WITHOUT_ORDER {
        event.together = head.array()? != [0];
    }
    if version > VERSION_WITHOUT_CREDENTIAL {
        event.credential = head.option()?;
    }
    if version > VERSION_WITHOUT_REQUEST {
        event.request_id = head.option()?;
    }
    event.deliveries = head.list(|head| {
        let delivery = NewDelivery::to(head.text()?);
        if version == VERSION_WITHOUT_ORDER {
            return Some(delivery);
        }
        let order = head.order()?;
        Some(NewDelivery { order, ..delivery })
    })?;
    head.0.is_empty().then_some(event)
}

/// The uid alone.
pub(super) fn uid(head: &[u8]) -> Option<Uuid> {
    Some(Uuid::from_bytes(Reader(head.get(1..)?).array()?))
}

/// The route alone.
pub(super) fn route(head: &[u8]) -> Option<&str> {
    let mut head = Reader(head);
    head.take(DIGEST_AT)?;
    head.bytes()?;
    str::from_utf8(head.bytes()?).ok()
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: usize) {
        while number > 0x7f {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn option(&mut self, text: Option<&str>) {
        self.number(text.map_or(0, |text| text.len() + 1));
        self.0
            .extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    fn order(&mut self, order: Option<Order>) {
        let Some(order) = order else {
            return self.0.push(0);
        };
        self.0.push(1 + u8::from(order.hold));
        self.0.extend_from_slice(&order.group.0);
    }
}

/// What is left of a record. Every method is `None` when that is too little.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let [byte] = self.array()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        Some(str::from_utf8(self.bytes()?).ok()?.into())
    }

    /// The outer `None`: too little is left.
    #[expect(
        clippy::option_option,
        reason = "a field that is missing is not a fault"
    )]
    fn option(&mut self) -> Option<Option<Arc<str>>> {
        let Some(length) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        Some(Some(str::from_utf8(self.take(length)?).ok()?.into()))
    }

    /// The outer `None`: too little is left, or it is none.
    #[expect(
        clippy::option_option,
        reason = "a field that is missing is not a fault"
    )]
    fn order(&mut self) -> Option<Option<Order>> {
        let [kind] = self.array()?;
        if kind == 0 {
            return Some(None);
        }
        let group = OrderGroup(self.array()?);
        (kind <= 2).then_some(Some(Order {
            group,
            hold: kind == 2,
        }))
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.number()?;
        (0..length).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Event {
        let body = Bytes::from_static(b"body");
        Event {
            uid: Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef),
            key: EventKey::new("route", "id"),
            route: "route".into(),
            id: "id: \"quoted\" ü|\\".into(),
            event_type: Some("order.created".into()),
            credential: Some("secret#2+bearer".into()),
            request_id: Some("01a316c5a47b00c0ffee00000001".into()),
            received_at: Timestamp::from_millis(1_800_000_000_123),
            dedupe_window: Duration::from_millis(259_200_001),
            content_type: Some("x".repeat(300).into()),
            headers: vec![("x-a".into(), "1\tü".into()), ("x-a".into(), "".into())],
            digest: BodyDigest::of(&body),
            body,
            deliveries: [("t", None), ("u", Some(false)), ("v", Some(true))]
                .map(|(target, hold)| NewDelivery {
                    target: target.into(),
                    lease: Some(Duration::from_secs(60)),
                    order: hold.map(|hold| Order {
                        group: OrderGroup::new("route", target, "key"),
                        hold,
                    }),
                })
                .into(),
            together: true,
        }
    }

    fn bare() -> Event {
        Event {
            route: "".into(),
            id: "".into(),
            event_type: None,
            credential: None,
            request_id: None,
            received_at: Timestamp::from_millis(-1),
            dedupe_window: Duration::ZERO,
            content_type: None,
            headers: Vec::new(),
            deliveries: Vec::new(),
            ..full()
        }
    }

    #[test]
    fn what_was_encoded_comes_back_field_by_field() {
        let empty = Event {
            event_type: Some("".into()),
            credential: Some("".into()),
            request_id: Some("".into()),
            content_type: Some("".into()),
            ..bare()
        };
        for event in [full(), bare(), empty] {
            let head = encode(&event);
            assert_eq!(uid(&head), Some(event.uid));
            assert_eq!(route(&head), Some(&*event.route));
            let back = decode(&head).unwrap();
            assert_eq!(back.together, event.together);
            assert_eq!((back.uid, back.key), (event.uid, event.key));
            assert_eq!((back.route, back.id), (event.route, event.id));
            assert_eq!(back.event_type, event.event_type);
            assert_eq!(back.credential, event.credential);
            assert_eq!(back.request_id, event.request_id);
            assert_eq!(back.content_type, event.content_type);
            assert_eq!(back.received_at, event.received_at);
            assert_eq!(back.dedupe_window, event.dedupe_window);
            assert_eq!(back.headers, event.headers);
            assert_eq!(back.digest, event.digest);
            let told = |of: Vec<NewDelivery>| -> Vec<_> {
                of.into_iter().map(|d| (d.target, d.order)).collect()
            };
            assert!(back.deliveries.iter().all(|d| d.lease.is_none()));
            assert_eq!(told(back.deliveries), told(event.deliveries));
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let event = Event {
            deliveries: ["t", "u"].map(|t| NewDelivery::to(t.into())).into(),
            together: true,
            ..full()
        };
        let mut head = encode(&event);
        let end = head.split_off(head.len() - 53);
        assert_eq!(
            end,
            b"\x01\x10secret#2+bearer\x1d01a316c5a47b00c0ffee00000001\x02\x01t\0\x01u\0"
        );
        // Version 1 ended with the names; what is before their number and behind each name came later.
        for (version, end) in [
            (
                VERSION_WITHOUT_REQUEST,
                &b"\x01\x10secret#2+bearer\x02\x01t\0\x01u\0"[..],
            ),
            (VERSION_WITHOUT_CREDENTIAL, &b"\x01\x02\x01t\0\x01u\0"[..]),
            (VERSION_WITHOUT_ORDER, b"\x02\x01t\x01u"),
        ] {
            head[0] = version;
            let head = [&head[..], end].concat();
            assert_eq!(route(&head), Some("route"));
            let back = decode(&head).unwrap();
            assert_eq!(
                (back.id, back.headers),
                (event.id.clone(), event.headers.clone())
            );
            let has_credential = version == VERSION_WITHOUT_REQUEST;
            assert_eq!(back.credential.is_some(), has_credential);
            assert_eq!(back.request_id, None);
            assert_eq!(back.together, version != VERSION_WITHOUT_ORDER);
            assert_eq!(back.deliveries, event.deliveries);
        }
    }

    #[test]
    fn a_record_that_is_not_whole_or_not_of_this_version_is_none() {
        let head = encode(&full());
        for length in 0..head.len() {
            assert!(decode(&head[..length]).is_none(), "{length} bytes");
        }
        assert!(decode(&[&head[..], b"x"].concat()).is_none(), "too long");
        let mut newer = head.clone();
        newer[0] = VERSION + 1;
        assert!(decode(&newer).is_none(), "another version");
        let mut endless = head[..49].to_vec();
        endless.extend([0xff; 20]);
        assert!(decode(&endless).is_none(), "a length without an end");
        assert_eq!(uid(&head[..16]), None);
    }
}
