//! A real Redis of the test's own, on a free port of 127.0.0.1, in a directory of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    io::ErrorKind,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{ConnectionInfo, IntoConnectionInfo as _, Value};
use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const DATABASES: i64 = 4096;

/// A running server, stopped when it is dropped.
pub(crate) struct RedisServer {
    directory: TempDir,
    port: u16,
    options: Vec<(String, String)>,
    process: Process,
}

impl RedisServer {
    /// One that keeps every promise: append-only file, synced before each reply.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with these options of `redis.conf` instead of the defaults of the same name.
    pub(crate) fn with(options: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options: Vec<_> = options.iter().map(owned).collect();
        // Between finding a free port and using it, another may take it.
        for _ in 0..10 {
            let port = free_port();
            if let Some(process) = Process::start(directory.path(), port, &options) {
                return Self {
                    directory,
                    port,
                    options,
                    process,
                };
            }
        }
        panic!(
            "redis-server does not start in {}",
            directory.path().display()
        );
    }

    /// One server for all tests of this run that do not disturb it; take a [`Self::fresh_database`] each.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A database that no other test has used.
    pub(crate) fn fresh_database(&self) -> ConnectionInfo {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        let database = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(database < DATABASES, "raise DATABASES");
        connection(&self.url(database))
    }

    /// Database 0.
    pub(crate) fn connection(&self) -> ConnectionInfo {
        connection(&self.url(0))
    }

    pub(crate) fn url(&self, database: i64) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// `kill -9`: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.process.stop();
    }

    /// On the same port with the same data.
    pub(crate) fn restart(&mut self) {
        self.process.stop();
        let restarted = Process::start(self.directory.path(), self.port, &self.options);
        self.process = restarted.expect("redis-server starts again");
    }

    /// `SIGSTOP`: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Begins a script that does not end by itself; needs a low `busy-reply-threshold`.
    pub(crate) fn endless_script(&self) -> EndlessScript {
        let connection = self.connection();
        let running = std::thread::spawn(move || {
            let client = redis::Client::open(connection).expect("valid connection settings");
            let mut connection = client.get_connection().expect("a connection");
            let endless = redis::cmd("EVAL").arg("while true do end").arg(0).clone();
            // It ends with an error: it is killed.
            endless.query::<()>(&mut connection).expect_err("killed");
        });
        EndlessScript {
            connection: self.connection(),
            running,
        }
    }

    /// Reads its data again, and takes a millisecond for each key; until then it answers that it is loading.
    /// Needs `enable-debug-command yes`.
    pub(crate) fn load_slowly(&self) -> std::thread::JoinHandle<()> {
        self.command(&["CONFIG", "SET", "key-load-delay", "1000"]);
        self.command(&[
            "CONFIG",
            "SET",
            "loading-process-events-interval-bytes",
            "1024",
        ]);
        let connection = self.connection();
        std::thread::spawn(move || {
            command(&connection, &["DEBUG", "LOADAOF"]);
        })
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Runs one command in database 0.
    pub(crate) fn command(&self, words: &[&str]) -> Value {
        command(&self.connection(), words)
    }
}

/// See [`RedisServer::endless_script`].
pub(crate) struct EndlessScript {
    connection: ConnectionInfo,
    running: std::thread::JoinHandle<()>,
}

impl EndlessScript {
    pub(crate) fn kill(self) {
        let client = redis::Client::open(self.connection).expect("valid connection settings");
        let mut connection = client.get_connection().expect("a connection");
        // Before the threshold Redis answers nobody, and before the beginning there is nothing to kill.
        while !self.running.is_finished() {
            let killed: Result<(), _> = redis::cmd("SCRIPT").arg("KILL").query(&mut connection);
            if killed.is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.running.join().expect("a script that was killed");
    }
}

/// Runs one command and tells its reply.
pub(crate) fn command(connection: &ConnectionInfo, words: &[&str]) -> Value {
    let client = redis::Client::open(connection.clone()).expect("valid connection settings");
    let mut connection = client
        .get_connection_with_timeout(START_TIMEOUT)
        .expect("a connection");
    let (name, arguments) = words.split_first().expect("a command");
    let mut command = redis::cmd(name);
    command.arg(arguments);
    command
        .query(&mut connection)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

pub(crate) fn connection(url: &str) -> ConnectionInfo {
    url.into_connection_info().expect("a valid URL")
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

struct Process {
    server: Child,
    /// Kills the server when this process ends, however it ends; statics are never dropped.
    guard: Child,
}

impl Process {
    /// `None` when it ended before it answered, as when the port is taken.
    fn start(directory: &Path, port: u16, options: &[(String, String)]) -> Option<Self> {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--databases", &DATABASES.to_string(), "--save", ""]);
        command.args(["--dir", &directory.display().to_string()]);
        for (name, value) in [("appendonly", "yes"), ("appendfsync", "always")] {
            if !options.iter().any(|(given, _)| given == name) {
                command.args([&format!("--{name}"), value]);
            }
        }
        for (name, value) in options {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        let server = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = match server {
            Ok(server) => server,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("redis-server is not installed; run: apt-get install redis-server")
            }
            Err(error) => panic!("redis-server cannot be started: {error}"),
        };
        let guard = guard(server.id(), directory);
        let mut process = Self { server, guard };
        process.wait_until_ready(port).then_some(process)
    }

    fn wait_until_ready(&mut self, port: u16) -> bool {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("a URL");
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.server.try_wait().expect("its state").is_some() {
                return false;
            }
            // While it loads its data it answers, but with an error.
            let answers = client
                .get_connection()
                .and_then(|mut connection| redis::cmd("EXISTS").arg("x").query(&mut connection));
            match answers {
                Ok(()) => return true,
                Err(error) if matches!(error.code(), Some("NOAUTH" | "NOPERM")) => return true,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        panic!("redis-server does not answer");
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.server.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("the server runs");
    }

    fn stop(&mut self) {
        // First the guard: once the server is gone its id may be another's.
        for process in [&mut self.guard, &mut self.server] {
            process.kill().expect("a child can be killed");
            process.wait().expect("a killed child ends");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the end of its input, which is the end of this process, then stops the server and clears up.
fn guard(server: u32, directory: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"read -r _; kill -9 "$0"; rm -rf "$1""#])
        .arg(server.to_string())
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs")
}
