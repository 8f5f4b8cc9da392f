//! The public listener: TLS, deadlines, caps, connections that misbehave, and the stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod stop;

use std::time::Duration;

use hookgate::clock::Clock;
use http::{Method, StatusCode};

use tokio::io::AsyncWriteExt as _;

use crate::support::{
    PATIENCE,
    client::Client,
    gateway::{Gateway, complete, temporary},
    process::{certificate, run_to_end},
    raw::Raw,
    wait_for,
};

const ROUTES: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.open]
path = "/hooks/open"
verify = "none"
event_id = { json = "/id" }
deliver = ["audit"]
"#;

fn with_server(keys: &str) -> String {
    format!("[server]\n{keys}\n{ROUTES}")
}

fn post(id: &str) -> String {
    let body = format!(r#"{{"id":"{id}"}}"#);
    format!(
        "POST /hooks/open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn post_by(client: &Client, id: &str) -> Result<String, String> {
    let headers = [("Content-Type", "application/json")];
    let body = format!(r#"{{"id":"{id}"}}"#);
    let reply = client.try_send(Method::POST, "/hooks/open", &headers, body);
    let reply = reply.await?;
    match reply.status.is_success() {
        true => Ok(reply.outcome()),
        false => Err(format!("{}: {}", reply.status, reply.text())),
    }
}

/// Long enough for a handshake on a busy machine.
const IMPATIENT: &str = "head_timeout = '2s'\nidle_timeout = '3s'";

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_connections_are_closed() {
    let gateway = Gateway::start(&with_server(IMPATIENT)).await;
    let no_handshake = async {
        let mut mute = Raw::plain(gateway.app().public_addr()).await;
        assert!(mute.closed().await.is_empty());
    };
    let no_request = async {
        gateway.raw().await.closed().await;
    };
    let half_a_first_head = async {
        let mut raw = gateway.raw().await;
        raw.write("POST /hooks/open HTTP/1.1\r\nHost: loc").await;
        ends_with_408(raw).await;
    };
    let half_a_later_head = async {
        let mut raw = used("a", &gateway).await;
        raw.write(&post("b")[..40]).await;
        ends_with_408(raw).await;
    };
    let idle_after_an_answer = async {
        let mut raw = used("c", &gateway).await;
        assert!(raw.closed().await.is_empty());
    };
    tokio::join!(
        no_handshake,
        no_request,
        half_a_first_head,
        half_a_later_head,
        idle_after_an_answer
    );
    all_closed(&gateway).await;
    gateway.finish().await;
}

/// A connection on which an event was accepted.
async fn used(id: &str, gateway: &Gateway) -> Raw {
    let mut raw = gateway.raw().await;
    raw.write(post(id)).await;
    assert_eq!(raw.reply().await.unwrap().outcome(), "accepted");
    raw
}

async fn ends_with_408(mut raw: Raw) {
    let reply = raw.reply().await.expect("an answer");
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(reply.json()["code"], "slow_request");
    raw.closed().await;
}

/// A head that drips in, each byte in time, is still one head with one deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_head_is_closed_though_it_never_falls_silent() {
    let gateway = Gateway::start(&with_server(IMPATIENT)).await;
    let mut raw = gateway.raw().await;
    raw.write("POST /hooks/open HTTP/1.1\r\nX-Drip: ").await;
    wait_for("the close of a dripping connection", async || {
        raw.write("x").await;
        let silent = Duration::from_millis(20);
        let read = tokio::time::timeout(silent, raw.reply()).await;
        read.is_ok().then_some(())
    })
    .await;
    raw.closed().await;
    all_closed(&gateway).await;
    gateway.finish().await;
}

/// Waits until the gateway holds no connection any more; the pooled client must not have been used.
async fn all_closed(gateway: &Gateway) {
    wait_for("connections to be let go", async || {
        let open = gateway.metrics().await.value("hookgate_connections", &[]);
        (open? == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_no_more_connections_than_its_cap() {
    let gateway = Gateway::start(&with_server("max_connections_per_ip = 3")).await;
    let (address, pem) = (gateway.app().public_addr(), gateway.app().certificate_pem());
    let mut held = Vec::new();
    for id in ["a", "b", "c"] {
        held.push(used(id, &gateway).await);
    }
    let fourth = Raw::try_tls(address, pem, rustls::ALL_VERSIONS).await;
    assert!(fourth.is_err(), "a fourth connection");
    // Those that are there go on, and a place that is given up is free again.
    held[0].write(post("a")).await;
    assert_eq!(held[0].reply().await.unwrap().outcome(), "duplicate");
    drop(held.pop());
    let mut raw = wait_for("a free place", async || {
        Raw::try_tls(address, pem, rustls::ALL_VERSIONS).await.ok()
    })
    .await;
    raw.write(post("d")).await;
    assert_eq!(raw.reply().await.unwrap().outcome(), "accepted");
    drop((raw, held));
    all_closed(&gateway).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let gateway = Gateway::start(ROUTES).await;
    let (address, pem) = (gateway.app().public_addr(), gateway.app().certificate_pem());
    for (version, id) in [
        (&rustls::version::TLS12, "12"),
        (&rustls::version::TLS13, "13"),
    ] {
        let mut raw = Raw::try_tls(address, pem, &[version]).await.unwrap();
        raw.write(post(id)).await;
        assert_eq!(
            raw.reply().await.unwrap().outcome(),
            "accepted",
            "{version:?}"
        );
    }
    // A ClientHello that offers TLS 1.1 at most, which our own client cannot make.
    let mut old = Raw::plain(address).await;
    old.write(client_hello_of_tls_1_1()).await;
    let alert = old.closed().await;
    assert_eq!(alert.first(), Some(&21), "an alert, not {alert:?}");
    let mut plain = Raw::plain(address).await;
    plain.write(post("plain")).await;
    assert!(!plain.closed().await.starts_with(b"HTTP/1.1 2"));
    let mut garbage = Raw::plain(address).await;
    garbage.write([0xff; 600]).await;
    garbage.closed().await;
    // No harm done.
    assert_eq!(post_by(&gateway.client, "after").await.unwrap(), "accepted");
    assert_eq!(gateway.depth().await[0].pending, 3);
    gateway.finish().await;
}

/// Record and handshake headers, version 3.2, a random, no session, one cipher suite
/// (TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA), no compression, no extensions (RFC 4346, 7.4.1.2).
fn client_hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let length = body.len() as u8;
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_kept() {
    let first = Gateway::start_now(ROUTES).await;
    let pem = first.app().certificate_pem().to_owned();
    assert!(pem.contains("BEGIN CERTIFICATE"));
    assert_eq!(post_by(&first.client, "a").await.unwrap(), "accepted");
    let directory = first.stop().await;
    let second = Gateway::start_in(directory, ROUTES, Clock::system()).await;
    assert_eq!(second.app().certificate_pem(), pem);
    assert_eq!(post_by(&second.client, "a").await.unwrap(), "duplicate");
    second.stop().await;
    let other = Gateway::start_now(ROUTES).await;
    assert_ne!(other.app().certificate_pem(), pem, "one key for all");
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_certificate_is_an_error_at_the_start() {
    let directory = temporary();
    let ((mine, key), (_, other_key)) = (certificate(), certificate());
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("server.crt", &mine);
    write("server.key", &other_key);
    let toml =
        format!("[server.tls]\ncertificate = 'server.crt'\nprivate_key = 'server.key'\n{ROUTES}");
    let started = Gateway::try_start_in(directory.clone(), &toml, Clock::system()).await;
    let error = started.err().expect("a start that fails");
    assert!(error.contains("server.key"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    write("server.key", &key);
    let gateway = Gateway::start_in(directory, &toml, Clock::system()).await;
    assert_eq!(post_by(&gateway.client, "a").await.unwrap(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = temporary();
    let toml = complete(ROUTES, &address, "127.0.0.1:0");
    let (code, stderr) = run_to_end(directory.path(), &toml).await;
    assert_eq!(code, Some(1), "{stderr}");
    let about: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains(&address))
        .collect();
    assert_eq!(about.len(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start(ROUTES).await;
    let ids: Vec<_> = (0..20).map(|index| format!("p{index}")).collect();
    let mut raw = gateway.raw().await;
    raw.write(ids.iter().map(|id| post(id)).collect::<String>())
        .await;
    for id in &ids {
        let reply = raw.reply().await.expect("an answer");
        assert_eq!(reply.outcome(), "accepted");
        assert_eq!(reply.json()["id"], *id);
    }
    assert_eq!(gateway.depth().await[0].pending, ids.len() as u64);
    gateway.finish().await;
}

/// A refusal in the midst keeps the others in their places.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_does_not_shift_those_behind_it() {
    let gateway = Gateway::start(ROUTES).await;
    let refused = post("b").replace("/hooks/open", "/hooks/nobody");
    let mut raw = gateway.raw().await;
    raw.write(post("a") + &refused + &post("c")).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(raw.reply().await.expect("an answer").status.as_u16());
    }
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!(gateway.depth().await[0].pending, 2);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_connection_still_gets_its_answer() {
    let gateway = Gateway::start(ROUTES).await;
    let mut raw = gateway.raw().await;
    raw.write(post("a")).await;
    raw.half_close().await;
    assert_eq!(raw.reply().await.expect("an answer").outcome(), "accepted");
    raw.closed().await;
    gateway.finish().await;
}

/// Whether it was accepted is the gateway's to know; that the retry is answered 200 is promised.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_is_accepted_once_or_not_at_all() {
    let gateway = Gateway::start(ROUTES).await;
    for index in 0..30 {
        let id = format!("gone{index}");
        let mut raw = gateway.raw().await;
        raw.write(post(&id)).await;
        drop(raw);
        let outcome = post_by(&gateway.client, &id).await.unwrap();
        assert!(["accepted", "duplicate"].contains(&outcome.as_str()));
    }
    assert_eq!(gateway.depth().await[0].pending, 30);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_is_answered_before_the_body() {
    let gateway = Gateway::start(ROUTES).await;
    let request = post("a").replace("\r\nHost", "\r\nExpect: 100-continue\r\nHost");
    let (head, body) = request.split_at(request.find('{').unwrap());
    let mut raw = gateway.raw().await;
    raw.write(head).await;
    assert_eq!(raw.reply().await.unwrap().status, StatusCode::CONTINUE);
    raw.write(body).await;
    assert_eq!(raw.reply().await.unwrap().outcome(), "accepted");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_listener_takes_what_a_load_balancer_brings() {
    let gateway = Gateway::start(&with_server("plain_listen = '127.0.0.1:0'")).await;
    let plain = gateway.app().plain_addr().expect("a plain address");
    assert_eq!(
        post_by(&Client::plain(plain), "a").await.unwrap(),
        "accepted"
    );
    assert_eq!(post_by(&gateway.client, "a").await.unwrap(), "duplicate");
    gateway.finish().await;
}

/// Its answers pile up until the socket takes no more of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_never_reads_is_closed() {
    let gateway = Gateway::start(&with_server(&format!(
        "plain_listen = '127.0.0.1:0'\n{IMPATIENT}"
    )))
    .await;
    let plain = gateway.app().plain_addr().expect("a plain address");
    let mut caller = tokio::net::TcpStream::connect(plain).await.unwrap();
    let requests = "GET /nobody HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let refused = tokio::time::timeout(PATIENCE, async {
        while caller.write_all(requests.as_bytes()).await.is_ok() {}
    });
    refused.await.expect("a connection that is closed");
    all_closed(&gateway).await;
    assert_eq!(post_by(&gateway.client, "a").await.unwrap(), "accepted");
    gateway.finish().await;
}
