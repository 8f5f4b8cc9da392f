//! Records of requests that made no new event.

use std::time::Duration;

use bytes::Bytes;
use hookgate::{
    clock::Timestamp,
    store::{
        StoreError,
        records::{
            KeptBody, RECORD_BODIES_BYTES_MAX, RECORDS_MAX, Record, RecordFilter, RecordQuery,
            RecordResult, Step, id_prefix,
        },
    },
};
use uuid::Uuid;

use super::subject::Subject;

/// At this millisecond, of this route or none.
pub(super) fn record(at_ms: i64, route: Option<&str>, reason: &str) -> Record {
    let at = Timestamp::from_millis(at_ms);
    Record {
        request_id: format!("{}00c0ffee0001", id_prefix(at)),
        at,
        took: Duration::from_micros(1_234),
        route: route.map(Into::into),
        result: RecordResult::Rejected {
            reason: reason.to_owned(),
        },
        status: 401,
        method: "POST".into(),
        path: "/in".into(),
        client: None,
        body_bytes: None,
        cause: None,
        steps: Vec::new(),
        trace: None,
        body: None,
    }
}

fn with_body(record: Record, bytes: Vec<u8>) -> Record {
    let body = KeptBody {
        content_type: Some("text/plain; ü".into()),
        bytes: Bytes::from(bytes),
    };
    Record {
        body: Some(body),
        ..record
    }
}

fn full() -> Record {
    let step = |name: &str, passed, told: &str| Step {
        name: name.into(),
        passed,
        told: told.into(),
    };
    let record = Record {
        client: Some("2001:db8::1".parse().unwrap()),
        body_bytes: Some(17),
        cause: Some("the signature does not match \"any\"\n of ü".into()),
        steps: vec![step("route", true, "found"), step("signature", false, "")],
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        method: "G\0T".into(),
        path: "/ü \u{7f}".into(),
        ..record(1_800_000_000_005, Some("ü|"), "signature_mismatch")
    };
    with_body(record, (0..=255).collect())
}

pub(super) async fn keep(subject: &Subject, records: Vec<Record>) {
    subject.store.keep_records(records).await.unwrap();
}

async fn found(subject: &Subject, record: &Record) -> Option<Record> {
    let id = &record.request_id;
    subject.store.record(id).await.unwrap()
}

/// All pages, and how many there were that told of a next one.
async fn listed(subject: &Subject, filter: &RecordFilter, limit: usize) -> (Vec<Record>, usize) {
    let (mut records, mut pages) = (Vec::new(), 0);
    let mut query = RecordQuery {
        filter: filter.clone(),
        cursor: None,
        limit,
    };
    loop {
        let page = subject.store.records(&query).await.unwrap();
        assert!(page.records.len() <= limit);
        records.extend(page.records);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return (records, pages);
        }
        pages += 1;
    }
}

async fn times(subject: &Subject, filter: &RecordFilter) -> Vec<i64> {
    let (records, _) = listed(subject, filter, 100).await;
    let at = records.iter().map(|record| record.at.as_millis());
    at.collect()
}

