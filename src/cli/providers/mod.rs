//! `hookgate providers`: what is known of each.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::json;

use super::{
    EXIT_USAGE, RED,
    out::{Ended, note, say},
};
use crate::config::closest;
use crate::providers::{PRESETS, Preset, preset};

mod show;
mod words;

use words::Words;

/// List the providers that routes.toml may name, and what each stands for
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  hookgate providers\n  hookgate providers --format json\n  hookgate providers show stripe\n\nExit codes: 0 printed, 64 usage."
)]
pub(super) struct Providers {
    /// How to write the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
    /// The section of the README.
    Markdown,
}

#[derive(Subcommand)]
enum Command {
    /// Print one provider as the routes.toml that it stands for
    #[command(after_help = "Examples:\n  hookgate providers show github")]
    Show {
        /// The provider, as `hookgate providers` names it
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Providers {
    pub(super) fn run(self) -> Ended {
        let text = match (self.command, self.format) {
            (Some(Command::Show { name }), _) => match preset(&name) {
                Some(preset) => show::toml(preset),
                None => return Ok(unknown(&name)),
            },
            (None, Format::Table) => table(),
            (None, Format::Json) => json(),
            (None, Format::Markdown) => markdown(),
        };
        say!("{}", text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(name: &str) -> ExitCode {
    let names = PRESETS.iter().map(|preset| preset.name);
    let near = closest(&name.to_lowercase(), names)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    note!("{RED}error{RED:#}: {name:?} is no provider{near}\n`hookgate providers` lists them.");
    EXIT_USAGE.into()
}

const HEADER: [&str; 6] = [
    "provider",
    "proven by",
    "event id",
    "event type",
    "handshake",
    "covered",
];
const MARK: &str = "Of those with a `*` not everything could be verified with the provider: `hookgate providers show NAME` says what.";

/// Wide enough to hold every row when the output is no terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 200;

fn row(preset: &Preset) -> [String; 6] {
    let words = Words(preset);
    let mark = preset.doubts.map_or("", |_| " *");
    [
        format!("{}{mark}", preset.name),
        words.proof().join("\n"),
        words.event_id(),
        words.event_type(),
        words.handshakes(),
        words.covered(),
    ]
}

fn table() -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(HEADER);
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    table.add_rows(PRESETS.iter().map(row));
    format!("{table}\n{MARK}")
}

/// Backticks and line breaks stand in no cell.
fn markdown() -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEADER.map(str::to_owned));
    text += &line(&HEADER.map(|_| "---".to_owned()));
    for preset in PRESETS.iter() {
        let [name, proof, id, event_type, handshake, covered] = row(preset);
        let (name, mark) = name.split_once(' ').unwrap_or((&name, ""));
        let code = |text: &str| match text.is_empty() {
            true => String::new(),
            false => format!("`{}`", text.replace('|', "\\|")),
        };
        let lines = |text: &str| text.lines().map(code).collect::<Vec<_>>().join("<br>");
        text += &line(&[
            format!("`{name}`{}", mark.replace('*', " \\*")),
            lines(&proof),
            code(&id),
            code(&event_type),
            handshake,
            covered,
        ]);
    }
    format!("{text}\n{MARK}")
}

fn json() -> String {
    let rows: Vec<_> = PRESETS
        .iter()
        .map(|preset| {
            let words = Words(preset);
            let coverage = preset.coverage().into_iter().map(|(scheme, coverage)| {
                json!({
                    "scheme": scheme,
                    "body": words::of_body(coverage.body),
                    "event_id": coverage.id,
                })
            });
            let params = preset.params.iter().map(|param| {
                json!({
                    "name": param.name, "meaning": param.meaning, "required": param.required,
                })
            });
            json!({
                "name": preset.name,
                "title": preset.title,
                "source": preset.source,
                "unverified": preset.doubts,
                "proven_by": words.proof(),
                "event_id": words.event_id(),
                "event_type": words.event_type(),
                "handshakes": preset.handshakes.iter().map(|one| one.name).collect::<Vec<_>>(),
                "covered": coverage.collect::<Vec<_>>(),
                "params": params.collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}", json!(rows))
}
