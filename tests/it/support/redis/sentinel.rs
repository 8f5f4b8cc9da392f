//! A primary, two replicas and three sentinels, who notice within half a second that the primary has gone.

use std::{fmt::Write as _, process::Command};

use hookgate::config::RedisUrl;
use redis::{ConnectionInfo, Value};
use tempfile::TempDir;

use super::{
    Process, RedisServer, command, connection, free_port, info, tls::Certificate, wait_until,
};

const NAME: &str = "main";

pub(crate) struct Sentinels {
    /// First the one that was the primary at the start.
    pub(crate) servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
    certificate: Option<Certificate>,
}

struct Sentinel {
    port: u16,
    /// Of TLS, where there is one.
    tls_port: u16,
    _directory: TempDir,
    _process: Process,
}

impl Sentinels {
    pub(crate) fn start() -> Self {
        Self::with(None, &[])
    }

    /// All speak TLS, to one another too.
    pub(crate) fn over_tls(certificate: Certificate) -> Self {
        Self::with(Some(certificate), &[])
    }

    /// Servers with these options.
    pub(crate) fn with(certificate: Option<Certificate>, options: &[(&str, &str)]) -> Self {
        let mut servers: Vec<RedisServer> = Vec::new();
        let mut primary = 0;
        for number in 0..3 {
            let mut own: Vec<(&str, String)> = vec![
                ("repl-diskless-sync-delay", "0".to_owned()),
                ("databases", "16".to_owned()),
            ];
            own.extend(
                options
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned())),
            );
            let tls_port = free_port();
            if let Some(certificate) = &certificate {
                own.extend(certificate.options(tls_port));
                own.push(("tls-replication", "yes".to_owned()));
            }
            if number > 0 {
                own.push(("replicaof", format!("127.0.0.1 {primary}")));
            }
            let own: Vec<_> = own.iter().map(|(name, value)| (*name, &**value)).collect();
            let server = RedisServer::with(&own);
            if number == 0 {
                primary = if certificate.is_some() {
                    tls_port
                } else {
                    server.port()
                };
            }
            servers.push(server);
        }
        wait_until("the replicas are in step", || {
            let replication = servers[0].command(&["INFO", "replication"]);
            ["slave0", "slave1"]
                .iter()
                .all(|slave| info(&replication, slave).contains("state=online"))
        });
        let sentinels: Vec<_> = (0..3)
            .map(|_| Sentinel::start(primary, certificate.as_ref()))
            .collect();
        for sentinel in &sentinels {
            wait_until("a sentinel knows all", || {
                let fields = sentinel.fields();
                let is = |name: &str, value: &str| {
                    fields
                        .iter()
                        .any(|field| field == &(name.to_owned(), value.to_owned()))
                };
                is("num-slaves", "2") && is("num-other-sentinels", "2")
            });
        }
        Self {
            servers,
            sentinels,
            certificate,
        }
    }

    /// As an operator writes it.
    pub(crate) fn url(&self) -> String {
        let (scheme, hosts): (_, Vec<_>) = match &self.certificate {
            None => (
                "redis",
                self.sentinels
                    .iter()
                    .map(|sentinel| sentinel.port)
                    .collect(),
            ),
            Some(_) => (
                "rediss",
                self.sentinels
                    .iter()
                    .map(|sentinel| sentinel.tls_port)
                    .collect(),
            ),
        };
        let hosts: Vec<_> = hosts
            .iter()
            .map(|port: &u16| format!("127.0.0.1:{port}"))
            .collect();
        format!("{scheme}+sentinel://{}/{NAME}", hosts.join(","))
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

    /// Runs a command at every sentinel.
    pub(crate) fn ask_each(&self, words: &[&str]) -> Vec<Value> {
        let ask = |sentinel: &Sentinel| command(&sentinel.connection(), words);
        self.sentinels.iter().map(ask).collect()
    }

    /// Lets the sentinels replace a primary that is well.
    pub(crate) fn fail_over(&self) {
        command(
            &self.sentinels[0].connection(),
            &["SENTINEL", "FAILOVER", NAME],
        );
    }

    /// The server that is a primary now, of those that answer.
    pub(crate) fn primary(&self) -> Option<&RedisServer> {
        self.servers.iter().find(|server| {
            let client = redis::Client::open(server.connection()).expect("settings");
            let Ok(mut connection) = client.get_connection() else {
                return false;
            };
            let reply: redis::RedisResult<Value> =
                redis::cmd("INFO").arg("replication").query(&mut connection);
            reply.is_ok_and(|reply| info(&reply, "role") == "master")
        })
    }
}

impl Sentinel {
    fn start(primary: u16, certificate: Option<&Certificate>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..10 {
            let (port, tls_port) = (free_port(), free_port());
            let mut text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n",
                directory.path().display()
            );
            for (name, value) in certificate
                .map(|own| own.options(tls_port))
                .unwrap_or_default()
            {
                writeln!(text, "{name} {value}").expect("a string takes all");
            }
            if certificate.is_some() {
                text.push_str("tls-replication yes\n");
            }
            // It writes into its configuration what it learns.
            let path = directory.path().join("sentinel.conf");
            std::fs::write(&path, text).expect("a file");
            let mut command = Command::new("redis-server");
            command.arg(&path).arg("--sentinel");
            if let Some(process) = Process::spawn(command, directory.path(), port) {
                return Self {
                    port,
                    tls_port,
                    _directory: directory,
                    _process: process,
                };
            }
        }
        panic!("a sentinel does not start");
    }

    fn connection(&self) -> ConnectionInfo {
        connection(&format!("redis://127.0.0.1:{}/", self.port))
    }

    /// What it knows of the primary.
    fn fields(&self) -> Vec<(String, String)> {
        let reply = command(&self.connection(), &["SENTINEL", "MASTER", NAME]);
        redis::from_redis_value(reply).expect("names and values")
    }
}
