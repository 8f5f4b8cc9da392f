//! Lists of events.

use std::time::Duration;

use hookgate::{
    event::{DeadReason, DeliveryState, Outcome},
    store::{
        StoreError,
        listing::{EventSummary, Filter, Query, StateFilter},
        orphans::Gone,
    },
};

use super::subject::{ROUTE, Subject, on_route, with_body};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn query(filter: Filter, newest_first: bool, limit: usize) -> Query {
    Query {
        filter,
        newest_first,
        cursor: None,
        limit,
    }
}

/// All pages.
async fn all(subject: &Subject, mut query: Query) -> Vec<EventSummary> {
    let mut events = Vec::new();
    for _ in 0..10_000 {
        let page = subject.store.list(&query).await.unwrap();
        assert!(page.events.len() <= query.limit);
        events.extend(page.events);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return events,
        }
    }
    panic!("the list never ends");
}

fn ids(events: &[EventSummary]) -> Vec<&str> {
    events.iter().map(|event| &*event.id).collect()
}

pub(super) async fn lists_both_ways_by_acceptance(subject: &Subject) {
    let mut expected = Vec::new();
    for n in 0..7 {
        let id = n.to_string();
        let event = subject.event(&id, &["t"]);
        // A route may lie in a place of its own.
        subject.accept(on_route(event, ["a", "b"][n % 2])).await;
        expected.push(id);
        subject.advance(MINUTE);
    }
    for limit in [1, 2, 3, 7, 100] {
        let oldest_first = all(subject, query(Filter::default(), false, limit)).await;
        assert_eq!(ids(&oldest_first), expected, "{limit}");
        let mut newest_first = all(subject, query(Filter::default(), true, limit)).await;
        newest_first.reverse();
        assert_eq!(ids(&newest_first), expected, "{limit}");
    }
    let first = query(Filter::default(), true, 3);
    let page = subject.store.list(&first).await.unwrap();
    assert_eq!(ids(&page.events), ["6", "5", "4"]);
    // The same page again, and the one after it.
    let second = Query {
        cursor: page.next,
        ..first
    };
    for _ in 0..2 {
        let page = subject.store.list(&second).await.unwrap();
        assert_eq!(ids(&page.events), ["3", "2", "1"]);
    }
}

pub(super) async fn lists_dead_letters_of_targets_that_are_gone(subject: &Subject) {
    subject.stored("a", &["t", "u"]).await;
    assert_eq!(
        subject
            .store
            .retire_targets(&Gone::AllBut(vec!["u".into()]))
            .await
            .unwrap(),
        1
    );
    for target in [None, Some("t".into())] {
        let dead = Filter {
            state: Some(StateFilter::Dead),
            target,
            ..Filter::default()
        };
        for newest_first in [false, true] {
            let listed = all(subject, query(dead.clone(), newest_first, 10)).await;
            assert_eq!(ids(&listed), ["a"], "{dead:?}");
        }
    }
}

pub(super) async fn lists_by_each_filter(subject: &Subject) {
    let start = subject.clock.now();
    subject.delivered("delivered", "t").await;
    subject.advance(MINUTE);
    subject.stored("dead", &["t", "u"]).await;
    let claimed = subject.claim_one("t").await;
    let dead = Outcome::Dead(DeadReason::Refused);
    subject.settle(&claimed, dead).await;
    let claimed = subject.claim_one("u").await;
    subject.settle(&claimed, Outcome::Delivered).await;
    subject.advance(MINUTE);
    subject.stored("pending", &["u"]).await;
    subject.advance(MINUTE);
    let mut other = on_route(subject.event("nobody's", &[]), "other");
    other.event_type = None;
    subject.accept(other).await;
    subject.advance(MINUTE);

    let nothing = Filter::default;
    let target = |target: &str| Filter {
        target: Some(target.into()),
        ..nothing()
    };
    let state = |state| Filter {
        state: Some(state),
        ..nothing()
    };
    let at = |minutes: u32| Some(start.saturating_add(minutes * MINUTE));
    let cases: [(&str, Filter, &[&str]); 17] = [
        (
            "route",
            Filter {
                route: Some(ROUTE.into()),
                ..nothing()
            },
            &["delivered", "dead", "pending"],
        ),
        (
            "other route",
            Filter {
                route: Some("other".into()),
                ..nothing()
            },
            &["nobody's"],
        ),
        (
            "no route",
            Filter {
                route: Some("none".into()),
                ..nothing()
            },
            &[],
        ),
        ("target", target("t"), &["delivered", "dead"]),
        ("no target", target("none"), &[]),
        ("pending", state(StateFilter::Pending), &["pending"]),
        (
            "delivered",
            state(StateFilter::Delivered),
            &["delivered", "dead"],
        ),
        ("dead", state(StateFilter::Dead), &["dead"]),
        (
            "dead for t",
            Filter {
                state: Some(StateFilter::Dead),
                ..target("t")
            },
            &["dead"],
        ),
        (
            "dead for u",
            Filter {
                state: Some(StateFilter::Dead),
                ..target("u")
            },
            &[],
        ),
        (
            "delivered to u",
            Filter {
                state: Some(StateFilter::Delivered),
                ..target("u")
            },
            &["dead"],
        ),
        (
            "type",
            Filter {
                event_type: Some("order.created".into()),
                ..nothing()
            },
            &["delivered", "dead", "pending"],
        ),
        (
            "no type",
            Filter {
                event_type: Some("order".into()),
                ..nothing()
            },
            &[],
        ),
        (
            "id",
            Filter {
                id: Some("dead".into()),
                ..nothing()
            },
            &["dead"],
        ),
        (
            "since",
            Filter {
                since: at(2),
                ..nothing()
            },
            &["pending", "nobody's"],
        ),
        (
            "until",
            Filter {
                until: at(1),
                ..nothing()
            },
            &["delivered"],
        ),
        (
            "since until",
            Filter {
                since: at(1),
                until: at(3),
                state: Some(StateFilter::Dead),
                ..nothing()
            },
            &["dead"],
        ),
    ];
    for (name, filter, expected) in cases {
        for limit in [1, 10] {
            let found = all(subject, query(filter.clone(), false, limit)).await;
            assert_eq!(ids(&found), expected, "{name}");
            let mut found = all(subject, query(filter.clone(), true, limit)).await;
            found.reverse();
            assert_eq!(ids(&found), expected, "{name}, newest first");
        }
    }
}

