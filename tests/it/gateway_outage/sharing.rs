//! Two gateways on one Redis, of which one dies, or stands still and comes back.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use nix::sys::signal::Signal;

use super::SEED;
use crate::support::{
    gateway,
    ledger::{CONCURRENCY, DRAIN, Load, PATH, Sink, configuration, drained, nothing_pending},
    metrics::Metrics,
    process::Process,
    redis::RedisServer,
    sign, wait_for, wait_within,
};

const SHORT_TIMEOUT: &str = r#"timeout = "1s""#;
const LONG_TIMEOUT: &str = r#"timeout = "15s""#;
const CONNECTIONS: usize = 210;
const POSTS_A_CONNECTION: usize = 10;

struct Pair {
    /// Stopped last: the gateways end first.
    _redis: RedisServer,
    sink: [Sink; 1],
    first: Process,
    second: Process,
    load: Load,
    ids: Vec<String>,
    toml: String,
}

impl Pair {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let sink = [Sink::start("crm").await];
        // So that no attempt of a gateway at work runs out of time while it is held.
        let toml = configuration(&redis.url(0), &sink).replace(SHORT_TIMEOUT, LONG_TIMEOUT);
        assert!(toml.contains(LONG_TIMEOUT));
        Self {
            first: Process::spawn(&toml).await,
            second: Process::spawn(&toml).await,
            load: Load::start(&[], 0, SEED),
            ids: (0..CONCURRENCY)
                .map(|number| format!("held-{number}"))
                .collect(),
            sink,
            toml,
            _redis: redis,
        }
    }

    /// As many events as the first gateway may have under way, all of them at the sink and none answered there.
    async fn hold_deliveries_of_the_first(&self) {
        self.sink[0].hold();
        for id in &self.ids {
            let reply = self.load.post(&self.first.client, id).await;
            assert_eq!(reply.outcome(), "accepted");
        }
        wait_for("all deliveries at the sink", async || {
            self.all_arrived(1).then_some(())
        })
        .await;
    }

    async fn wait_for_take_over(&self) {
        wait_within(DRAIN, "the other gateway's deliveries", async || {
            self.all_arrived(2).then_some(())
        })
        .await;
    }

    fn all_arrived(&self, times: usize) -> bool {
        self.ids.iter().all(|id| self.sink[0].count(id) >= times)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_gateways_claims_are_taken_over_when_their_leases_end() {
    let mut pair = Pair::start().await;
    pair.hold_deliveries_of_the_first().await;
    pair.first.kill();
    pair.sink[0].release();
    pair.wait_for_take_over().await;
    drained(&pair.load.stop().await, &pair.sink, &[&pair.second]).await;
}

/// The stopped gateway's attempts fail while it stands still. When it goes on it wants to try them again, and
/// that must not reopen what the other has delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stood_still_past_its_leases_changes_nothing_afterwards() {
    let pair = Pair::start().await;
    pair.hold_deliveries_of_the_first().await;
    pair.first.signal(Signal::SIGSTOP);
    pair.sink[0].release();
    pair.wait_for_take_over().await;
    nothing_pending(&pair.second).await;
    let arrivals = pair.sink[0].arrivals().len();

    pair.first.signal(Signal::SIGCONT);
    wait_for("the late settlements", async || {
        let settled = settlements(&pair.first).await?;
        (settled >= pair.ids.len() as f64).then_some(())
    })
    .await;
    let log = pair.load.stop().await;
    drained(&log, &pair.sink, &[&pair.first, &pair.second]).await;
    assert_eq!(pair.sink[0].arrivals().len(), arrivals, "delivered again");
}

/// `None` when the gateway closes the connection of an earlier scrape, which was idle, before it answers.
async fn settlements(gateway: &Process) -> Option<f64> {
    let reply = gateway
        .admin
        .try_send(Method::GET, "/metrics", &[], "")
        .await;
    let metrics = Metrics::parse(&reply.ok()?.text());
    let count = "hookgate_store_operation_duration_seconds_count";
    Some(metrics.sum(count, r#"operation="settle""#))
}

/// Each connection carries its posts all at once, pipelined, so that thousands are under way with few descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_posts_of_one_id_over_three_gateways_are_one_event() {
    let pair = Pair::start().await;
    let posts = signed_post("one", r#"{"id":"one"}"#).repeat(POSTS_A_CONNECTION);
    let third = Process::spawn(&pair.toml).await;
    let gateways = [&pair.first, &pair.second, &third];
    let mut connections = join_all((0..CONNECTIONS).map(|number| gateways[number % 3].raw())).await;
    let outcomes = join_all(connections.iter_mut().map(async |connection| {
        connection.write(&posts).await;
        let mut outcomes = Vec::new();
        for _ in 0..POSTS_A_CONNECTION {
            let reply = connection.reply().await.expect("an answer to every post");
            outcomes.push((reply.outcome(), reply.uid()));
        }
        outcomes
    }))
    .await
    .concat();

    let (_, uid) = outcomes[0].clone();
    let mut tally: BTreeMap<_, usize> = BTreeMap::new();
    for outcome in outcomes {
        *tally.entry(outcome).or_default() += 1;
    }
    let all = CONNECTIONS * POSTS_A_CONNECTION;
    let expected = [
        (("accepted".to_owned(), uid), 1),
        (("duplicate".to_owned(), uid), all - 1),
    ];
    assert_eq!(tally, expected.into());
    wait_for("the one delivery", async || {
        (pair.sink[0].count("one") > 0).then_some(())
    })
    .await;
    nothing_pending(&pair.first).await;
    assert_eq!(pair.sink[0].count("one"), 1);
}

fn signed_post(id: &str, body: &str) -> String {
    let secret = gateway::env("GITHUB_SECRET").expect("a secret");
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-github-delivery: {id}\r\nx-github-event: push\r\nx-hub-signature-256: {}\r\n\r\n{body}",
        body.len(),
        sign::github(&secret, body.as_bytes())
    )
}
