//! Reads the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

/// One scrape.
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series: BTreeMap<_, _> = samples
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a sample");
                (series.to_owned(), value.parse().expect("a number"))
            })
            .collect();
        assert!(!series.is_empty(), "an empty scrape: {text:?}");
        Self(series)
    }

    /// The sample of the series; `None` when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        labels.sort();
        let series = match labels.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", labels.join(",")),
        };
        self.0.get(&series).copied()
    }

    /// All samples of the name whose series contains `label`, e.g. `outcome="accepted"`, added up.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let all = self.0.iter();
        all.filter(|(series, _)| {
            series.starts_with(name)
                && series[name.len()..].starts_with('{')
                && series.contains(label)
        })
        .map(|(_, value)| value)
        .sum()
    }

    /// The name and labels of every sample.
    pub fn series(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// What differs from an earlier scrape, by series.
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, f64> {
        self.0
            .iter()
            .map(|(series, value)| {
                let before = earlier.0.get(series).copied().unwrap_or(0.0);
                (series.clone(), value - before)
            })
            .filter(|(_, change)| *change != 0.0)
            .collect()
    }
}
