//! `hookgate secrets` against a running gateway.

use std::process::Output;

use super::program::hookgate_where;
use crate::support::gateway::{Gateway, temporary};

const SECRET: &str = "canary-secret-of-asana";
const TOKEN: &str = "canary-admin-token";

fn configuration() -> String {
    format!(
        r#"
        [admin]
        token = {{ value = "{TOKEN}" }}

        [routes.asana]
        path = "/hooks/asana"
        provider = "asana"
        secrets = [{{ handshake = true }}]
        deliver = []
        "#
    )
}

/// The exit code, and both outputs.
async fn secrets(gateway: &Gateway, token: &str, arguments: &[&str]) -> (i32, String, String) {
    let admin = format!("http://{}", gateway.app().admin_addr());
    let mut all = vec!["secrets".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all.extend(["--admin".to_owned(), admin]);
    let token = token.to_owned();
    // The gateway runs in this process: it must go on meanwhile.
    let run = move || {
        let arguments: Vec<_> = all.iter().map(String::as_str).collect();
        let environment = [("HOOKGATE_ADMIN_TOKEN", token.as_str())];
        hookgate_where(&environment, temporary().path(), &arguments)
    };
    let output: Output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_listed_shown_and_forgotten() {
    let gateway = Gateway::start(&configuration()).await;
    let (code, listed, _) = secrets(&gateway, TOKEN, &[]).await;
    assert_eq!(code, 0);
    assert!(
        listed.contains("asana") && listed.contains("waiting"),
        "{listed}"
    );
    let (code, _, told) = secrets(&gateway, TOKEN, &["show", "asana"]).await;
    assert_eq!(code, 1);
    assert!(
        told.contains("waits for its provider's handshake"),
        "{told}"
    );

    let headers = [("X-Hook-Secret", SECRET)];
    let taken = gateway.client.post("/hooks/asana", &headers, "{}").await;
    assert_eq!(taken.status, 200);
    let (code, listed, _) = secrets(&gateway, TOKEN, &["list"]).await;
    assert_eq!(code, 0);
    assert!(listed.contains("kept"), "{listed}");
    assert!(!listed.contains(SECRET), "{listed}");
    let (code, shown, _) = secrets(&gateway, TOKEN, &["show", "asana"]).await;
    assert_eq!((code, shown.as_str()), (0, format!("{SECRET}\n").as_str()));

    let (code, told, _) = secrets(&gateway, TOKEN, &["forget", "asana"]).await;
    assert_eq!(code, 0);
    assert!(told.contains("forgotten"), "{told}");
    let (code, _, told) = secrets(&gateway, TOKEN, &["forget", "asana"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("404"), "{told}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_or_a_gateway_one_line_says_what_to_do() {
    let gateway = Gateway::start(&configuration()).await;
    let (code, shown, told) = secrets(&gateway, "another-token", &["show", "asana"]).await;
    assert_eq!((code, shown.as_str()), (1, ""));
    assert!(
        told.contains("401") && told.contains("HOOKGATE_ADMIN_TOKEN"),
        "{told}"
    );
    assert!(!told.contains("another-token"), "{told}");
    let nobody = "http://127.0.0.1:1";
    let arguments = ["secrets", "list", "--admin", nobody];
    let output = hookgate_where(&[], temporary().path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--admin") && told.contains(nobody), "{told}");
    gateway.stop().await;
}
