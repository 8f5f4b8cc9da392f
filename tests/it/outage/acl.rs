//! A user that may do what `deploy/redis.conf` lists, and nothing else.

use std::{path::Path, sync::Arc, time::Duration};

use hookgate::{
    config::{Durability, RedisUrl, Secret},
    event::{DeadReason, Event, Outcome},
    store::{
        KeptSecret, Store as _,
        orphans::Gone,
        redis::{Options, RedisStore},
    },
};

use super::{TARGET, claim_one, event, metrics, want};
use crate::support::redis::{RedisServer, cluster::Cluster, sentinel::Sentinels};

const PASSWORD: &str = "a-password-of-this-test";

fn conf() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/redis.conf");
    std::fs::read_to_string(path).unwrap()
}

/// The line of `deploy/redis.conf` that makes the user, taken out of its comment.
fn user() -> String {
    let text = conf();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("# user hookgate "));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].replace("PASSWORD", PASSWORD)
}

fn allow(server: &RedisServer) {
    let user = user();
    let mut command = vec!["ACL", "SETUSER", "hookgate"];
    command.extend(user.split(' '));
    server.command(&command);
}

/// Makes the user, and shuts everybody else out.
fn allow_only_it(server: &RedisServer) {
    allow(server);
    server.command(&["ACL", "SETUSER", "default", "off"]);
}

fn with_user(url: &str) -> RedisUrl {
    let url = url.replacen("://", &format!("://hookgate:{PASSWORD}@"), 1);
    RedisUrl::parse(&url).unwrap()
}

/// Everything that a gateway does with its store.
async fn everything(servers: RedisUrl, shards: u16) {
    let options = Options {
        shards,
        ..Options::new(servers, Durability::Always)
    };
    let store = RedisStore::open(options, metrics()).await;
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    for id in ["a", "b", "c"] {
        store.accept(Arc::new(event(id))).await.unwrap();
    }
    for (wait, outcome) in [
        (false, Outcome::Retry(Duration::ZERO)),
        (true, Outcome::Delivered),
        (true, Outcome::Dead(DeadReason::Refused)),
    ] {
        let claimed = claim_one(&store, super::PATIENCE).await;
        let attempt = wait.then(|| super::sharing::failed_attempt(500));
        let settled = store.settle(claimed.settlement(outcome, attempt)).await;
        settled.unwrap();
    }
    let together = ["d", "e"].map(|id| {
        let event = event(id);
        Arc::new(Event {
            together: true,
            ..event
        })
    });
    store.accept_together(together.into()).await.unwrap();
    let claimed = claim_one(&store, super::PATIENCE).await;
    let filtered = claimed.settlement(Outcome::Filtered, None);
    store.settle(filtered).await.unwrap();
    let kept = KeptSecret {
        route: "github".into(),
        secret: Secret::new("secret"),
        received_at: claimed.event.received_at,
    };
    assert!(store.keep_secret(&kept).await.unwrap());
    assert_eq!(store.kept_secrets().await.unwrap().len(), 1);
    assert!(store.forget_secret(&kept.route).await.unwrap());
    store.claim(&want(0, super::PATIENCE)).await.unwrap();
    store.depth(&[TARGET.into()]).await.unwrap();
    store.get(event("a").uid).await.unwrap().unwrap();
    store.expire(super::NOTHING_KEPT).await.unwrap();
    store.retire_targets(&Gone::AllBut(vec![])).await.unwrap();
    store.ready().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_the_documentation_may_do_everything_that_is_needed() {
    let server = RedisServer::start();
    allow_only_it(&server);
    everything(with_user(&server.url(0)), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_do_so_with_sentinel_and_in_a_cluster() {
    // The servers and the sentinels go on as the default user among themselves.
    let rig = Sentinels::start();
    allow(&rig.servers[0]);
    everything(with_user(&rig.url()), 1).await;

    let rig = Cluster::start();
    rig.nodes.iter().for_each(allow);
    everything(with_user(&rig.url()), 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_the_deployment_starts_a_server_that_keeps_what_a_200_promises() {
    let (conf, directory) = (conf(), tempfile::tempdir().unwrap());
    let path = directory.path().join("redis.conf");
    // With the lines that an operator is to uncomment, and without what is of the container.
    let conf = conf
        .replace("# user hookgate", "user hookgate")
        .replace("# user default off", "user default off")
        .replace("PASSWORD", PASSWORD)
        .replace("dir /data\n", "")
        .replace("bind * -::*\n", "");
    std::fs::write(&path, conf).unwrap();
    let path = path.display().to_string();
    let server = RedisServer::with(&[("include", &path)]);
    everything(with_user(&server.url(0)), 2).await;
}

/// Also in those branches of the scripts that no test reaches.
#[test]
fn every_command_of_the_scripts_is_listed() {
    const ARGUMENTS: [&str; 6] = ["BYSCORE", "BYLEX", "LIMIT", "LT", "REV", "WITHSCORES"];
    let user = user().to_uppercase();
    let listed: Vec<_> = user.split(' ').collect();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/redis");
    let mut commands = 0;
    for entry in std::fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text
            .split('\'')
            .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase()));
        for word in words.filter(|word| !ARGUMENTS.contains(word)) {
            commands += 1;
            let permission = format!("+{word}");
            assert!(
                listed.contains(&&*permission),
                "{word} in {}",
                path.display()
            );
        }
    }
    assert!(commands > 30, "only {commands} found");
}

#[tokio::test]
async fn it_may_do_nothing_else() {
    let server = RedisServer::start();
    server.command(&["SET", "other", "1"]);
    allow_only_it(&server);
    let client = redis::Client::open(format!(
        "redis://hookgate:{PASSWORD}@127.0.0.1:{}/",
        server.port()
    ))
    .unwrap();
    let mut connection = client.get_connection().unwrap();
    for words in [
        &["GET", "other"][..],
        &["SET", "other", "2"],
        &["FLUSHALL"],
        &["KEYS", "*"],
        &["CONFIG", "SET", "appendonly", "no"],
        &["ACL", "LIST"],
        &["EVAL", "return redis.call('GET', 'other')", "0"],
        &["SHUTDOWN"],
    ] {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer = command.query::<redis::Value>(&mut connection);
        let error = answer.expect_err(words[0]).to_string();
        let refused = ["NOPERM", "ACL failure", "permission"];
        assert!(
            refused.iter().any(|word| error.contains(word)),
            "{words:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = RedisServer::start();
    allow_only_it(&server);
    let url = format!("redis://hookgate:canary@127.0.0.1:{}/", server.port());
    let servers = RedisUrl::parse(&url).unwrap();
    let options = Options::new(servers, Durability::Always);
    assert!(!format!("{options:?}").contains("canary"), "{options:?}");
    let refused = RedisStore::open(options, metrics()).await;
    let fault = refused.err().expect("a refusal").to_string();
    assert!(
        fault.contains("refuses the user name or password"),
        "{fault}"
    );
    assert!(!fault.contains("canary"), "{fault}");
}
