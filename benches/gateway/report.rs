//! The tables, the goals, and all figures as JSON.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde_json::{Value, json};

use crate::{
    Bench, Result,
    contestant::{EMBEDDED, Kind, REDIS},
    figures::{PERCENTILES, Series, Spread, Turn, quantile_ms},
    growth::{Grown, thousands},
    idle::Idle,
    machine,
    scenario::{Load, Measured},
};

pub(crate) struct Report {
    /// About the machine and the versions.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// How it was run.
    rounds: usize,
    events: usize,
    connections: u16,
    pub(crate) scenarios: Vec<Measured>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) growth: Vec<Grown>,
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
    /// Of a run that begins.
    pub(crate) fn new(bench: &Bench) -> Result<Self> {
        Ok(Self {
            facts: machine::facts(bench.site.path())?,
            rounds: bench.arguments.rounds(),
            events: bench.arguments.events(),
            connections: bench.arguments.connections,
            scenarios: Vec::new(),
            idle: Vec::new(),
            growth: Vec::new(),
        })
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "\n{} rounds of up to {} events, {} connections; ratios are to the first line of a table, round by round.\n",
            self.rounds, self.events, self.connections
        );
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
        if !self.idle.is_empty() {
            push_section(&mut text, "Idle", &idle_table(&self.idle));
        }
        for grown in &self.growth {
            let title = format!("{}, {}", grown.dimension.title, grown.kind);
            push_section(&mut text, &title, &growth_table(grown));
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
        let facts = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        json!({
            "about": Value::Object(facts.collect()),
            "rounds": self.rounds,
            "events": self.events,
            "connections": self.connections,
            "goals": goals.collect::<Vec<_>>(),
            "scenarios": scenarios.collect::<Vec<_>>(),
            "idle": self.idle.iter().map(Idle::json).collect::<Vec<_>>(),
            "growth": self.growth.iter().map(Grown::json).collect::<Vec<_>>(),
        })
    }

    /// Those of which there is a measure.
    fn goals(&self) -> Vec<Goal> {
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
        // A ratio that falls short by little should not look as if it did not.
        let digits = if goal.unit.is_empty() { 3 } else { 2 };
        let measured = format!("{}{}", goal.measured.show(digits), goal.unit);
        let met = if goal.is_met() { "yes" } else { "no" };
        table.add_row([goal.what.clone(), bound, measured, met.to_owned()]);
    }
    table
}

fn rate_table(measured: &Measured) -> Table {
    let resumes = measured.scenario.load == Load::NewConnection { resume: true };
    let mut header = vec!["", "events/s: median (min–max)", "ratio: median (min–max)"];
    header.extend(COSTS);
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

fn growth_table(grown: &Grown) -> Table {
    let starts = grown.smallest().start.is_some();
    let mut header = vec![
        grown.dimension.unit,
        "events/s: median (min–max)",
        "ratio: median (min–max)",
    ];
    header.extend(COSTS);
    if starts {
        header.extend(["start (s)", "peak MiB after it"]);
    }
    let mut table = table(&header);
    for (_, series) in &grown.sizes {
        let mut row = vec![
            series.name.clone(),
            series.spread(|turn| turn.rate).show(0),
            series.ratio(grown.smallest(), |turn| turn.rate).show(2),
        ];
        row.extend(costs(series));
        if let Some(start) = series.start {
            row.extend([
                format!("{:.2}", start.seconds),
                format!("{:.0}", start.peak_mib),
            ]);
        }
        table.add_row(row);
    }
    table
}

fn idle_table(idle: &[Idle]) -> Table {
    let mut table = table(&[
        "",
        "CPU, % of a core",
        "Redis: CPU, % of a core",
        "commands/s",
        "with those in scripts",
    ]);
    for idle in idle {
        let mut row = vec![idle.kind.to_string(), format!("{:.2}", idle.cpu_percent)];
        if let Some(redis) = &idle.redis {
            let figures = [
                redis.cpu_percent,
                redis.sent_per_second,
                redis.run_per_second,
            ];
            row.extend(figures.map(|figure| format!("{figure:.2}")));
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
    header.extend(&COSTS[..3]);
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

const COSTS: [&str; 5] = [
    "CPU µs/event: server",
    "Redis",
    "client",
    "peak MiB: server",
    "Redis",
];

/// As in `COSTS`.
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
