//! The tables, the goals, and all figures as JSON.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde_json::{Value, json};

use crate::{
    contestant::{EMBEDDED, Kind, REDIS},
    figures::{PERCENTILES, Series, Spread, Turn, quantile_ms},
    scenario::{Load, Measured},
};

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) scenarios: Vec<Measured>,
}

/// A goal of the design, and what was measured.
struct Goal {
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
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let goals = self.goals();
        if !goals.is_empty() {
            push_section(&mut text, "Goals", &goal_table(&goals));
        }
        for measured in &self.scenarios {
            let table = match measured.scenario.load {
                Load::HalfRate => latency_table(measured),
                Load::KeepAlive | Load::NewConnection { .. } => rate_table(measured),
            };
            push_section(&mut text, measured.scenario.title, &table);
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let scenarios = self.scenarios.iter().map(|measured| {
            let series = measured.series.iter().map(|(_, series)| series.json());
            json!({
                "name": measured.scenario.name,
                "title": measured.scenario.title,
                "contestants": series.collect::<Vec<_>>(),
            })
        });
        let goals = self.goals();
        let goals = goals.iter().map(Goal::json);
        json!({
            "goals": goals.collect::<Vec<_>>(),
            "scenarios": scenarios.collect::<Vec<_>>(),
        })
    }

    /// Those of which there is a measure.
    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        for (scenario, kind, bound) in [
            ("accept-1k", EMBEDDED, 0.60),
            ("accept-1k", REDIS, 0.40),
            ("deliver-1", EMBEDDED, 0.60),
            ("deliver-1", REDIS, 0.60),
            ("deliver-3", EMBEDDED, 0.60),
            ("deliver-3", REDIS, 0.60),
        ] {
            let ratio = self.ratio(scenario, kind, |turn| turn.rate);
            goals.extend(ratio.map(|(title, base, measured)| Goal {
                what: format!("{title}, {kind}: events/s to {base}'s"),
                bound: Bound::AtLeast(bound),
                unit: "",
                measured,
            }));
        }
        for kind in [EMBEDDED, REDIS] {
            let ratio = self.ratio("latency", kind, |turn| answer_ms(turn, 0.99));
            goals.extend(ratio.map(|(_, base, measured)| Goal {
                what: format!("Answer time p99 at half of the highest rate, {kind}: to {base}'s"),
                bound: Bound::AtMost(3.0),
                unit: "",
                measured,
            }));
            let answer = self.series("latency", kind);
            goals.extend(answer.map(|series| Goal {
                what: format!("Answer time p99 at half of the highest rate, {kind}"),
                bound: Bound::AtMost(10.0),
                unit: " ms",
                measured: series.spread(|turn| answer_ms(turn, 0.99)),
            }));
            let first = self.series("latency-deliver", kind);
            goals.extend(first.map(|series| Goal {
                what: format!("Due → first attempt arrived, p99 at half load, {kind}"),
                bound: Bound::AtMost(10.0),
                unit: " ms",
                measured: series.spread(|turn| arrival_ms(turn, 0.99)),
            }));
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

fn push_section(text: &mut String, title: &str, table: &Table) {
    text.push_str(&format!("\n### {title}\n\n{table}\n"));
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(header.iter().copied());
    table
}

impl Goal {
    fn is_met(&self) -> bool {
        self.bound.is_met(self.measured.median)
    }

    fn json(&self) -> Value {
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

fn goal_table(goals: &[Goal]) -> Table {
    let mut table = table(&["what", "goal", "measured: median (min–max)", "met"]);
    for goal in goals {
        let bound = match goal.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}{}", goal.unit),
            Bound::AtMost(bound) => format!("≤ {bound}{}", goal.unit),
        };
        let measured = format!("{}{}", goal.measured.show(2), goal.unit);
        let met = if goal.is_met() { "yes" } else { "no" };
        table.add_row([goal.what.clone(), bound, measured, met.to_owned()]);
    }
    table
}

fn rate_table(measured: &Measured) -> Table {
    let resumes = measured.scenario.load == Load::NewConnection { resume: true };
    let mut header = vec![
        "",
        "events/s: median (min–max)",
        "ratio: median (min–max)",
        "CPU µs/event: server",
        "Redis",
        "client",
        "peak MiB: server",
        "Redis",
    ];
    if resumes {
        header.push("resumed");
    }
    let mut table = table(&header);
    for (_, series) in &measured.series {
        let mut row = vec![
            series.name.clone(),
            series.spread(|turn| turn.rate).show(0),
            ratio(measured, series, |turn| turn.rate),
        ];
        row.extend(costs(series));
        if resumes {
            let share = series.spread(|turn| turn.resumed.unwrap_or(0.0));
            row.push(format!("{:.0} %", 100.0 * share.median));
        }
        table.add_row(row);
    }
    table
}

fn latency_table(measured: &Measured) -> Table {
    let mut header = vec!["", "events/s"];
    header.extend(PERCENTILES.map(|(name, _)| name));
    header.extend(["p99 ratio: median (min–max)"]);
    let receiving = measured.scenario.targets.receiving() > 0;
    if receiving {
        header.extend(["first attempt p50", "p99"]);
    }
    header.extend(["CPU µs/event: server", "Redis", "client"]);
    let mut table = table(&header);
    for (_, series) in &measured.series {
        let mut row = vec![
            format!("{} (ms)", series.name),
            format!("{:.0}", series.spread(|turn| turn.rate).median),
        ];
        let answers = series.merged(|turn| turn.answers.as_ref());
        row.extend(PERCENTILES.map(|(_, quantile)| {
            let answers = answers.as_ref();
            answers.map_or_else(String::new, |all| {
                format!("{:.2}", quantile_ms(all, quantile))
            })
        }));
        row.push(ratio(measured, series, |turn| answer_ms(turn, 0.99)));
        if receiving {
            row.extend([0.5, 0.99].map(|quantile| {
                let spread = series.spread(|turn| arrival_ms(turn, quantile));
                format!("{:.2}", spread.median)
            }));
        }
        row.extend(costs(series).into_iter().take(3));
        table.add_row(row);
    }
    table
}

/// CPU time and memory: server, Redis and client; server and Redis.
fn costs(series: &Series) -> Vec<String> {
    let redis = |text: String| match series.redis_peak_mib {
        Some(_) => text,
        None => String::new(),
    };
    let cpu = |figure: fn(&Turn) -> f64| format!("{:.1}", series.spread(figure).median);
    vec![
        cpu(|turn| turn.cpu.server),
        redis(cpu(|turn| turn.cpu.redis)),
        cpu(|turn| turn.cpu.client),
        format!("{:.0}", series.peak_mib),
        redis(format!("{:.0}", series.redis_peak_mib.unwrap_or(0.0))),
    ]
}

fn ratio(measured: &Measured, series: &Series, figure: impl Fn(&Turn) -> f64) -> String {
    match measured.baseline() {
        Some(baseline) => series.ratio(baseline, figure).show(2),
        None => String::new(),
    }
}

fn answer_ms(turn: &Turn, quantile: f64) -> f64 {
    turn.answers
        .as_ref()
        .map_or(f64::NAN, |answers| quantile_ms(answers, quantile))
}

fn arrival_ms(turn: &Turn, quantile: f64) -> f64 {
    turn.arrivals
        .as_ref()
        .map_or(f64::NAN, |arrivals| quantile_ms(arrivals, quantile))
}
