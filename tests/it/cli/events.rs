//! `hookgate events list`, `show` and `tail` against a running gateway.

use std::{
    io::{BufRead as _, BufReader},
    process::Child,
};

use serde_json::Value;

use super::{
    asking::{ask, ask_at, lines},
    program::spawn,
};
use crate::support::{
    gateway::{Gateway, temporary},
    process::free_addresses,
    receiver::{Receiver, Reply},
    wait_for,
};

const TOKEN: &str = "canary-admin-token";

fn configuration(target_url: &str) -> String {
    format!(
        r#"
        [targets.crm]
        url = "{target_url}"
        allow_private = true

        [routes.orders]
        path = "/orders"
        verify = "none"
        event_id = {{ json = "/id" }}
        event_type = {{ json = "/type" }}
        keep_headers = ["x-kept"]
        deliver = ["crm"]
        "#
    )
}

/// Accepts `evt_FROM` to `evt_TO`; their uids.
async fn send(gateway: &Gateway, ids: std::ops::Range<usize>) -> Vec<String> {
    let mut uids = Vec::new();
    for n in ids {
        let body = format!(r#"{{"id": "evt_{n}", "type": "order.paid"}}"#);
        let headers = [("Content-Type", "application/json"), ("X-Kept", "yes")];
        let reply = gateway.client.post("/orders", &headers, body).await;
        assert_eq!(reply.outcome(), "accepted");
        uids.push(reply.uid().to_string());
    }
    uids
}

async fn wait_for_state(gateway: &Gateway, state: &str, count: usize) {
    wait_for(&format!("{count} events {state}"), async || {
        let path = format!("/api/v1/events?limit=500&state={state}");
        let found = gateway.admin.get(&path).await.json();
        (found["events"].as_array()?.len() == count).then_some(())
    })
    .await;
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_over_many_pages_and_filtered() {
    let receiver = Receiver::start().await;
    receiver.script((0..3).map(|_| Reply::status(410)));
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    send(&gateway, 0..3).await;
    wait_for_state(&gateway, "dead", 3).await;
    send(&gateway, 3..330).await;
    wait_for_state(&gateway, "delivered", 327).await;

    let all = ask(&gateway, "events list --limit 1000 --format json")
        .await
        .done();
    let expected: Vec<_> = (0..330).rev().map(|n| format!("evt_{n}")).collect();
    assert_eq!(
        ids(&lines(&all)),
        expected,
        "the newest first, over four pages"
    );
    let some = ask(&gateway, "events list --format json").await.done();
    assert_eq!(ids(&lines(&some)), expected[..50]);
    let path = "events list --format json --limit 3";
    let few = ask(&gateway, path).await.done();
    // The API's own JSON.
    let from_api = gateway.admin.get("/api/v1/events?limit=3").await.json();
    assert_eq!(lines(&few), *from_api["events"].as_array().unwrap());

    for (filter, expected) in [
        ("--state dead", &["evt_2", "evt_1", "evt_0"][..]),
        ("--id evt_7", &["evt_7"]),
        (
            "--state dead --target crm --route orders --type order.paid --since 2h --limit 1",
            &["evt_2"],
        ),
        ("--route nobody", &[]),
        ("--until 2h", &[]),
        ("--since 2999-01-01T00:00:00Z", &[]),
    ] {
        let found = ask(&gateway, &format!("events list --format json {filter}")).await;
        assert_eq!(ids(&lines(&found.done())), expected, "{filter}");
    }
    let table = ask(&gateway, "events list --state dead").await.done();
    for told in [
        "received",
        "orders",
        "order.paid",
        "evt_2",
        "crm dead (refused)",
    ] {
        assert!(table.contains(told), "no {told} in\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "colours where no terminal is");
    let none = ask(&gateway, "events list --route nobody").await.done();
    assert_eq!(none, "no event matches\n");
    let wrong = ask(&gateway, "events list --since yesterday")
        .await
        .failed(64);
    assert!(wrong.contains("30m or 2h"), "{wrong}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_its_attempts_and_its_exact_body() {
    let receiver = Receiver::start().await;
    receiver.script([Reply::status(422).body("no \u{1b}[31mred")]);
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    let uid = send(&gateway, 0..1).await.remove(0);
    wait_for_state(&gateway, "dead", 1).await;

    let shown = ask(&gateway, &format!("events show {uid}")).await.done();
    for told in [
        uid.as_str(),
        "evt_0",
        "order.paid",
        "x-kept: yes",
        "crm dead (refused)",
        "422",
        r"no \u{1b}[31mred",
    ] {
        assert!(shown.contains(told), "no {told} in\n{shown}");
    }
    assert!(
        !shown.contains('\u{1b}'),
        "a target's words steer no terminal"
    );
    let body = ask(&gateway, &format!("events show {uid} --body"))
        .await
        .done();
    assert_eq!(body, r#"{"id": "evt_0", "type": "order.paid"}"#);
    let json = ask(&gateway, &format!("events show {uid} --format json"))
        .await
        .done();
    let from_api = gateway
        .admin
        .get(&format!("/api/v1/events/{uid}"))
        .await
        .json();
    assert_eq!(lines(&json), [from_api]);

    let unknown = ask(&gateway, "events show 0197ab3e-5c1d-7000-8000-0123456789ab").await;
    assert!(unknown.failed(1).contains("hookgate events list"));
    let malformed = ask(&gateway, "events show evt_0").await.failed(1);
    assert!(malformed.contains("`uid`: expected a UUID"), "{malformed}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_next_step() {
    let toml = format!(
        "[admin]\ntoken = {{ value = \"{TOKEN}\" }}\n{}",
        configuration("http://127.0.0.1:1")
    );
    let gateway = Gateway::start(&toml).await;
    let admin = gateway.app().admin_addr();
    for command in [
        "events list",
        "targets list",
        "replays list",
        "reload",
        "events tail",
    ] {
        for token in ["", "canary-another"] {
            let told = ask_at(admin, token, command).await.failed(1);
            assert!(
                told.contains("401") && told.contains("HOOKGATE_ADMIN_TOKEN"),
                "{command}: {told}"
            );
            assert!(!told.contains("canary"), "{told}");
        }
    }
    ask_at(admin, TOKEN, "events list").await.done();
    gateway.stop().await;
    for command in ["events list", "targets pause crm", "reload", "events tail"] {
        let told = ask_at(admin, TOKEN, command).await.failed(1);
        assert!(
            told.contains("hookgate serve") && told.contains("--admin"),
            "{command}: {told}"
        );
    }
}

/// Killed when dropped.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_over_a_restart_each_once() {
    let receiver = Receiver::start().await;
    let [_, admin] = free_addresses();
    let toml = format!(
        "[admin]\nlisten = \"{admin}\"\n{}",
        configuration(&receiver.url())
    );
    let gateway = Gateway::start_now(&toml).await;
    let before = send(&gateway, 0..3).await;

    let at = format!("http://{admin}");
    let arguments = [
        "events", "tail", "--since", "1h", "--limit", "7", "--format", "json", "--admin", &at,
    ];
    let mut tail = Following(spawn(temporary().path(), &arguments));
    let out = tail.0.stdout.take().unwrap();
    let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let reader = tokio::task::spawn_blocking(move || {
        for line in BufReader::new(out).lines() {
            told.send(line.unwrap()).unwrap();
        }
    });
    let mut next = async || {
        let line = tokio::time::timeout(crate::support::PATIENCE, lines.recv()).await;
        let line = line.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        event["uid"].as_str().unwrap().to_owned()
    };
    for uid in &before {
        assert_eq!(&next().await, uid);
    }
    let during = send(&gateway, 3..5).await;
    for uid in &during {
        assert_eq!(&next().await, uid);
    }
    let directory = gateway.stop().await;
    let gateway = Gateway::start_in(directory, &toml, hookgate::clock::Clock::system()).await;
    let after = send(&gateway, 5..7).await;
    for uid in &after {
        assert_eq!(&next().await, uid, "and none of those before again");
    }
    let ended = tokio::time::timeout(crate::support::PATIENCE, reader).await;
    ended.unwrap().unwrap();
    assert!(tail.0.wait().unwrap().success());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_are_listed() {
    let gateway = Gateway::start_now(&configuration("http://127.0.0.1:1")).await;
    let none = ask(&gateway, "rejections list").await.done();
    assert_eq!(none, "no request was refused so\n");
    let headers = [("Content-Type", "application/json")];
    let reply = gateway.client.post("/orders", &headers, "{").await;
    let id = reply.header("x-request-id").unwrap();
    let listed = wait_for("the record", async || {
        let listed = ask(
            &gateway,
            "rejections list --since 1h --route orders --format json",
        )
        .await;
        lines(&listed.done()).into_iter().next()
    })
    .await;
    assert_eq!(
        (&listed["request_id"], &listed["reason"]),
        (&id.into(), &"invalid_json".into())
    );
    let table = ask(&gateway, "rejections list --reason invalid_json")
        .await
        .done();
    for told in [id, "400", "invalid_json", "/orders", "127.0.0.1"] {
        assert!(table.contains(told), "no {told} in\n{table}");
    }
    let other = ask(&gateway, "rejections list --reason unknown_path")
        .await
        .done();
    assert_eq!(other, none);
    gateway.stop().await;
}
