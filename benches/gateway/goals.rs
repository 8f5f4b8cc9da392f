//! The goals of the design, and whether they are met.

use comfy_table::Table;
use serde_json::{Value, json};

use crate::{
    contestant::{EMBEDDED, Kind, REDIS},
    figures::{Series, Spread, Turn, quantile_ms},
    growth::{Grown, thousands},
    idle::Idle,
    report::{Report, table},
    scenario::Measured,
};

/// A goal of the design, and what was measured.
pub(crate) struct Goal {
    what: String,
    bound: Bound,
    unit: &'static str,
    measured: Spread,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => measured >= bound,
            Bound::AtMost(bound) => measured <= bound,
        }
    }
}

impl Report {
    /// Those of which there is a measure.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let mut goals = self.rate_goals();
        for kind in [EMBEDDED, REDIS] {
            goals.extend(self.latency_goals(kind));
        }
        goals.extend(self.growth.iter().flat_map(growth_goals));
        goals.extend(self.idle.iter().flat_map(idle_goals));
        goals
    }

    fn rate_goals(&self) -> Vec<Goal> {
        let goals = [
            ("accept-1k", EMBEDDED, 0.60),
            ("accept-1k", REDIS, 0.40),
            ("deliver-1", EMBEDDED, 0.60),
            ("deliver-1", REDIS, 0.60),
            ("deliver-3", EMBEDDED, 0.60),
            ("deliver-3", REDIS, 0.60),
        ];
        let goal = |(scenario, kind, bound)| {
            let (title, base, measured) = self.ratio(scenario, kind, |turn| turn.rate)?;
            Some(Goal {
                what: format!("{title}, {kind}: events/s to {base}'s"),
                bound: Bound::AtLeast(bound),
                unit: "",
                measured,
            })
        };
        goals.into_iter().filter_map(goal).collect()
    }

    fn latency_goals(&self, kind: Kind) -> Vec<Goal> {
        let mut goals = Vec::new();
        if let Some((title, base, measured)) =
            self.ratio("latency", kind, |turn| answer_ms(turn, 0.99))
        {
            goals.push(Goal {
                what: format!("{title}, p99, {kind}: to {base}'s"),
                bound: Bound::AtMost(3.0),
                unit: "",
                measured,
            });
        }
        if let Some(series) = self.series("latency", kind) {
            goals.push(Goal {
                what: format!("Answer time at half of the highest rate, p99, {kind}"),
                bound: Bound::AtMost(10.0),
                unit: " ms",
                measured: series.spread(|turn| answer_ms(turn, 0.99)),
            });
        }
        if let Some(series) = self.series("latency-deliver", kind) {
            goals.push(Goal {
                what: format!(
                    "Due → first attempt arrived at half of the highest rate, p99, {kind}"
                ),
                bound: Bound::AtMost(10.0),
                unit: " ms",
                measured: series.spread(|turn| arrival_ms(turn, 0.99)),
            });
        }
        goals
    }

    fn measured(&self, scenario: &str) -> Option<&Measured> {
        let mut all = self.scenarios.iter();
        all.find(|measured| measured.scenario.name == scenario)
    }

    fn series(&self, scenario: &str, kind: Kind) -> Option<&Series> {
        self.measured(scenario)?.series(kind)
    }

    /// With the title of the scenario and the name of the baseline.
    fn ratio(
        &self,
        scenario: &str,
        kind: Kind,
        figure: impl Fn(&Turn) -> f64,
    ) -> Option<(&'static str, &str, Spread)> {
        let measured = self.measured(scenario)?;
        let baseline = measured.baseline()?;
        let ratio = measured.series(kind)?.ratio(baseline, figure);
        Some((measured.scenario.title, &baseline.name, ratio))
    }
}

/// The goals speak of the greatest size.
fn growth_goals(grown: &Grown) -> Vec<Goal> {
    let (name, kind) = (grown.dimension.name, grown.kind);
    let Some((size, series)) = grown.sizes.last() else {
        return Vec::new();
    };
    let what = format!("{} {}, {kind}", thousands(*size), grown.dimension.unit);
    let mut goals = Vec::new();
    if ["waiting", "routes", "remembered"].contains(&name) {
        goals.push(Goal {
            what: format!("{what}: events/s to those with {}", grown.smallest().name),
            bound: Bound::AtLeast(0.95),
            unit: "",
            measured: series.ratio(grown.smallest(), |turn| turn.rate),
        });
    }
    if name == "waiting" {
        let started = series.start.map(|start| start.peak_mib);
        goals.push(Goal {
            what: format!("{what}: peak memory, also after a start"),
            bound: Bound::AtMost(256.0),
            unit: " MiB",
            measured: Spread::single(series.peak_mib.max(started.unwrap_or(0.0))),
        });
    }
    goals
}

fn idle_goals(idle: &Idle) -> Vec<Goal> {
    let mut goals = vec![Goal {
        what: format!("Idle, {}: CPU", idle.kind),
        bound: Bound::AtMost(1.0),
        unit: " % of a core",
        measured: Spread::single(idle.cpu_percent),
    }];
    goals.extend(idle.redis.as_ref().map(|redis| Goal {
        what: "Idle: commands to Redis a second, by one gateway".to_owned(),
        bound: Bound::AtMost(2.0),
        unit: "",
        measured: Spread::single(redis.sent_per_second),
    }));
    goals
}

impl Goal {
    fn is_met(&self) -> bool {
        self.bound.is_met(self.measured.median)
    }

    pub(crate) fn json(&self) -> Value {
        let (comparison, bound) = match self.bound {
            Bound::AtLeast(bound) => ("at least", bound),
            Bound::AtMost(bound) => ("at most", bound),
        };
        json!({
            "what": self.what,
            "comparison": comparison,
            "bound": bound,
            "unit": self.unit.trim(),
            "median": self.measured.median,
            "min": self.measured.least,
            "max": self.measured.most,
            "met": self.is_met(),
        })
    }
}

pub(crate) fn goal_table(goals: &[Goal]) -> Table {
    let mut table = table(&["what", "goal", "measured: median (min–max)", "met"]);
    for goal in goals {
        let bound = match goal.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}{}", goal.unit),
            Bound::AtMost(bound) => format!("≤ {bound}{}", goal.unit),
        };
        // A ratio that falls short by little should not look as if it did not.
        let digits = if goal.unit.is_empty() { 3 } else { 2 };
        let measured = format!("{}{}", goal.measured.show(digits), goal.unit);
        let met = if goal.is_met() { "yes" } else { "no" };
        table.add_row([goal.what.clone(), bound, measured, met.to_owned()]);
    }
    table
}

pub(crate) fn answer_ms(turn: &Turn, quantile: f64) -> f64 {
    turn.answers
        .as_ref()
        .map_or(f64::NAN, |answers| quantile_ms(answers, quantile))
}

pub(crate) fn arrival_ms(turn: &Turn, quantile: f64) -> f64 {
    turn.arrivals
        .as_ref()
        .map_or(f64::NAN, |arrivals| quantile_ms(arrivals, quantile))
}
