//! Ingest, over real HTTPS: what is accepted, what is refused and how, and that a refusal leaves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod accepted;
mod batches;
mod canary;
mod documents;
mod kinds;
mod limits;
mod methods;
mod ordered;
mod payloads;
mod proofs;
mod requests;
mod table;

use crate::support::{gateway::Gateway, metrics::Metrics, sign::sha256_hex};

pub(crate) const KEY: &str = "canary-key-current";
pub(crate) const KEY_EXPIRED: &str = "canary-key-expired";
pub(crate) const PASSWORD: &str = "canary-password";

/// Every reason of a rejection that this version can give, by its status.
const REASONS: [(u16, &[&str]); 11] = [
    (
        400,
        &[
            "malformed_request",
            "invalid_json",
            "too_deep",
            "duplicate_key",
            "invalid_form",
            "invalid_xml",
        ],
    ),
    (
        401,
        &[
            "missing_credentials",
            "unknown_key",
            "expired_key",
            "missing_signature",
            "malformed_signature",
            "signature_mismatch",
            "missing_timestamp",
            "stale_timestamp",
            "repeated_header",
            "invalid_token",
            "invalid_client_certificate",
        ],
    ),
    (
        403,
        &["source_not_allowed", "route_disabled", "handshake_refused"],
    ),
    (404, &["unknown_path"]),
    (405, &["method_not_allowed"]),
    (408, &["slow_request"]),
    (413, &["body_too_large"]),
    (415, &["unsupported_content_type", "unsupported_encoding"]),
    (
        422,
        &["schema_violation", "missing_event_id", "invalid_event_id"],
    ),
    (429, &["rate_limited"]),
    (
        503,
        &[
            "store_unavailable",
            "key_unavailable",
            "handshake_failed",
            "overloaded",
            "draining",
        ],
    ),
];

/// The configuration with every route, its digests filled in.
pub(crate) fn every_route() -> String {
    include_str!("ingest/routes.toml")
        .replace("KEY_CURRENT", &sha256_hex(KEY))
        .replace("KEY_EXPIRED", &sha256_hex(KEY_EXPIRED))
        .replace("BASIC_PAIR", &sha256_hex(&format!("hook:{PASSWORD}")))
}

/// A gateway with every route, on a clock that stands still.
async fn gateway() -> Gateway {
    gateway_with(&every_route()).await
}

async fn gateway_with(toml: &str) -> Gateway {
    Gateway::start_with(toml, &[("order.json", include_str!("ingest/order.json"))]).await
}

/// The value of a route's counter of rejections; panics when the series does not exist.
#[track_caller]
fn rejections(metrics: &Metrics, route: &str, reason: &str) -> f64 {
    let labels = [("route", route), ("reason", reason)];
    metrics
        .value("hookgate_rejections_total", &labels)
        .unwrap_or_else(|| panic!("no series for {labels:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rejection_has_its_series_from_the_start() {
    let gateway = gateway().await;
    let metrics = gateway.metrics().await;
    let root: toml::Table = every_route().parse().unwrap();
    let routes: Vec<_> = root["routes"].as_table().unwrap().keys().collect();
    assert!(routes.len() > 10);
    for route in routes {
        for reason in REASONS.iter().flat_map(|(_, reasons)| *reasons) {
            assert_eq!(rejections(&metrics, route, reason), 0.0, "{route} {reason}");
        }
    }
    gateway.finish().await;
}
