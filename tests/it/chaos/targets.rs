//! Harms one target for a while, in each way that a target can be bad, again and again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hookgate::clock::Clock;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{End, journal::Journal, some_time};
use crate::support::{ledger::Sink, receiver::Reply};

/// On the average, of health and of a fault.
const GAP: Duration = Duration::from_millis(1500);
const FAULT: Duration = Duration::from_millis(1500);
/// Of so many requests one is refused for good, whatever else is wrong.
const REFUSED_ONE_IN: u32 = 200;
const HUGE_BODY: usize = 256 * 1024;

type Make = fn(&mut StdRng) -> Reply;

const FAULTS: [(&str, Make); 20] = [
    ("500", |_| Reply::status(500)),
    ("429 without Retry-After", |_| Reply::status(429)),
    ("429 Retry-After: 1", |_| asks(429, "1")),
    ("503 Retry-After: a date", |_| asks(503, &in_two_seconds())),
    ("503 Retry-After: garbage", |_| asks(503, "soon")),
    ("429 Retry-After: huge", |_| {
        asks(429, "99999999999999999999")
    }),
    ("429 Retry-After: negative", |_| asks(429, "-5")),
    ("301 to loopback", |_| {
        Reply::status(301).header("location", "http://127.0.0.1:9/")
    }),
    ("hangs", |_| Reply::hang()),
    ("reset", |_| Reply::reset()),
    ("reset after the head", |_| Reply::reset_after_head()),
    ("half-close", |_| Reply::half_close()),
    ("garbage", |_| Reply::garbage()),
    ("drips", |_| Reply::drip()),
    ("endless body", |_| Reply::endless()),
    ("huge body", |_| {
        Reply::status(200).body(vec![b'.'; HUGE_BODY])
    }),
    ("cut body", |_| Reply::cut("half of this")),
    ("closes after the reply", |_| Reply::then_close()),
    ("slow", |random| {
        let delay = Duration::from_millis(random.random_range(0..500));
        Reply::status(200).after(delay)
    }),
    ("fails half of the time", |random| {
        Reply::status(if random.random() { 500 } else { 200 })
    }),
];

fn asks(status: u16, retry_after: &str) -> Reply {
    Reply::status(status).header("retry-after", retry_after)
}

fn in_two_seconds() -> String {
    let at = Clock::system().now().as_secs() + 2;
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at as u64))
}

/// Until the end; then the target is well.
pub(super) async fn harm(sink: Arc<Sink>, mut random: StdRng, journal: Journal, end: End) {
    well(&sink, &mut random);
    while !end.has_come() {
        end.sleep(some_time(&mut random, GAP)).await;
        if end.has_come() {
            break;
        }
        let index = random.random_range(0..=FAULTS.len());
        let time = some_time(&mut random, FAULT);
        let Some((name, make)) = FAULTS.get(index) else {
            let _active = journal.fault("target: refuses connections");
            sink.refuse().await;
            end.sleep(time).await;
            sink.listen();
            continue;
        };
        let _active = journal.fault(format!("target: {name}"));
        answer(&sink, &mut random, *make);
        end.sleep(time).await;
        well(&sink, &mut random);
        sink.end_hung();
    }
    sink.release();
}

fn well(sink: &Sink, random: &mut StdRng) {
    answer(sink, random, |_| Reply::status(200));
}

fn answer(sink: &Sink, random: &mut StdRng, make: Make) {
    let random = Mutex::new(StdRng::seed_from_u64(random.random()));
    sink.answer(move |_| {
        let mut random = random.lock().expect("no holder panics");
        if random.random_ratio(1, REFUSED_ONE_IN) {
            Reply::status(410)
        } else {
            make(&mut random)
        }
    });
}
