//! The embedded store on a disk that is full, at work or at the start, and on one that fails.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::Command,
};

use http::{Method, StatusCode};

use super::refusals::only_error;
use super::{SEED, SENDERS, assert_store_unavailable, wait_until_ready};
use crate::support::{
    gateway::{complete, temporary},
    ledger::{Load, Sink, configuration, drained, nothing_pending, three_sinks},
    process::{Process, certificate, run_to_end_under},
    wait_for,
};

/// Without the trap the signal would end the program before it saw the error.
const SEES_FILE_LIMIT: &[&str] = &["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#];
/// A file may not grow beyond this many bytes.
const FILE_MAX: u64 = 1 << 20;

/// The store's directory becomes a small file system of the program's own.
pub(crate) const SMALL_DISK: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    r#"mkdir -p data && mount -t tmpfs -o size=32m tmpfs data && exec "$0" "$@""#,
];

/// A write that fails for any other reason than a full disk is as bad as a failed sync: what the system then says
/// is durable cannot be believed, so the program ends, with nothing answered that is not safe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_ends_the_program_and_loses_nothing() {
    let sinks = three_sinks().await;
    let toml = configuration("file:data", &sinks);
    let mut gateway = Process::spawn_under(SEES_FILE_LIMIT, &toml, &[]).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    load.more_acknowledged(100).await;
    limit_files(&gateway);
    let status = gateway.exited().await;
    assert_eq!(status.code(), Some(1), "{}", gateway.stderr());
    assert!(gateway.stderr().contains("error"), "{}", gateway.stderr());
    gateway.restart().await;
    load.more_acknowledged(100).await;
    drained(&load.stop().await, &sinks, &[&gateway]).await;
}

/// Of a process that runs: its writes beyond the limit fail with `EFBIG`.
fn limit_files(gateway: &Process) {
    let limited = Command::new("prlimit")
        .args(["--pid", &gateway.pid().to_string()])
        .arg(format!("--fsize={FILE_MAX}:"))
        .status()
        .expect("prlimit, of util-linux");
    assert!(limited.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_503_until_there_is_room_and_loses_nothing() {
    if !small_disks_are_allowed() {
        eprintln!(
            "not tested: this system lets nobody mount a file system in a name space of their own"
        );
        return;
    }
    let sinks = three_sinks().await;
    let toml = configuration("file:data", &sinks);
    let gateway = Process::spawn_under(SMALL_DISK, &toml, &[]).await;
    let load = Load::start(&[&gateway.client], SENDERS, SEED);
    for id in ["no-room-1", "no-room-2"] {
        load.more_acknowledged(100).await;
        let ballast = Ballast::fill(&gateway);
        load.more_failed(SENDERS as u64).await;
        no_more_room(&gateway).await;
        assert_store_unavailable(&load.post(&gateway.client, id).await);
        // The operator can tell a full disk from any other reason for a 503.
        let told =
            |line: &str| line.contains("rejected") && line.contains("cause=the store is full");
        assert!(gateway.stderr().lines().any(told), "{}", gateway.stderr());
        drop(ballast);
        load.more_acknowledged(100).await;
        wait_until_ready(&gateway).await;
        let reply = load.post(&gateway.client, id).await;
        assert_eq!(reply.outcome(), "accepted");
    }
    let log = load.stop().await;
    log.assert_only("store_unavailable");
    drained(&log, &sinks, &[&gateway]).await;
}

/// A first refusal lets the write-ahead log begin anew if all of it could be moved: then there is room in it once more,
/// for as many events as it holds. What is refused after such a refusal stays refused, so both must be seen.
async fn no_more_room(gateway: &Process) {
    const IN_A_ROW: usize = 20;
    let mut refused = 0;
    wait_for("a store that stays full", async || {
        let ready = gateway.admin.get("/readyz").await.status;
        refused = match ready == StatusCode::SERVICE_UNAVAILABLE {
            true => refused + 1,
            false => 0,
        };
        (refused == IN_A_ROW).then_some(())
    })
    .await;
}

/// Where there is a file `full`, the store's directory becomes a small file system with what lay in it, filled to
/// the last byte before the program starts.
const FULL_DISK: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    r#"mkdir -p data
    if [ -e full ]; then
        cp -a data before && mount -t tmpfs -o size=32m tmpfs data && cp -a before/. data || exit 70
        cat /dev/zero > data/ballast 2> full
    fi
    exec "$0" "$@""#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_for_a_new_store_ends_the_start_with_one_line() {
    if !small_disks_are_allowed() {
        eprintln!("not tested: as above");
        return;
    }
    let directory = temporary();
    let (pem, key) = certificate();
    for (name, content) in [
        ("server.crt", pem),
        ("server.key", key),
        ("full", String::new()),
    ] {
        fs::write(directory.path().join(name), content).expect("a writable directory");
    }
    let tls = "[server.tls]\ncertificate = \"server.crt\"\nprivate_key = \"server.key\"\n";
    for (tls, expected) in [
        (
            tls,
            "cannot open data/hookgate.db: database or disk is full",
        ),
        (
            "",
            "cannot keep a self-signed certificate in data/tls: No space",
        ),
    ] {
        let toml = configuration("file:data", &[Sink::refusing("crm")]) + tls;
        let toml = complete(&toml, "127.0.0.1:0", "127.0.0.1:0");
        let (code, stderr) = run_to_end_under(FULL_DISK, directory.path(), &toml).await;
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            only_error(&stderr).starts_with(&format!("error: {expected}")),
            "{stderr}"
        );
        fs::remove_dir_all(directory.path().join("before")).expect("a copy");
    }
}

