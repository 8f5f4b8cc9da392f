//! Redis over TLS.

use std::sync::Arc;

use hookgate::{
    config::{Config, Durability, StoreUrl},
    store::{
        Store as _,
        redis::{Options, RedisStore},
    },
};

use super::{event, is_accepted, metrics};
use crate::support::redis::{RedisServer, free_port, tls::Certificate};

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_is_checked() {
    let (own, other) = (Certificate::new(), Certificate::new());
    let port = free_port();
    let options = own.options(port);
    let options: Vec<_> = options
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let _server = RedisServer::with(&options);

    let trusting = Options::new(own.connection(port), Durability::Always);
    let store = RedisStore::open(trusting, metrics()).await;
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    assert!(is_accepted(
        &store.accept(Arc::new(event("a"))).await.unwrap()
    ));

    let doubting = Options::new(other.connection(port), Durability::Always);
    let refused = RedisStore::open(doubting, metrics()).await;
    let fault = refused.err().expect("a refusal").to_string();
    assert!(fault.contains("certificate"), "{fault}");
    assert_eq!(fault.lines().count(), 1, "{fault}");
}

#[tokio::test]
async fn the_authority_and_the_certificate_that_the_configuration_names_are_used() {
    let own = Certificate::new();
    let port = free_port();
    let mut options = own.options(port);
    options.retain(|(name, _)| *name != "tls-auth-clients");
    let options: Vec<_> = options
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let _server = RedisServer::with(&options);
    let open = async |own_certificate: &str| {
        let text = format!(
            "[store]\nurl = \"rediss://127.0.0.1:{port}\"\nca = \"redis.crt\"\n{own_certificate}\n\
             [routes.a]\npath = \"/a\"\nverify = \"none\"\nevent_id = {{ json = \"/id\" }}\ndeliver = []\n"
        );
        let config = Config::parse(&text, "routes.toml", own.directory(), &|_| None);
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        let StoreUrl::Redis(servers) = config.store.url else {
            panic!("a store in Redis");
        };
        RedisStore::open(Options::new(servers, Durability::Always), metrics()).await
    };
    let shown = "client_certificate = \"redis.crt\"\nclient_key = \"redis.key\"";
    let store = open(shown).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(is_accepted(
        &store.accept(Arc::new(event("a"))).await.unwrap()
    ));
    assert!(open("").await.is_err(), "the server asks for a certificate");
}
