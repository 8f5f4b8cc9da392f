//! What was measured.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::contestant::Cpu;

/// One contestant's turn of a round.
pub(crate) struct Turn {
    /// Events a second.
    pub(crate) rate: f64,
    pub(crate) cpu: CpuPerEvent,
    /// Of an open loop, in nanoseconds: due → answered.
    pub(crate) answers: Option<Histogram<u64>>,
    /// Of an open loop with receivers, in nanoseconds: due → arrived at the target.
    pub(crate) arrivals: Option<Histogram<u64>>,
    /// Of new connections: which share resumed a session.
    pub(crate) resumed: Option<f64>,
}

/// CPU time of an event, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct CpuPerEvent {
    pub(crate) server: f64,
    pub(crate) redis: f64,
    pub(crate) client: f64,
}

impl CpuPerEvent {
    pub(crate) fn new(before: Cpu, after: Cpu, events: usize) -> Self {
        let each = |before: std::time::Duration, after: std::time::Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / events as f64
        };
        Self {
            server: each(before.server, after.server),
            redis: each(before.redis, after.redis),
            client: each(before.client, after.client),
        }
    }
}

impl Turn {
    fn json(&self) -> Value {
        json!({
            "events_per_second": self.rate,
            "cpu_us_per_event": {
                "server": self.cpu.server,
                "redis": self.cpu.redis,
                "client": self.cpu.client,
            },
            "answer_us": self.answers.as_ref().map(percentiles),
            "first_attempt_us": self.arrivals.as_ref().map(percentiles),
            "resumed": self.resumed,
        })
    }
}

/// The percentiles that are told of a latency.
pub(crate) const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

fn percentiles(histogram: &Histogram<u64>) -> Value {
    let of = |(name, quantile): (&str, f64)| {
        let nanoseconds = histogram.value_at_quantile(quantile) as f64;
        (name.to_owned(), json!(nanoseconds / 1e3))
    };
    Value::Object(PERCENTILES.map(of).into_iter().collect())
}

/// In milliseconds.
pub(crate) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e6
}

/// Everything of one contestant in one scenario, or of one size in one growth.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) turns: Vec<Turn>,
    pub(crate) peak_mib: f64,
    pub(crate) redis_peak_mib: Option<f64>,
    /// Of growing stores.
    pub(crate) start: Option<Start>,
}

/// A start of the gateway on what is stored.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// Until it listens.
    pub(crate) seconds: f64,
    pub(crate) peak_mib: f64,
}

impl Series {
    pub(crate) fn spread(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure).collect())
    }

    /// Of a figure to the baseline's, round by round.
    pub(crate) fn ratio(&self, baseline: &Series, figure: impl Fn(&Turn) -> f64) -> Spread {
        let rounds = self.turns.iter().zip(&baseline.turns);
        Spread::of(
            rounds
                .map(|(ours, base)| figure(ours) / figure(base))
                .collect(),
        )
    }

    /// Latencies of all rounds together.
    pub(crate) fn merged(
        &self,
        latency: impl Fn(&Turn) -> Option<&Histogram<u64>>,
    ) -> Option<Histogram<u64>> {
        let mut turns = self.turns.iter().filter_map(latency);
        let mut merged = turns.next()?.clone();
        for turn in turns {
            merged.add(turn).ok()?;
        }
        Some(merged)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "turns": self.turns.iter().map(Turn::json).collect::<Vec<_>>(),
            "peak_mib": self.peak_mib,
            "redis_peak_mib": self.redis_peak_mib,
            "start": self.start.map(|start| json!({
                "seconds": start.seconds,
                "peak_mib": start.peak_mib,
            })),
        })
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `values` has at least one.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Self {
            least: values[0],
            median,
            most: values[values.len() - 1],
        }
    }

    /// Of what was measured once.
    pub(crate) fn single(value: f64) -> Self {
        Self::of(vec![value])
    }

    /// The median, and from where to where.
    pub(crate) fn show(self, digits: usize) -> String {
        let Self {
            least,
            median,
            most,
        } = self;
        if least == most {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}
