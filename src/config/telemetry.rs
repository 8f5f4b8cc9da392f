//! `[telemetry]`: where traces go.

use super::{
    Otlp,
    reader::{Node, Table},
    targets::read_headers,
};

/// The collector's path for traces, where the endpoint names none.
const TRACES: &str = "v1/traces";

/// `None`: nothing is exported.
pub(super) fn read_telemetry(mut table: Table<'_>) -> Option<Otlp> {
    let otlp = table.take("otlp").and_then(read_otlp);
    table.finish();
    otlp
}

fn read_otlp(node: Node<'_>) -> Option<Otlp> {
    let mut table = node.table("a table such as { endpoint = \"http://localhost:4318\" }")?;
    let endpoint = table
        .require(
            "endpoint",
            "the collector's URL such as \"http://localhost:4318\"",
        )
        .and_then(|node| node.http_url());
    let headers = table.take("headers").map(read_headers).unwrap_or_default();
    let sample = table.take("sample").and_then(|node| read_share(&node));
    table.finish();
    let mut endpoint = endpoint?;
    if endpoint.path() == "/" {
        endpoint.set_path(TRACES);
    }
    Some(Otlp {
        endpoint,
        headers,
        sample: sample.unwrap_or(1.0),
    })
}

fn read_share(node: &Node<'_>) -> Option<f64> {
    let share = node.number().filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        node.reject("a share from 0.0 (none) to 1.0 (all)");
    }
    share
}
