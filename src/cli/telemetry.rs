//! Logs: to standard error, as text for people or JSON for programs.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Ours at info, the libraries' at warn; `RUST_LOG` changes it.
const DEFAULT_FILTER: &str = "warn,hookgate=info";

pub(super) fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What cannot be logged is told to standard error too, where that panics: whoever logs would end.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(colours_are_wanted()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

/// On a terminal, unless `NO_COLOR` is set: as everything else that the program prints.
fn colours_are_wanted() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}
