//! `serve` when it cannot: one clear line, and an exit code that tells whose fault it is.

use std::net::TcpListener;

use super::program::{Serving, hookgate, stderr};
use crate::support::{gateway::temporary, process::certificate};

const ROUTE: &str = r#"
[routes.open]
path = "/open"
verify = "none"
event_id = { body = "sha256" }
deliver = []
"#;

/// `serve` on ports that the system chooses, with `sections` besides; it must fail with 1 and one line on stderr.
fn refused(directory: &std::path::Path, sections: &str) -> String {
    let mut config: toml::Table = format!("{sections}\n{ROUTE}").parse().unwrap();
    for section in ["server", "admin"] {
        let section = config
            .entry(section)
            .or_insert_with(|| toml::Table::new().into());
        let section = section.as_table_mut().unwrap();
        section
            .entry("listen")
            .or_insert_with(|| "127.0.0.1:0".into());
    }
    std::fs::write(
        directory.join("routes.toml"),
        toml::to_string(&config).unwrap(),
    )
    .unwrap();
    let output = hookgate(directory, &["serve"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let errors: Vec<_> = told
        .lines()
        .filter(|line| !line.starts_with("warning"))
        .collect();
    let [error] = errors.as_slice() else {
        panic!("not one line: {told}");
    };
    assert!(error.starts_with("error: "), "{error}");
    (*error).to_owned()
}

/// Whoever reads the lines as JSON gets the warnings, the faults and the reason of the end as such, too.
#[test]
fn json_logs_are_json_from_the_first_line_to_the_last() {
    let directory = temporary();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let warned = format!(
        "[server]\nlisten = \"{address}\"\n[targets.crm]\nurl = \"https://crm.example.com\""
    );
    let cases = [
        (
            warned.as_str(),
            1,
            ["WARN targets.crm", "ERROR cannot listen on"],
        ),
        (
            "[server]\nliste = 1\n[admin]\nliste = 1",
            64,
            ["ERROR server.liste", "ERROR admin.liste"],
        ),
    ];
    for (sections, code, wanted) in cases {
        std::fs::write(
            directory.path().join("routes.toml"),
            format!("{sections}\n{ROUTE}"),
        )
        .unwrap();
        let output = hookgate(directory.path(), &["serve", "--log-format", "json"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{told}");
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect();
        for wanted in wanted {
            let (level, text) = wanted.split_once(' ').unwrap();
            let said = |line: &serde_json::Value| {
                line["level"] == level && line["message"].as_str().unwrap().contains(text)
            };
            assert!(lines.iter().any(said), "{wanted}: {told}");
        }
    }
}

#[test]
fn a_taken_port() {
    let directory = temporary();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for section in ["server", "admin"] {
        let told = refused(
            directory.path(),
            &format!("[{section}]\nlisten = \"{address}\""),
        );
        assert!(
            told.contains(&format!("cannot listen on {address}")),
            "{told}"
        );
        assert!(
            told.contains("stop the process that uses the port"),
            "{told}"
        );
    }
}

#[test]
fn an_address_that_is_not_this_machines() {
    let directory = temporary();
    let tls = with_certificate(directory.path());
    // TEST-NET-1: nobody has it.
    let told = refused(
        directory.path(),
        &format!("[server]\nlisten = \"192.0.2.1:8443\"\n{tls}"),
    );
    assert!(told.contains("no interface of this machine"), "{told}");
}

/// Root may take any port: only the words are seen here.
#[test]
fn a_port_that_takes_a_right() {
    let told = hookgate::listener::BindError {
        address: ([0, 0, 0, 0], 443).into(),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    let told = told.to_string();
    assert!(
        told.contains("0.0.0.0:443") && told.contains("CAP_NET_BIND_SERVICE"),
        "{told}"
    );
}

#[test]
fn no_place_for_a_certificate_of_its_own() {
    let directory = temporary();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let told = refused(directory.path(), "[store]\nurl = \"file:file/data\"");
    assert!(
        told.contains("self-signed") && told.contains("name a certificate in [server.tls]"),
        "{told}"
    );
}

/// The directory would be within a file, which not even root can do.
#[test]
fn a_store_that_cannot_be_written() {
    let directory = temporary();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let tls = with_certificate(directory.path());
    let told = refused(
        directory.path(),
        &format!("{tls}\n[store]\nurl = \"file:file/data\""),
    );
    assert!(
        told.contains("file/data") && told.contains("name another in `store.url`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_uses() {
    let gateway = Serving::start(ROUTE).await;
    let data = gateway.directory.path().join("data");
    let directory = temporary();
    let told = refused(
        directory.path(),
        &format!("[store]\nurl = \"file:{}\"", data.display()),
    );
    assert!(
        told.contains(&data.display().to_string()) && told.contains("name another directory"),
        "{told}"
    );
}

#[test]
fn a_certificate_and_a_key_that_do_not_go_together() {
    let directory = temporary();
    let tls = with_certificate(directory.path());
    let (_, other_key) = certificate();
    std::fs::write(directory.path().join("server.key"), other_key).unwrap();
    let told = refused(directory.path(), &tls);
    assert!(
        told.contains("server.crt")
            && told.contains("do not go together")
            && told.contains("the key that the certificate was made for"),
        "{told}"
    );
}

#[test]
fn a_redis_that_nobody_serves() {
    let directory = temporary();
    let [nobody, _] = crate::support::process::free_addresses();
    let told = refused(
        directory.path(),
        &format!("[store]\nurl = \"redis://{nobody}\""),
    );
    assert!(
        told.contains(&nobody.to_string()) && told.contains("start Redis"),
        "{told}"
    );
}

fn with_certificate(directory: &std::path::Path) -> String {
    let (pem, key) = certificate();
    std::fs::write(directory.join("server.crt"), pem).unwrap();
    std::fs::write(directory.join("server.key"), key).unwrap();
    "[server.tls]\ncertificate = \"server.crt\"\nprivate_key = \"server.key\"".to_owned()
}
