//! Several events of one transaction: how they are found, finish and go.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    head,
    ledger::{Answer, Arrival, Ask, Ledger},
    reader,
    schema::Home,
};
use crate::{
    clock::{Clock, ClockHand, Timestamp},
    config::Durability,
    event::{BodyDigest, Event, EventKey, NewDelivery, Outcome, event_uid},
    store::{Acceptance, Retention, Settled, Settlement},
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LONG: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn event(id: &str, received_at: Timestamp, targets: &[&str]) -> Arc<Event> {
    let key = EventKey::new("route", id);
    let body = Bytes::copy_from_slice(id.as_bytes());
    let deliveries = targets.iter().map(|target| NewDelivery {
        target: (*target).into(),
        lease: Some(LONG),
        order: None,
    });
    Arc::new(Event {
        uid: event_uid(key, received_at),
        key,
        route: "route".into(),
        id: id.into(),
        event_type: None,
        credential: None,
        request_id: None,
        received_at,
        dedupe_window: LONG,
        content_type: None,
        headers: Vec::new(),
        digest: BodyDigest::of(&body),
        body,
        deliveries: deliveries.collect(),
        together: false,
    })
}

struct Bench {
    home: Home,
    ledger: Ledger,
    side: Connection,
    hand: ClockHand,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let home = Home::lock(directory.path()).unwrap();
        let (clock, hand) = Clock::manual(NOW);
        let connection = home.writer(Durability::Memory).unwrap();
        let ledger = Ledger::load(connection, clock).unwrap();
        let side = home.side().unwrap();
        Self {
            home,
            ledger,
            side,
            hand,
            _directory: directory,
        }
    }

    /// What a new process would know.
    fn reload(&mut self) {
        let connection = self.home.writer(Durability::Memory).unwrap();
        self.ledger = Ledger::load(connection, self.ledger.clock.clone()).unwrap();
    }

    /// Accepts all in one transaction; returns the tokens of each one's claims.
    fn accept(&mut self, events: &[Arc<Event>]) -> Vec<Vec<i64>> {
        let asks: Vec<_> = events
            .iter()
            .map(|event| {
                let head = head::encode(event);
                let event = event.clone();
                Ask::Accept(vec![Arrival { event, head }])
            })
            .collect();
        let answers = self.ledger.run(asks.iter()).unwrap().answers;
        let tokens = |answer: Answer| match answer {
            Answer::Accepted(mut acceptances) => match acceptances.pop() {
                Some(Acceptance::Accepted { leases }) => {
                    leases.into_iter().flatten().map(|l| l.token).collect()
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(tokens).collect()
    }

    fn deliver(&mut self, event: &Event, target: &str, token: i64) {
        let settlement = Ask::Settle(vec![Settlement {
            uid: event.uid,
            target: target.into(),
            token,
            outcome: Outcome::Delivered,
            attempt: None,
            order: None,
            route: "a".into(),
        }]);
        let answers = self.ledger.run([settlement].iter()).unwrap().answers;
        assert!(matches!(&answers[..], [Answer::Settled(settled)] if *settled == [Settled::Done]));
    }

    fn expire(&mut self, bytes: u64) -> u64 {
        let expire = Ask::Expire(Retention { age: DAY, bytes });
        match self.ledger.run([expire].iter()).unwrap().answers[..] {
            [Answer::Expired(expired)] if !expired.more => expired.events,
            ref other => panic!("{other:?}"),
        }
    }

    fn is_stored(&mut self, event: &Event) -> bool {
        let found = reader::find(&mut self.side, event.uid).unwrap();
        found.is_some_and(|stored| stored.event.id == event.id)
    }

    /// The bytes of the bodies by commit.
    fn commits(&self) -> Vec<i64> {
        let sql = "SELECT body_bytes FROM commits ORDER BY first_seq";
        let mut statement = self.side.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// An event is found by its time; those around it in the table may have any other.
#[test]
fn events_are_found_whatever_the_clock_did_between_them() {
    let mut bench = Bench::new();
    let after = |millis: u64| NOW.saturating_add(Duration::from_millis(millis));
    let batches: [&[Timestamp]; 4] = [
        &[after(0), after(900), after(400), after(1_300)],
        // Set back by an hour and by a day, and forward again, within one transaction.
        &[
            after(3_600_000),
            after(0),
            NOW.saturating_sub(DAY),
            after(3_600_001),
        ],
        &[NOW.saturating_sub(DAY)],
        &[after(3_600_000), after(900)],
    ];
    let mut events = Vec::new();
    for times in batches {
        let first = events.len();
        let numbered = times.iter().zip(first..);
        events.extend(numbered.map(|(at, n)| event(&n.to_string(), *at, &["t"])));
        bench.accept(&events[first..]);
    }
    for event in &events {
        assert!(bench.is_stored(event), "{}", event.id);
    }
    for at in [after(1), after(1_000), after(3_600_002)] {
        assert!(!bench.is_stored(&event("0", at, &[])));
    }
}

#[test]
fn a_commit_goes_with_the_last_of_its_events_and_loses_their_bytes_before() {
    let mut bench = Bench::new();
    let events = [
        event("1", NOW, &["t"]),
        event("22", NOW, &["t", "u"]),
        event("none", NOW, &[]),
        event("333", NOW, &["u"]),
    ];
    let tokens = bench.accept(&events);
    assert_eq!(bench.commits(), [10]);
    let day_by_day = |bench: &mut Bench, n: u32| {
        bench
            .hand
            .set(NOW.saturating_add(n * DAY + Duration::from_millis(u64::from(n))));
    };

    bench.deliver(&events[1], "t", tokens[1][0]);
    bench.deliver(&events[3], "u", tokens[3][0]);
    day_by_day(&mut bench, 1);
    assert_eq!(
        bench.expire(u64::MAX),
        2,
        "the delivered, and the one for nobody"
    );
    assert_eq!(bench.commits(), [3]);
    assert!(bench.is_stored(&events[0]) && bench.is_stored(&events[1]));

    // What was summed in memory is what the rows say.
    bench.reload();
    assert_eq!(bench.ledger.targets.counts.body_bytes, 3);
    assert_eq!(bench.ledger.targets.counts.pending, [1, 1]);

    let claims = |bench: &mut Bench, target: &str| {
        let want = crate::store::Want {
            target: target.into(),
            max: 10,
            lease: LONG,
        };
        match bench
            .ledger
            .run([Ask::Claim(vec![want])].iter())
            .unwrap()
            .answers[..]
        {
            [Answer::Picked(ref picks)] if picks.picked.len() == 1 => picks.picked[0].lease.token,
            ref other => panic!("{other:?}"),
        }
    };
    let token = claims(&mut bench, "u");
    bench.deliver(&events[1], "u", token);
    assert_eq!(bench.expire(u64::MAX), 0, "kept for its age");
    assert_eq!(bench.expire(0), 1, "too many bytes: all but the unfinished");
    assert_eq!(bench.commits(), [1]);
    assert!(bench.is_stored(&events[0]) && !bench.is_stored(&events[1]));

    let token = claims(&mut bench, "t");
    bench.deliver(&events[0], "t", token);
    assert_eq!(bench.expire(u64::MAX), 0);
    day_by_day(&mut bench, 2);
    assert_eq!(bench.expire(u64::MAX), 1);
    assert_eq!(bench.commits(), [0; 0]);
    let rows = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM deliveries)
        + (SELECT count(*) FROM waiting)";
    let left: i64 = bench.side.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

/// One call removes a bounded number, and the next goes on in the middle of the commit.
#[test]
fn a_commit_of_more_events_than_one_call_removes_goes_in_pieces() {
    let mut bench = Bench::new();
    let events: Vec<_> = (0..450)
        .map(|n| event(&n.to_string(), NOW, &["t"]))
        .collect();
    let tokens = bench.accept(&events);
    for (event, tokens) in events.iter().zip(tokens).skip(1) {
        bench.deliver(event, "t", tokens[0]);
    }
    let expire = Ask::Expire(Retention { age: DAY, bytes: 0 });
    let mut pieces = Vec::new();
    loop {
        match bench.ledger.run([&expire].into_iter()).unwrap().answers[..] {
            [Answer::Expired(expired)] => {
                pieces.push(expired.events);
                if !expired.more {
                    break;
                }
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(pieces, [200, 200, 49]);
    assert!(bench.is_stored(&events[0]));
    assert_eq!(bench.commits(), [1]);
}
