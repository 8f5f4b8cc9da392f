//! The real program, in a process of its own: to be killed, stopped and started again.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use http::Method;
use nix::{sys::signal, unistd::Pid};
use tempfile::TempDir;

use super::{
    PATIENCE,
    client::{Client, SERVER_NAME},
    gateway::{ENVIRONMENT, complete, temporary},
    metrics::Metrics,
    raw::Raw,
    wait_for,
};

const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 12_000;

/// `hookgate serve` on a `routes.toml` in a directory of its own. Killed when dropped.
pub struct Process {
    wrapper: &'static [&'static str],
    child: Child,
    stderr: Stderr,
    pub public: SocketAddr,
    pub admin_address: SocketAddr,
    pub certificate_pem: String,
    pub client: Client,
    pub admin: Client,
    pub directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
}

impl Process {
    /// Starts and waits until `/readyz` says yes.
    pub async fn spawn(toml: &str) -> Self {
        Self::spawn_with(toml, &[]).await
    }

    /// With more environment variables than [`ENVIRONMENT`], e.g. `RUST_LOG`.
    pub async fn spawn_with(toml: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn_under(&[], toml, environment).await
    }

    /// Through a command that takes the program and its arguments as its last ones and becomes the program, so
    /// that signals reach it.
    pub async fn spawn_under(
        wrapper: &'static [&'static str],
        toml: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let directory = temporary();
        let [public, admin_address] = free_addresses();
        let text = complete(toml, &public.to_string(), &admin_address.to_string());
        let (text, certificate_pem) = with_certificate(&text, directory.path());
        std::fs::write(directory.path().join("routes.toml"), text).expect("a writable directory");
        let environment: Vec<_> = ENVIRONMENT
            .iter()
            .chain(environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (child, stderr) = launch(wrapper, directory.path(), &environment);
        let mut process = Self {
            wrapper,
            client: Client::https(public, &certificate_pem),
            admin: Client::plain(admin_address),
            child,
            stderr,
            public,
            admin_address,
            certificate_pem,
            directory,
            environment,
        };
        process.ready().await;
        process
    }

    /// A configuration as it stands in the file: with the addresses and the certificate, where it names none.
    pub fn whole(&self, toml: &str) -> String {
        let [public, admin] = [self.public, self.admin_address].map(|address| address.to_string());
        named_certificate(&complete(toml, &public, &admin))
    }

    /// Starts the program again on the same directory and ports, after [`Self::kill`] or [`Self::terminate`].
    /// The client, and its ledger, stay.
    pub async fn restart(&mut self) {
        self.start_again();
        self.ready().await;
    }

    /// [`Self::restart`], without waiting for `/readyz` to say yes.
    pub fn start_again(&mut self) {
        self.kill();
        (self.child, self.stderr) = launch(self.wrapper, self.directory.path(), &self.environment);
    }

