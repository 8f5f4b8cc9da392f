//! `hookgate serve`: receive webhooks until told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::{app::App, clock::Clock};

use super::{ConfigFile, failed, runtime, telemetry};

/// Receive webhooks until SIGTERM or SIGINT
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate serve\n  hookgate serve --config /etc/hookgate/routes.toml --log-format json\n\nExit codes: 0 stopped, 1 failed, 64 bad configuration."
)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// How to write logs to standard error.
    #[arg(long, value_enum, default_value_t)]
    log_format: telemetry::LogFormat,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        let config = match self.file.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        telemetry::start(self.log_format);
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return failed(format_args!("cannot start threads: {error}")),
        };
        runtime.block_on(async {
            match App::start(config, Clock::system()).await {
                Ok(app) => serve(app).await,
                Err(error) => failed(error),
            }
        })
    }
}

async fn serve(app: App) -> ExitCode {
    tracing::info!(
        https = %app.public_addr(),
        plain = app.plain_addr().map(tracing::field::display),
        admin = %app.admin_addr(),
        "listening"
    );
    let reason = tokio::select! {
        stop = stop_signal() => match stop {
            Ok(name) => Ok(name),
            Err(error) => Err(format!("cannot wait for signals: {error}")),
        },
        message = app.failed() => Err(message),
    };
    match reason {
        Ok(name) => {
            tracing::info!(signal = name, "stopping");
            app.stop().await;
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        // What is in flight cannot become durable any more: no answer is better than a false one.
        Err(message) => {
            tracing::error!(%message, "the gateway cannot go on");
            failed(message)
        }
    }
}

/// Waits for SIGTERM or SIGINT and tells which came.
pub(super) async fn stop_signal() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
