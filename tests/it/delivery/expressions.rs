//! `when` and `transform`: what is sent, what is not, and what goes wrong without harm to others.

use std::{num::NonZeroU32, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use bytes::Bytes;
use hookgate::{
    config::{Breaker, Rate, RetryOn, Sign, Target},
    delivery::{Line, Lines},
    event::{BodyDigest, DeadReason, Event, Outcome},
    expression::{ALLOWANCE, Expression, Workers},
    providers::preset,
    signature::Validity,
    store::{DeliveryName, Replayed, Settlement},
};

use super::rig::{ROUTE, Rig, World, error, event, is_delivered, target};
use crate::support::receiver::{Receiver, Reply};

const CANARY: &str = "canary-4c7e";

fn parsed(source: &str) -> Expression {
    Expression::parse(source).unwrap_or_else(|faults| panic!("{source}: {faults:?}"))
}

pub(super) fn when(source: &str) -> Line {
    Line {
        when: Some(parsed(source)),
        transform: None,
        json_types: Vec::new(),
    }
}

fn transform(source: &str) -> Line {
    Line {
        when: None,
        json_types: Vec::new(),
        transform: Some(parsed(source)),
    }
}

/// One route to targets with these expressions.
pub(super) fn world(lines: impl IntoIterator<Item = (&'static str, Line)>) -> World {
    let mut all = Lines::default();
    for (target, line) in lines {
        all.insert(ROUTE.into(), target.into(), line);
    }
    World {
        lines: all,
        ..World::default()
    }
}

fn with_body(id: &str, targets: &[&str], body: &str) -> Event {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Event {
        digest: BodyDigest::of(&body),
        body,
        ..event(id, targets)
    }
}

/// As SNS sends it, whose `text/plain` its preset says is JSON.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_route_calls_json_is_read_as_json() {
    let receiver = Receiver::start().await;
    let crm = target("crm", &receiver.url());
    let line = Line {
        json_types: vec!["text/plain".to_owned()],
        ..transform("{subject: .Subject}")
    };
    let rig = Rig::start_in(world([("crm", line)]), [crm]);
    let sent = Event {
        content_type: Some("Text/Plain; charset=UTF-8".into()),
        ..with_body("evt_1", &["crm"], r#"{"Subject": "alarm"}"#)
    };
    rig.send(sent).await;
    rig.model.wait_for(1, is_delivered).await;
    let requests = receiver.requests();
    assert_eq!(requests[0].body, br#"{"subject":"alarm"}"#);
}

fn is_filtered(settlement: &Settlement) -> bool {
    settlement.outcome == Outcome::Filtered
}

/// All but what was given back: on a machine that is very busy a delivery may wait too long for a worker.
fn ended(rig: &Rig) -> Vec<Settlement> {
    let mut settled = rig.model.settled();
    settled.retain(|one| one.outcome != Outcome::Released);
    settled
}

fn has_failed(settlement: &Settlement) -> bool {
    settlement.outcome == Outcome::Dead(DeadReason::ExpressionFailed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_when_does_not_want_is_not_sent() {
    let receiver = Receiver::start().await;
    let rig = Rig::start_in(
        world([("crm", when(".priority == \"high\""))]),
        [target("crm", &receiver.url())],
    );
    const SENT: &str = " {\"priority\" : \"high\", \"n\": 1.0} ";
    rig.send(with_body("evt_1", &["crm"], "{\"priority\":\"low\"}"))
        .await;
    rig.send(with_body("evt_2", &["crm"], SENT)).await;
    rig.send(with_body("evt_3", &["crm"], "{}")).await;
    rig.model.wait_for(2, is_filtered).await;
    rig.model.wait_for(1, is_delivered).await;

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, SENT.as_bytes(), "the bytes are the bytes");
    let settled = ended(&rig);
    assert_eq!(settled.len(), 3);
    let without_attempt = |one: &&Settlement| is_filtered(one) && one.attempt.is_none();
    assert_eq!(settled.iter().filter(without_attempt).count(), 2);
    let pair = r#"{route="orders",target="crm"}"#;
    rig.wait_for_metric(&format!("hookgate_filtered_deliveries_total{pair}"), "2")
        .await;
    let duration = r#"hookgate_delivery_attempt_duration_seconds_count{target="crm"}"#;
    assert_eq!(rig.metric(duration), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_transform_makes_is_sent_and_signed_on_every_attempt() {
    const SECRET: &str = "whsec_bmV3LXNlY3JldC0wMTIzNDU2Nzg5YWJj";
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(500), Reply::status(500)]);
    let scheme = &preset("standard-webhooks").unwrap().schemes()[0];
    let secret = || {
        scheme
            .keyed_secret("NAME", SECRET.as_bytes(), Validity::default())
            .unwrap()
    };
    let crm = Target {
        sign: Some(Sign {
            scheme,
            secrets: vec![secret()],
        }),
        ..target("crm", &receiver.url())
    };
    let line = Line {
        when: Some(parsed(".ticket_id > 3")),
        ..transform("{ticket: .ticket_id, who: .customer}")
    };
    let other = target("other", &receiver.url());
    let rig = Rig::start_in(world([("crm", line)]), [crm, other]);
    let sent = Event {
        content_type: Some("application/vnd.acme+json".into()),
        ..with_body("evt_1", &["crm"], r#"{"customer": "Zoë", "ticket_id": 4}"#)
    };
    rig.send(sent.clone()).await;
    rig.model.wait_for(1, is_delivered).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    for (request, number) in requests.iter().zip(["1", "2", "3"]) {
        let body = std::str::from_utf8(&request.body).unwrap();
        assert_eq!(body, r#"{"ticket":4,"who":"Zoë"}"#);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("hookgate-attempt"), Some(number));
        let uid = sent.uid.to_string();
        assert_eq!(request.header("hookgate-event"), Some(&*uid));
        assert_eq!(super::signing::verify(request, SECRET), Ok(0));
    }
    // The same event without expressions goes as it came.
    let sent = Event {
        content_type: sent.content_type,
        ..with_body("evt_2", &["other"], r#"{"ticket_id": 4}"#)
    };
    rig.send(sent).await;
    let request = receiver.wait_for(4).await.remove(3);
    assert_eq!(request.body, br#"{"ticket_id": 4}"#);
    assert_eq!(
        request.header("content-type"),
        Some("application/vnd.acme+json")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_expression_is_a_dead_letter_that_holds_nothing_of_the_body() {
    let receiver = Receiver::start().await;
    let cases = [
        (
            when(".customer.name"),
            "when: cannot index a string with \"name\"",
        ),
        (when(".customer | error"), "when: its own `error`"),
        (when("error(\"no customer\")"), "when: error: no customer"),
        (
            transform(".customer + 1"),
            "transform: cannot calculate a string + another value",
        ),
        (
            transform("empty"),
            "transform: it makes no value, and one is to be sent",
        ),
        (
            transform(".customer, 1"),
            "transform: it makes several values, and one is to be sent",
        ),
        (
            transform("1, (.customer | error)"),
            "transform: its own `error`",
        ),
        (
            transform("[.customer, nan]"),
            "transform: its output is not JSON",
        ),
        (
            transform("\"x\" * 2000000"),
            "transform: its output is over 1048576 bytes",
        ),
    ];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let breaker = Some(Breaker {
        failure_ratio: 0.1,
        minimum: 1,
        window: Duration::from_secs(3600),
        open_for: Duration::from_secs(3600),
    });
    let targets = names.map(|name| Target {
        breaker,
        ..target(name, &receiver.url())
    });
    let well = target("well", &receiver.url());
    let lines = names
        .into_iter()
        .zip(cases.iter().map(|(line, _)| line.clone()));
    let rig = Rig::start_in(world(lines), targets.into_iter().chain([well]));
    let body = format!(r#"{{"customer":"{CANARY}"}}"#);
    let to: Vec<_> = names.into_iter().chain(["well"]).collect();
    rig.send(with_body("evt_1", &to, &body)).await;
    rig.model.wait_for(names.len(), has_failed).await;
    rig.model.wait_for(1, is_delivered).await;

    assert_eq!(receiver.requests().len(), 1, "only the one without");
    let settled = ended(&rig);
    assert_eq!(settled.len(), names.len() + 1, "each once");
    for (name, (_, told)) in names.iter().zip(&cases) {
        let one = settled.iter().find(|one| *one.target == **name).unwrap();
        assert!(error(one).starts_with(told), "{name}: {}", error(one));
        assert!(!error(one).contains(CANARY));
        let series = |name| format!(r#"hookgate_target_circuit_open{{target="{name}"}}"#);
        assert_eq!(rig.metric(&series(name)), "0", "the target did nothing");
        let dead = format!(
            r#"hookgate_dead_letters_total{{reason="expression_failed",route="orders",target="{name}"}}"#
        );
        rig.wait_for_metric(&dead, "1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_fails_where_it_is_read() {
    let receiver = Receiver::start().await;
    let rig = Rig::start_in(
        world([("crm", when("true"))]),
        [
            target("crm", &receiver.url()),
            target("well", &receiver.url()),
        ],
    );
    rig.send(with_body("evt_1", &["crm", "well"], CANARY)).await;
    rig.model.wait_for(1, has_failed).await;
    rig.model.wait_for(1, is_delivered).await;
    let settled = ended(&rig);
    let failed = settled.iter().find(|one| has_failed(one)).unwrap();
    assert_eq!(error(failed), "when: the body is not JSON");
}

/// What a jq program can do to whoever runs it.
const RUNAWAYS: [&str; 9] = [
    "def f: f; f",
    "[range(1e12)]",
    "\"a\" * 1000000000000",
    "def f: [f]; f",
    "range(1e18) | select(false)",
    "def f: f | f; f",
    "[limit(100000000; repeat(\"aaaaaaaaaaaaaaaaaaaa\" + \"b\"))]",
    "reduce range(40) as $i (\"aaaaaaaa\"; . + .)",
    "last(repeat(1))",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_away_is_bounded_and_holds_up_no_other() {
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let lines = names.into_iter().zip(RUNAWAYS).map(|(name, source)| {
        let line = match name {
            "a" | "c" | "e" => transform(source),
            _ => when(source),
        };
        (name, line)
    });
    let lines = lines.chain([("well", when(".id == \"evt_1\""))]);
    let targets = names.map(|name| target(name, &receiver.url()));
    let others = [target("well", &well.url()), target("plain", &well.url())];
    let rig = Rig::start_in(world(lines), targets.into_iter().chain(others));
    let to: Vec<_> = names.into_iter().chain(["well", "plain"]).collect();
    rig.send(event("evt_1", &to)).await;
    rig.model.wait_for(2, is_delivered).await;
    rig.model.wait_for(names.len(), has_failed).await;
    assert!(receiver.requests().is_empty());
    let settled = ended(&rig);
    for (name, source) in names.iter().zip(RUNAWAYS) {
        let one = settled.iter().find(|one| *one.target == **name).unwrap();
        let told = [
            "over 250ms of processor time",
            "over 256 MiB of memory",
            "jq itself failed",
        ];
        let is_told = told.iter().any(|told| error(one).contains(told));
        assert!(is_told, "{source}: {}", error(one));
    }
    // The workers that took their places work.
    rig.send(with_body("evt_2", &["well"], r#"{"id":"evt_1"}"#))
        .await;
    rig.model.wait_for(3, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_runs_away_does_not_keep_others_waiting() {
    const LOOPING: usize = 100;
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let looping = Target {
        concurrency: 64,
        ..target("crm", &receiver.url())
    };
    let lines = [("crm", when("def f: f; f")), ("well", when("true"))];
    let rig = Rig::start_in(world(lines), [looping, target("well", &well.url())]);
    for n in 0..LOOPING {
        rig.send(event(&format!("loop_{n}"), &["crm"])).await;
    }
    for n in 0..20 {
        rig.send(event(&format!("evt_{n}"), &["well"])).await;
        rig.model.wait_for(n + 1, is_delivered).await;
    }
    let settled = ended(&rig);
    let failed = settled.iter().filter(|one| has_failed(one)).count();
    assert!(failed < LOOPING, "all of them went first");
}

/// However many they are: a worker is left for those that are well.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_run_away_together_do_not_keep_others_waiting() {
    const LOOPING: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    const BACKLOG: usize = 12;
    let (receiver, well) = (Receiver::start().await, Receiver::start().await);
    let lines = LOOPING.map(|name| (name, when("def f: f; f")));
    let lines = lines.into_iter().chain([("well", when("true"))]);
    let targets = LOOPING.map(|name| target(name, &receiver.url()));
    let targets = targets.into_iter().chain([target("well", &well.url())]);
    let rig = Rig::start_in(world(lines), targets);
    for n in 0..BACKLOG {
        rig.send(event(&format!("loop_{n}"), &LOOPING)).await;
    }
    rig.model.wait_for(LOOPING.len() * 2, has_failed).await;
    let failed = || ended(&rig).iter().filter(|one| has_failed(one)).count();
    let before = failed();
    for n in 0..BACKLOG {
        rig.send(event(&format!("evt_{n}"), &["well"])).await;
        rig.model.wait_for(n + 1, is_delivered).await;
    }
    // In turn with the six, each of these would have waited for some of theirs.
    let meanwhile = failed() - before;
    assert!(meanwhile < 2 * BACKLOG, "{meanwhile} went before {BACKLOG}");
    assert!(failed() < LOOPING.len() * BACKLOG, "none was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_deliveries_wait() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let crm = Target {
        // Which does not speak of what is the gateway's own trouble.
        retry_on: RetryOn::Listed {
            statuses: Vec::new(),
            network: false,
        },
        ..target("crm", &receiver.url())
    };
    let world = World {
        workers: Workers::of(program.clone()),
        ..world([("crm", when("true"))])
    };
    let rig = Rig::start_in(world, [crm]);
    rig.send(event("evt_1", &["crm"])).await;
    let retried = |one: &Settlement| matches!(one.outcome, Outcome::Retry(_));
    rig.model.wait_for(3, retried).await;
    let first = rig.model.settled().remove(0);
    assert!(
        error(&first).starts_with("when: no worker could be started"),
        "{}",
        error(&first)
    );
    assert!(receiver.requests().is_empty());
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookgate"), &program).unwrap();
    rig.model.wait_for(1, is_delivered).await;
}

/// Stands in for a worker.
fn script(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("worker");
    std::fs::write(&path, text).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_hang_die_or_talk_nonsense_are_tried_again() {
    for (text, told) in [
        (
            "#!/bin/sh\nexec /bin/sleep 1000\n",
            "when: no answer within",
        ),
        (
            "#!/bin/sh\nkill -9 $$\n",
            "when: its worker ended: signal: 9",
        ),
        (
            "#!/bin/sh\nexit 3\n",
            "when: its worker ended: exit status: 3",
        ),
        (
            "#!/bin/sh\nexec /bin/echo nonsense, and more of it\n",
            "when: its worker ended",
        ),
        (
            "#!/bin/sh\nexec /usr/bin/tr '\\0' '\\377' </dev/zero\n",
            "when: no answer within",
        ),
    ] {
        let receiver = Receiver::start().await;
        let directory = tempfile::tempdir().unwrap();
        let workers = Workers {
            patience: Duration::from_millis(300),
            ..Workers::of(script(&directory, text))
        };
        let world = World {
            workers,
            ..world([("crm", when("false"))])
        };
        let rig = Rig::start_in(world, [target("crm", &receiver.url())]);
        rig.send(event("evt_1", &["crm"])).await;
        let retried = |one: &Settlement| matches!(one.outcome, Outcome::Retry(_));
        rig.model.wait_for(2, retried).await;
        for one in ended(&rig) {
            assert!(matches!(one.outcome, Outcome::Retry(_)), "{text}: {one:?}");
            assert!(error(&one).starts_with(told), "{text}: {}", error(&one));
        }
        assert!(receiver.requests().is_empty());
    }
}

/// Its lease must not end under the attempt that comes after.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_longer_by_what_the_evaluation_can_take() {
    let targets = || ["crm", "erp"].map(|name| target(name, "http://127.0.0.1/"));
    let leases = |world| {
        let rig = Rig::start_in(world, targets());
        ["crm", "erp"].map(|name| rig.gate(name).lease())
    };
    let with = leases(world([("crm", when("true")), ("erp", Line::default())]));
    let without = leases(World::default());
    assert_eq!(with, [without[0] + ALLOWANCE, without[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_too_short_for_the_evaluation_is_given_back_first() {
    let receiver = Receiver::start().await;
    let world = world([("crm", when("true"))]);
    world.model.shorten_leases(3);
    let rig = Rig::start_in(world, [target("crm", &receiver.url())]);
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    let released = |one: &&Settlement| one.outcome == Outcome::Released;
    assert_eq!(rig.model.settled().iter().filter(released).count(), 3);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sent_costs_no_token_of_the_rate() {
    let receiver = Receiver::start().await;
    let crm = Target {
        rate: Some(Rate {
            limit: NonZeroU32::MIN,
            period: Duration::from_secs(86_400),
            burst: NonZeroU32::MIN.saturating_add(1),
        }),
        ..target("crm", &receiver.url())
    };
    let rig = Rig::start_in(world([("crm", when(".id == \"evt_9\""))]), [crm]);
    for n in 0..10 {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(9, is_filtered).await;
    rig.model.wait_for(1, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_asks_again() {
    let receiver = Receiver::start().await;
    let rig = Rig::start_in(
        world([("crm", when("false")), ("erp", transform("error"))]),
        [
            target("crm", &receiver.url()),
            target("erp", &receiver.url()),
        ],
    );
    let sent = event("evt_1", &["crm", "erp"]);
    let named = ["crm", "erp"].map(|target| DeliveryName {
        uid: sent.uid,
        target: target.into(),
    });
    rig.send(sent).await;
    for round in 1..=3 {
        rig.model.wait_for(round, is_filtered).await;
        rig.model.wait_for(round, has_failed).await;
        let replayed = rig.store.replay(&named, None).await.unwrap();
        assert_eq!(replayed, [Replayed::Due, Replayed::Due]);
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_evaluations_wear_out_workers_and_lose_nothing() {
    const EVENTS: usize = 2500;
    let receiver = Receiver::start().await;
    let crm = Target {
        concurrency: 32,
        ..target("crm", &receiver.url())
    };
    let line = Line {
        when: Some(parsed(".id | ltrimstr(\"evt_\") | tonumber % 50 == 0")),
        ..transform(".id")
    };
    let rig = Rig::start_in(world([("crm", line)]), [crm]);
    for n in 0..EVENTS {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
    }
    rig.model.wait_for(EVENTS / 50, is_delivered).await;
    rig.model.wait_for(EVENTS - EVENTS / 50, is_filtered).await;
    let mut bodies: Vec<_> = receiver.requests().into_iter().map(|r| r.body).collect();
    let mut expected: Vec<_> = (0..EVENTS / 50)
        .map(|n| format!("\"evt_{}\"", n * 50).into_bytes())
        .collect();
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
}
