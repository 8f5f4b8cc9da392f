//! `hookgate demo`: the whole way of a webhook, on this machine, in a few seconds.

use std::process::ExitCode;

use crate::clock::Clock;

use super::{
    BOLD, ConfigFile, GREEN, RED, failed,
    out::{Ended, Failure, Unwritten, say},
    runtime,
    samples::DEMO_KEYS,
    serve::stop_signal,
};

mod play;
mod receivers;
mod stage;
mod table;
mod traffic;

use stage::Stage;
use table::Row;

/// See it work: a gateway, example receivers and sample traffic over HTTPS
#[derive(clap::Args)]
#[command(
    after_help = "Nothing of it touches your data: the store, the certificate and the receivers' ports are the demo's own, and so are the\ngateway's where 8443 or 9090 is taken.\n\nExamples:\n  hookgate demo           show the table, then stay up for more\n  hookgate demo --once    show the table and end\n\nExit codes: 0 every request came out as expected, 1 one did not."
)]
pub(super) struct Demo {
    /// End after the table.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Demo {
    pub(super) fn run(self) -> Ended {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return Ok(failed(format_args!("cannot start threads: {error}"))),
        };
        match runtime.block_on(self.play()) {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::FAILURE),
            Err(failure) => failure.ended(),
        }
    }

    /// Whether all came out as expected.
    async fn play(self) -> Result<bool, Failure> {
        let (stage, from) = Stage::set(&self.file.config).await?;
        let as_expected = self.show(&stage, &from).await;
        stage.clear().await;
        as_expected
    }

    async fn show(&self, stage: &Stage, from: &str) -> Result<bool, Failure> {
        say!(
            "A gateway at https://{} with {from}; each of its targets is an example receiver on loopback.\n",
            stage.app.public_addr(),
        )?;
        let rows = tokio::select! {
            rows = play::play(stage, traffic::steps(&Clock::system())) => rows?,
            _ = stop_signal() => return Err("interrupted".to_owned().into()),
        };
        let as_expected = tell(&rows)?;
        if !self.once {
            tell_more(stage)?;
            let waited = stop_signal().await;
            waited.map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
        }
        Ok(as_expected)
    }
}

fn tell(rows: &[Row]) -> Result<bool, Unwritten> {
    say!("{}\n", table::render(rows))?;
    let failed = rows.iter().filter(|row| row.verdict.is_err()).count();
    if failed == 0 {
        say!("{GREEN}All {} came out as expected.{GREEN:#}", rows.len())?;
    } else {
        say!("{RED}{failed} of {} FAILED.{RED:#}", rows.len())?;
    }
    Ok(failed == 0)
}

/// What to try on the gateway that is still up.
fn tell_more(stage: &Stage) -> Result<(), Unwritten> {
    let (public, admin) = (stage.app.public_addr(), stage.app.admin_addr());
    let ca = stage.directory.certificate();
    let ca = ca.display();
    let [(route, key), ..] = DEMO_KEYS;
    let at = format!("--url https://{public} --ca {ca}");
    say!(
        "\n{BOLD}It stays up until Ctrl-C. Try in another terminal:{BOLD:#}\n\n\
         \x20 hookgate send --route github {at}\n\n\
         \x20 hookgate send --route {route} --key {key} {at}\n\n\
         \x20 curl --cacert {ca} -H 'Content-Type: application/json' -H 'X-Api-Key: {key}' \\\n\
         \x20   -d '{{\"event\":\"chat_started\",\"customerId\":\"12345\",\"timestamp\":\"2026-05-20T15:30:00Z\"}}' \\\n\
         \x20   https://{public}/hooks/glia\n\n\
         \x20 curl http://{admin}/metrics\n\n\
         Then for real: edit routes.toml, `hookgate check`, `hookgate serve`."
    )
}
