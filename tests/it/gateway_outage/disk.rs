//! The embedded store on a disk that is full, and on one that fails.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::Command,
};

use super::{SEED, SENDERS, assert_store_unavailable, wait_until_ready};
use crate::support::{
    ledger::{Load, configuration, drained, three_sinks},
    process::Process,
};

/// Without the trap the signal would end the program before it saw the error.
const SEES_FILE_LIMIT: &[&str] = &["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#];
/// A file may not grow beyond this many bytes.
const FILE_MAX: u64 = 1 << 20;

/// The store's directory becomes a small file system of the program's own.
const SMALL_DISK: &[&str] = &[
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
        assert_store_unavailable(&load.post(&gateway.client, id).await);
        let ready = gateway.admin.get("/readyz").await;
        assert_eq!(ready.status, http::StatusCode::SERVICE_UNAVAILABLE);
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

fn small_disks_are_allowed() -> bool {
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
struct Ballast(PathBuf);

impl Ballast {
    /// Until not one byte more can be written.
    fn fill(gateway: &Process) -> Self {
        // The file system is in the program's name space: it is reached through it.
        let inside = gateway.directory.path().display();
        let path = format!("/proc/{}/root{inside}/data/ballast", gateway.pid());
        let mut file = File::create(&path).expect("a file on the small disk");
        for size in [1 << 16, 1] {
            let full = loop {
                if let Err(error) = file.write_all(&vec![0; size]) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
        Self(path.into())
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the ballast");
    }
}
