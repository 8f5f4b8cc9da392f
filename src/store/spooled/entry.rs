//! An event as it lies in the spool: itself, with one delivery, to [`WAITS_FOR`], and its real deliveries in one more
//! header, whose name no header of a request can have.
//!
//! So the spool's own memory of ids, its digest and its crash safety hold for it as they are, and its body is
//! neither copied nor changed.

use std::{fmt::Write as _, sync::Arc};

use crate::event::{BodyDigest, Event, NewDelivery, Order, OrderGroup, TargetName, event_uid};

/// The only target of the spool. No configured one can have this name.
pub(super) const WAITS_FOR: &str = ":primary";
/// The number is the format's. Value: `together` or `apart`; then for each delivery, after a space, its target;
/// of an ordered one also `/`, the group in hex, `/`, and `hold` or `continue`.
const DELIVERIES: &str = ":deliveries-1";
const TOGETHER: &str = "together";
const APART: &str = "apart";
const HOLD: &str = "hold";
const CONTINUE: &str = "continue";

pub(super) fn waits_for() -> TargetName {
    WAITS_FOR.into()
}

pub(super) fn pack(event: &Event) -> Event {
    let mut headers = event.headers.clone();
    headers.push((DELIVERIES.into(), deliveries(event).into()));
    Event {
        headers,
        deliveries: vec![NewDelivery::to(waits_for())],
        together: false,
        ..event.clone()
    }
}

fn deliveries(event: &Event) -> String {
    let mut text = if event.together { TOGETHER } else { APART }.to_owned();
    for delivery in &event.deliveries {
        // Writing to a string cannot fail.
        let _always_ok = match delivery.order {
            None => write!(text, " {}", delivery.target),
            Some(Order { group, hold }) => {
                let on_dead = if hold { HOLD } else { CONTINUE };
                write!(text, " {}/{group:?}/{on_dead}", delivery.target)
            }
        };
    }
    text
}

/// The event as it was, asking for no lease. `None` when it was not written by [`pack`] or has changed since.
pub(super) fn unpack(entry: &Event) -> Option<Event> {
    let (last, headers) = entry.headers.split_last()?;
    let (name, text) = last;
    let whole = **name == *DELIVERIES
        && event_uid(entry.key, entry.received_at) == entry.uid
        && BodyDigest::of(&entry.body) == entry.digest;
    if !whole {
        return None;
    }
    let mut words = text.split(' ');
    let together = match words.next()? {
        TOGETHER => true,
        APART => false,
        _ => return None,
    };
    Some(Event {
        headers: headers.to_vec(),
        deliveries: words.map(delivery).collect::<Option<_>>()?,
        together,
        ..entry.clone()
    })
}

fn delivery(word: &str) -> Option<NewDelivery> {
    let mut parts = word.split('/');
    let target: Arc<str> = parts.next()?.into();
    let order = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => None,
        (Some(group), Some(on_dead), None) => Some(Order {
            group: group_of(group)?,
            hold: match on_dead {
                HOLD => true,
                CONTINUE => false,
                _ => return None,
            },
        }),
        _ => return None,
    };
    Some(NewDelivery {
        order,
        ..NewDelivery::to(target)
    })
}

fn group_of(text: &str) -> Option<OrderGroup> {
    let mut group = [0; 16];
    hex::decode_to_slice(text, &mut group).ok()?;
    Some(OrderGroup(group))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{clock::Timestamp, event::EventKey};

    fn event() -> Event {
        let key = EventKey::new("route", "id");
        let received_at = Timestamp::from_millis(1_800_000_000_123);
        let body = Bytes::from_static(b"\x00body\xff");
        let ordered = |target: &str, hold| NewDelivery {
            lease: None,
            target: target.into(),
            order: Some(Order {
                group: OrderGroup::new("route", target, "key"),
                hold,
            }),
        };
        Event {
            uid: event_uid(key, received_at),
            key,
            route: "route".into(),
            id: "id".into(),
            event_type: Some("push".into()),
            credential: None,
            request_id: None,
            received_at,
            dedupe_window: Duration::from_secs(60),
            content_type: None,
            headers: vec![("x-kept".into(), "a b/c".into())],
            digest: BodyDigest::of(&body),
            body,
            deliveries: vec![
                NewDelivery::to("crm".into()),
                ordered("audit", true),
                ordered("billing", false),
            ],
            together: true,
        }
    }

    #[test]
    fn what_was_packed_comes_back() {
        let nobody = Event {
            deliveries: Vec::new(),
            headers: Vec::new(),
            together: false,
            ..event()
        };
        for event in [event(), nobody] {
            let entry = pack(&event);
            assert_eq!(entry.deliveries, [NewDelivery::to(WAITS_FOR.into())]);
            assert!(!entry.together);
            assert_eq!((entry.key, entry.digest), (event.key, event.digest));
            let back = unpack(&entry).unwrap();
            assert_eq!(back.deliveries, event.deliveries);
            assert_eq!(back.headers, event.headers);
            assert_eq!(back.together, event.together);
            assert_eq!(back.body, event.body);
            assert_eq!(back.uid, event.uid);
        }
    }

    #[test]
    fn leases_are_left_behind() {
        let mut event = event();
        event.deliveries[0].lease = Some(Duration::from_secs(1));
        let back = unpack(&pack(&event)).unwrap();
        assert!(back.deliveries.iter().all(|one| one.lease.is_none()));
    }

    #[test]
    fn what_has_changed_is_none() {
        let entry = pack(&event());
        let with = |text: &str| {
            let mut entry = entry.clone();
            entry.headers[1].1 = text.into();
            entry
        };
        let mut renamed = entry.clone();
        renamed.headers[1].0 = ":deliveries-2".into();
        let group = "00".repeat(16);
        let damaged = [
            event(),
            renamed,
            Event {
                body: Bytes::from_static(b"other"),
                ..entry.clone()
            },
            Event {
                key: EventKey::new("route", "other"),
                ..entry.clone()
            },
            Event {
                headers: Vec::new(),
                ..entry.clone()
            },
            with(""),
            with("neither crm"),
            with("apart crm/00/hold"),
            with(&format!("apart crm/{group}")),
            with(&format!("apart crm/{group}/perhaps")),
            with(&format!("apart crm/{group}/hold/more")),
        ];
        for (number, damaged) in damaged.iter().enumerate() {
            assert!(unpack(damaged).is_none(), "{number}");
        }
    }
}