    /// Its status, when it has ended; then all that it wrote can be read.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let state = self.child.try_wait();
        let ended = state.expect("a child that can be waited for")?;
        self.stderr.wait();
        Some(ended)
    }

    /// SIGKILL. The process is gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child that can be killed");
        self.child.wait().expect("a child that can be waited for");
    }

    /// SIGTERM; returns the exit status.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(signal::Signal::SIGTERM);
        self.exited().await
    }

    pub fn signal(&self, signal: signal::Signal) {
        signal::kill(self.pid(), signal).expect("a process that runs");
    }

    /// Waits for the end.
    pub async fn exited(&mut self) -> ExitStatus {
        wait_for("the end of the process", async || self.ended()).await
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Resident memory in bytes: now, and at its highest.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_default();
        let bytes = |name| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            line.map_or(0, |kib| kib.parse::<u64>().expect("a number") << 10)
        };
        (bytes("VmRSS:"), bytes("VmHWM:"))
    }

    /// Open ones.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Everything written to stderr so far, by the process that runs or ran last.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// A connection of its own for hand-made bytes.
    pub async fn raw(&self) -> Raw {
        Raw::tls(self.public, &self.certificate_pem).await
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin.get("/metrics").await.text())
    }

    async fn ready(&mut self) {
        let mut last = String::new();
        let ready = tokio::time::timeout(PATIENCE, async {
            while !self.is_ready(&mut last).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if ready.await.is_err() {
            let stderr = self.stderr.text();
            panic!("not ready; the last answer: {last:?}; it says:\n{stderr}");
        }
    }

    async fn is_ready(&mut self, last: &mut String) -> bool {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("ended with {status} instead: {}", self.stderr.text());
        }
        *last = "none yet".to_owned();
        let reply = self.admin.try_send(Method::GET, "/readyz", &[], "").await;
        let ready = reply.as_ref().is_ok_and(|reply| reply.status.is_success());
        *last = reply.map_or_else(|error| error, |reply| reply.text());
        ready
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs `hookgate serve` to its end on `toml` as it stands, which must not start; returns the exit code and stderr.
pub async fn run_to_end(directory: &Path, toml: &str) -> (Option<i32>, String) {
    run_to_end_under(&[], directory, toml).await
}

/// [`run_to_end`], through a command as for [`Process::spawn_under`].
pub async fn run_to_end_under(
    wrapper: &[&str],
    directory: &Path,
    toml: &str,
) -> (Option<i32>, String) {
    std::fs::write(directory.join("routes.toml"), toml).expect("a writable directory");
    let environment = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (mut child, stderr) = launch(wrapper, directory, &environment);
    let status = wait_for("the end of the process", async || {
        child.try_wait().expect("a child that can be waited for")
    })
    .await;
    (status.code(), stderr.whole())
}

fn launch(wrapper: &[&str], directory: &Path, environment: &[(String, String)]) -> (Child, Stderr) {
    let mut words = wrapper.iter().chain(&[
        env!("CARGO_BIN_EXE_hookgate"),
        "serve",
        "--config",
        "routes.toml",
    ]);
    let mut child = Command::new(words.next().expect("a command"))
        .args(words)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let stderr = Stderr::follow(child.stderr.take().expect("a pipe"));
    (child, stderr)
}

/// What a process writes, gathered by a thread, so that the pipe never fills.
struct Stderr {
    text: Arc<Mutex<String>>,
    ended: mpsc::Receiver<()>,
}

impl Stderr {
    fn follow(pipe: ChildStderr) -> Self {
        let (end, ended) = mpsc::channel();
        let text = Arc::new(Mutex::new(String::new()));
        let gathered = text.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let line = line.unwrap_or_default();
                let mut gathered = gathered.lock().expect("no reader panics");
                gathered.push_str(&String::from_utf8_lossy(&line));
                gathered.push('\n');
            }
            drop(end);
        });
        Self { text, ended }
    }

    fn text(&self) -> String {
        self.text.lock().expect("the writer does not panic").clone()
    }

    /// Until the process has ended and all of it is here.
    fn wait(&self) {
        self.ended.recv().ok();
    }

    fn whole(&self) -> String {
        self.wait();
        self.text()
    }
}

/// Two ports that are free now. They lie below the range that the system gives out by itself, so that no
/// other socket takes one while the gateway is down between a kill and a restart.
pub fn free_addresses() -> [SocketAddr; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [(); 2].map(|()| {
        let mut candidates = (0..PORTS).map(|_| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 64;
            let port = FIRST_PORT + u16::try_from(number % PORTS).expect("a small number");
            SocketAddr::from(([127, 0, 0, 1], port))
        });
        let free = candidates.find(|address| TcpListener::bind(address).is_ok());
        free.expect("a free port")
    })
}

/// Makes a certificate for [`SERVER_NAME`] in `directory` and names it in the configuration, unless that names one.
fn with_certificate(toml: &str, directory: &Path) -> (String, String) {
    let (certificate, private_key) = certificate();
    std::fs::write(directory.join("server.crt"), &certificate).expect("a writable directory");
    std::fs::write(directory.join("server.key"), private_key).expect("a writable directory");
    (named_certificate(toml), certificate)
}

fn named_certificate(toml: &str) -> String {
    let mut root: toml::Table = toml.parse().expect("a configuration in TOML");
    let server = root["server"].as_table_mut().expect("a table");
    let tls = toml::toml! {
        certificate = "server.crt"
        private_key = "server.key"
    };
    let own = server
        .entry("tls")
        .or_insert_with(|| toml::Table::new().into());
    let own = own.as_table_mut().expect("a table");
    for (key, value) in tls {
        own.entry(key).or_insert(value);
    }
    toml::to_string(&root).expect("a table")
}

/// A new self-signed certificate for [`SERVER_NAME`] and its key, in PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]);
    let made = made.expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}
