//! All of an event but its body, as one packed record: its row's `head`.
//!
//! A version byte, then in this order, integers little-endian:
//!
//! ```text
//! uid 16 · key 16 · received_ms i64 · window_ms u64 · digest · route · id · type? · content type?
//! · kept headers: number, (name, value)… · targets: number, name…
//! ```
//!
//! Bytes of variable length come after their length; lengths and numbers are LEB128. What may be missing
//! has its length plus one, and zero when it is missing. The uid's place is the same in every version.

use std::{str, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    event::{BodyDigest, Event, EventKey, TargetName},
};

const VERSION: u8 = 1;

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
    head.number(event.deliveries.len());
    for delivery in &event.deliveries {
        head.bytes(delivery.target.as_bytes());
    }
    head.0
}

/// An event that was read back, without body and deliveries, and its targets in order. `None` when the
/// record is not whole, or of another version.
pub(super) fn decode(head: &[u8]) -> Option<(Event, Vec<TargetName>)> {
    let mut head = Reader(head);
    if head.array() != Some([VERSION]) {
        return None;
    }
    let event = Event {
        uid: Uuid::from_bytes(head.array()?),
        key: EventKey(head.array()?),
        received_at: Timestamp::from_millis(i64::from_le_bytes(head.array()?)),
        dedupe_window: Duration::from_millis(u64::from_le_bytes(head.array()?)),
        digest: BodyDigest(head.bytes()?.try_into().ok()?),
        route: head.text()?,
        id: head.text()?,
        event_type: head.option()?,
        content_type: head.option()?,
        headers: head.list(|head| Some((head.text()?, head.text()?)))?,
        body: Bytes::new(),
        deliveries: Vec::new(),
        together: false,
    };
    let targets = head.list(Reader::text)?;
    head.0.is_empty().then_some((event, targets))
}

/// The uid alone.
pub(super) fn uid(head: &[u8]) -> Option<Uuid> {
    Some(Uuid::from_bytes(Reader(head.get(1..)?).array()?))
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

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.number()?;
        (0..length).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewDelivery;

    fn full() -> Event {
        let body = Bytes::from_static(b"body");
        Event {
            uid: Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef),
            key: EventKey::new("route", "id"),
            route: "route".into(),
            id: "id: \"quoted\" ü|\\".into(),
            event_type: Some("order.created".into()),
            received_at: Timestamp::from_millis(1_800_000_000_123),
            dedupe_window: Duration::from_millis(259_200_001),
            content_type: Some("x".repeat(300).into()),
            headers: vec![("x-a".into(), "1\tü".into()), ("x-a".into(), "".into())],
            digest: BodyDigest::of(&body),
            body,
            deliveries: ["t", "u"]
                .map(|target| NewDelivery {
                    target: target.into(),
                    lease: Some(Duration::from_secs(60)),
                    order: None,
                })
                .into(),
            together: false,
        }
    }

    fn bare() -> Event {
        Event {
            route: "".into(),
            id: "".into(),
            event_type: None,
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
            content_type: Some("".into()),
            ..bare()
        };
        for event in [full(), bare(), empty] {
            let head = encode(&event);
            assert_eq!(uid(&head), Some(event.uid));
            let (back, targets) = decode(&head).unwrap();
            assert_eq!((back.uid, back.key), (event.uid, event.key));
            assert_eq!((back.route, back.id), (event.route, event.id));
            assert_eq!(back.event_type, event.event_type);
            assert_eq!(back.content_type, event.content_type);
            assert_eq!(back.received_at, event.received_at);
            assert_eq!(back.dedupe_window, event.dedupe_window);
            assert_eq!(back.headers, event.headers);
            assert_eq!(back.digest, event.digest);
            let expected: Vec<_> = event.deliveries.into_iter().map(|d| d.target).collect();
            assert_eq!(targets, expected);
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
