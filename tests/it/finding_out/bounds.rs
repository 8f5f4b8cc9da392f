//! What recording costs at most, and what is there while the store is away.

use futures_util::future::join_all;
use http::StatusCode;
use redis::Value as Reply;

use super::{id, known, rejections, tells_no_secret};
use crate::support::{process::Process, redis::RedisServer, wait_for};

const ROUTE: &str = r#"
[routes.open]
path = "/hooks/open"
verify = "none"
event_id = { json = "/id" }
deliver = []

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ env = "GITHUB_SECRET" }]
deliver = []
"#;

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forgeries_leaves_a_bounded_number_of_records() {
    const FLOOD: usize = 1_500;
    let gateway = Process::spawn(ROUTE).await;
    let headers = [
        JSON[0],
        ("X-Hub-Signature-256", "sha256=00"),
        ("X-GitHub-Delivery", "d"),
    ];
    let began = std::time::Instant::now();
    let forge = || gateway.client.post("/hooks/github", &headers, "{}");
    for _ in 0..FLOOD / 50 {
        let replies = join_all((0..50).map(|_| forge())).await;
        assert!(
            replies
                .iter()
                .all(|reply| reply.status == StatusCode::UNAUTHORIZED)
        );
    }
    let dropped = "hookgate_records_dropped_total";
    let dropped = gateway.metrics().await.value(dropped, &[]).unwrap() as usize;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let recorded = FLOOD - dropped;
    assert!(recorded <= 100 + 50 * seconds, "{recorded} in {seconds} s");
    assert!(recorded > 0);
    let mut listed = 0;
    let mut query = "limit=500".to_owned();
    loop {
        let page = rejections(&gateway, &query).await;
        listed += page["rejections"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => query = format!("limit=500&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, recorded);
    // Others are recorded all the same.
    for outcome in ["accepted", "duplicate"] {
        let reply = gateway
            .client
            .post("/hooks/open", &JSON, r#"{"id":"a"}"#)
            .await;
        assert_eq!(reply.outcome(), outcome);
        assert_eq!(known(&gateway, &id(&reply)).await["outcome"], outcome);
    }
}

/// "Did you get our webhook?" is asked then, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_route_and_of_unknown_paths_hides_no_refusal_of_another() {
    const ROUNDS: usize = 10;
    const FLOOD: usize = 100;
    let gateway = Process::spawn(ROUTE).await;
    let forge = async |nth: usize| {
        let path = match nth % 2 {
            0 => "/hooks/github",
            _ => "/wp-login.php",
        };
        let headers = [JSON[0], ("X-Hub-Signature-256", "sha256=00")];
        gateway.client.post(path, &headers, "{}").await
    };
    let began = std::time::Instant::now();
    let mut quiet = Vec::new();
    for _ in 0..ROUNDS {
        join_all((0..FLOOD).map(forge)).await;
        let refused = gateway.client.post("/hooks/open", &JSON, "no JSON").await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        quiet.push(id(&refused));
    }
    let dropped = "hookgate_records_dropped_total";
    let dropped = gateway.metrics().await.value(dropped, &[]).unwrap() as usize;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let recorded = ROUNDS * (FLOOD + 1) - dropped;
    assert!(recorded <= 100 + 50 * seconds, "{recorded} in {seconds} s");
    for id in &quiet {
        let known = known(&gateway, id).await;
        assert_eq!(known["record"]["reason"], "invalid_json", "{known:#}");
    }
    let list = rejections(&gateway, "route=open&limit=500").await;
    assert_eq!(list["rejections"].as_array().unwrap().len(), quiet.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_accepted_requests_are_bounded_and_counted() {
    const SENT: u64 = 40;
    let gateway = Process::spawn(&format!("[log]\naccepted_lines_per_second = 2\n{ROUTE}")).await;
    let send = async |number: u64| {
        let body = format!(r#"{{"id":"{number}"}}"#);
        gateway.client.post("/hooks/open", &JSON, body).await
    };
    for number in 0..SENT {
        assert_eq!(send(number).await.outcome(), "accepted");
    }
    // Until a line tells how many were left out.
    let counted = wait_for("a line that counts the others", async || {
        let number = SENT + lines(&gateway).len() as u64 * 1_000 + rand::random::<u32>() as u64;
        assert_eq!(send(number).await.outcome(), "accepted");
        let left_out: u64 = lines(&gateway).iter().map(|line| left_out(line)).sum();
        (left_out > 0).then_some(left_out)
    })
    .await;
    assert!(counted >= SENT / 4, "{counted}");

    let silent = Process::spawn(&format!("[log]\naccepted_lines_per_second = 0\n{ROUTE}")).await;
    let reply = silent
        .client
        .post("/hooks/open", &JSON, r#"{"id":"a"}"#)
        .await;
    assert_eq!(reply.outcome(), "accepted");
    assert_eq!(known(&silent, &id(&reply)).await["outcome"], "accepted");
    assert!(lines(&silent).is_empty());
}

fn lines(gateway: &Process) -> Vec<String> {
    let log = gateway.stderr();
    let accepted = log.lines().filter(|line| line.contains("left_out="));
    accepted.map(str::to_owned).collect()
}

fn left_out(line: &str) -> u64 {
    let (_, rest) = line.split_once("left_out=").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_while_the_store_is_away_and_written_when_it_is_back() {
    let mut server = RedisServer::start();
    let toml = format!("[store]\nurl = \"{}\"\n{ROUTE}", server.url(0));
    let gateway = Process::spawn(&toml).await;
    let reply = gateway
        .client
        .post("/hooks/open", &JSON, r#"{"id":"canary-1"}"#)
        .await;
    assert_eq!(reply.outcome(), "accepted");
    server.kill();
    let refused = gateway
        .client
        .post("/hooks/open", &JSON, r#"{"id":"canary-2"}"#)
        .await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let fetched = known(&gateway, &id(&refused)).await;
    assert_eq!(fetched["record"]["reason"], "store_unavailable");
    let steps = fetched["record"]["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!(
        (&last["name"], &last["passed"]),
        (&"store".into(), &false.into())
    );
    let list = rejections(&gateway, "route=open").await;
    assert_eq!(list["rejections"][0]["request_id"], id(&refused));
    assert!(list["incomplete"].is_string(), "{list:#}");
    // What only the store knows is not told to be unknown.
    let accepted = format!("/api/v1/requests/{}", id(&reply));
    let answer = gateway.admin.get(&accepted).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);

    server.restart();
    wait_for("records that are written", async || {
        let count = server.command(&["ZCARD", "hookgate:{0}:records"]);
        (count == Reply::Int(1)).then_some(())
    })
    .await;
    assert_eq!(known(&gateway, &id(&refused)).await, fetched);
    assert_eq!(known(&gateway, &id(&reply)).await["outcome"], "accepted");
    assert!(rejections(&gateway, "").await["incomplete"].is_null());
    tells_no_secret(&format!(
        "{fetched} {list} {}",
        gateway.stderr().replace("canary-1", "")
    ));
}
