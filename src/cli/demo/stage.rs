//! Where the demo plays: a gateway of its own, on free ports and in a fresh directory.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    app::{App, StartError},
    cli::{
        https::{Https, Trust},
        samples::DEMO_KEYS,
    },
    clock::Clock,
    config::{ApiKey, Config, Durability, StoreUrl, Tls, Verifier, Verify},
    listener::bind,
};

use super::receivers::Receivers;

/// The project's own configuration, for where there is no project.
const SHIPPED: &str = include_str!("../../../routes.toml");

/// A gateway with its receivers and a client that trusts it.
pub(super) struct Stage {
    pub(super) app: App,
    pub(super) receivers: Receivers,
    pub(super) client: Https,
    pub(super) directory: Directory,
    /// Of each route, with its credentials.
    pub(super) routes: Vec<std::sync::Arc<crate::config::Route>>,
}

impl Stage {
    /// On the configured ports where they are free, with what to say about the routes.
    /// `Err` tells in words what went wrong.
    pub(super) async fn set(path: &Path) -> Result<(Self, String), String> {
        let (config, note) = configuration(path)?;
        let stage = match Self::on(config, own_if_free).await? {
            Some(stage) => stage,
            // Somebody took a port between the look and the start.
            None => {
                let (config, _) = configuration(path)?;
                let stage = Self::on(config, |_| any_port()).await?;
                stage.ok_or("no port is free")?
            }
        };
        Ok((stage, note))
    }

    /// `None` when a port is taken.
    async fn on(
        mut config: Config,
        address: impl Fn(SocketAddr) -> SocketAddr,
    ) -> Result<Option<Self>, String> {
        let directory = Directory::new().map_err(|error| format!("no fresh directory: {error}"))?;
        let receivers = Receivers::start(&mut config)?;
        isolate(&mut config, &directory.0);
        config.server.listen = address(config.server.listen);
        config.admin.listen = address(config.admin.listen);
        let routes = config.routes.clone();
        let app = match App::start(config, Clock::system()).await {
            Ok(app) => app,
            Err(error) => {
                receivers.stop().await;
                return match error {
                    StartError::Bind(_) => Ok(None),
                    error => Err(error.to_string()),
                };
            }
        };
        let client = Https::new(&Trust::Pem(app.certificate_pem()))?;
        Ok(Some(Self {
            app,
            receivers,
            client,
            directory,
            routes,
        }))
    }

    /// The gateway first: a target that goes away under it would be tried again.
    pub(super) async fn clear(self) {
        self.app.stop().await;
        self.receivers.stop().await;
    }
}

/// The configuration at `path` if it holds the demo's routes, else the shipped one; and what to say about it.
/// The demo plays either way: a newcomer's file with a fault in it is no reason to show nothing.
fn configuration(path: &Path) -> Result<(Config, String), String> {
    let shown = path.display();
    let why = match path.exists().then(|| Config::load(path)) {
        Some(Ok(config)) if has_demo_keys(&config) => {
            return Ok((config, format!("routes of {shown}")));
        }
        Some(Ok(_)) => format!(", since those of {shown} are others"),
        Some(Err(_)) => format!(", since {shown} has faults (`hookgate check` tells them)"),
        None => format!(", since there is no {shown}"),
    };
    let shipped = Config::parse(SHIPPED, "routes.toml", Path::new(""), &|_| None);
    let config = shipped.map_err(|faults| faults.to_string())?;
    Ok((config, format!("the shipped demo routes{why}")))
}

/// Whether the demo's keys open their routes, so that its traffic can be what it should be.
fn has_demo_keys(config: &Config) -> bool {
    DEMO_KEYS.iter().all(|(route, key)| {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let route = config.routes.iter().find(|known| *known.name == **route);
        route.is_some_and(|route| keys(&route.verify).any(|key| key.sha256 == digest))
    })
}

fn keys(verify: &Verify) -> impl Iterator<Item = &ApiKey> {
    let verifiers = match verify {
        Verify::All(verifiers) => verifiers.as_slice(),
        Verify::Nobody => &[],
    };
    verifiers.iter().flat_map(|verifier| match verifier {
        Verifier::ApiKey { keys, .. } => keys.as_slice(),
        _ => &[],
    })
}

/// Nothing that another run or a real gateway uses: data and a certificate of its own.
fn isolate(config: &mut Config, directory: &Path) {
    config.store.url = StoreUrl::Embedded {
        directory: directory.join("data"),
    };
    config.store.durability = Durability::Always;
    config.server.tls = Tls::SelfSigned {
        directory: directory.join("tls"),
    };
    config.server.plain_listen = None;
}

/// `address` on loopback if its port is free, else any free port there.
fn own_if_free(address: SocketAddr) -> SocketAddr {
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    bind(own).map_or(any_port(), |_| own)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A fresh directory that nobody else may read; removed with all it holds when dropped.
pub(super) struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("hookgate-demo-{}", Uuid::now_v7()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where the gateway keeps the certificate it has made.
    pub(super) fn certificate(&self) -> PathBuf {
        self.0.join("tls").join("localhost.crt")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left is the system's to clean: it is its directory for temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_loads_and_holds_the_demo_keys() {
        let (config, _) = configuration(Path::new("/nonexistent/routes.toml")).unwrap();
        assert!(has_demo_keys(&config));
    }

    #[test]
    fn the_shipped_configuration_warns_of_its_demo_secrets_and_of_what_github_does_not_sign() {
        let config = Config::parse(SHIPPED, "routes.toml", Path::new(""), &|_| None).unwrap();
        let (secrets, others): (Vec<_>, Vec<_>) = config
            .warnings
            .iter()
            .partition(|warning| warning.message == "a secret is written in this file");
        assert_eq!(secrets.len(), 3);
        let [unsigned] = &others[..] else {
            panic!("{others:?}");
        };
        assert!(unsigned.key == "routes.github" && unsigned.message.contains("event id"));
    }
}