pub(super) async fn keeps_every_field(subject: &Subject) {
    let bare = record(7, None, "unknown_path");
    let duplicate = Record {
        result: RecordResult::Duplicate {
            uid: Uuid::from_u128(7 << 90),
            first_received_at: Timestamp::from_millis(3),
            same_body: true,
        },
        ..record(8, Some("a"), "")
    };
    let handshake = Record {
        result: RecordResult::Handshake {
            name: "challenge".into(),
        },
        ..record(9, Some("a"), "")
    };
    let records = [bare, duplicate, handshake, full()];
    assert_eq!(found(subject, &records[0]).await, None);
    keep(subject, records.to_vec()).await;
    for record in &records {
        assert_eq!(found(subject, record).await.as_ref(), Some(record));
    }
    for unknown in ["", " ", "0", &records[0].request_id[..23], "\0[(!"] {
        assert_eq!(
            subject.store.record(unknown).await.unwrap(),
            None,
            "{unknown}"
        );
    }
    // A list leaves out the bodies.
    let (listed, _) = listed(subject, &RecordFilter::default(), 10).await;
    let expected = records.iter().rev().cloned();
    let expected = expected.map(|record| Record {
        body: None,
        ..record
    });
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

pub(super) async fn lists_newest_first_in_pages(subject: &Subject) {
    let of = |at_ms| record(at_ms, Some("a"), "invalid_json");
    // Neither in order nor in one call.
    for at_ms in (0..300).step_by(2) {
        keep(subject, vec![of(at_ms)]).await;
    }
    keep(subject, (0..150).rev().map(|n| of(2 * n + 1)).collect()).await;
    let all: Vec<i64> = (0..300).rev().collect();
    for (limit, pages) in [(1_000, 0), (300, 0), (299, 1), (100, 2), (7, 42)] {
        let (records, next) = listed(subject, &RecordFilter::default(), limit).await;
        let at = records.iter().map(|record| record.at.as_millis());
        assert_eq!(at.collect::<Vec<_>>(), all);
        assert_eq!(next, pages, "pages of {limit}");
    }
}

pub(super) async fn lists_records_by_each_filter(subject: &Subject) {
    let handshake = Record {
        result: RecordResult::Handshake { name: "x".into() },
        ..record(4, Some("a"), "")
    };
    let records = vec![
        record(1, Some("a"), "invalid_json"),
        record(2, Some("b"), "invalid_json"),
        record(3, None, "unknown_path"),
        handshake,
        record(5, Some("a"), "rate_limited"),
    ];
    keep(subject, records).await;
    let none = RecordFilter::default();
    let at = |ms| Some(Timestamp::from_millis(ms));
    let cases = [
        (none.clone(), vec![5, 4, 3, 2, 1]),
        (
            RecordFilter {
                route: Some("a".into()),
                ..none.clone()
            },
            vec![5, 4, 1],
        ),
        (
            RecordFilter {
                route: Some("c".into()),
                ..none.clone()
            },
            vec![],
        ),
        (
            RecordFilter {
                reason: Some("invalid_json".into()),
                ..none.clone()
            },
            vec![2, 1],
        ),
        (
            RecordFilter {
                rejected: true,
                ..none.clone()
            },
            vec![5, 3, 2, 1],
        ),
        (
            RecordFilter {
                since: at(3),
                ..none.clone()
            },
            vec![5, 4, 3],
        ),
        (
            RecordFilter {
                until: at(3),
                ..none.clone()
            },
            vec![2, 1],
        ),
        (
            RecordFilter {
                route: Some("a".into()),
                reason: Some("invalid_json".into()),
                rejected: true,
                since: at(1),
                until: at(2),
            },
            vec![1],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(times(subject, &filter).await, expected, "{filter:?}");
    }
    // The cursor and the end, whichever is earlier.
    for (until, cursor, expected) in [(4, 3, vec![2, 1]), (2, 5, vec![1])] {
        let query = RecordQuery {
            filter: RecordFilter {
                until: at(until),
                ..none.clone()
            },
            cursor: Some(record(cursor, None, "").request_id),
            limit: 10,
        };
        let page = subject.store.records(&query).await.unwrap();
        let at = page.records.iter().map(|record| record.at.as_millis());
        assert_eq!(at.collect::<Vec<_>>(), expected);
    }
}

/// Who does not know whether they were kept brings them again.
pub(super) async fn keeps_a_record_as_it_came_first(subject: &Subject) {
    let record = full();
    for _ in 0..3 {
        keep(subject, vec![record.clone(), record.clone()]).await;
        let other = Record {
            cause: None,
            ..record.clone()
        };
        keep(subject, vec![with_body(other, vec![1, 2, 3])]).await;
    }
    let (listed, _) = listed(subject, &RecordFilter::default(), 10).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(found(subject, &record).await, Some(record));
}

pub(super) async fn keeps_the_newest_of_very_many(subject: &Subject) {
    let max = i64::try_from(RECORDS_MAX).unwrap();
    let first = with_body(record(0, Some("a"), "first"), vec![b'x'; 100]);
    keep(subject, vec![first.clone()]).await;
    assert_eq!(found(subject, &first).await, Some(first.clone()));
    let others = (1..=max + 7).map(|at_ms| record(at_ms, Some("b"), "invalid_json"));
    keep(subject, others.collect()).await;
    assert_eq!(found(subject, &first).await, None);
    // One that is older than all goes at once.
    keep(subject, vec![first.clone()]).await;
    assert_eq!(found(subject, &first).await, None);
    let (listed, _) = listed(subject, &RecordFilter::default(), 1_000).await;
    let at: Vec<i64> = listed.iter().map(|record| record.at.as_millis()).collect();
    assert_eq!(at, (8..=max + 7).rev().collect::<Vec<_>>());
    // Few among many.
    let filter = RecordFilter {
        reason: Some("last".into()),
        ..RecordFilter::default()
    };
    assert_eq!(times(subject, &filter).await, [] as [i64; 0]);
    let last = [max + 100, 9_000_000].map(|at_ms| record(at_ms, Some("b"), "last"));
    keep(subject, last.to_vec()).await;
    assert_eq!(times(subject, &filter).await, [9_000_000, max + 100]);
}

/// Where nothing comes any more they would stay for ever, with the addresses of those who called.
pub(super) async fn forgets_records_of_before_the_retention(subject: &Subject) {
    let began = subject.clock.now().as_millis();
    let of = |at_ms| with_body(record(at_ms, Some("a"), "invalid_json"), vec![b'x'; 10]);
    keep(subject, (0..250).map(|n| of(began + n)).collect()).await;
    keep(
        subject,
        vec![record(began + 249 + 250, None, "unknown_path")],
    )
    .await;
    let age = Duration::from_secs(60);
    subject.expire(age, u64::MAX).await;
    let all = RecordFilter::default();
    assert_eq!(times(subject, &all).await.len(), 251);

    subject.advance(age + Duration::from_millis(249));
    subject.expire(age, u64::MAX).await;
    assert_eq!(times(subject, &all).await, [began + 499, began + 249]);
    assert_eq!(found(subject, &of(began)).await, None);
    assert_eq!(
        found(subject, &of(began + 249)).await,
        Some(of(began + 249))
    );
    subject.advance(age);
    subject.expire(age, u64::MAX).await;
    assert_eq!(times(subject, &all).await, [] as [i64; 0]);
    // One that comes late is told until the next time.
    keep(subject, vec![of(began)]).await;
    subject.expire(age, u64::MAX).await;
    assert_eq!(found(subject, &of(began)).await, None);
}

pub(super) async fn keeps_no_more_bytes_of_bodies_than_it_may(subject: &Subject) {
    let size = RECORD_BODIES_BYTES_MAX / 16;
    let of = |at_ms| with_body(record(at_ms, Some("a"), "invalid_json"), vec![b'x'; size]);
    for at_ms in 0..18 {
        keep(
            subject,
            vec![of(at_ms), record(1_000 + at_ms, None, "unknown_path")],
        )
        .await;
    }
    for at_ms in 0..18 {
        let found = found(subject, &of(at_ms)).await.unwrap();
        assert_eq!(found.body.is_some(), at_ms >= 2, "{at_ms}");
        assert!(found.body.is_none_or(|body| body.bytes.len() == size));
    }
    // Room for one of twice the size.
    let double = with_body(record(100, Some("a"), "invalid_json"), vec![b'y'; 2 * size]);
    keep(subject, vec![double.clone()]).await;
    assert_eq!(found(subject, &double).await, Some(double));
    for at_ms in 0..18 {
        let found = found(subject, &of(at_ms)).await.unwrap();
        assert_eq!(found.body.is_some(), at_ms >= 4, "{at_ms}");
    }
}

pub(super) async fn refuses_a_cursor_that_is_no_id(subject: &Subject) {
    keep(subject, vec![full()]).await;
    for cursor in ["", "x", "+", "0189 0000000000", "[0"] {
        let query = RecordQuery {
            filter: RecordFilter::default(),
            cursor: Some(cursor.to_owned()),
            limit: 1,
        };
        let refused = subject.store.records(&query).await;
        assert!(matches!(refused, Err(StoreError::BadCursor)), "{cursor}");
    }
}

pub(super) async fn refuses_calls_after_close(subject: &Subject) {
    keep(subject, vec![full()]).await;
    subject.store.close().await;
    let query = RecordQuery {
        filter: RecordFilter::default(),
        cursor: None,
        limit: 1,
    };
    assert!(subject.store.keep_records(vec![full()]).await.is_err());
    assert!(subject.store.record(&full().request_id).await.is_err());
    assert!(subject.store.records(&query).await.is_err());
}
