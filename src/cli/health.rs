//! `hookgate health`: the health check of a container that has no shell and no HTTP client.

use std::process::ExitCode;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use url::Url;

use super::{
    failed,
    https::{Https, Trust},
    out::{Ended, say},
    runtime,
};

/// Ask a running gateway whether it can take events
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate health                                 the store can take an event, and the gateway is not stopping\n  hookgate health --live                          the process answers\n  hookgate health --admin http://127.0.0.1:9190\n\nExit codes: 0 yes, 1 no or no answer, 64 usage."
)]
pub(super) struct Health {
    /// The gateway's admin listener. No token is asked for.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9090",
        env = "HOOKGATE_ADMIN"
    )]
    admin: Url,
    /// Only whether the process answers (/healthz, not /readyz): for whoever restarts what does not. A restart
    /// does not bring back a store that is away.
    #[arg(long)]
    live: bool,
}

impl Health {
    pub(super) fn run(self) -> Ended {
        match self.ask() {
            Ok(answer) => {
                say!("{answer}")?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(failed(error)),
        }
    }

    /// What the gateway says. `Err` tells in words that it is not well, or why it was not heard.
    fn ask(&self) -> Result<String, String> {
        let mut url = self.admin.clone();
        url.set_path(if self.live { "/healthz" } else { "/readyz" });
        let request = Request::builder().method(Method::GET).uri(url.as_str());
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|error| format!("{url} cannot be called: {error}"))?;
        let client = Https::new(&Trust::System)?;
        let runtime = runtime().map_err(|error| format!("cannot start threads: {error}"))?;
        let answer = runtime.block_on(client.send(request)).map_err(|error| {
            format!("{url}: {error}; is the admin listener there? See --admin.")
        })?;
        let text = answer.text().trim().to_owned();
        match answer.status.is_success() {
            true => Ok(text),
            false => Err(format!("{url}: {}: {text}", answer.status)),
        }
    }
}
