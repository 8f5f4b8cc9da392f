//! `hookgate keys`: make credentials.

use std::process::ExitCode;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use sha2::{Digest as _, Sha256};

use super::{
    BOLD, failed,
    out::{Ended, say},
};

/// Make API keys
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hookgate keys new --name glia-2026")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new API key: give the key to the provider, keep only its digest
    #[command(
        after_help = "Examples:\n  hookgate keys new --name glia-2026\n  hookgate keys new --name partner --user partner      # for Basic authentication"
    )]
    New {
        /// What metrics and logs call the key.
        #[arg(long, value_parser = name)]
        name: String,
        /// For Basic authentication: the user's name; the key is then the password.
        #[arg(long)]
        user: Option<String>,
    },
}

/// What routes.toml takes, and can be written there without escapes.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    match (1..=64).contains(&text.chars().count()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 64 characters, none of them a quote, a backslash or a control character".into()),
    }
}

/// 256 bits: beyond guessing, so a plain SHA-256 keeps it.
const KEY_BYTES: usize = 32;

impl Keys {
    pub(super) fn run(self) -> Ended {
        let Command::New { name, user } = self.command;
        let mut bytes = [0; KEY_BYTES];
        if let Err(error) = rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut bytes) {
            return Ok(failed(format_args!(
                "the system gave no randomness: {error}"
            )));
        }
        let key = format!("hg_{}", URL_SAFE_NO_PAD.encode(bytes));
        let proof = user.map_or_else(|| key.clone(), |user| format!("{user}:{key}"));
        let digest = hex::encode(Sha256::digest(proof));
        say!("{BOLD}The key, shown this once:{BOLD:#}\n  {key}\n")?;
        say!(
            "{BOLD}For routes.toml:{BOLD:#}\n  keys = [{{ name = \"{name}\", sha256 = \"{digest}\" }}]"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
