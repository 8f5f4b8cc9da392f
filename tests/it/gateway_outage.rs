//! The whole program while what it stands on fails: its store, its neighbour, its targets, its own end.

mod backlog;
mod clock;
pub(crate) mod disk;
mod forgers;
mod network;
mod refusals;
mod resources;
mod sharing;
mod stop;
mod store;
mod targets;

use http::StatusCode;

use crate::support::{client::Reply, process::Process, wait_for};

const SENDERS: usize = 8;
/// The senders' ids and bodies come from it.
const SEED: u64 = 7;

async fn wait_until_ready(gateway: &Process) {
    wait_for("a gateway that is ready", async || {
        let reply = gateway.admin.get("/readyz").await;
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
}

#[track_caller]
pub(crate) fn assert_store_unavailable(reply: &Reply) {
    assert_eq!(
        reply.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        reply.text()
    );
    assert_eq!(reply.json()["code"], "store_unavailable");
    assert!(reply.header("retry-after").is_some());
}
