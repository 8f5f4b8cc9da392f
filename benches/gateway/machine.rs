//! Where and with what a run was made.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::Result;

/// Names and values, in the order to tell them in.
pub(crate) fn facts(store_directory: &Path) -> Result<Vec<(&'static str, String)>> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory_kib: f64 = field(&memory, "MemTotal").trim_end_matches(" kB").parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        (
            "CPU",
            format!("{}, {cores} cores", field(&cpu, "model name")),
        ),
        ("memory", format!("{:.1} GiB", memory_kib / 1024.0 / 1024.0)),
        ("kernel", format!("Linux {}", kernel.trim())),
        ("file system of the stores", file_system(store_directory)?),
        ("hookgate", env!("CARGO_PKG_VERSION").to_owned()),
        ("rustc", output("rustc", &["--version"])?),
        ("redis-server", output("redis-server", &["--version"])?),
        ("actix-web", locked("actix-web")),
        ("rustls", locked("rustls")),
        ("SQLite", rusqlite::version().to_owned()),
        (
            "date",
            jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        ),
        ("command", command()),
    ])
}

/// The value of `name : value`, where it stands first.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.trim_start().strip_prefix(':');
    text.lines().find_map(value).unwrap_or("unknown").trim()
}

fn file_system(directory: &Path) -> Result<String> {
    let directory = directory.to_str().ok_or("a path that is not UTF-8")?;
    let told = output("df", &["--output=fstype", directory])?;
    Ok(told.lines().last().unwrap_or("unknown").to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The version of a dependency; where there are several, the first.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = lock
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("unknown", |(version, _)| version).to_owned()
}

/// As it was typed, but for what Cargo adds.
fn command() -> String {
    let own = std::env::args().skip(1).filter(|text| text != "--bench");
    let own: Vec<_> = own.collect();
    match own.is_empty() {
        true => "cargo bench --bench gateway".to_owned(),
        false => format!("cargo bench --bench gateway -- {}", own.join(" ")),
    }
}
