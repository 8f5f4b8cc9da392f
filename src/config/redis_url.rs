//! How the servers of a Redis are found: `store.url` when it is no directory.

use std::fmt;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult, TlsCertificates,
};

pub(super) const URL_SHAPE: &str = "\"file:DIRECTORY\", \"redis://HOST:PORT\", \
     \"redis+sentinel://HOST:PORT,…/NAME\" or \"redis+cluster://HOST:PORT,…\" (rediss with TLS)";

const SENTINEL_PORT: u16 = 26379;

/// How the servers of a Redis are found, with what proves us to them. May hold passwords: never shown whole.
#[derive(Clone)]
pub enum RedisUrl {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`: at a fixed address.
    Server(ConnectionInfo),
    /// `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/NAME[/DATABASE]`: where the sentinels say that the primary
    /// of this name is.
    Sentinel {
        /// Not empty.
        sentinels: Vec<ConnectionInfo>,
        name: String,
        /// All but the address, which the sentinels tell.
        server: ConnectionInfo,
    },
    /// `redis+cluster://[USER:PASSWORD@]HOST[:PORT],…`: where the nodes say that a slot is.
    Cluster {
        /// Not empty. What holds for them holds for every node.
        seeds: Vec<ConnectionInfo>,
    },
}

impl RedisUrl {
    /// Nothing when it is not of the shape that [`shape`] tells.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (transport, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !["redis", "rediss"].contains(&transport) {
            return None;
        }
        match kind {
            "" => server(url).map(Self::Server),
            "sentinel" => Parts::of(transport, rest)?.sentinel(),
            "cluster" => Parts::of(transport, rest)?.cluster(),
            _ => None,
        }
    }

    /// With these certificates instead of the system's, and one of ours. Fails where the connections are not TLS or
    /// the certificates cannot be read.
    pub fn with_certificates(self, certificates: &TlsCertificates) -> RedisResult<Self> {
        let with = |info: ConnectionInfo| {
            let client = Client::build_with_tls(info, certificates.clone())?;
            Ok(client.get_connection_info().clone())
        };
        Ok(match self {
            Self::Server(info) => Self::Server(with(info)?),
            Self::Sentinel {
                sentinels,
                name,
                server,
            } => Self::Sentinel {
                sentinels: sentinels
                    .into_iter()
                    .map(with)
                    .collect::<RedisResult<_>>()?,
                name,
                server: with(server)?,
            },
            Self::Cluster { seeds } => Self::Cluster {
                seeds: seeds.into_iter().map(with).collect::<RedisResult<_>>()?,
            },
        })
    }

    pub fn is_tls(&self) -> bool {
        let (Self::Server(server) | Self::Sentinel { server, .. }) = self else {
            let Self::Cluster { seeds } = self else {
                return false;
            };
            return seeds.iter().all(is_tls);
        };
        is_tls(server)
    }
}

impl From<ConnectionInfo> for RedisUrl {
    fn from(server: ConnectionInfo) -> Self {
        Self::Server(server)
    }
}

/// Schemes, hosts and ports: no users, no passwords.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.is_tls() { "rediss" } else { "redis" };
        match self {
            Self::Server(server) => write!(f, "{transport}://{}", server.addr()),
            Self::Sentinel {
                sentinels, name, ..
            } => write!(f, "{transport}+sentinel://{}/{name}", hosts(sentinels)),
            Self::Cluster { seeds } => write!(f, "{transport}+cluster://{}", hosts(seeds)),
        }
    }
}

fn hosts(infos: &[ConnectionInfo]) -> String {
    let hosts: Vec<_> = infos.iter().map(|info| info.addr().to_string()).collect();
    hosts.join(",")
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// The URL that is expected of a scheme.
pub(super) fn shape(scheme: &str) -> String {
    let rest = match scheme.split_once('+').map(|(_, kind)| kind) {
        Some("sentinel") => {
            "HOST[:PORT],…/NAME[/DATABASE][?sentinel_user=USER&sentinel_password=PASSWORD]"
        }
        Some("cluster") => "HOST[:PORT],…",
        _ => "HOST[:PORT][/DATABASE]",
    };
    format!("\"{scheme}://[USER:PASSWORD@]{rest}\"")
}

fn server(url: &str) -> Option<ConnectionInfo> {
    let info = url.into_connection_info().ok()?;
    // TLS that does not verify its peer is compiled out.
    let verifies = !matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. });
    verifies.then_some(info)
}

