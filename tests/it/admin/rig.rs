//! The admin listener over a store in memory with deliveries at work.

use std::{net::TcpListener, sync::Arc};

use hookgate::{
    admin::{Admin, Sources},
    clock::Clock,
    config::{self, Config, Target},
    ingest::Gate,
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
        let sources = Sources {
            metrics: rig.metrics.clone(),
            store: rig.store.clone(),
            gate: Arc::new(gate),
            targets: rig.targets.clone(),
            lanes: rig.lanes.clone(),
            clock: Clock::system(),
        };
        let settings = config::Admin {
            listen: address,
            tokens: Vec::new(),
        };
        Self {
            admin: Admin::start(socket, &settings, sources).unwrap(),
            client: Client::plain(address),
            rig,
        }
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

    pub(super) async fn delete(&self, path: &str) -> Reply {
        let path = format!("/api/v1/{path}");
        self.client.send(Method::DELETE, &path, &[], "").await
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
