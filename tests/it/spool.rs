//! The spool: events while Redis is away, and their way to it afterwards.

mod disk;
mod moving;
mod order;
mod outages;
mod primary;
mod requests;
mod restarts;

use crate::support::ledger::{Sink, configuration};

const SENDERS: usize = 8;
/// The senders' ids and bodies come from it.
const SEED: u64 = 11;
/// Answers that each phase of a test waits for.
const PHASE: u64 = 200;

/// [`configuration`] with a spool.
fn with_spool(store_url: &str, sinks: &[Sink]) -> String {
    let spooled = configuration(store_url, sinks).replacen(
        "[store]\n",
        "[store]\nspool = \"file:spool\"\n",
        1,
    );
    assert!(spooled.contains("spool"));
    spooled
}