/// `[USER:PASSWORD@]HOST,HOST/PATH?QUERY`
struct Parts<'a> {
    transport: &'a str,
    /// With its `@`, or empty.
    user: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(transport: &'a str, rest: &'a str) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
        let is_whole = hosts.iter().all(|host| !host.is_empty());
        is_whole.then_some(Self {
            transport,
            user,
            hosts,
            path: path.trim_end_matches('/'),
            query,
        })
    }

    fn info(&self, user: &str, host: &str, database: &str) -> Option<ConnectionInfo> {
        server(&format!("{}://{user}{host}/{database}", self.transport))
    }

    fn sentinel(&self) -> Option<RedisUrl> {
        let (name, database) = self.path.split_once('/').unwrap_or((self.path, ""));
        if name.is_empty() {
            return None;
        }
        let own = sentinel_settings(self.query)?;
        let sentinel = |host: &&str| {
            let host = with_port(host, SENTINEL_PORT);
            Some(self.info("", &host, "")?.set_redis_settings(own.clone()))
        };
        Some(RedisUrl::Sentinel {
            sentinels: self.hosts.iter().map(sentinel).collect::<Option<_>>()?,
            name: name.to_owned(),
            server: self.info(self.user, self.hosts[0], database)?,
        })
    }

    fn cluster(&self) -> Option<RedisUrl> {
        // A cluster has one database.
        if !self.path.is_empty() || !self.query.is_empty() {
            return None;
        }
        let seeds = self.hosts.iter().map(|host| self.info(self.user, host, ""));
        Some(RedisUrl::Cluster {
            seeds: seeds.collect::<Option<_>>()?,
        })
    }
}

/// What proves us to the sentinels; nothing when there is another parameter.
fn sentinel_settings(query: &str) -> Option<RedisConnectionInfo> {
    let mut settings = RedisConnectionInfo::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        settings = match &*name {
            "sentinel_user" => settings.set_username(&value),
            "sentinel_password" => settings.set_password(&value),
            _ => return None,
        };
    }
    Some(settings)
}

fn with_port(host: &str, port: u16) -> String {
    // The colons of an IPv6 address stand in brackets.
    let after_address = host.rfind(']').map_or(0, |at| at + 1);
    if host[after_address..].contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_read() {
        for (url, shown) in [
            ("redis://h", "redis://h:6379"),
            ("rediss://u:p@h:1/2", "rediss://h:1"),
            (
                "redis+sentinel://a,b:7/main",
                "redis+sentinel://a:26379,b:7/main",
            ),
            (
                "rediss+sentinel://u:p@[::1],[::2]:7/main/3",
                "rediss+sentinel://::1:26379,::2:7/main",
            ),
            ("redis+cluster://a,b:7", "redis+cluster://a:6379,b:7"),
            ("rediss+cluster://:p@a/", "rediss+cluster://a:6379"),
        ] {
            let read = RedisUrl::parse(url);
            assert_eq!(format!("{:?}", read.unwrap()), shown, "{url}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for url in [
            "redis://h:port",
            "redis://h/database",
            "rediss://h#insecure",
            "redis+sentinel://a,b",
            "redis+sentinel://a,,b/main",
            "redis+sentinel:///main",
            "redis+sentinel://a/main/x",
            "redis+sentinel://a/main?password=p",
            "redis+cluster://",
            "redis+cluster://a/1",
            "redis+cluster://a:x",
            "redis+other://a",
            "redis+unix:///socket",
        ] {
            assert!(RedisUrl::parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn servers_and_sentinels_have_their_own_credentials() {
        let url = "redis+sentinel://u:p%40@a/main/3?sentinel_user=s&sentinel_password=t%26";
        let Some(RedisUrl::Sentinel {
            sentinels, server, ..
        }) = RedisUrl::parse(url)
        else {
            panic!("{url}");
        };
        let settings = server.redis_settings();
        assert_eq!(
            (settings.username(), settings.password(), settings.db()),
            (Some("u"), Some("p@"), 3)
        );
        let settings = sentinels[0].redis_settings();
        assert_eq!(
            (settings.username(), settings.password(), settings.db()),
            (Some("s"), Some("t&"), 0)
        );
    }
}
