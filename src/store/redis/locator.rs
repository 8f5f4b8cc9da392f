//! Where the server of a shard is: asked anew at every connect, since it moves at a fail-over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisError,
    Value,
};
use tokio::time::timeout;

use super::error;
use crate::config::RedisUrl;

/// For one sentinel or node to say where the primary is; less than a connect has.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);
const SLOTS: u16 = 16384;

/// Host and port.
type Address = (String, u16);

/// Finds the server of one shard.
pub(super) struct Locator {
    way: Way,
}

enum Way {
    Fixed(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        /// All but the address.
        server: ConnectionInfo,
    },
    Cluster {
        slot: u16,
        seeds: Vec<ConnectionInfo>,
        nodes: Arc<Nodes>,
    },
}

/// The nodes that a cluster told of last: the seeds may all have gone meanwhile.
#[derive(Default)]
pub(super) struct Nodes(Mutex<Vec<Address>>);

impl Locator {
    /// For the shard whose keys have this hash tag.
    pub(super) fn new(servers: &RedisUrl, tag: &str, nodes: &Arc<Nodes>) -> Self {
        let way = match servers.clone() {
            RedisUrl::Server(info) => Way::Fixed(info),
            RedisUrl::Sentinel {
                sentinels,
                name,
                server,
            } => Way::Sentinel {
                sentinels,
                name,
                server,
            },
            RedisUrl::Cluster { seeds } => Way::Cluster {
                slot: slot(tag),
                seeds,
                nodes: nodes.clone(),
            },
        };
        Self { way }
    }

    /// Where the primary is said to be; it must still be asked whether it is one. Fails with one line.
    pub(super) async fn locate(&self) -> Result<ConnectionInfo, String> {
        match &self.way {
            Way::Fixed(info) => Ok(info.clone()),
            Way::Sentinel {
                sentinels,
                name,
                server,
            } => {
                let asked = sentinels.iter().map(|info| primary_of(info, name));
                let address = vote(asked).await.map_err(|why| {
                    format!("cannot find the Redis primary {name:?} by its sentinels: {why}")
                })?;
                Ok(at(server, address))
            }
            Way::Cluster { slot, seeds, nodes } => {
                let all = nodes.with(seeds);
                let asked = all.iter().map(|info| owner_of(info, *slot, nodes));
                let address = vote(asked).await.map_err(|why| {
                    format!("cannot find the node of slot {slot} in the Redis cluster: {why}")
                })?;
                Ok(at(&seeds[0], address))
            }
        }
    }
}

impl Nodes {
    /// The seeds, and what else is known.
    fn with(&self, seeds: &[ConnectionInfo]) -> Vec<ConnectionInfo> {
        let mut all = seeds.to_vec();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for address in &*known {
            let node = at(&seeds[0], address.clone());
            if seeds.iter().all(|seed| seed.addr() != node.addr()) {
                all.push(node);
            }
        }
        all
    }

    fn note(&self, nodes: Vec<Address>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }
}

/// Asks all at once. The first answer that more than half of all give counts, or else what most of those gave who
/// answered in time: one that is cut off from the others may still name a primary that they have replaced.
async fn vote<A>(asked: impl Iterator<Item = A>) -> Result<Address, String>
where
    A: Future<Output = Result<Address, String>>,
{
    let mut asked: FuturesUnordered<A> = asked.collect();
    let all = asked.len();
    let mut votes: HashMap<Address, usize> = HashMap::new();
    let mut faults = Vec::new();
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(address) => {
                let count = votes.entry(address.clone()).or_default();
                *count += 1;
                if *count * 2 > all {
                    return Ok(address);
                }
            }
            Err(why) => faults.push(why),
        }
    }
    faults.sort();
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(address, _)| address)
        .ok_or_else(|| faults.join("; "))
}

/// What one of them answers, in time; or its address and why not.
async fn ask<T: FromRedisValue>(info: &ConnectionInfo, command: &Cmd) -> Result<T, String> {
    let asking = async {
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.clone().set_redis_settings(redis))?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER_TIMEOUT));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        command.query_async(&mut connecting.await?).await
    };
    let why = |why: String| format!("{}: {why}", info.addr());
    match timeout(ANSWER_TIMEOUT, asking).await {
        Ok(answer) => answer.map_err(|error: RedisError| why(error::text(&error))),
        Err(_) => Err(why("no answer in time".into())),
    }
}

async fn primary_of(sentinel: &ConnectionInfo, name: &str) -> Result<Address, String> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(name);
    let address: Option<Address> = ask(sentinel, &command).await?;
    address.ok_or_else(|| format!("{}: it knows no primary of this name", sentinel.addr()))
}

