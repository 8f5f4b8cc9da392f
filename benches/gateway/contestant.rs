//! The servers that take turns: baselines and gateways, each fresh on an empty store.

use std::{
    fmt::{self, Write as _},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::{
    Result,
    load::{self, SECRET},
    process::{Process, free_port},
    receiver::Receivers,
    redis::Redis,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Reads the body and answers 200.
    Bare,
    /// Posts the body to each target and answers 200 when all have answered.
    Forwarder,
    Gateway(StoreKind, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StoreKind {
    Embedded,
    Redis,
}

pub(crate) const BARE: Kind = Kind::Bare;
pub(crate) const FORWARDER: Kind = Kind::Forwarder;
pub(crate) const EMBEDDED: Kind = Kind::Gateway(StoreKind::Embedded, "always");
pub(crate) const REDIS: Kind = Kind::Gateway(StoreKind::Redis, "always");

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (store, durability) = match self {
            Kind::Bare => return f.pad("bare"),
            Kind::Forwarder => return f.pad("forwarder"),
            Kind::Gateway(StoreKind::Embedded, durability) => ("embedded", durability),
            Kind::Gateway(StoreKind::Redis, durability) => ("redis", durability),
        };
        match *durability {
            "always" => f.pad(store),
            other => f.pad(&format!("{store} {other}")),
        }
    }
}

/// Where a gateway's events go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Targets {
    /// So many, that take none; routes go round them in turn.
    Paused(usize),
    /// So many receivers, each of which gets every event.
    Receiving(usize),
    /// One, which wants no event of these.
    Unmatched,
}

impl Targets {
    pub(crate) fn receiving(self) -> usize {
        match self {
            Targets::Receiving(count) => count,
            Targets::Paused(_) | Targets::Unmatched => 0,
        }
    }
}

/// What a contestant is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) targets: Targets,
    pub(crate) routes: usize,
    /// How many of them share the store, where it is Redis.
    pub(crate) gateways: usize,
}

impl Setup {
    pub(crate) fn new(kind: Kind, targets: Targets) -> Self {
        Self {
            kind,
            targets,
            routes: 1,
            gateways: 1,
        }
    }
}

/// Where contestants live and what they serve with.
pub(crate) struct Site {
    directory: TempDir,
    pub(crate) certificate: String,
}

