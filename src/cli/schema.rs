//! `hookgate schema`: what editors check and complete `routes.toml` by.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use super::{GREEN, failed};
use crate::config::surface;

/// Print the JSON Schema of routes.toml, so that editors complete and check it
#[derive(clap::Args)]
#[command(
    after_help = "Editors with Taplo (Even Better TOML in VS Code, and others) take it from the file's first line:\n\n  #:schema ./routes.schema.json\n\nIt belongs to this version of the program: write it anew after an update. `hookgate check` tells more than it can.\n\nExamples:\n  hookgate schema --output routes.schema.json\n  hookgate schema | jq '.\"$defs\".route.properties | keys'\n\nExit codes: 0 done, 1 failed, 64 usage."
)]
pub(super) struct Schema {
    /// The file to write it to [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Schema {
    pub(super) fn run(self) -> ExitCode {
        let text = format!("{:#}\n", surface::schema());
        let Some(path) = self.output else {
            // Whoever reads may have seen enough.
            drop(std::io::stdout().write_all(text.as_bytes()));
            return ExitCode::SUCCESS;
        };
        match fs::write(&path, text) {
            Ok(()) => {
                anstream::println!("{GREEN}written{GREEN:#}: {}", path.display());
                ExitCode::SUCCESS
            }
            Err(error) => failed(format_args!("cannot write {}: {error}", path.display())),
        }
    }
}
