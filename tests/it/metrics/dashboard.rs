//! `deploy/grafana/hookgate.json`: what Grafana would take, of metrics that there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{file, known_names, named, promtool::promtool};

const DASHBOARD: &str = "deploy/grafana/hookgate.json";
const COLUMNS: u64 = 24;
/// What Grafana puts in.
const VARIABLES: [(&str, &str); 5] = [
    ("$__rate_interval", "5m"),
    ("$__range", "1h"),
    ("$instance", "a|b"),
    ("$route", "a|b"),
    ("$target", "a|b"),
];

fn dashboard() -> Value {
    serde_json::from_str(&file(DASHBOARD)).unwrap()
}

fn panels(dashboard: &Value) -> &[Value] {
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 20, "only {} panels", panels.len());
    panels
}

/// Every query, as Prometheus gets it from Grafana, with the title of its panel, or of its annotation.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let of_panels = panels(dashboard).iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| (&panel["title"], &target["expr"]))
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let of_annotations = annotations
        .iter()
        .map(|note| (&note["name"], &note["expr"]));
    let queries: Vec<_> = of_panels
        .chain(of_annotations)
        .map(|(title, expr)| {
            let mut expr = expr.as_str().unwrap().to_owned();
            for (variable, value) in VARIABLES {
                expr = expr.replace(variable, value);
            }
            assert!(!expr.contains('$'), "{title}: an unknown variable: {expr}");
            (title.to_string(), expr)
        })
        .collect();
    assert!(queries.len() > 20, "only {} queries", queries.len());
    queries
}

#[test]
fn it_has_the_shape_of_a_dashboard() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null(), "an id is the server's to give");
    for key in ["uid", "title"] {
        assert!(!dashboard[key].as_str().unwrap().is_empty(), "{key}");
    }
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    assert!(dashboard["time"]["from"].is_string());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "instance", "route", "target"]);
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            continue;
        }
        let known = ["timeseries", "stat", "heatmap", "table", "state-timeline"];
        assert!(known.contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(panel["description"].is_string(), "{title} is not explained");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title} has no unit"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let references = panel["targets"].as_array().unwrap().iter();
        let references: Vec<_> = references
            .map(|target| target["refId"].as_str().unwrap())
            .collect();
        let distinct: BTreeSet<_> = references.iter().collect();
        assert!(
            !references.is_empty() && distinct.len() == references.len(),
            "{title}"
        );
    }
}

#[test]
fn no_panel_lies_on_another() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: an id twice"
        );
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(
            w > 0 && h > 0 && x + w <= COLUMNS,
            "{title} is not on the grid"
        );
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies on another");
        }
    }
}

#[test]
fn every_query_is_promql() {
    let rules: Vec<_> = queries(&dashboard())
        .into_iter()
        .enumerate()
        .map(|(number, (title, expr))| json!({ "record": format!("query:{number}"), "expr": expr, "labels": { "panel": title } }))
        .collect();
    // JSON is YAML, too.
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(file.path(), groups.to_string()).unwrap();
    let (content, said) = promtool(&["check", "rules", file.path().to_str().unwrap()], "");
    assert!(
        content && said.contains(&format!("{} rules found", rules.len())),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_it_shows_is_there_and_none_is_forgotten() {
    /// Says nothing of use: what is resident counts.
    const NOT_SHOWN: [&str; 1] = ["process_virtual_memory_bytes"];
    let known = known_names().await;
    let whole = file(DASHBOARD);
    let shown = named(&whole);
    let unknown: Vec<_> = shown
        .iter()
        .filter(|name| !known.contains(**name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let forgotten: Vec<_> = known
        .iter()
        .filter(|name| !NOT_SHOWN.contains(&name.as_str()))
        .filter(|name| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part));
            let family = family.unwrap_or(name);
            !shown.iter().any(|shown| shown.starts_with(family))
        })
        .collect();
    assert!(forgotten.is_empty(), "not on the dashboard: {forgotten:?}");
}
