//! `hookgate reload` against a gateway in a process of its own.

use super::{
    asking::{ask_at, lines},
    program::Serving,
};

const TOML: &str = r#"
    [targets.crm]
    url = "http://127.0.0.1:1"
    allow_private = true

    [routes.orders]
    path = "/orders"
    verify = "none"
    event_id = { json = "/id" }
    deliver = ["crm"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_changed_and_what_is_wrong() {
    let serving = Serving::start(TOML).await;
    let file = serving.directory.path().join("routes.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let told = ask_at(serving.admin, "", "reload").await.done();
    assert!(told.contains("as they were"), "{told}");

    // The gateway looks at its files itself, too: what a reload changed may have been taken just before.
    std::fs::write(&file, before.replace("/orders", "bad")).unwrap();
    let told = ask_at(serving.admin, "", "reload").await.failed(64);
    assert!(
        told.contains("nothing changed") && told.contains("routes.orders.path"),
        "{told}"
    );

    std::fs::write(&file, format!("{before}\n[admin]\n")).unwrap();
    let told = ask_at(serving.admin, "", "reload").await;
    assert_eq!(told.code, 64, "a table that stands twice: {told:?}");
    std::fs::write(&file, &before).unwrap();
    let told = ask_at(serving.admin, "", "reload --format json")
        .await
        .done();
    assert!(lines(&told)[0]["routes"]["added"].is_array(), "{told}");
}
