//! `hookgate man`: the manual, from the same source as `--help`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::CommandFactory as _;

use super::{
    Arguments, failed,
    out::{self, Ended},
};

/// Print the manual page, or write one for each command
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  hookgate man | man -l -\n  hookgate man --output ~/.local/share/man/man1    # then: man hookgate-serve\n\nExit codes: 0 written, 1 failed."
)]
pub(super) struct Man {
    /// Write hookgate.1 and a page for each command into this directory, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Ended {
        let Some(directory) = self.output else {
            let command = Arguments::command().disable_help_subcommand(true);
            let mut page = Vec::new();
            if let Err(error) = clap_mangen::Man::new(command).render(&mut page) {
                return Ok(failed(error));
            }
            out::bytes(&page)?;
            return Ok(ExitCode::SUCCESS);
        };
        Ok(match write(&directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(format_args!(
                "cannot write to {}: {error}",
                directory.display()
            )),
        })
    }
}

fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command(), directory)
}
