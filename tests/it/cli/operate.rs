//! `health` and `receive`: what containers and people run beside a gateway.

use std::io::{BufRead as _, BufReader};

use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::program::{Serving, hookgate, spawn, stderr, stdout};
use crate::support::{client::Client, gateway::temporary, process::free_addresses};

const ROUTE: &str = r#"
[routes.open]
path = "/open"
verify = "none"
event_id = { body = "sha256" }
deliver = []
"#;

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_whether_a_gateway_is_ready_and_alive() {
    let gateway = Serving::start(ROUTE).await;
    let admin = format!("http://{}", gateway.admin);
    let elsewhere = temporary();
    for (arguments, answer) in [(&[][..], "ready\n"), (&["--live"][..], "ok\n")] {
        let arguments = [&["health", "--admin", &admin], arguments].concat();
        let output = hookgate(elsewhere.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stdout(&output), answer);
    }
    // The public listener answers too, but knows no such path.
    let public = format!("http://{}", gateway.public);
    for wrong in [public.as_str(), "http://127.0.0.1:1"] {
        let output = hookgate(elsewhere.path(), &["health", "--admin", wrong]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(wrong), "{}", stderr(&output));
    }
    drop(gateway);
    let output = hookgate(elsewhere.path(), &["health", "--live", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1), "a gateway that was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn receive_prints_what_comes_and_answers_as_told() {
    let [address, _] = free_addresses();
    let listen = address.to_string();
    let arguments = ["receive", "--listen", &listen, "--body", "--status", "503"];
    let arguments = [&arguments[..], &["--first", "1"]].concat();
    let mut child = spawn(temporary().path(), &arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = move || lines.next().unwrap().unwrap();
    assert_eq!(line(), format!("listening on http://{address}"));

    let client = Client::plain(address);
    let headers = [("Hookgate-Route", "shop"), ("Hookgate-Attempt", "1")];
    for (status, told) in [(503, "-> 503"), (204, "-> 204")] {
        let body = "{\"a\":1}\u{1b}[31m";
        let reply = client.send(Method::POST, "/crm?x", &headers, body).await;
        assert_eq!(reply.status, status);
        let first = line();
        for part in ["POST /crm route=shop", "attempt=1", "12 bytes", told] {
            assert!(first.contains(part), "{first}");
        }
        assert_eq!(line(), "  {\"a\":1}\\u{1b}[31m");
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn receive_answers_with_statuses_of_responses_alone() {
    for status in ["99", "199", "600", "soon"] {
        let output = hookgate(temporary().path(), &["receive", "--status", status]);
        assert_eq!(output.status.code(), Some(64), "{status}");
    }
}
