//! `hookgate serve`: receive webhooks until told to stop.

use std::{process::ExitCode, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use crate::{admin::control::Control, app::App, clock::Clock, config::Config};

use super::{
    ConfigFile, EXIT_USAGE, failed, runtime,
    telemetry::{self, LogFormat},
};

/// Receive webhooks until SIGTERM or SIGINT; read the configuration again when it changes, and at SIGHUP
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate serve\n  hookgate serve --config /etc/hookgate/routes.toml --log-format json\n\nExit codes: 0 stopped, 1 failed, 64 bad configuration."
)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// How to write logs to standard error.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        telemetry::start(self.log_format);
        if let Err(code) = self.look() {
            return code;
        }
        let format = self.log_format;
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return ended(format, &format!("cannot start threads: {error}")),
        };
        let code = runtime.block_on(async {
            // Before the start: from now on the signal is no longer the end of the process.
            let hangups = match signal(SignalKind::hangup()) {
                Ok(hangups) => hangups,
                Err(error) => return ended(format, &format!("cannot wait for signals: {error}")),
            };
            match App::start_from(&self.file.config, Clock::system()).await {
                Ok(app) => serve(app, hangups, format).await,
                Err(error) => ended(format, &error),
            }
        });
        // A file that is still being read, e.g. from a file system that does not answer, is waited for by nobody.
        runtime.shutdown_background();
        code
    }

    /// The configuration is read again when the gateway starts; here it is to tell people what is wrong with it as
    /// `check` does. Programs are told on a line for each fault.
    fn look(&self) -> Result<(), ExitCode> {
        if matches!(self.log_format, LogFormat::Text) {
            return self.file.load().map(drop);
        }
        let config = Config::load(&self.file.config).map_err(|faults| {
            for fault in faults.as_slice() {
                tracing::error!("{fault}");
            }
            ExitCode::from(EXIT_USAGE)
        })?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

/// Says why the gateway ends, as its logs are written.
fn ended(format: LogFormat, error: &impl std::fmt::Display) -> ExitCode {
    match format {
        LogFormat::Text => failed(error),
        LogFormat::Json => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(app: App, hangups: Signal, format: LogFormat) -> ExitCode {
    tracing::info!(
        https = %app.public_addr(),
        plain = app.plain_addr().map(tracing::field::display),
        admin = %app.admin_addr(),
        "listening"
    );
    let _reloading = AbortOnDropHandle::new(tokio::spawn(reload_at(hangups, app.control())));
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
            ended(format, &message)
        }
    }
}

/// Reads the configuration again at each SIGHUP; the log tells what comes of it.
async fn reload_at(mut hangups: Signal, control: Arc<dyn Control>) {
    while hangups.recv().await.is_some() {
        drop(control.reload().await);
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
