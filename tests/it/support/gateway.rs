//! The whole gateway, in this process, on ports of its own.

use std::{path::Path, sync::Arc};

use hookgate::{
    app::App,
    clock::{Clock, ClockHand, Timestamp},
    config::Config,
    event::{BodyDigest, DeadReason, DeliveryState, TargetName},
    keys::KeyFetcher,
    store::{Depth, Store, StoredEvent},
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{client::Client, metrics::Metrics, raw::Raw, schema, wait_for};

/// The environment that every gateway of the tests sees, in this process or in one of its own.
/// Each value occurs nowhere else, so that a test can search for it.
pub const ENVIRONMENT: [(&str, &str); 7] = [
    ("GITHUB_SECRET", "canary-github-7f3a91c2d4e5"),
    ("GITHUB_SECRET_OLD", "canary-github-old-0b1c2d3e"),
    ("STRIPE_SECRET", "whsec_canary-stripe-5d6e7f80"),
    ("SLACK_SECRET", "canary-slack-91a2b3c4d5e6f7"),
    ("SHOPIFY_SECRET", "canary-shopify-a8b9c0d1e2f3"),
    (
        "TICKETS_SECRET",
        "whsec_Y2FuYXJ5LXRpY2tldHMtMDEyMzQ1Njc4OWFi",
    ),
    ("CUSTOM_SECRET", "canary-custom-4e5f6a7b8c9d0e"),
];

/// The value of one of [`ENVIRONMENT`]'s variables.
pub fn env(name: &str) -> Option<String> {
    let found = ENVIRONMENT.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

/// A running gateway. End it with [`Gateway::finish`], which checks the ledger.
pub struct Gateway {
    app: App,
    /// Trusts the served certificate. What it hears goes into its ledger.
    pub client: Client,
    pub admin: Client,
    /// When it started, in whole seconds: still now, unless the hand has moved or the clock is the system's.
    pub began: Timestamp,
    /// Moves the gateway's time; `None` on the system's clock.
    pub hand: Option<ClockHand>,
    /// The base directory of the configuration, with the embedded store in `data`.
    pub directory: Arc<TempDir>,
    targets: Vec<TargetName>,
}

impl Gateway {
    /// On a clock that stands still until the hand moves it.
    pub async fn start(toml: &str) -> Self {
        Self::start_with(toml, &[]).await
    }

    /// The same, with files beside the configuration: name and content.
    pub async fn start_with(toml: &str, files: &[(&str, &str)]) -> Self {
        let directory = temporary();
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a writable directory");
        }
        let (clock, hand) = Clock::manual(this_second());
        Self {
            hand: Some(hand),
            ..Self::start_in(directory, toml, clock).await
        }
    }

    /// On the system's clock.
    pub async fn start_now(toml: &str) -> Self {
        Self::start_in(temporary(), toml, Clock::system()).await
    }

    /// On a directory that may hold another gateway's store and certificate. Panics when it does not start.
    pub async fn start_in(directory: Arc<TempDir>, toml: &str, clock: Clock) -> Self {
        let started = Self::try_start_in(directory, toml, clock).await;
        started.unwrap_or_else(|error| panic!("the gateway does not start: {error}"))
    }

    /// `Err` tells why the gateway does not start.
    pub async fn try_start_in(
        directory: Arc<TempDir>,
        toml: &str,
        clock: Clock,
    ) -> Result<Self, String> {
        let config = parse(toml, directory.path());
        let targets = config.targets.keys().cloned().collect();
        let began = Timestamp::from_secs(clock.now().as_secs());
        let app = App::start(config, clock).await;
        let app = app.map_err(|error| error.to_string())?;
        Ok(Self::around(app, directory, began, targets))
    }

    /// At this time, with keys from there.
    pub async fn start_with_keys(toml: &str, at: Timestamp, keys: Arc<dyn KeyFetcher>) -> Self {
        let directory = temporary();
        let config = parse(toml, directory.path());
        let targets = config.targets.keys().cloned().collect();
        let (clock, hand) = Clock::manual(at);
        let app = App::start_with(config, clock, Some(keys)).await;
        Self {
            hand: Some(hand),
            ..Self::around(app.expect("a gateway that starts"), directory, at, targets)
        }
    }

    fn around(
        app: App,
        directory: Arc<TempDir>,
        began: Timestamp,
        targets: Vec<TargetName>,
    ) -> Self {
        Self {
            client: Client::https(app.public_addr(), app.certificate_pem()),
            admin: Client::plain(app.admin_addr()),
            began,
            hand: None,
            app,
            directory,
            targets,
        }
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.app.store()
    }

    /// A connection of its own for hand-made bytes.
    pub async fn raw(&self) -> Raw {
        Raw::tls(self.app.public_addr(), self.app.certificate_pem()).await
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin.get("/metrics").await.text())
    }

    /// Deliveries by target, as the store tells it.
    pub async fn depth(&self) -> Vec<Depth> {
        let depth = self.store().depth(&self.targets).await;
        depth.expect("a store that answers")
    }

    pub async fn stored(&self, uid: Uuid) -> Option<StoredEvent> {
        let stored = self.store().get(uid).await;
        stored.expect("a store that answers")
    }

    /// Stops without a check, and hands back the directory for the next.
    pub async fn stop(self) -> Arc<TempDir> {
        self.app.stop().await;
        self.directory
    }

    /// Checks the ledger (every event that a client was told is accepted is stored with the bytes sent, and each of its
    /// deliveries is delivered, pending or dead), then stops.
    pub async fn finish(self) {
        self.check_ledger().await;
        self.stop().await;
    }

    async fn check_ledger(&self) {
        let entries = self.client.ledger.entries();
        let accepted = self.metrics().await;
        let accepted = accepted.sum("hookgate_requests_total", r#"outcome="accepted""#);
        let all_known = entries.len() as f64 == accepted;
        // Deliveries settle while they are counted: look until two counts of one moment agree.
        wait_for("a ledger that adds up", async || {
            let before = self.depth().await;
            let mut counted = vec![Depth::default(); self.targets.len()];
            for (uid, body) in &entries {
                self.count(*uid, body, &mut counted).await;
            }
            let after = self.depth().await;
            let totals =
                |depth: &[Depth]| -> Vec<_> { depth.iter().map(|d| (d.pending, d.dead)).collect() };
            let steady = totals(&before) == totals(&after);
            (steady && (!all_known || totals(&counted) == totals(&after))).then_some(())
        })
        .await;
    }

    async fn count(&self, uid: Uuid, body: &[u8], counted: &mut [Depth]) {
        let stored = self.stored(uid).await;
        let stored = stored.unwrap_or_else(|| panic!("accepted and lost: {uid}"));
        assert_eq!(stored.event.body, body, "not the bytes sent: {uid}");
        assert_eq!(stored.event.digest, BodyDigest::of(body), "{uid}");
        for delivery in &stored.deliveries {
            // A target that is gone has no depth to compare with.
            let target = self.targets.iter().position(|t| *t == delivery.target);
            match (target, delivery.state) {
                (Some(at), DeliveryState::Pending) => counted[at].pending += 1,
                (Some(at), DeliveryState::Dead(_)) => counted[at].dead += 1,
                (None, DeliveryState::Pending) => panic!("pending for nobody: {uid}"),
                (None, DeliveryState::Dead(reason)) => {
                    assert_eq!(reason, DeadReason::TargetRemoved);
                }
                (_, DeliveryState::Delivered | DeliveryState::Filtered) => {}
            }
        }
    }
}

/// A manual clock starts at the present, since clients judge certificates by the system's clock.
fn this_second() -> Timestamp {
    Timestamp::from_secs(Clock::system().now().as_secs())
}

pub fn temporary() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a temporary directory"))
}

/// A configuration from `toml` with free ports and a store in `directory`, where it does not say otherwise.
pub fn parse(toml: &str, directory: &Path) -> Config {
    let text = complete(toml, "127.0.0.1:0", "127.0.0.1:0");
    let config = Config::parse(&text, "routes.toml", directory, &env)
        .unwrap_or_else(|faults| panic!("a configuration that does not load: {faults}\n{text}"));
    schema::assert_takes(&text);
    config
}

/// Adds addresses and a store to `toml`, where it does not say otherwise.
pub fn complete(toml: &str, listen: &str, admin: &str) -> String {
    let mut root: toml::Table = toml.parse().expect("a configuration in TOML");
    let defaults = [
        ("server", "listen", listen),
        ("admin", "listen", admin),
        ("store", "url", "file:data"),
    ];
    for (section, key, value) in defaults {
        let section = root
            .entry(section)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .expect("a table");
        section.entry(key).or_insert_with(|| value.into());
    }
    toml::to_string(&root).expect("a table")
}
