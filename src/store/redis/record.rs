//! An event as it is stored: one string that the scripts read only the head of, see `common.lua`.
//!
//! Version, bytes before the body (4), bytes of the body (4), number of deliveries (2), the targets; then what no script
//! reads: the key, the digest, the time of acceptance, the window, the route, the id, the type, the
//! content type, the kept headers; then the body. Numbers are little-endian; a text follows its length (4; a
//! target's 2), and one that may be absent a byte that tells.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{super::StoreError, encoding::millis};
use crate::{
    clock::Timestamp,
    event::{BodyDigest, Event, EventKey, NewDelivery},
};

const VERSION: u8 = 1;

/// All of an event's record but its body, which follows it.
pub(super) fn front(event: &Event) -> Result<Vec<u8>, StoreError> {
    let mut front = Writer(Vec::with_capacity(256));
    front.0.push(VERSION);
    // The length of the front, once it is known.
    front.0.extend_from_slice(&[0; 4]);
    front.length(event.body.len())?;
    front.short_length(event.deliveries.len())?;
    for delivery in &event.deliveries {
        front.short_length(delivery.target.len())?;
        front.0.extend_from_slice(delivery.target.as_bytes());
    }
    front.0.extend_from_slice(&event.key.0);
    front.0.extend_from_slice(&event.digest.0);
    front.integer(event.received_at.as_millis());
    front.integer(millis(event.dedupe_window));
    front.text(&event.route)?;
    front.text(&event.id)?;
    front.optional(event.event_type.as_deref())?;
    front.optional(event.content_type.as_deref())?;
    front.length(event.headers.len())?;
    for (name, value) in &event.headers {
        front.text(name)?;
        front.text(value)?;
    }
    let bytes = length(front.0.len())?;
    front.0[1..5].copy_from_slice(&bytes.to_le_bytes());
    Ok(front.0)
}

/// The event again; its deliveries ask for no lease. `None` when the record cannot be read.
pub(super) fn event(uid: Uuid, record: Vec<u8>) -> Option<Event> {
    let record = Bytes::from(record);
    let mut reader = Reader(&record);
    if reader.array()? != [VERSION] {
        return None;
    }
    let front_bytes = reader.length()?;
    let body_bytes = reader.length()?;
    let deliveries = (0..reader.short_length()?)
        .map(|_| {
            let bytes = reader.short_length()?;
            Some(NewDelivery {
                target: str::from_utf8(reader.bytes(bytes)?).ok()?.into(),
                lease: None,
                order: None,
            })
        })
        .collect::<Option<_>>()?;
    let event = Event {
        uid,
        deliveries,
        key: EventKey(reader.array()?),
        digest: BodyDigest(reader.array()?),
        received_at: Timestamp::from_millis(reader.integer()?),
        dedupe_window: Duration::from_millis(u64::try_from(reader.integer()?).ok()?),
        route: reader.text()?.into(),
        id: reader.text()?.into(),
        event_type: reader.optional()?.map(Into::into),
        content_type: reader.optional()?.map(Into::into),
        headers: (0..reader.length()?)
            .map(|_| Some((reader.text()?.into(), reader.text()?.into())))
            .collect::<Option<_>>()?,
        body: Bytes::new(),
        together: false,
    };
    let is_whole = record.len() - reader.0.len() == front_bytes && reader.0.len() == body_bytes;
    is_whole.then(|| Event {
        body: record.slice(front_bytes..),
        ..event
    })
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
        let delivery = |target: &str| NewDelivery {
            target: target.into(),
            lease: None,
            order: None,
        };
        Event {
            uid: crate::event::event_uid(key, received_at),
            key,
            route: "github".into(),
            id: "id \"ü\"".into(),
            event_type: Some("push".into()),
            received_at,
            dedupe_window: Duration::from_secs(3600),
            content_type: Some("application/json".into()),
            headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "".into())],
            digest: BodyDigest::of(&body),
            body,
            deliveries: vec![delivery("crm"), delivery("billing")],
            together: false,
        }
    }

    fn record(event: &Event) -> Vec<u8> {
        [&front(event).unwrap()[..], &event.body].concat()
    }

    #[test]
    fn every_field_comes_back() {
        let mut bare = full();
        (bare.event_type, bare.content_type) = (None, None);
        (bare.headers, bare.deliveries) = (Vec::new(), Vec::new());
        (bare.body, bare.dedupe_window) = (Bytes::new(), Duration::ZERO);
        for sent in [full(), bare] {
            let back = event(sent.uid, record(&sent)).unwrap();
            assert_eq!((back.uid, back.key), (sent.uid, sent.key));
            assert_eq!((back.route, back.id), (sent.route, sent.id));
            assert_eq!(back.event_type, sent.event_type);
            assert_eq!(back.content_type, sent.content_type);
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
        for bytes in 0..whole.len() {
            assert!(event(full().uid, whole[..bytes].to_vec()).is_none());
        }
        assert!(event(full().uid, [&whole[..], b"x"].concat()).is_none());
    }

    #[test]
    fn another_version_is_refused() {
        let mut newer = record(&full());
        newer[0] = VERSION + 1;
        assert!(event(full().uid, newer).is_none());
    }

    /// The head as `common.lua` reads it.
    #[test]
    fn the_head_stands_where_the_scripts_look() {
        let (event, front) = (full(), front(&full()).unwrap());
        assert_eq!(front[0], 1);
        let number = |at: usize| u32::from_le_bytes(front[at..at + 4].try_into().unwrap());
        assert_eq!(number(1) as usize, front.len());
        assert_eq!(number(5) as usize, event.body.len());
        assert_eq!(&front[9..25], b"\x02\x00\x03\x00crm\x07\x00billing");
    }
}
