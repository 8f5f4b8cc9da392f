//! Prometheus' own tool.

use std::{
    io::{ErrorKind, Write as _},
    process::{Command, Stdio},
};

/// Runs `promtool ARGUMENTS` in the root of the project; whether it is content, and all that it says.
pub(super) fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let started = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("no promtool in the PATH: `deploy/setup` installs it")
        }
        started => started.unwrap(),
    };
    // It may end before it has read everything.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}
