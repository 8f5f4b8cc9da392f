//! What the program refuses to start on: one clear line, exit code 1, and nobody was let in before.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinHandle;

use crate::support::{
    gateway::{complete, temporary},
    ledger::{Sink, configuration},
    process::{free_addresses, run_to_end},
    redis::{RedisServer, free_port},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_redis_ends_the_start() {
    let port = free_port();
    let line = refusal(&format!("redis://127.0.0.1:{port}/0")).await;
    assert!(line.contains("cannot reach Redis at 127.0.0.1"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_ends_the_start() {
    let redis = RedisServer::with(&[("maxmemory-policy", "allkeys-lru")]);
    let line = refusal(&redis.url(0)).await;
    assert!(line.contains("maxmemory-policy is allkeys-lru"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_an_append_only_file_ends_the_start() {
    let redis = RedisServer::with(&[("appendonly", "no")]);
    let line = refusal(&redis.url(0)).await;
    assert!(line.contains("appendonly is no"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_syncs_every_second_ends_the_start() {
    let redis = RedisServer::with(&[("appendfsync", "everysec")]);
    let line = refusal(&redis.url(0)).await;
    assert!(line.contains("appendfsync is everysec"), "{line}");
}

/// The one line that the program says.
async fn refusal(store_url: &str) -> String {
    let addresses = free_addresses();
    let listen = addresses.map(|address| address.to_string());
    let toml = configuration(store_url, &[Sink::refusing("crm")]);
    let toml = complete(&toml, &listen[0], &listen[1]);
    let visitor = Visitor::start(addresses);
    let (code, stderr) = run_to_end(temporary().path(), &toml).await;
    assert!(
        !visitor.let_in().await,
        "a port was open before the refusal"
    );
    assert_eq!(code, Some(1), "{stderr}");
    only_error(&stderr)
}

/// The one line beside those that warn of the configuration.
pub(super) fn only_error(stderr: &str) -> String {
    let told = |line: &&str| !line.is_empty() && !line.starts_with("warning: ");
    let lines: Vec<_> = stderr.lines().filter(told).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    lines[0].to_owned()
}

/// Knocks at the ports all the time.
struct Visitor {
    stop: Arc<AtomicBool>,
    knocking: JoinHandle<bool>,
}

impl Visitor {
    fn start(addresses: [SocketAddr; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let knocking = tokio::task::spawn_blocking(move || {
            let mut let_in = false;
            while !stopped.load(Ordering::SeqCst) {
                let_in |= addresses.iter().any(|to| TcpStream::connect(to).is_ok());
            }
            let_in
        });
        Self { stop, knocking }
    }

    async fn let_in(self) -> bool {
        self.stop.store(true, Ordering::SeqCst);
        self.knocking.await.expect("a visitor that does not panic")
    }
}