async fn owner_of(node: &ConnectionInfo, slot: u16, nodes: &Nodes) -> Result<Address, String> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let ranges: Value = ask(node, &command).await?;
    let ranges = read_ranges(ranges, host(node))
        .ok_or_else(|| format!("{}: an answer that cannot be understood", node.addr()))?;
    let owner = ranges.iter().find(|range| range.slots.contains(&slot));
    let owner = owner.and_then(|range| range.nodes.first()).cloned();
    let mut known: Vec<_> = ranges.into_iter().flat_map(|range| range.nodes).collect();
    known.sort();
    known.dedup();
    nodes.note(known);
    owner.ok_or_else(|| format!("{}: no node serves it", node.addr()))
}

/// Some slots and who has them: first the primary.
struct Range {
    slots: std::ops::RangeInclusive<u16>,
    nodes: Vec<Address>,
}

/// The reply of `CLUSTER SLOTS` from `host`.
fn read_ranges(reply: Value, host: &str) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else {
        return None;
    };
    let ranges = ranges.into_iter().map(|range| {
        let Value::Array(range) = range else {
            return None;
        };
        let mut range = range.into_iter();
        let (first, last) = (number(range.next()?)?, number(range.next()?)?);
        Some(Range {
            slots: first..=last,
            nodes: range
                .map(|node| read_node(node, host))
                .collect::<Option<_>>()?,
        })
    });
    ranges.collect()
}

/// A node that does not know its own address is where it was asked.
fn read_node(node: Value, asked: &str) -> Option<Address> {
    let Value::Array(node) = node else {
        return None;
    };
    let mut node = node.into_iter();
    let host = match node.next()? {
        Value::BulkString(host) => String::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => String::new(),
        _ => return None,
    };
    let host = match &*host {
        "" | "?" => asked.to_owned(),
        _ => host,
    };
    Some((host, number(node.next()?)?))
}

fn number(value: Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(number).ok(),
        _ => None,
    }
}

fn host(info: &ConnectionInfo) -> &str {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

/// The same in all else.
fn at(info: &ConnectionInfo, (host, port): Address) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

/// CRC-16/XMODEM of the hash tag, as the specification of Redis Cluster says.
fn slot(tag: &str) -> u16 {
    let mut crc: u16 = 0;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    /// By `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_the_server() {
        assert_eq!(slot("123456789"), 12739);
        assert_eq!(slot("0"), 13907);
        assert_eq!(slot("1"), 9842);
        assert_eq!(slot(""), 0);
    }

    fn said(port: u16) -> Result<Address, String> {
        Ok(("host".to_owned(), port))
    }

    async fn voted(answers: [Result<Address, String>; 3]) -> Result<Address, String> {
        vote(answers.map(std::future::ready).into_iter()).await
    }

    #[tokio::test]
    async fn most_who_answer_are_believed() {
        let gone = || Err("gone".to_owned());
        assert_eq!(voted([said(1), said(2), said(2)]).await, said(2));
        assert_eq!(voted([gone(), gone(), said(3)]).await, said(3));
    }

    #[tokio::test]
    async fn every_reason_is_told() {
        let gone = |name: &str| Err(format!("{name}: gone"));
        let all = "a: gone; b: gone; c: gone".to_owned();
        assert_eq!(voted([gone("b"), gone("a"), gone("c")]).await, Err(all));
    }

    #[test]
    fn the_nodes_that_were_told_of_are_asked_beside_the_seeds() {
        let seed = "redis://:secret@a:1".into_connection_info().unwrap();
        let nodes = Nodes::default();
        nodes.note(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]);
        let all = nodes.with(&[seed]);
        let shown: Vec<_> = all.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(shown, ["a:1", "b:2"]);
        assert_eq!(all[1].redis_settings().password(), Some("secret"));
    }

    #[test]
    fn a_node_without_an_address_is_where_it_was_asked() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port: i64| Value::Array(vec![host, Value::Int(port), text("id")]);
        let reply = Value::Array(vec![Value::Array(vec![
            Value::Int(0),
            Value::Int(16383),
            node(Value::Nil, 7000),
            node(text("10.0.0.2"), 7001),
        ])]);
        let ranges = read_ranges(reply, "seed").unwrap();
        assert_eq!(ranges[0].slots, 0..=16383);
        let nodes = [("seed".to_owned(), 7000), ("10.0.0.2".to_owned(), 7001)];
        assert_eq!(ranges[0].nodes, nodes);
    }
}
