//! No request makes a series, whatever it says.

use std::fmt::Write as _;

use http::StatusCode;
use rand::{Rng as _, SeedableRng as _, distr::Alphanumeric, rngs::StdRng};

use super::configuration;
use crate::support::{
    gateway::{Gateway, env},
    raw::Raw,
    receiver::Receiver,
    sign,
};

/// Of requests that nobody has proven.
const REQUESTS: usize = 100_000;
/// On connections at one time …
const CONNECTIONS: usize = 4;
/// … each so many in one write.
const TOGETHER: usize = 50;
/// Of events with types and ids of the caller's choice.
const EVENTS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_random_requests_make_no_series() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    let address = gateway.app().plain_addr().unwrap();
    let before = gateway.metrics().await;
    let senders = (0..CONNECTIONS).map(|seed| {
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed as u64);
            let mut connection = Raw::plain(address).await;
            for _ in 0..REQUESTS / CONNECTIONS / TOGETHER {
                let requests: String = (0..TOGETHER).map(|_| request(&mut random)).collect();
                connection.write(requests).await;
                for _ in 0..TOGETHER {
                    let reply = connection.reply().await.expect("an answer to each");
                    assert!(reply.status.is_client_error(), "{}", reply.status);
                }
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let after = gateway.metrics().await;
    assert_eq!(before.series(), after.series());
    let counted = after.sum("hookgate_requests_total", "rejected")
        - before.sum("hookgate_requests_total", "rejected");
    assert_eq!(counted, REQUESTS as f64);
    gateway.finish().await;
}

/// A path, method, agent and host that no other request has; one of eight knocks at a route that there is.
fn request(random: &mut StdRng) -> String {
    let path = match random.random_ratio(1, 8) {
        true => format!("hooks/github?{}", word(random)),
        false => word(random),
    };
    let method = match random.random_ratio(1, 2) {
        true => "GET".to_owned(),
        false => word(random).to_uppercase(),
    };
    let mut request = format!("{method} /{path} HTTP/1.1\r\nHost: {}\r\n", word(random));
    let names = [
        "User-Agent",
        "X-GitHub-Event",
        "X-GitHub-Delivery",
        "X-Forwarded-For",
        "X-Request-Id",
    ];
    for name in names {
        write!(request, "{name}: {}\r\n", word(random)).unwrap();
    }
    request + "\r\n"
}

fn word(random: &mut StdRng) -> String {
    let length = random.random_range(8..24);
    let letters = (0..length).map(|_| char::from(random.sample(Alphanumeric)));
    letters.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_the_types_and_ids_of_proven_events() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start_now(&configuration(&receiver.url())).await;
    let before = gateway.metrics().await;
    let mut random = StdRng::seed_from_u64(17);
    for _ in 0..EVENTS {
        let body = format!("{{\"{}\":\"{}\"}}", word(&mut random), word(&mut random));
        let signature = sign::github(&env("GITHUB_SECRET").unwrap(), body.as_bytes());
        let (kind, id) = (word(&mut random), word(&mut random));
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Hub-Signature-256", signature.as_str()),
            ("X-GitHub-Event", kind.as_str()),
            ("X-GitHub-Delivery", id.as_str()),
        ];
        let reply = gateway.client.post("/hooks/github", &headers, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let after = gateway.metrics().await;
    assert_eq!(before.series(), after.series());
    let accepted = after.sum("hookgate_requests_total", "accepted");
    assert_eq!(accepted, EVENTS as f64);
    gateway.finish().await;
}
