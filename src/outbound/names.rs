//! From a name to its addresses: the hosts file, then DNS, whose answers are kept for their TTL.
//!
//! Nothing is judged here: the guard looks at what comes out at each connect, kept or not.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::Name},
    system_conf,
};

/// Where the addresses of names come from.
#[derive(Clone, Debug)]
pub enum Names {
    /// A hosts file, and the name servers and search domains of a `resolv.conf`. Both may change.
    Files {
        hosts: PathBuf,
        resolv_conf: PathBuf,
    },
    /// This name server alone.
    Server(SocketAddr),
}

/// Why no name can be looked up.
#[derive(Debug, thiserror::Error)]
#[error("names cannot be looked up: {0}")]
pub struct NamesFault(String);

impl Names {
    pub fn of_system() -> Self {
        Self::Files {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// The two files are looked at again after this long.
const FILES_CHECK_EVERY: Duration = Duration::from_secs(1);
/// An answer is kept for its TTL, but so long at least: a name server is not asked for every connection.
const TTL_MIN: Duration = Duration::from_secs(1);
/// … and so long at most: a target that moves is found again, whatever its TTL says.
const TTL_MAX: Duration = Duration::from_secs(300);
/// That a name does not exist is kept for so long at most: it may be about to.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
/// Answers that are kept; a name has two, and as many for each search domain that is tried before it.
const ANSWERS_MAX: u64 = 4096;
/// Addresses of one name and one family that are tried: the others share the time of an attempt.
const ADDRESSES_MAX: usize = 8;

/// Resolves for all who connect.
#[derive(Debug)]
pub(crate) struct NameService {
    sources: Mutex<Sources>,
    /// Where the sources are read from, again when they change.
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    hosts: PathBuf,
    resolv_conf: PathBuf,
}

#[derive(Clone, Debug)]
struct Sources {
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
    /// `None`: the system's own resolver, which does not tell TTLs.
    dns: Option<TokioResolver>,
    checked_at: Instant,
    stamps: [Option<Stamp>; 2],
}

/// By which a file is known to be the one that was read.
type Stamp = (SystemTime, u64);

impl NameService {
    pub(crate) fn new(names: &Names) -> Result<Arc<Self>, NamesFault> {
        let (sources, files) = match names {
            Names::Files { hosts, resolv_conf } => {
                let (hosts, resolv_conf) = (hosts.clone(), resolv_conf.clone());
                let files = Files { hosts, resolv_conf };
                (files.read(), Some(files))
            }
            Names::Server(address) => {
                let sources = Sources::of_server(*address);
                let unusable = |error: NetError| NamesFault(error.to_string());
                (sources.map_err(unusable)?, None)
            }
        };
        Ok(Arc::new(Self {
            sources: Mutex::new(sources),
            files,
        }))
    }

    /// Not empty, at most [`ADDRESSES_MAX`] of each family, in the order in which they are to be tried.
    pub(crate) async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let sources = self.sources();
        if let Some(found) = sources.hosts.get(&host.to_ascii_lowercase()) {
            return bounded(host, found.iter().copied());
        }
        match &sources.dns {
            Some(dns) => {
                let name = Name::from_ascii(host).map_err(io::Error::other)?;
                let found = dns.lookup_ip(name).await;
                bounded(
                    host,
                    found.map_err(|error| explain(host, &error))?.into_iter(),
                )
            }
            None => {
                let found = tokio::net::lookup_host((host, 0)).await?;
                bounded(host, found.map(|address| address.ip()))
            }
        }
    }

    /// As the files say now.
    fn sources(&self) -> Sources {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files
            && sources.checked_at.elapsed() >= FILES_CHECK_EVERY
        {
            sources.checked_at = Instant::now();
            if sources.stamps != files.stamps() {
                *sources = files.read();
            }
        }
        sources.clone()
    }
}

impl Files {
    fn read(&self) -> Sources {
        // Before the files are read: a change meanwhile is then seen the next time.
        let stamps = self.stamps();
        let dns = self.dns().map_err(|error| {
            tracing::warn!(
                %error,
                file = %self.resolv_conf.display(),
                "no name server can be read; names are looked up by the system, for every connection"
            );
        });
        let hosts = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        Sources {
            hosts: Arc::new(parse_hosts(&hosts)),
            dns: dns.ok(),
            checked_at: Instant::now(),
            stamps,
        }
    }

    fn dns(&self) -> Result<TokioResolver, NetError> {
        let (config, options) = name_servers(&self.resolv_conf)?;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.with_options(bounds(options)).build()
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.hosts, &self.resolv_conf].map(|path| {
            let file = path.metadata().ok()?;
            Some((file.modified().ok()?, file.len()))
        })
    }
}

impl Sources {
    fn of_server(address: SocketAddr) -> Result<Self, NetError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut to| {
            to.port = address.port();
            to
        });
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let builder = builder.with_options(bounds(ResolverOpts::default()));
        Ok(Self {
            hosts: Arc::default(),
            dns: Some(builder.build()?),
            checked_at: Instant::now(),
            stamps: [None; 2],
        })
    }
}

