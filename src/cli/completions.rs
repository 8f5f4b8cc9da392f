//! `hookgate completions`: what a shell needs to complete commands and options.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{
    Arguments,
    out::{self, Ended},
};

/// Print what a shell needs to complete commands and options
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate completions bash > ~/.local/share/bash-completion/completions/hookgate\n  hookgate completions zsh > \"${fpath[1]}/_hookgate\"\n  hookgate completions fish > ~/.config/fish/completions/hookgate.fish\n\nExit codes: 0 printed, 1 failed, 64 usage."
)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Ended {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "hookgate",
            &mut script,
        );
        out::bytes(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
