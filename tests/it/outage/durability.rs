//! A Redis that cannot keep the promise is refused, at start and later.

use std::sync::Arc;

use hookgate::{
    config::Durability,
    store::{
        Store as _, StoreError,
        redis::{Options, RedisStore},
    },
};

use super::{event, metrics, open, until};
use crate::support::redis::{RedisServer, connection, free_port};

async fn refusal(url: &str, durability: Durability) -> String {
    let opened = RedisStore::open(Options::new(connection(url), durability), metrics()).await;
    let fault = opened.err().expect("a refusal").to_string();
    assert_eq!(fault.lines().count(), 1, "{fault}");
    fault
}

#[tokio::test]
async fn settings_that_cannot_keep_the_durability_are_named() {
    for (option, bad, needed) in [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
    ] {
        let server = RedisServer::with(&[(option, bad)]);
        let fault = refusal(&server.url(0), Durability::Always).await;
        for word in [
            option,
            bad,
            &format!("redis-cli CONFIG SET {option} {needed}"),
        ] {
            assert!(fault.contains(word), "{word} is missing: {fault}");
        }
        // The command that the message names is the cure.
        server.command(&["CONFIG", "SET", option, needed]);
        open(server.connection()).await.close().await;
    }
}

#[tokio::test]
async fn what_another_format_wrote_is_refused_and_its_own_opened_again() {
    let server = RedisServer::start();
    open(server.connection()).await.close().await;
    open(server.connection()).await.close().await;
    let newer = ["SET", "hookgate:{0}:format", "5"];
    server.command(&newer);
    let fault = refusal(&server.url(0), Durability::Always).await;
    assert!(
        fault.contains("format 5") && fault.contains("reads format 4"),
        "{fault}"
    );

    let older = RedisServer::start();
    older.command(&["SADD", "hookgate:{0}:targets", "crm"]);
    let fault = refusal(&older.url(0), Durability::Always).await;
    assert!(fault.contains("format 1"), "{fault}");
}

#[tokio::test]
async fn memory_needs_no_persistence() {
    let server = RedisServer::with(&[("appendonly", "no")]);
    let opened = RedisStore::open(
        Options::new(server.connection(), Durability::Memory),
        metrics(),
    )
    .await;
    opened.unwrap().accept(Arc::new(event("a"))).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hides_its_settings_is_refused() {
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "gate", "on", ">hunter2", "~*", "+@all", "-config",
    ]);
    let url = server.url(0).replace("redis://", "redis://gate:hunter2@");
    let fault = refusal(&url, Durability::Always).await;
    assert!(
        fault.contains("CONFIG GET") && fault.contains("+config|get"),
        "{fault}"
    );
    assert!(!fault.contains("hunter2"), "{fault}");
}

#[tokio::test]
async fn a_wrong_password_and_an_absent_server_are_told_without_the_password() {
    let server = RedisServer::with(&[("requirepass", "correct")]);
    let url = server.url(0).replace("redis://", "redis://:hunter2@");
    let wrong = refusal(&url, Durability::Always).await;
    assert!(wrong.contains("password"), "{wrong}");

    let address = format!("127.0.0.1:{}", free_port());
    let absent = refusal(&format!("redis://:hunter2@{address}/"), Durability::Always).await;
    assert!(
        absent.contains(&address) && absent.contains("refused"),
        "{absent}"
    );
    for fault in [wrong, absent] {
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}

#[tokio::test]
async fn a_server_that_came_back_with_weaker_settings_is_not_believed() {
    let server = RedisServer::start();
    let store = open(server.connection()).await;
    store.accept(Arc::new(event("before"))).await.unwrap();
    server.command(&["CONFIG", "SET", "appendfsync", "everysec"]);
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    until("the refusal", async || match store.ready().await {
        Err(StoreError::Unavailable(why)) if why.contains("appendfsync") => Some(()),
        _ => None,
    })
    .await;
    assert!(store.accept(Arc::new(event("after"))).await.is_err());

    server.command(&["CONFIG", "SET", "appendfsync", "always"]);
    until("the recovery", async || store.ready().await.ok()).await;
    let accepted = store.accept(Arc::new(event("after"))).await.unwrap();
    assert!(super::is_accepted(&accepted));
}
