//! The tables, and all figures as JSON.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde_json::{Value, json};

use crate::{
    Bench, Result,
    figures::{PERCENTILES, Series, Turn, quantile_ms},
    goals::{Goal, answer_ms, arrival_ms, goal_table},
    growth::Grown,
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
}

fn push_section(text: &mut String, title: &str, table: &Table) {
    text.push_str(&format!("\n### {title}\n\n{table}\n"));
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(header.iter().copied());
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
