//! Running the program: to its end, or as a gateway that serves.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Output, Stdio},
    sync::Arc,
};

use http::Method;
use tempfile::TempDir;

use crate::support::{
    PATIENCE,
    client::Client,
    gateway::{complete, temporary},
    process::free_addresses,
    wait_for,
};

/// The project's own configuration.
pub(super) const SHIPPED: &str = include_str!("../../../routes.toml");

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

/// Runs `hookgate ARGUMENTS` in `directory` to its end.
pub(super) fn hookgate(directory: &Path, arguments: &[&str]) -> Output {
    hookgate_with(directory, arguments, "")
}

/// With `input` on standard input.
pub(super) fn hookgate_with(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut program = program(directory, arguments);
    let output = program.write_stdin(input).output();
    output.expect("the program runs and ends")
}

/// With these environment variables, and otherwise none that it reads.
pub(super) fn hookgate_where(
    environment: &[(&str, &str)],
    directory: &Path,
    arguments: &[&str],
) -> Output {
    let mut program = program(directory, arguments);
    let output = program.envs(environment.iter().copied()).output();
    output.expect("the program runs and ends")
}

fn program(directory: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut program = assert_cmd::Command::new(PROGRAM);
    program
        .args(arguments)
        .current_dir(directory)
        .env_remove("HOOKGATE_CONFIG")
        .env_remove("HOOKGATE_KEY")
        .env_remove("HOOKGATE_ADMIN")
        .env_remove("HOOKGATE_ADMIN_TOKEN")
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .timeout(PATIENCE);
    program
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts `hookgate ARGUMENTS`, to be read from and ended by the test.
pub(super) fn spawn(directory: &Path, arguments: &[&str]) -> Child {
    std::process::Command::new(PROGRAM)
        .args(arguments)
        .current_dir(directory)
        .env_remove("HOOKGATE_CONFIG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs")
}

/// `toml` without addresses, so that free ones can be put in.
pub(super) fn without_addresses(toml: &str) -> String {
    let mut root: toml::Table = toml.parse().expect("a configuration in TOML");
    for section in ["server", "admin"] {
        if let Some(section) = root.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.remove("listen");
        }
    }
    toml::to_string(&root).expect("a table")
}

/// `hookgate serve` with the certificate that it makes for itself. Killed when dropped.
pub(super) struct Serving {
    child: Child,
    pub(super) directory: Arc<TempDir>,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Serving {
    /// Starts in a directory of its own that holds `routes.toml`; waits until the gateway is ready.
    pub(super) async fn start(toml: &str) -> Self {
        let directory = temporary();
        let [public, admin] = free_addresses();
        let text = complete(
            &without_addresses(toml),
            &public.to_string(),
            &admin.to_string(),
        );
        std::fs::write(directory.path().join("routes.toml"), text).expect("a writable directory");
        let mut child = spawn(directory.path(), &["serve"]);
        let client = Client::plain(admin);
        wait_for("a gateway that is ready", async || {
            let ended = child.try_wait().expect("a child that can be waited for");
            assert!(ended.is_none(), "the gateway ended: {ended:?}");
            let reply = client.try_send(Method::GET, "/readyz", &[], "").await;
            reply.ok().filter(|reply| reply.status.is_success())
        })
        .await;
        Self {
            child,
            directory,
            public,
            admin,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