/// As when the disk fills up at work: what can be done without room is done, and it recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_for_a_store_that_is_there_is_503_until_there_is_room() {
    if !small_disks_are_allowed() {
        eprintln!("not tested: as above");
        return;
    }
    let sinks = three_sinks().await;
    let toml = configuration("file:data", &sinks);
    let mut gateway = Process::spawn_under(FULL_DISK, &toml, &[]).await;
    let load = Load::start(&[], 0, SEED);
    let before = load.post(&gateway.client, "before").await;
    assert_eq!(before.outcome(), "accepted");
    nothing_pending(&gateway).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    fs::write(gateway.directory.path().join("full"), "").expect("a writable directory");
    gateway.start_again();
    let ready = wait_for("an answer", async || {
        let reply = gateway.admin.try_send(Method::GET, "/readyz", &[], "");
        reply.await.ok()
    })
    .await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_store_unavailable(&load.post(&gateway.client, "no-room").await);
    drop(Ballast(Ballast::path(&gateway)));
    wait_until_ready(&gateway).await;
    for (id, expected) in [("no-room", "accepted"), ("before", "duplicate")] {
        let reply = load.post(&gateway.client, id).await;
        assert_eq!(reply.outcome(), expected, "{id}");
    }
    drained(&load.stop().await, &sinks, &[&gateway]).await;
}

pub(crate) fn small_disks_are_allowed() -> bool {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (command, arguments) = SMALL_DISK.split_first().expect("a command");
    let allowed = Command::new(command)
        .args(arguments)
        .arg("true")
        .current_dir(&directory)
        .status();
    allowed.is_ok_and(|status| status.success())
}

/// What fills the small disk, until it is dropped.
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// Until not one byte more can be written.
    pub(crate) fn fill(gateway: &Process) -> Self {
        let path = Self::path(gateway);
        let mut file = File::create(&path).expect("a file on the small disk");
        for size in [1 << 16, 1] {
            let full = loop {
                if let Err(error) = file.write_all(&vec![0; size]) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
        Self(path)
    }

    /// The file system is in the program's name space: it is reached through it.
    fn path(gateway: &Process) -> PathBuf {
        let inside = gateway.directory.path().display();
        format!("/proc/{}/root{inside}/data/ballast", gateway.pid()).into()
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the ballast");
    }
}
