//! Senders on one side of the gateway, receivers on the other, and a checker that holds their logs together.
//!
//! The senders behave as providers do: what is not answered with a 2xx is sent again, the same bytes under the
//! same id, until it is. What the checker proves is listed at [`check`].

mod check;
mod forger;
mod sender;
mod sink;

pub use check::{
    Backoff, DRAIN, Report, Rules, Violation, drained, drained_through_spools, first_of, judge,
    nothing_pending, proven, spool_moved,
};
pub use forger::{FORGED, Forger, Forgeries, Forgery, forged_routes};
pub use sender::{Failure, Load, Log, Pace};
pub use sink::{Arrival, Sink};

/// Where the senders post to.
pub const PATH: &str = "/hooks/github";
/// Attempts of one target that may be under way at one time.
pub const CONCURRENCY: usize = 8;
/// For each attempt that may be under way the gateway lets so many deliveries be delivered and not yet settled.
const UNSETTLED_PER_ATTEMPT: usize = 4;

/// The most deliveries that so many kills can have made twice: whatever was delivered and not yet settled.
pub fn duplicates_max(kills: usize, targets: usize) -> usize {
    kills * targets * CONCURRENCY * UNSETTLED_PER_ATTEMPT
}

/// A `routes.toml` with one route that delivers to all `sinks`. The leases are as short as they can be.
pub fn configuration(store_url: &str, sinks: &[impl std::borrow::Borrow<Sink>]) -> String {
    let mut toml = format!(
        r#"
        [server]
        shutdown_grace = "20s"

        [store]
        url = "{store_url}"

        [defaults.target]
        timeout = "1s"
        concurrency = {CONCURRENCY}
        retry = {{ first = "50ms", max = "500ms" }}
        breaker = {{ open_for = "200ms" }}

        [routes.github]
        path = "{PATH}"
        provider = "github"
        secrets = [{{ env = "GITHUB_SECRET" }}]
        deliver = {:?}
        "#,
        sinks
            .iter()
            .map(|sink| sink.borrow().name())
            .collect::<Vec<_>>()
    );
    for sink in sinks {
        let sink = sink.borrow();
        let (name, url) = (sink.name(), sink.url());
        toml.push_str(&format!(
            "\n[targets.{name}]\nurl = \"{url}\"\nallow_private = true\n"
        ));
    }
    toml
}

/// [`configuration`], with targets that have so much time that none is tried twice because the machine is busy.
pub fn patient(store_url: &str, sinks: &[impl std::borrow::Borrow<Sink>]) -> String {
    let (short, long) = (r#"timeout = "1s""#, r#"timeout = "10s""#);
    let toml = configuration(store_url, sinks);
    assert!(toml.contains(short), "no {short} in {toml}");
    toml.replace(short, long)
}

/// Three sinks that answer 200.
pub async fn three_sinks() -> Vec<Sink> {
    let mut sinks = Vec::new();
    for name in ["crm", "support", "audit"] {
        sinks.push(Sink::start(name).await);
    }
    sinks
}
