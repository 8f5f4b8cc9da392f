//! A gateway behind a gateway: what the first signs, over TLS that it verifies, the second takes.

use super::{ask, with};
use crate::support::{
    gateway,
    ledger::{Load, Sink, configuration, nothing_pending},
    process::Process,
    wait_for,
};

const SEED: u64 = 19;
const EVENTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_signs_another_takes() {
    let sinks = [Sink::start("crm").await];
    let second = with(
        &configuration("file:data", &sinks),
        r#"provider = "github"
        secrets = [{ env = "GITHUB_SECRET" }]"#,
        r#"provider = "standard-webhooks"
        secrets = [{ env = "TICKETS_SECRET" }]"#,
    );
    let second = Process::spawn(&second).await;
    let toml = with(
        &configuration("file:data", &sinks),
        &format!("url = \"{}\"", sinks[0].url()),
        &format!(
            "url = \"https://localhost:{}/hooks/github\"
            ca = {:?}
            sign = {{ secrets = [{{ env = \"TICKETS_SECRET\" }}] }}",
            second.public.port(),
            second.directory.path().join("server.crt"),
        ),
    );
    let first = Process::spawn(&toml).await;
    let load = Load::start(&[], 0, SEED);
    for number in 0..EVENTS {
        load.post(&first.client, &format!("event-{number}")).await;
    }
    wait_for("every event at the end", async || {
        (sinks[0].arrivals().len() == EVENTS).then_some(())
    })
    .await;
    nothing_pending(&first).await;
    let accepted = ask(&first, "events?state=delivered").await;
    for event in accepted["events"].as_array().expect("a list") {
        // The second's provider is the first: its event id is the first's uid.
        let uid = event["uid"].as_str().expect("a uid");
        assert_eq!(sinks[0].count(uid), 1, "{event}");
    }
    let log = load.stop().await;
    for arrival in sinks[0].arrivals() {
        let mut postings = log.postings.values();
        assert!(postings.any(|posting| posting.digest == arrival.digest));
    }
    assert!(gateway::env("TICKETS_SECRET").is_some_and(|secret| !first.stderr().contains(&secret)));
}
