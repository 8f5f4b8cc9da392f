//! Redis over TLS.

use std::sync::Arc;

use hookgate::{
    config::Durability,
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
