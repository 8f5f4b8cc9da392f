//! What the benchmarks of the library share.

use std::path::Path;

use hookgate::config::Config;

mod null;

pub(crate) use null::Null;

/// One route, `bench`, to one target; `proof`: the lines of the route that say how callers are proven.
pub(crate) fn config(directory: &Path, proof: &str) -> Config {
    let text = format!(
        r#"
        [admin]
        listen = "127.0.0.1:0"
        [targets.sink]
        url = "http://127.0.0.1:9/"
        allow_private = true
        [routes.bench]
        path = "/hooks/bench"
        {proof}
        event_id = {{ json = "/id" }}
        event_type = {{ json = "/type" }}
        deliver = ["sink"]
        "#
    );
    Config::parse(&text, "bench.toml", directory, &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"))
}