pub(super) async fn tells_an_event_without_its_body(subject: &Subject) {
    let received_at = subject.clock.now();
    let mut event = with_body(subject.event("a", &["t", "u"]), vec![b'x'; 100_000]);
    event.credential = Some("secret#1".into());
    event.request_id = Some("01a316c5a47b".into());
    let uid = event.uid;
    subject.accept(event).await;
    for _ in 0..2 {
        let claimed = subject.claim_one("u").await;
        subject.settle(&claimed, Outcome::Retry(MINUTE)).await;
        subject.advance(MINUTE);
    }
    for state in [None, Some(StateFilter::Pending)] {
        let filter = Filter {
            state,
            ..Filter::default()
        };
        let found = all(subject, query(filter, true, 10)).await;
        assert_eq!(found.len(), 1);
        let found = &found[0];
        assert_eq!((found.uid, &*found.route, &*found.id), (uid, ROUTE, "a"));
        assert_eq!(found.event_type.as_deref(), Some("order.created"));
        assert_eq!(found.credential.as_deref(), Some("secret#1"));
        assert_eq!(found.request_id.as_deref(), Some("01a316c5a47b"));
        assert_eq!(found.received_at, received_at);
        assert_eq!(found.body_bytes, 100_000);
        let told: Vec<_> = found
            .deliveries
            .iter()
            .map(|d| (&*d.target, d.state, d.attempts, d.history.len()))
            .collect();
        let pending = DeliveryState::Pending;
        assert_eq!(told, [("t", pending, 0, 0), ("u", pending, 2, 2)]);
    }
}

pub(super) async fn gives_each_once_while_others_come_and_go(subject: &Subject) {
    let mut expected = Vec::new();
    for n in 0..6 {
        subject.delivered(&format!("old {n}"), "gone").await;
        subject.advance(MINUTE);
    }
    subject.advance(2 * DAY);
    for n in 0..10 {
        let id = format!("kept {n}");
        subject.stored(&id, &["t"]).await;
        expected.push(id);
        subject.advance(MINUTE);
    }
    for newest_first in [true, false] {
        let mut query = query(Filter::default(), newest_first, 2);
        let mut kept = Vec::new();
        let mut pages = 0;
        loop {
            let page = subject.store.list(&query).await.unwrap();
            let ids = page.events.iter().map(|event| event.id.to_string());
            kept.extend(ids.filter(|id| id.starts_with("kept")));
            pages += 1;
            assert!(pages < 1000, "the list never ends");
            if pages < 10 {
                let new = format!("new {newest_first} {pages}");
                subject.stored(&new, &["t"]).await;
                subject.advance(MINUTE);
            }
            subject.expire(DAY, u64::MAX).await;
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        if newest_first {
            kept.reverse();
        }
        assert_eq!(kept, expected);
    }
}

pub(super) async fn finds_few_among_many(subject: &Subject) {
    let events = (0..3000).map(|n| {
        let target = if n % 1000 == 500 { "rare" } else { "t" };
        std::sync::Arc::new(subject.event(&n.to_string(), &[target]))
    });
    for answer in subject.store.accept_all(events.collect()).await {
        answer.unwrap();
    }
    for claimed in subject.claim("rare", 10).await {
        let dead = Outcome::Dead(DeadReason::Refused);
        subject.settle(&claimed, dead).await;
    }
    let dead = Filter {
        state: Some(StateFilter::Dead),
        ..Filter::default()
    };
    let rare = Filter {
        target: Some("rare".into()),
        ..Filter::default()
    };
    for filter in [dead, rare] {
        for newest_first in [false, true] {
            let found = all(subject, query(filter.clone(), newest_first, 2)).await;
            let mut found = ids(&found);
            found.sort_unstable();
            assert_eq!(found, ["1500", "2500", "500"]);
        }
    }
}

pub(super) async fn refuses_a_cursor_that_no_page_ended_with(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    let long = "1".repeat(10_000);
    for cursor in [
        "",
        "nonsense",
        "-1",
        "99999999999999999999",
        "ü",
        " ",
        &long,
    ] {
        for newest_first in [false, true] {
            let query = Query {
                cursor: Some(cursor.to_owned()),
                ..query(Filter::default(), newest_first, 10)
            };
            let refused = subject.store.list(&query).await;
            assert!(
                matches!(refused, Err(StoreError::BadCursor)),
                "{cursor:.20}: {refused:?}"
            );
        }
    }
}
