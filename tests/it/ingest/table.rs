//! Runs a table of refusals: the answer, the counter, and that nothing is left behind.

use std::collections::BTreeSet;

use hookgate::store::Depth;
use serde_json::Value;

use crate::support::{client::Reply, gateway::Gateway};

use super::{
    REASONS, rejections,
    requests::{Sent, good},
};

/// A request and why it is refused.
pub(super) struct Row {
    pub(super) what: &'static str,
    /// Whose counter counts it; `-` for none's.
    pub(super) route: &'static str,
    pub(super) reason: &'static str,
    pub(super) request: Sent,
    /// The id that the request bears, or would: accepted afterwards, from a good request.
    pub(super) id: String,
}

/// Sends every row, checks what each must do, and hands back the answers.
pub(super) async fn refuse_all(gateway: &Gateway, rows: &[Row]) -> Vec<Reply> {
    assert!(!rows.is_empty());
    let mut replies = Vec::new();
    for row in rows {
        replies.push(refuse(gateway, row).await);
    }
    replies
}

async fn refuse(gateway: &Gateway, row: &Row) -> Reply {
    let what = row.what;
    let (metrics, depth) = (gateway.metrics().await, gateway.depth().await);
    let reply = row.request.send(&gateway.client).await;
    assert_problem(&reply, row.reason, what);
    let after = gateway.metrics().await;
    let counted =
        rejections(&after, row.route, row.reason) - rejections(&metrics, row.route, row.reason);
    let changes = after.since(&metrics);
    assert_eq!(
        counted, 1.0,
        "{what}: not counted as {}: {changes:?}",
        row.reason
    );
    let taken = |series: &&String| {
        series.starts_with("hookgate_requests_total") && !series.contains("rejected")
    };
    assert_eq!(changes.keys().find(taken), None, "{what}");
    assert_eq!(totals(&gateway.depth().await), totals(&depth), "{what}");
    if !["-", "closed"].contains(&row.route) {
        let again = good(row.route, &row.id, gateway.began);
        let again = again.send(&gateway.client).await;
        assert_eq!(again.outcome(), "accepted", "{what}: remembered");
    }
    reply
}

pub(super) fn totals(depth: &[Depth]) -> Vec<(u64, u64)> {
    depth.iter().map(|d| (d.pending, d.dead)).collect()
}

/// RFC 9457, and what Hookgate adds. A 401 is all but silent.
#[track_caller]
pub(super) fn assert_problem(reply: &Reply, reason: &str, what: &str) {
    let status = status_of(reason);
    assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json"),
        "{what}"
    );
    let id = reply.header("x-request-id").unwrap_or_default();
    assert!(id.len() >= 16, "{what}: request id {id:?}");
    let problem = reply.json();
    assert!(problem["type"].is_string(), "{what}: {problem}");
    assert!(problem["title"].is_string(), "{what}: {problem}");
    assert_eq!(problem["status"], status, "{what}");
    if status == 401 {
        assert!(reply.header("www-authenticate").is_some(), "{what}");
        assert!(!reply.text().contains(reason), "{what}: {problem}");
        assert_eq!(problem.get("code"), None, "{what}");
    } else {
        assert!(problem["detail"].is_string(), "{what}: {problem}");
        assert_eq!(problem["code"], reason, "{what}");
    }
    if [429, 503].contains(&status) {
        let wait = reply.header("retry-after").expect("a Retry-After");
        assert!(wait.parse::<u64>().is_ok_and(|wait| wait > 0), "{wait}");
    }
}

fn status_of(reason: &str) -> u16 {
    let row = REASONS
        .iter()
        .find(|(_, reasons)| reasons.contains(&reason));
    row.unwrap_or_else(|| panic!("{reason} is no reason")).0
}

/// Holds a table to its promise to have a row for each of these statuses' reasons.
#[track_caller]
pub(super) fn assert_covers(rows: &[Row], statuses: &[u16]) {
    let has: BTreeSet<_> = rows.iter().map(|row| row.reason).collect();
    let of_statuses = REASONS
        .iter()
        .filter(|(status, _)| statuses.contains(status));
    let should: BTreeSet<_> = of_statuses
        .flat_map(|(_, reasons)| *reasons)
        .copied()
        .collect();
    // Told in `callers`, with a caller that has what these are about.
    let lacks: Vec<_> = should
        .difference(&has)
        .filter(|reason| !["invalid_client_certificate"].contains(reason))
        .collect();
    assert!(lacks.is_empty(), "no row for {lacks:?}");
}

/// The pointers of a problem's violations, sorted.
pub(super) fn pointers(problem: &Value) -> Vec<&str> {
    let violations = problem["violations"].as_array().expect("violations");
    let mut pointers: Vec<_> = violations
        .iter()
        .map(|violation| violation["pointer"].as_str().expect("a pointer"))
        .collect();
    pointers.sort_unstable();
    pointers
}
