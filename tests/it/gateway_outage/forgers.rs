//! Forgers that post as fast as they can.

use std::time::Duration;

use super::{SEED, SENDERS};
use crate::support::{
    PATIENCE,
    ledger::{Forger, Forgery, Load, Pace, configuration, drained, forged_routes, three_sinks},
    process::Process,
};

const FORGERS: Pace = Pace {
    senders: 4 * SENDERS,
    pause: Duration::ZERO,
    timeout: PATIENCE,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forgeries_changes_nothing_and_real_events_are_answered() {
    let sinks = three_sinks().await;
    let toml = configuration("file:data", &sinks) + &forged_routes(&sinks);
    let gateway = Process::spawn(&toml).await;
    let before = gateway.metrics().await;
    let forger = Forger::start(FORGERS, &[&gateway.client], SEED);
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(500).await;
    let log = load.stop().await;
    let forgeries = forger.stop().await;

    assert_eq!(log.failures.len(), 0, "{:?}", log.failures);
    assert_eq!(forgeries.violations, []);
    assert_eq!(forgeries.refused.len(), Forgery::ALL.len(), "{forgeries:?}");
    // None came to a sink either: the checker knows every id that was sent in earnest.
    drained(&log, &sinks, &[&gateway]).await;
    let after = gateway.metrics().await;
    assert_eq!(after.series(), before.series(), "a label from a request");
    let moved: Vec<_> = after
        .since(&before)
        .into_keys()
        .filter(|series| series.starts_with("hookgate_requests_total"))
        .filter(|series| !series.contains(r#"outcome="rejected""#))
        .filter(|series| !series.contains(r#"route="github""#))
        .collect();
    assert_eq!(moved, [""; 0]);
}
