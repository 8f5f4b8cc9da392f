//! Walking through one section, in a directory and on ports of its own.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    file,
    page::{Section, missing},
};
use crate::support::{gateway::temporary, process::free_addresses};

/// How long one command is asked again until it prints what the page shows. It bounds a failing run.
const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(200);
/// Of the gateway's log, when a walk goes wrong.
const LOG_LINES: usize = 10;

pub(super) struct Walk<'a> {
    section: &'a Section,
    directory: Arc<TempDir>,
    /// What stands on the page, and what it is here.
    words: Vec<(String, String)>,
    /// Everything that was started: all of it is ended.
    groups: Vec<Pid>,
}

impl<'a> Walk<'a> {
    /// Produces the symptom.
    pub(super) fn begin(section: &'a Section) -> Result<Self, String> {
        let [public, admin] = free_addresses();
        let [receiver, redis] = free_addresses();
        let known = [
            ("127.0.0.1:8443", public),
            ("hooks.example.com:443", public),
            ("127.0.0.1:9090", admin),
            ("127.0.0.1:9101", receiver),
            ("127.0.0.1:6379", redis),
        ];
        let known = known.map(|(shown, address)| (shown.to_owned(), address.to_string()));
        let mut walk = Self {
            section,
            directory: temporary(),
            words: known.into(),
            groups: Vec::new(),
        };
        let routes = walk.here(&file("tests/troubleshooting/routes.toml"));
        walk.write("routes.toml", &routes);
        let slug = section.slug();
        let common = file("tests/troubleshooting/common.sh");
        let script = file(&format!("tests/troubleshooting/{slug}.sh"));
        let script = walk.here(&format!("{common}\n{script}"));
        let (code, told) = walk.run(&script);
        if code != Some(0) {
            return Err(walk.fault(&format!("its script ended with {code:?}:\n{told}")));
        }
        let words = std::fs::read_to_string(walk.path("words")).unwrap_or_default();
        let words = words.lines().filter_map(|line| line.split_once('='));
        walk.words
            .extend(words.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(walk)
    }

    /// Gives the commands of the page, one after the other.
    pub(super) fn go(mut self) -> Result<(), String> {
        for command in &self.section.commands {
            let text = self.here(&command.text);
            let expected: Vec<_> = command.output.iter().map(|line| self.here(line)).collect();
            let until = Instant::now() + PATIENCE;
            loop {
                let (_, output) = self.run(&text);
                let Some(line) = missing(&output, &expected) else {
                    break;
                };
                if Instant::now() > until {
                    let told = format!("$ {text}\nprinted no line with\n{line}\nbut\n{output}");
                    return Err(self.fault(&told));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Runs a script to its end; its exit code, and what it printed on both ways.
    fn run(&mut self, script: &str) -> (Option<i32>, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_hookgate"));
        let program = program.parent().unwrap().display();
        let script = format!("PATH=\"{program}:$PATH\"\n{script}");
        // A file, since a pipe would be held open by what goes on in the background.
        let output = File::create(self.path("output")).unwrap();
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.directory.path())
            .env("HOOKGATE_ADMIN", self.here("http://127.0.0.1:9090"))
            // The authorities of the system, where the script has made one.
            .env("SSL_CERT_FILE", self.path("ca.crt"))
            .env_remove("HOOKGATE_CONFIG")
            .env_remove("HOOKGATE_ADMIN_TOKEN")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .process_group(0)
            .spawn()
            .expect("bash");
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let until = Instant::now() + PATIENCE;
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if Instant::now() > until => break None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        // Most leave nothing behind, and their number may then be given to others.
        if killpg(group, None).is_ok() {
            self.groups.push(group);
        }
        let output = std::fs::read(self.path("output")).unwrap();
        (ended, String::from_utf8_lossy(&output).into_owned())
    }

    /// A text of the page as it has to be here.
    fn here(&self, text: &str) -> String {
        let words = self.words.iter();
        words.fold(text.to_owned(), |text, (shown, here)| {
            text.replace(shown, here)
        })
    }

    fn fault(&self, told: &str) -> String {
        let log = std::fs::read_to_string(self.path("gateway.log")).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
        let log = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        format!("## {}\n{told}\n--- gateway.log\n{log}", self.section.title)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a writable directory");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        for group in &self.groups {
            killpg(*group, Signal::SIGKILL).ok();
        }
    }
}
