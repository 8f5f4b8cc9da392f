//! `hookgate secrets`: the secrets that came in handshakes.

use clap::Subcommand;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use http::Method;
use serde_json::Value;

use super::{
    GREEN,
    admin::{Admin, Trouble, end},
    listing::items,
    out::{Ended, say},
};

/// Show and forget the secrets that providers gave in their handshakes
#[derive(clap::Args)]
#[command(
    after_help = "A route with secrets = [{ handshake = true }] takes the first secret that its provider gives, and then no other\nuntil that one is forgotten.\n\nExamples:\n  hookgate secrets\n  hookgate secrets show notion     # to be pasted where Notion asks for it\n  hookgate secrets forget asana    # before the webhook is made anew\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Secrets {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Subcommand)]
enum Command {
    /// List the routes, without their secrets (the default)
    #[command(after_help = "Examples:\n  hookgate secrets list")]
    List,
    /// Print a route's secret, and nothing else
    #[command(
        after_help = "Examples:\n  hookgate secrets show notion     # to be pasted where Notion asks for it"
    )]
    Show {
        /// The route, by its name in the configuration.
        route: String,
    },
    /// Forget a route's secret: its events are refused until another handshake comes
    #[command(
        after_help = "Examples:\n  hookgate secrets forget asana    # before the webhook is made anew"
    )]
    Forget {
        /// The route, by its name in the configuration.
        route: String,
    },
}

impl Secrets {
    pub(super) fn run(self) -> Ended {
        let done = match self.command.unwrap_or(Command::List) {
            Command::List => list(&self.admin),
            Command::Show { route } => show(&self.admin, &route),
            Command::Forget { route } => forget(&self.admin, &route),
        };
        end(done)
    }
}

fn list(admin: &Admin) -> Result<(), Trouble> {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["route", "state", "received"]);
    let secrets = known(admin)?;
    for secret in &secrets {
        let text = |key: &str| secret[key].as_str().unwrap_or("-").to_owned();
        table.add_row([text("route"), text("state"), text("received_at")]);
    }
    match secrets.is_empty() {
        true => say!("no route takes its secret from a handshake")?,
        false => say!("{table}")?,
    }
    Ok(())
}

fn show(admin: &Admin, route: &str) -> Result<(), Trouble> {
    let secrets = known(admin)?;
    let of_route = secrets.iter().find(|secret| secret["route"] == route);
    let of_route = of_route
        .ok_or_else(|| format!("no route called {route:?} takes its secret from a handshake"))?;
    if of_route["state"] == "waiting" {
        let told = format!("{route} waits for its provider's handshake");
        return Err(Trouble::Unasked(told));
    }
    let answer = admin.ask(Method::GET, &["secrets", route])?;
    let secret = answer["secret"].as_str();
    let secret = secret.ok_or_else(|| "the gateway's answer has no secret".to_owned())?;
    say!("{secret}")?;
    Ok(())
}

fn forget(admin: &Admin, route: &str) -> Result<(), Trouble> {
    admin.ask(Method::DELETE, &["secrets", route])?;
    say!(
        "{GREEN}forgotten{GREEN:#}: what {route}'s provider sends is refused until its next handshake"
    )?;
    Ok(())
}

fn known(admin: &Admin) -> Result<Vec<Value>, Trouble> {
    let session = admin.open()?;
    items(&session, &["secrets"], "secrets", Vec::new(), usize::MAX).collect()
}
