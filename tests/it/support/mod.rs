//! What the tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a kit: not every test needs every piece"
)]

pub mod client;
pub mod dns;
pub mod gateway;
pub mod ledger;
pub mod metrics;
pub mod model;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod receiver;
pub mod redis;
pub mod schema;
pub mod sign;
pub mod tokens;

use std::time::Duration;

/// How long a test waits for what must happen at all. It bounds a failing run; no test measures against it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` answers `Some`; panics with `what` after [`PATIENCE`].
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, look).await
}

/// [`wait_for`], for what may take longer.
pub async fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let waited = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}
