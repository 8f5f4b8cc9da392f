//! `hookgate schema`: what editors check and complete `routes.toml` by.

use std::{fs, path::PathBuf, process::ExitCode};

use super::{
    GREEN, failed,
    out::{self, Ended, say},
};
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
    pub(super) fn run(self) -> Ended {
        let text = format!("{:#}\n", surface::schema());
        let Some(path) = self.output else {
            out::bytes(text.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        };
        match fs::write(&path, text) {
            Ok(()) => {
                say!("{GREEN}written{GREEN:#}: {}", path.display())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(failed(format_args!(
                "cannot write {}: {error}",
                path.display()
            ))),
        }
    }
}
