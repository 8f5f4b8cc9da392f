//! `hookgate reload`: have a running gateway read its configuration again.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    EXIT_USAGE, Format, GREEN, YELLOW,
    admin::{Admin, Trouble},
    failed,
    out::{Ended, Unwritten, say},
};

/// Have a running gateway read its configuration again, and tell what changed
#[derive(clap::Args)]
#[command(
    after_help = "A configuration that is not valid changes nothing. `hookgate check` tells its faults without a gateway.\n\nExamples:\n  hookgate reload\n  hookgate reload --admin http://127.0.0.1:9091 --format json\n\nExit codes: 0 in use, 1 failed, 64 bad configuration or usage."
)]
pub(super) struct Reload {
    #[command(flatten)]
    admin: Admin,
    /// How to tell what changed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Reload {
    pub(super) fn run(self) -> Ended {
        let answer = self.admin.open();
        let answer = answer.and_then(|session| session.post(&["reload"], &[], None));
        match answer {
            Ok(changes) if self.format == Format::Json => say!("{changes}")?,
            Ok(changes) => tell(&changes)?,
            Err(trouble) => {
                let is_bad =
                    matches!(&trouble, Trouble::Refused { code, .. } if code == "invalid_config");
                let failure = failed(trouble);
                return Ok(if is_bad { EXIT_USAGE.into() } else { failure });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(changes: &Value) -> Result<(), Unwritten> {
    let mut changed = false;
    for kind in ["routes", "targets"] {
        for how in ["added", "removed", "changed"] {
            let names = names(&changes[kind][how]);
            if !names.is_empty() {
                changed = true;
                say!("{kind} {how}: {names}")?;
            }
        }
    }
    match changed {
        true => say!("{GREEN}in use{GREEN:#}")?,
        false => say!("{GREEN}in use{GREEN:#}: routes and targets are as they were")?,
    }
    let restart = names(&changes["needs_restart"]);
    if !restart.is_empty() {
        say!("{YELLOW}counts after a restart only{YELLOW:#}: {restart}")?;
    }
    Ok(())
}

fn names(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten();
    let names: Vec<_> = names.filter_map(Value::as_str).collect();
    names.join(", ")
}
