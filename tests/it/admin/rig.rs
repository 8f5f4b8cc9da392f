//! The admin listener over a store in memory with deliveries at work.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use hookgate::{
    admin::{
        Admin, Sources,
        control::{Control, ReloadResult, Resumed, Standing},
    },
    clock::{Clock, Timestamp},
    config::{AdminToken, Config, Role, Secret, Target},
    ingest::Gate,
    store::{StoreError, handover},
};
use http::{Method, StatusCode};
use serde_json::Value;

use crate::{
    delivery::rig::Rig,
    support::client::{Client, Reply},
};

/// The public side is not looked at here, but a configuration has a route.
const ROUTE_TOML: &str = r#"
[routes.orders]
path = "/orders"
verify = "none"
event_id = { json = "/id" }
deliver = []
"#;

pub(super) struct AdminRig {
    pub(super) rig: Rig,
    pub(super) client: Client,
    pub(super) control: Arc<Hand>,
    admin: Admin,
}

impl AdminRig {
    pub(super) fn start(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::of(Rig::start(targets))
    }

    pub(super) fn of(rig: Rig) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let config = Config::parse(ROUTE_TOML, "routes.toml", ".".as_ref(), &|_| None).unwrap();
        let gate = Gate::new(&config, rig.store.clone(), Clock::system(), &rig.metrics);
        let config = configured(&rig, Vec::new());
        let control = Arc::new(Hand {
            config: Mutex::new(config),
            lanes: rig.lanes.clone(),
            next: Mutex::default(),
        });
        let sources = Sources {
            metrics: rig.metrics.clone(),
            store: rig.store.clone(),
            gate: Arc::new(gate),
            control: control.clone(),
            clock: Clock::system(),
        };
        Self {
            admin: Admin::start(socket, sources).unwrap(),
            client: Client::plain(address),
            control,
            rig,
        }
    }

    /// From now on these tokens are configured: name, role, secret.
    pub(super) fn give_tokens(&self, tokens: &[(&str, Role, &str)]) {
        let tokens = tokens.iter().map(|(name, role, secret)| AdminToken {
            name: (*name).into(),
            role: *role,
            secret: Secret::new(*secret),
        });
        let config = configured(&self.rig, tokens.collect());
        *self.control.config.lock().unwrap() = config;
    }

    /// The JSON of an answer that must be 200.
    pub(super) async fn get(&self, path: &str) -> Value {
        let reply = self.client.get(&format!("/api/v1/{path}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        reply.json()
    }

    pub(super) async fn post(&self, path: &str, json: &str) -> Reply {
        let headers: &[_] = match json {
            "" => &[],
            _ => &[("Content-Type", "application/json")],
        };
        let path = format!("/api/v1/{path}");
        self.client.send(Method::POST, &path, headers, json).await
    }

    /// What is said of a request that must be refused so.
    pub(super) async fn refused(&self, path: &str, status: u16) -> String {
        let reply = self.client.get(&format!("/api/v1/{path}")).await;
        refusal(&reply, status)
    }

    pub(super) async fn stop(self) {
        self.rig.delivery.stop(crate::support::PATIENCE).await;
        self.admin.stop().await;
    }
}

fn configured(rig: &Rig, tokens: Vec<AdminToken>) -> Arc<Config> {
    let config = Config::parse(ROUTE_TOML, "routes.toml", ".".as_ref(), &|_| None).unwrap();
    let targets = rig.targets.iter();
    Arc::new(Config {
        targets: targets.map(|t| (t.name.clone(), t.clone())).collect(),
        admin: hookgate::config::Admin {
            tokens,
            ..config.admin
        },
        ..config
    })
}

/// A control that the test holds: of one configuration until it is given another.
pub(super) struct Hand {
    pub(super) config: Mutex<Arc<Config>>,
    lanes: Arc<handover::Lanes>,
    /// What comes of the next reload.
    pub(super) next: Mutex<Option<ReloadResult>>,
}

#[async_trait]
impl Control for Hand {
    async fn reload(&self) -> ReloadResult {
        let next = self.next.lock().unwrap().take();
        next.expect("a test that says what comes of it")
    }

    fn config(&self) -> Arc<Config> {
        self.config.lock().unwrap().clone()
    }

    fn standing(&self) -> Standing {
        Standing {
            path: None,
            config: self.config(),
            loaded_at: Timestamp::from_secs(1),
            last_attempt_at: Timestamp::from_secs(2),
            last_result: Ok(()),
            needs_restart: Vec::new(),
        }
    }

    fn gate(&self, target: &str) -> Option<Arc<handover::Gate>> {
        self.lanes.gate(target)
    }

    async fn pause(&self, target: &str) -> Result<bool, StoreError> {
        Ok(self.gate(target).is_some_and(|gate| {
            gate.set_paused_by_operator(true);
            true
        }))
    }

    async fn resume(&self, target: &str) -> Result<Resumed, StoreError> {
        let Some(gate) = self.gate(target) else {
            return Ok(Resumed::Unknown);
        };
        let was_paused = gate.is_paused();
        gate.set_paused_by_operator(false);
        Ok(match was_paused {
            true => Resumed::Resumed,
            false => Resumed::NotPaused,
        })
    }
}

/// The detail of a problem of this status.
#[track_caller]
pub(super) fn refusal(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    let problem = reply.json();
    assert_eq!(problem["status"], status);
    assert!(problem["code"].is_string());
    problem["detail"].as_str().unwrap().to_owned()
}
