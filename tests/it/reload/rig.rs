//! A program whose configuration is changed under it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    client::{Client, Reply},
    metrics::Metrics,
    process::Process,
    sign, wait_for,
};

pub(super) const SECRET: &str = "canary-reload-one-6b1f";
pub(super) const OTHER: &str = "canary-reload-two-93ac";

/// A route that is proven as GitHub does, at `/hooks/` and its name. `secrets` and `rest` as they stand in the file.
pub(super) fn route(name: &str, secrets: &str, rest: &str) -> String {
    format!(
        "[routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"github\"\nsecrets = [{secrets}]\n{rest}\n"
    )
}

pub(super) fn literal(secret: &str) -> String {
    format!("{{ value = \"{secret}\" }}")
}

pub(super) fn target(name: &str, url: &str, rest: &str) -> String {
    format!("[targets.{name}]\nurl = \"{url}\"\nallow_private = true\n{rest}\n")
}

/// What a route answers to an event signed with this secret.
pub(super) async fn post(client: &Client, route: &str, id: &str, secret: &str) -> Reply {
    let body = json!({ "id": id }).to_string();
    let signature = sign::github(secret, body.as_bytes());
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", id),
    ];
    client
        .post(&format!("/hooks/{route}"), &headers, body)
        .await
}

/// Reloads that ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ok: u32,
    pub(super) failed: u32,
}

pub(super) struct Rig {
    pub(super) process: Process,
}

impl Rig {
    pub(super) async fn start(toml: &str) -> Self {
        Self::of(Process::spawn(toml).await)
    }

    pub(super) fn of(process: Process) -> Self {
        Self { process }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.process.directory.path().join(name)
    }

    /// As editors and deployment tools do: another file takes the name.
    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        replace(&self.path(name), content);
    }

    /// The configuration, with what it needs to be one of this program.
    pub(super) fn configure(&self, toml: &str) {
        self.put("routes.toml", self.process.whole(toml));
    }

    pub(super) async fn post(&self, route: &str, id: &str, secret: &str) -> u16 {
        let reply = post(&self.process.client, route, id, secret).await;
        reply.status.as_u16()
    }

    pub(super) async fn metrics(&self) -> Metrics {
        self.process.metrics().await
    }

    pub(super) async fn counts(&self) -> Counts {
        let metrics = self.metrics().await;
        let count = |result| {
            let value = metrics.value("hookgate_config_reloads_total", &[("result", result)]);
            value.unwrap() as u32
        };
        Counts {
            ok: count("ok"),
            failed: count("failed"),
        }
    }

    /// By the change of a file alone.
    pub(super) async fn until(&self, ok: u32, failed: u32) {
        let wanted = Counts { ok, failed };
        let mut last = None;
        wait_for("a reload after a change of a file", async || {
            let counts = self.counts().await;
            last = Some(counts);
            (counts.ok >= ok && counts.failed >= failed).then_some(())
        })
        .await;
        assert_eq!(last, Some(wanted), "{}", self.process.stderr());
    }

    /// Reloads by signal; true when that went well.
    pub(super) async fn hang_up(&self) -> bool {
        let before = self.counts().await;
        self.process.signal(Signal::SIGHUP);
        wait_for("a reload after SIGHUP", async || {
            let now = self.counts().await;
            (now != before).then_some(now.ok > before.ok)
        })
        .await
    }

    /// Reloads this by signal, which must go well.
    pub(super) async fn reload(&self, toml: &str) {
        self.configure(toml);
        assert!(self.hang_up().await, "{}", self.process.stderr());
    }
}

pub(super) fn replace(file: &Path, content: impl AsRef<[u8]>) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}
