//! Three primaries with a replica each, as a Redis Cluster that notices within two seconds who has gone.

use hookgate::config::RedisUrl;
use redis::Value;

use super::{RedisServer, free_port, info, tls::Certificate, wait_until};

const NODES: usize = 6;
const PRIMARIES: usize = 3;
const SLOTS: usize = 16384;

pub(crate) struct Cluster {
    /// At the start the first three are primaries, and each of the others the replica of the one three before it.
    pub(crate) nodes: Vec<RedisServer>,
    tls_ports: Vec<u16>,
    certificate: Option<Certificate>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// All speak TLS, to one another too.
    pub(crate) fn over_tls(certificate: Certificate) -> Self {
        Self::with(Some(certificate))
    }

    fn with(certificate: Option<Certificate>) -> Self {
        let (mut nodes, mut tls_ports, mut bus_ports) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..NODES {
            let (bus_port, tls_port) = (free_port(), free_port());
            let mut options = vec![
                ("cluster-enabled", "yes".to_owned()),
                ("cluster-port", bus_port.to_string()),
                ("cluster-node-timeout", "1500".to_owned()),
                ("repl-diskless-sync-delay", "0".to_owned()),
                ("databases", "1".to_owned()),
            ];
            if let Some(certificate) = &certificate {
                options.extend(certificate.options(tls_port));
                options.push(("tls-cluster", "yes".to_owned()));
                options.push(("tls-replication", "yes".to_owned()));
            }
            let options: Vec<_> = options
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            nodes.push(RedisServer::with(&options));
            tls_ports.push(tls_port);
            bus_ports.push(bus_port);
        }
        let cluster = Self {
            nodes,
            tls_ports,
            certificate,
        };
        cluster.join(&bus_ports);
        cluster
    }

    /// Makes one cluster of the nodes.
    fn join(&self, bus_ports: &[u16]) {
        for (number, node) in self.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            if number < PRIMARIES {
                let first = number * SLOTS / PRIMARIES;
                let last = (number + 1) * SLOTS / PRIMARIES - 1;
                node.command(&[
                    "CLUSTER",
                    "ADDSLOTSRANGE",
                    &first.to_string(),
                    &last.to_string(),
                ]);
            }
            for (other, bus_port) in bus_ports.iter().enumerate().take(number) {
                let port = match &self.certificate {
                    None => self.nodes[other].port(),
                    Some(_) => self.tls_ports[other],
                };
                node.command(&[
                    "CLUSTER",
                    "MEET",
                    "127.0.0.1",
                    &port.to_string(),
                    &bus_port.to_string(),
                ]);
            }
        }
        self.wait_until_each("knows all", |node| {
            info(&node.command(&["CLUSTER", "INFO"]), "cluster_known_nodes") == NODES.to_string()
        });
        for number in PRIMARIES..NODES {
            let primary = self.id(number - PRIMARIES);
            self.nodes[number].command(&["CLUSTER", "REPLICATE", &primary]);
        }
        self.wait_until_each("is in step", |node| {
            let replication = node.command(&["INFO", "replication"]);
            info(&replication, "master_link_status") == "up"
                || info(&replication, "slave0").contains("state=online")
        });
        self.wait_until_each("is ready", |node| {
            info(&node.command(&["CLUSTER", "INFO"]), "cluster_state") == "ok"
        });
    }

    fn wait_until_each(&self, what: &str, is_so: impl Fn(&RedisServer) -> bool) {
        for node in &self.nodes {
            wait_until(what, || is_so(node));
        }
    }

    pub(crate) fn id(&self, number: usize) -> String {
        match self.nodes[number].command(&["CLUSTER", "MYID"]) {
            Value::BulkString(id) => String::from_utf8(id).expect("hexadecimal"),
            other => panic!("no id: {other:?}"),
        }
    }

    /// As an operator writes it, with two of the nodes.
    pub(crate) fn url(&self) -> String {
        match &self.certificate {
            None => format!(
                "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
                self.nodes[0].port(),
                self.nodes[1].port()
            ),
            Some(_) => format!(
                "rediss+cluster://127.0.0.1:{},127.0.0.1:{}",
                self.tls_ports[0], self.tls_ports[1]
            ),
        }
    }

    pub(crate) fn servers(&self) -> RedisUrl {
        let url = RedisUrl::parse(&self.url()).expect("a valid URL");
        match &self.certificate {
            None => url,
            Some(certificate) => url
                .with_certificates(&certificate.trusted())
                .expect("certificates"),
        }
    }

    /// Keys that begin so, by node.
    pub(crate) fn keys(&self, pattern: &str) -> Vec<usize> {
        let count = |node: &RedisServer| match node.command(&["KEYS", pattern]) {
            Value::Array(keys) => keys.len(),
            other => panic!("keys: {other:?}"),
        };
        self.nodes.iter().map(count).collect()
    }
}
