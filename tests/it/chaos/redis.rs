//! Harms Redis itself, and the network between it and the gateways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

use super::{End, journal::Journal, some_time};
use crate::support::{
    proxy::{Harm, Proxy},
    redis::RedisServer,
};

/// On the average.
const GAP: Duration = Duration::from_millis(2500);
const FAULT: Duration = Duration::from_millis(1000);
/// How long it may take until the gateways are at work again.
const SLACK: Duration = Duration::from_secs(3);
/// Redis answers that it is busy once a script has run for so long.
pub(super) const OPTIONS: [(&str, &str); 1] = [("busy-reply-threshold", "100")];

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Hang,
    Busy,
    Full,
    ReadOnly,
    ForgetScripts,
    KillClients,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Kill,
        Self::Hang,
        Self::Busy,
        Self::Full,
        Self::ReadOnly,
        Self::ForgetScripts,
        Self::KillClients,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "Redis: kill -9, restart",
            Self::Hang => "Redis: SIGSTOP",
            Self::Busy => "Redis: busy with a script",
            Self::Full => "Redis: out of memory",
            Self::ReadOnly => "Redis: read-only",
            Self::ForgetScripts => "Redis: SCRIPT FLUSH",
            Self::KillClients => "Redis: CLIENT KILL",
        }
    }
}

/// Until the end; then the server is well.
pub(super) async fn harm_server(
    mut redis: RedisServer,
    mut random: StdRng,
    journal: Journal,
    end: End,
) -> RedisServer {
    while !end.has_come() {
        end.sleep(some_time(&mut random, GAP)).await;
        if end.has_come() {
            break;
        }
        let fault = Fault::ALL[random.random_range(0..Fault::ALL.len())];
        let time = some_time(&mut random, FAULT);
        let _active = journal.fault(fault.name());
        let began = Instant::now();
        // The commands and the restart block.
        let act = tokio::task::spawn_blocking(move || {
            apply(&mut redis, fault, time);
            redis
        });
        redis = act.await.expect("a fault that can be made");
        journal.disrupted(began, SLACK);
    }
    redis
}

fn apply(redis: &mut RedisServer, fault: Fault, time: Duration) {
    let wait = || std::thread::sleep(time);
    match fault {
        Fault::Kill => {
            redis.kill();
            wait();
            redis.restart();
        }
        Fault::Hang => {
            redis.pause();
            wait();
            redis.resume();
        }
        Fault::Busy => {
            let script = redis.endless_script();
            wait();
            script.kill();
        }
        Fault::Full => {
            redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
            wait();
            redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        }
        Fault::ReadOnly => {
            redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
            wait();
            redis.command(&["REPLICAOF", "NO", "ONE"]);
        }
        Fault::ForgetScripts => {
            redis.command(&["SCRIPT", "FLUSH"]);
        }
        Fault::KillClients => {
            redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
}

/// What is between one gateway and Redis. Until the end; then it is well.
pub(super) async fn harm_network(
    proxy: Arc<Proxy>,
    mut random: StdRng,
    journal: Journal,
    end: End,
) {
    while !end.has_come() {
        end.sleep(some_time(&mut random, GAP * 3)).await;
        if end.has_come() {
            break;
        }
        let (name, harm) = draw(&mut random);
        let _active = journal.fault(format!("network: {name}"));
        let began = Instant::now();
        proxy.set(harm).await;
        end.sleep(some_time(&mut random, FAULT)).await;
        proxy.set(Harm::None).await;
        journal.disrupted(began, SLACK);
    }
    proxy.set(Harm::None).await;
}

fn draw(random: &mut StdRng) -> (&'static str, Harm) {
    match random.random_range(0..8) {
        0 => {
            let latency = Duration::from_millis(random.random_range(5..200));
            ("latency", Harm::Latency(latency))
        }
        1 => (
            "bandwidth",
            Harm::Bandwidth(random.random_range(20_000..200_000)),
        ),
        2 => ("slices", Harm::Slice(random.random_range(1..64))),
        3 => ("stall", Harm::Stall),
        4 => ("cut", Harm::Cut),
        5 => ("reset", Harm::Reset),
        6 => (
            "cut in mid-reply",
            Harm::CutReplyAfter(random.random_range(0..4096)),
        ),
        _ => ("refuses connections", Harm::Refuse),
    }
}
