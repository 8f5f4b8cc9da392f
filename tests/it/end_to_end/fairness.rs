//! Two routes to one target: the backlog of one does not hold up the other.

use futures_util::{StreamExt as _, stream};

use super::with;
use crate::support::{
    gateway,
    ledger::{CONCURRENCY, Load, Sink, configuration, nothing_pending},
    process::Process,
    redis::RedisServer,
    sign, wait_for,
};

const SEED: u64 = 17;
const BACKLOG: usize = 5000;
const SENDERS: usize = 64;
/// What may go first: what was under way, what was claimed already, and as much again of each claim after that.
const AHEAD_MAX: usize = CONCURRENCY * 4 * 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_one_route_holds_up_no_other_on_the_embedded_store() {
    backlog_holds_up_no_other("file:data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_one_route_holds_up_no_other_on_redis() {
    let redis = RedisServer::start();
    backlog_holds_up_no_other(&redis.url(0)).await;
}

async fn backlog_holds_up_no_other(store_url: &str) {
    let sinks = [Sink::start("crm").await];
    sinks[0].hold();
    let toml = configuration(store_url, &sinks) + OTHER_ROUTE;
    let toml = with(&toml, r#"timeout = "1s""#, r#"timeout = "2m""#);
    let gateway = Process::spawn(&toml).await;
    fill(&gateway, BACKLOG).await;
    post_to_the_other(&gateway, "one").await;

    let held = sinks[0].arrivals().len();
    sinks[0].release();
    wait_for("the other route's event", async || {
        (sinks[0].count("one") > 0).then_some(())
    })
    .await;
    let ahead = ahead_of(&sinks[0], "one") - held;
    assert!(ahead <= AHEAD_MAX, "{ahead} of {BACKLOG} went first");
    nothing_pending(&gateway).await;
}

/// One a claim, of whichever shard: each of the other's events is in one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_deliveries_go_out_one_by_one_over_many_shards() {
    const BACKLOG: usize = 600;
    const OTHERS: usize = 8;
    let redis = RedisServer::start();
    let sinks = [Sink::start("crm").await];
    let toml = configuration(&redis.url(0), &sinks) + OTHER_ROUTE;
    let toml = with(&toml, "[store]", "[store]\nshards = 8");
    let rate = r#"rate = { limit = "50/s", burst = 1 }"#;
    let toml = with(&toml, "concurrency =", &format!("{rate}\nconcurrency ="));
    let gateway = Process::spawn(&toml).await;
    fill(&gateway, BACKLOG).await;
    let before = sinks[0].arrivals().len();
    for number in 0..OTHERS {
        post_to_the_other(&gateway, &format!("other-{number}")).await;
    }
    for number in 0..OTHERS {
        let id = format!("other-{number}");
        wait_for(&id, async || (sinks[0].count(&id) > 0).then_some(())).await;
        let ahead = ahead_of(&sinks[0], &id) - before;
        assert!(
            ahead <= BACKLOG / 6,
            "{id}: {ahead} of {BACKLOG} went first"
        );
    }
}

async fn fill(gateway: &Process, events: usize) {
    let load = Load::start(&[], 0, SEED);
    stream::iter(0..events)
        .for_each_concurrent(SENDERS, async |number| {
            load.post(&gateway.client, &format!("many-{number}")).await;
        })
        .await;
}

async fn post_to_the_other(gateway: &Process, id: &str) {
    let secret = gateway::env("GITHUB_SECRET").expect("a secret");
    let signature = sign::github(&secret, b"{}");
    let headers = [
        ("content-type", "application/json"),
        ("x-github-delivery", id),
        ("x-github-event", "push"),
        ("x-hub-signature-256", &signature),
    ];
    let reply = gateway.client.post("/hooks/other", &headers, "{}").await;
    assert_eq!(reply.outcome(), "accepted");
}

fn ahead_of(sink: &Sink, id: &str) -> usize {
    let arrivals = sink.arrivals();
    let at = arrivals.iter().position(|arrival| &*arrival.id == id);
    at.expect("its arrival")
}

const OTHER_ROUTE: &str = r#"
[routes.other]
path = "/hooks/other"
provider = "github"
secrets = [{ env = "GITHUB_SECRET" }]
deliver = ["crm"]
"#;