impl Site {
    pub(crate) fn new(below: &Path) -> Result<Self> {
        std::fs::create_dir_all(below)?;
        let directory = TempDir::with_prefix_in("bench-", below)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = made.cert.pem();
        std::fs::write(directory.path().join("tls.crt"), &certificate)?;
        std::fs::write(
            directory.path().join("tls.key"),
            made.signing_key.serialize_pem(),
        )?;
        Ok(Self {
            directory,
            certificate,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

struct Server {
    process: Process,
    address: SocketAddr,
    /// Its configuration, where it is a gateway.
    config: Option<PathBuf>,
}

/// CPU time since the start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) server: Duration,
    pub(crate) redis: Duration,
    pub(crate) client: Duration,
}

/// A running contestant. Servers are declared before what they use, so that they end first.
pub(crate) struct Contestant {
    pub(crate) setup: Setup,
    servers: Vec<Server>,
    redis: Option<Redis>,
    pub(crate) receivers: Receivers,
    /// For connections that last, without resumption.
    pub(crate) connector: TlsConnector,
    directory: TempDir,
}

impl Contestant {
    pub(crate) async fn start(setup: Setup, site: &Site) -> Result<Self> {
        let directory = TempDir::with_prefix_in("contestant-", site.path())?;
        let receivers = Receivers::start(setup.targets.receiving()).await?;
        let redis = match setup.kind {
            Kind::Gateway(StoreKind::Redis, durability) => {
                Some(Redis::start(directory.path(), durability)?)
            }
            _ => None,
        };
        let mut contestant = Self {
            setup,
            servers: Vec::new(),
            redis,
            receivers,
            connector: load::connector(&site.certificate, false)?,
            directory,
        };
        match setup.kind {
            Kind::Bare => contestant.start_baseline(site, &[])?,
            Kind::Forwarder => {
                let targets = contestant.receivers.addresses.clone();
                contestant.start_baseline(site, &targets)?;
            }
            Kind::Gateway(store, durability) => {
                for number in 0..setup.gateways {
                    contestant.start_gateway(number, store, durability)?;
                }
            }
        }
        Ok(contestant)
    }

    fn start_baseline(&mut self, site: &Site, targets: &[SocketAddr]) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--baseline").arg(site.path());
        for target in targets {
            command.args(["--target", &target.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let log = self.directory.path().join("baseline.log");
        let mut process = Process::start(&self.setup.kind.to_string(), &mut command, &log)?;
        let output = process.child().stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port: u16 = line.trim().parse().map_err(|_| process.last_lines())?;
        self.servers.push(Server {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            config: None,
        });
        Ok(())
    }

    fn start_gateway(&mut self, number: usize, store: StoreKind, durability: &str) -> Result<()> {
        let url = match (&self.redis, store) {
            (Some(redis), StoreKind::Redis) => format!("redis://{}/", redis.address),
            _ => "file:data".to_owned(),
        };
        let [public, admin] = [free_port(), free_port()];
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{public}\"\nmax_connections_per_ip = 4096\n\
             tls = {{ certificate = \"../tls.crt\", private_key = \"../tls.key\" }}\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [store]\nurl = \"{url}\"\ndurability = \"{durability}\"\n"
        );
        write_targets(&mut text, &self.setup, &self.receivers.addresses)?;
        write_routes(&mut text, &self.setup)?;
        let config = self.directory.path().join(format!("gateway-{number}.toml"));
        std::fs::write(&config, text)?;
        let address = SocketAddr::from(([127, 0, 0, 1], public));
        let process = start_gateway(&config, address)?;
        self.servers.push(Server {
            process,
            address,
            config: Some(config),
        });
        Ok(())
    }

    /// Stops the gateways, starts them again on the same store, and tells how long the first took to listen.
    pub(crate) fn restart(&mut self) -> Result<Duration> {
        let mut first = None;
        for server in std::mem::take(&mut self.servers) {
            server.process.stop()?;
            let config = server.config.ok_or("baselines have nothing to start on")?;
            let began = Instant::now();
            let process = start_gateway(&config, server.address)?;
            first.get_or_insert(began.elapsed());
            self.servers.push(Server {
                process,
                address: server.address,
                config: Some(config),
            });
        }
        first.ok_or_else(|| "nothing to start".into())
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut cpu = Cpu {
            client: crate::process::own_cpu()?,
            ..Cpu::default()
        };
        for server in &self.servers {
            cpu.server += server.process.cpu()?;
        }
        if let Some(redis) = &self.redis {
            cpu.redis = redis.process.cpu()?;
        }
        Ok(cpu)
    }

    /// Of the greatest of the servers.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let peaks = self.servers.iter().map(|server| server.process.peak_mib());
        peaks.reduce(|a, b| Ok(a?.max(b?))).unwrap_or(Ok(0.0))
    }

    pub(crate) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// What the servers wrote last, to tell why one refused.
    pub(crate) fn last_lines(&self) -> String {
        let lines = self
            .servers
            .iter()
            .map(|server| server.process.last_lines());
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn start_gateway(config: &Path, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.arg("serve").arg("--config").arg(config);
    let mut process = Process::start("hookgate", &mut command, &config.with_extension("log"))?;
    process.wait_for(address)?;
    Ok(process)
}

fn write_targets(text: &mut String, setup: &Setup, receivers: &[SocketAddr]) -> Result<()> {
    let mut target = |number, address: &str, paused| {
        writeln!(
            text,
            "[targets.t{number}]\nurl = \"http://{address}/\"\nallow_private = true\nconcurrency = 128\npaused = {paused}"
        )
    };
    match setup.targets {
        Targets::Paused(count) => {
            (0..count).try_for_each(|number| target(number, "127.0.0.1:9", true))?;
        }
        Targets::Unmatched => target(0, "127.0.0.1:9", false)?,
        Targets::Receiving(_) => {
            for (number, address) in receivers.iter().enumerate() {
                target(number, &address.to_string(), false)?;
            }
        }
    }
    Ok(())
}

fn write_routes(text: &mut String, setup: &Setup) -> Result<()> {
    for route in 0..setup.routes {
        let deliver = match setup.targets {
            Targets::Paused(count) => format!("[\"t{}\"]", route % count),
            Targets::Receiving(count) => {
                let names: Vec<_> = (0..count).map(|number| format!("\"t{number}\"")).collect();
                format!("[{}]", names.join(", "))
            }
            Targets::Unmatched => "[{ to = \"t0\", events = [\"another\"] }]".to_owned(),
        };
        writeln!(
            text,
            "[routes.r{route}]\npath = \"/hooks/{route}\"\n\
             verify = {{ hmac = {{ header = \"X-Signature\", algorithm = \"sha256\", encoding = \"hex\" }}, secrets = [{{ value = \"{SECRET}\" }}] }}\n\
             event_id = {{ json = \"/id\" }}\nevent_type = {{ json = \"/type\" }}\ndeliver = {deliver}"
        )?;
    }
    Ok(())
}
