//! `when` and `transform` of the whole program, and the processes that evaluate them.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Seek as _, Write as _},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use hookgate::expression::{Answer, COMMAND, Expression, Failure, Pool, Question, Workers};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{
    ledger::nothing_pending,
    process::Process,
    receiver::{Receiver, Reply},
    wait_for,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");
const CANARY: &str = "canary-expressions-3f5a";
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// An open route that takes every kind of content, with these lines of `deliver`.
fn configuration(receiver: &Receiver, deliver: &str) -> String {
    let url = receiver.url();
    let targets = ["support", "crm", "audit"].map(|name| {
        format!(
            "[targets.{name}]\nurl = \"{url}/{name}\"\nallow_private = true\n\
             retry = {{ first = \"1ms\", max = \"5ms\" }}\nbreaker = \"off\"\n"
        )
    });
    let targets = targets.concat();
    format!(
        "{targets}
        [routes.open]
        path = \"/hooks/open\"
        verify = \"none\"
        content = [\"json\", \"form\", \"xml\"]
        event_id = {{ body = \"sha256\" }}
        deliver = [{deliver}]"
    )
}

const TICKETS: &str = r#"
    { to = "support", when = '.priority == "high"' },
    { to = "crm", transform = '{ticket: .ticket_id, who: .customer}' },
    "audit",
"#;

/// The workers of a gateway that runs.
fn workers(gateway: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut workers: Vec<i32> = ids
        .filter(|id| {
            // Behind the name, which may hold anything: the state, then the parent.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let parent = rest.split(' ').nth(1).and_then(|id| id.parse().ok());
            parent == Some(gateway.as_raw()) && !rest.starts_with('Z')
        })
        .collect();
    workers.sort_unstable();
    workers.into_iter().map(Pid::from_raw).collect()
}

fn runs(worker: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn state(gateway: &Process, event: &str, target: &str) -> Value {
    let path = format!("/api/v1/events/{event}");
    let event = gateway.admin.get(&path).await.json();
    let deliveries = event["deliveries"].as_array().unwrap();
    let named = deliveries.iter().find(|one| one["target"] == target);
    named.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_gets_what_its_line_says_of_every_kind_of_content() {
    let receiver = Receiver::start().await;
    let gateway = Process::spawn(&configuration(&receiver, TICKETS)).await;
    const XML: &str = "<ticket><priority>high</priority></ticket>";
    const FORM: &str = "priority=high&ticket_id=5&customer=Z%C3%B6";
    for (content_type, body, to_support, to_crm) in [
        (
            "application/json",
            r#"{"priority": "high", "ticket_id": 4}"#,
            true,
            r#"{"ticket":4,"who":null}"#,
        ),
        (
            "application/json",
            r#"{"priority": "low", "ticket_id": 4}"#,
            false,
            r#"{"ticket":4,"who":null}"#,
        ),
        (
            "application/x-www-form-urlencoded",
            FORM,
            true,
            r#"{"ticket":"5","who":"Zö"}"#,
        ),
        (
            "application/xml",
            XML,
            false,
            r#"{"ticket":null,"who":null}"#,
        ),
    ] {
        let seen = receiver.requests().len();
        let headers = [("Content-Type", content_type)];
        let reply = gateway.client.post("/hooks/open", &headers, body).await;
        let uid = reply.uid().to_string();
        let expected = if to_support { "delivered" } else { "filtered" };
        wait_for("all three to be settled", async || {
            let support = state(&gateway, &uid, "support").await["state"] == expected;
            let crm = state(&gateway, &uid, "crm").await["state"] == "delivered";
            let audit = state(&gateway, &uid, "audit").await["state"] == "delivered";
            (support && crm && audit).then_some(())
        })
        .await;
        let requests = receiver.requests().split_off(seen);
        assert_eq!(requests.len(), 2 + usize::from(to_support));
        for request in &requests {
            let (body, content_type) = match request.path.as_str() {
                "/in/crm" => (to_crm, "application/json"),
                _ => (body, content_type),
            };
            assert_eq!(
                std::str::from_utf8(&request.body),
                Ok(body),
                "{}",
                request.path
            );
            assert_eq!(request.header("content-type"), Some(content_type));
        }
    }
    wait_for("both in the metric", async || {
        let metrics = gateway.metrics().await;
        let filtered = metrics.sum("hookgate_filtered_deliveries_total", r#"target="support""#);
        (filtered == 2.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_shows_nothing_of_the_body_and_can_be_mended() {
    let receiver = Receiver::start().await;
    let broken = r#"
        { to = "crm", transform = '{who: .customer.name}' },
        { to = "support", when = '.customer | error' },
        "audit",
    "#;
    let toml = configuration(&receiver, broken);
    let mut gateway = Process::spawn_with(&toml, &[("RUST_LOG", "trace")]).await;
    let body = format!(r#"{{"customer":"{CANARY}"}}"#);
    let uid = gateway
        .client
        .post("/hooks/open", &JSON, body)
        .await
        .uid()
        .to_string();
    for (target, told) in [
        ("crm", "transform: cannot index a string with \"name\""),
        ("support", "when: its own `error`"),
    ] {
        let delivery = wait_for("a dead letter", async || {
            let delivery = state(&gateway, &uid, target).await;
            (delivery["state"] == "dead").then_some(delivery)
        })
        .await;
        assert_eq!(delivery["reason"], "expression_failed", "{delivery}");
        assert!(
            delivery.to_string().contains(&told.replace('"', "\\\"")),
            "{delivery}"
        );
        assert!(!delivery.to_string().contains(CANARY));
    }
    receiver.wait_for(1).await;
    wait_for("both in the log", async || {
        let dead = gateway.stderr().matches("outcome=\"dead\"").count();
        (dead == 2).then_some(())
    })
    .await;
    let mut seen = gateway.admin.get("/metrics").await.text();
    seen.push_str(&gateway.stderr());
    assert!(seen.contains("expression_failed"));
    assert!(!seen.contains(CANARY));

    gateway.kill();
    let file = gateway.directory.path().join("routes.toml");
    let text = fs::read_to_string(&file).unwrap();
    let mended = text.replace(".customer.name", ".customer");
    let mended = mended.replace(".customer | error", "true");
    assert_ne!(mended, text);
    fs::write(&file, mended).unwrap();
    gateway.restart().await;
    let path = format!("/api/v1/events/{uid}/replay");
    for target in ["crm", "support"] {
        let path = format!("{path}?target={target}");
        let reply = gateway
            .admin
            .send(http::Method::POST, &path, &JSON, "")
            .await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }
    let requests = receiver.wait_for(3).await;
    let crm = requests
        .iter()
        .find(|request| request.path == "/in/crm")
        .unwrap();
    assert_eq!(crm.body, format!(r#"{{"who":"{CANARY}"}}"#).into_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_started_when_they_are_needed_and_hold_nothing_of_the_gateway() {
    let receiver = Receiver::start().await;
    let gateway = Process::spawn(&configuration(&receiver, TICKETS)).await;
    assert_eq!(workers(gateway.pid()), [], "nothing to evaluate yet");
    gateway.client.post("/hooks/open", &JSON, "{}").await;
    receiver.wait_for(2).await;
    let found = workers(gateway.pid());
    assert!((1..=4).contains(&found.len()), "{found:?}");
    for worker in found {
        let read = |name: &str| fs::read(format!("/proc/{worker}/{name}")).unwrap();
        let text = |name: &str| String::from_utf8(read(name)).unwrap();
        assert!(text("cmdline").contains(COMMAND));
        assert!(read("environ").is_empty(), "which may hold secrets");
        let open = fs::read_dir(format!("/proc/{worker}/fd")).unwrap();
        let open: BTreeSet<_> = open
            .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
            .map(|file| file.to_str().unwrap().split(':').next().unwrap().to_owned())
            .collect();
        let expected = ["/dev/null", "pipe"].map(str::to_owned);
        assert_eq!(open, BTreeSet::from(expected));
        assert_eq!(text("oom_score_adj").trim(), "1000");
        let limits = text("limits");
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            let words = line.unwrap().split_whitespace().map(str::to_owned);
            words.take(2).collect::<Vec<_>>()
        };
        assert_eq!(limit("Max core file size"), ["0", "0"]);
        let memory: u64 = limit("Max address space")[0].parse().unwrap();
        assert!(memory > 256 << 20, "{memory}");
        let mapped = text("status");
        let mapped = mapped.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let mapped: u64 = mapped
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(
            memory <= (mapped << 10) + (256 << 20),
            "{memory} beside {mapped} KiB"
        );
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            kill(worker, signal).unwrap();
        }
    }
    let before = workers(gateway.pid());
    gateway
        .client
        .post("/hooks/open", &JSON, "{\"priority\":\"high\"}")
        .await;
    receiver.wait_for(5).await;
    assert_eq!(
        workers(gateway.pid()),
        before,
        "they outlast signals to the group"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_expressions_there_are_no_workers() {
    let receiver = Receiver::start().await;
    let gateway = Process::spawn(&configuration(&receiver, r#""crm", "audit""#)).await;
    gateway.client.post("/hooks/open", &JSON, "{}").await;
    receiver.wait_for(2).await;
    assert_eq!(workers(gateway.pid()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_with_their_gateway_however_it_ends() {
    let receiver = Receiver::start().await;
    let mut gateway = Process::spawn(&configuration(&receiver, TICKETS)).await;
    for stop in [Signal::SIGKILL, Signal::SIGTERM] {
        let seen = receiver.requests().len();
        gateway
            .client
            .post("/hooks/open", &JSON, format!("{{\"n\":{seen}}}"))
            .await;
        receiver.wait_for(seen + 2).await;
        let found = workers(gateway.pid());
        assert!(!found.is_empty());
        gateway.signal(stop);
        gateway.exited().await;
        wait_for("the end of its workers", async || {
            (!found.iter().any(|worker| runs(*worker))).then_some(())
        })
        .await;
        gateway.restart().await;
    }
}

/// A worker by itself.
fn worker(stdin: impl Into<Stdio>) -> Child {
    let worker = Command::new(PROGRAM)
        .arg(COMMAND)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn();
    worker.unwrap()
}

/// A question as the gateway asks it.
fn request(expression: &str, document: &str) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes();
    let head = [&[0][..], &length(expression), &length(document)].concat();
    [&head, expression.as_bytes(), document.as_bytes()].concat()
}

#[test]
fn a_worker_ends_when_its_gateway_is_gone_whatever_it_evaluates() {
    for (sent, most_said) in [
        (Vec::new(), 0),
        (request("true", "{}")[..5].to_vec(), 0),
        (request("true", "{}"), 5),
        // It would say that it had its time, had it gone on.
        (request("def f: f; f", "{}"), 0),
    ] {
        // After what it holds, a file is at once as a pipe whose other end is closed.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&sent).unwrap();
        file.rewind().unwrap();
        let mut worker = worker(file);
        let mut said = Vec::new();
        worker
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut said)
            .unwrap();
        worker.wait().unwrap();
        assert!(said.len() <= most_said, "{said:?}");
    }
}

#[test]
fn a_worker_that_cannot_reply_ends() {
    let mut worker = worker(Stdio::piped());
    drop(worker.stdout.take());
    let mut stdin = worker.stdin.take().unwrap();
    // Until the pipe breaks; it is open all the time.
    while stdin.write_all(&request("true", "{}")).is_ok() {}
    worker.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_any_moment_lose_nothing() {
    const EVENTS: usize = 300;
    let receiver = Receiver::start().await;
    receiver.answer(|request| {
        let status = if request.header("hookgate-attempt") == Some("1") {
            500
        } else {
            200
        };
        Reply::status(status)
    });
    let lines = r#"{ to = "crm", when = '.n % 3 == 0', transform = '{n}' }, "audit""#;
    let gateway = Process::spawn(&configuration(&receiver, lines)).await;
    let (pid, over) = (gateway.pid(), AtomicBool::new(false));
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut killed = 0;
            while !over.load(Ordering::SeqCst) {
                for worker in workers(pid) {
                    killed += usize::from(kill(worker, Signal::SIGKILL).is_ok());
                }
            }
            killed
        });
        tokio::task::block_in_place(|| {
            let posted = async {
                for n in 0..EVENTS {
                    let body = format!(r#"{{"n": {n}}}"#);
                    gateway.client.post("/hooks/open", &JSON, body).await;
                }
                // A kill may come between any two of these for ever: some end while they go on, all when they are over.
                receiver.wait_for(EVENTS * 2).await;
            };
            tokio::runtime::Handle::current().block_on(posted);
        });
        over.store(true, Ordering::SeqCst);
        killer.join().unwrap()
    });
    nothing_pending(&gateway).await;
    assert!(killed > 10, "only {killed} killed");
    let bodies: BTreeSet<_> = receiver
        .requests()
        .into_iter()
        .filter(|request| request.path == "/in/crm")
        .map(|request| String::from_utf8(request.body).unwrap())
        .collect();
    let expected = (0..EVENTS).step_by(3).map(|n| format!("{{\"n\":{n}}}"));
    assert_eq!(bodies, expected.collect());
    wait_for("all the others in the metric", async || {
        let metrics = gateway.metrics().await;
        let of_crm = |name: &str| metrics.sum(name, r#"target="crm""#);
        assert_eq!(of_crm("hookgate_dead_letters_total"), 0.0);
        (of_crm("hookgate_filtered_deliveries_total") == 200.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_documentation_are_true() {
    let text = include_str!("../../docs/expressions.md");
    let pool = Pool::new(Workers::of(PROGRAM.into()));
    let share = pool.share();
    let mut examples = 0;
    for example in text.split("```jq\n").skip(1) {
        let mut parts = example.split("```");
        let expression = parts.next().unwrap().trim();
        let mut json = || {
            let part = parts.nth(1).unwrap();
            part.strip_prefix("json\n").unwrap().trim().to_owned()
        };
        let (document, expected) = (json(), json());
        let parsed = Expression::parse(expression).unwrap();
        let mut seat = pool.seat(&share).await.unwrap();
        let made = seat
            .ask(Question::Transform, &parsed, document.as_bytes())
            .await;
        assert_eq!(
            made,
            Ok(Answer::Document(expected.clone().into_bytes())),
            "{expression}"
        );
        let wanted = seat.ask(Question::When, &parsed, document.as_bytes()).await;
        let truth = !matches!(&*expected, "null" | "false");
        assert_eq!(
            wanted,
            Ok(if truth { Answer::Yes } else { Answer::No }),
            "{expression}"
        );
        examples += 1;
    }
    assert!(examples >= 8, "only {examples} examples");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_is_bounded_and_the_next_one_has_its_own_bounds() {
    let pool = Pool::new(Workers::of(PROGRAM.into()));
    let share = pool.share();
    for (source, told) in [
        ("def f: f; f", "over 250ms of processor time"),
        ("\"aaaaaaaaaa\" * 100000000", "over 256 MiB"),
        (
            "def f: [f]; f",
            "over 256 MiB of memory, or too deep a recursion",
        ),
    ] {
        let expression = Expression::parse(source).unwrap();
        let mut seat = pool.seat(&share).await.unwrap();
        let found = seat.ask(Question::When, &expression, b"{}").await;
        let Err(Failure::Failed(text)) = found else {
            panic!("{source}: {found:?}");
        };
        assert!(text.contains(told), "{source}: {text}");
        let fine = Expression::parse("[range(1000)] | length == 1000").unwrap();
        assert_eq!(
            seat.ask(Question::When, &fine, b"{}").await,
            Ok(Answer::Yes)
        );
    }
}
