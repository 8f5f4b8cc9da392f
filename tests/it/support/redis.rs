//! A real Redis of the test's own, on a free port of 127.0.0.1, in a directory of its own: one server, or below
//! three with Sentinel, or six as a Cluster.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

pub(crate) mod cluster;
pub(crate) mod sentinel;
pub(crate) mod tls;

use std::{
    io::ErrorKind,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU16, Ordering},
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
        // Between finding a free port and using it, another may take it.
        let started = (0..10).find_map(|_| Self::try_on(free_port(), options));
        started.expect("redis-server starts")
    }

    /// On this port.
    pub(crate) fn on(port: u16, options: &[(&str, &str)]) -> Self {
        Self::try_on(port, options).expect("redis-server starts")
    }

    fn try_on(port: u16, options: &[(&str, &str)]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options: Vec<_> = options.iter().map(owned).collect();
        let process = Process::start(directory.path(), port, &options)?;
        Some(Self {
            directory,
            port,
            options,
            process,
        })
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

    pub(crate) fn port(&self) -> u16 {
        self.port
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

/// A port that nothing listens on, below those that the kernel gives to connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other runs of the tests begin elsewhere.
    let first = 10_000 + u16::try_from(std::process::id() % 10_000).expect("a small number") * 2;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_500;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Looks again and again until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + START_TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A field of what `INFO`, `CLUSTER INFO` and the like tell.
pub(crate) fn info(reply: &Value, field: &str) -> String {
    let text = match reply {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        other => panic!("no text: {other:?}"),
    };
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields
        .filter(|(name, _)| *name == field)
        .map(|(_, value)| value);
    found
        .map(|value| value.trim().to_owned())
        .next()
        .unwrap_or_default()
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
        Self::spawn(command, directory, port)
    }

    fn spawn(mut command: Command, directory: &Path, port: u16) -> Option<Self> {
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
                // A sentinel knows no keys, and a node of a cluster that is not yet one has none.
                Err(error)
                    if matches!(
                        error.code(),
                        Some("NOAUTH" | "NOPERM" | "CLUSTERDOWN" | "ERR")
                    ) =>
                {
                    return true;
                }
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