#[cfg(not(target_vendor = "apple"))]
fn name_servers(resolv_conf: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    system_conf::parse_resolv_conf(std::fs::read(resolv_conf)?)
}

/// This system keeps them elsewhere; the file is only a copy.
#[cfg(target_vendor = "apple")]
fn name_servers(_resolv_conf: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    system_conf::read_system_conf()
}

fn bounds(mut options: ResolverOpts) -> ResolverOpts {
    options.positive_min_ttl = Some(TTL_MIN);
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_min_ttl = Some(TTL_MIN);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.cache_size = ANSWERS_MAX;
    // The hosts file goes first, and alone: the resolver would ask DNS for the family that it leaves out.
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// Names in lower case. Lines that cannot be read are passed over, as the system does.
fn parse_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        for name in words {
            hosts
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(address);
        }
    }
    hosts
}

fn bounded(host: &str, found: impl Iterator<Item = IpAddr>) -> io::Result<Vec<IpAddr>> {
    let (mut v4, mut v6) = (0, 0);
    let taken: Vec<IpAddr> = found
        .filter(|address| {
            let count = if address.is_ipv4() { &mut v4 } else { &mut v6 };
            *count += 1;
            *count <= ADDRESSES_MAX
        })
        .collect();
    if taken.is_empty() {
        return Err(no_address(host));
    }
    Ok(taken)
}

fn no_address(host: &str) -> io::Error {
    let text = format!("the name `{host}` has no address");
    io::Error::new(io::ErrorKind::NotFound, text)
}

/// In an operator's words.
fn explain(host: &str, error: &NetError) -> io::Error {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            if *response_code == ResponseCode::NXDomain {
                let text = format!("the name `{host}` does not exist (NXDOMAIN)");
                io::Error::new(io::ErrorKind::NotFound, text)
            } else {
                no_address(host)
            }
        }
        NetError::Timeout => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no name server answered for `{host}`"),
        ),
        error => io::Error::other(format!("the name `{host}` cannot be looked up ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_as_the_system_reads_it() {
        let hosts = parse_hosts(
            "# a comment\n127.0.0.1 localhost Alias # more\n::1\tlocalhost\nnonsense crm\n10.0.0.7\n\n",
        );
        let [v4, v6] = ["127.0.0.1", "::1"].map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(hosts["localhost"], [v4, v6]);
        assert_eq!(hosts["alias"], [v4]);
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn a_long_answer_is_cut_for_each_family_alone() {
        let v6 = (0..20).map(|n| IpAddr::from([0x2600, 0, 0, 0, 0, 0, 0, n]));
        let v4 = (0..20).map(|n| IpAddr::from([1, 1, 1, n]));
        let taken = bounded("crm.test", v6.chain(v4)).unwrap();
        assert_eq!(taken.len(), 2 * ADDRESSES_MAX);
        assert!(taken[..ADDRESSES_MAX].iter().all(IpAddr::is_ipv6));
        assert!(taken[ADDRESSES_MAX..].iter().all(IpAddr::is_ipv4));
        assert!(bounded("crm.test", std::iter::empty()).is_err());
    }
}
