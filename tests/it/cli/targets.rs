//! `hookgate targets` against a running gateway.

use super::asking::{ask, lines};
use crate::support::{gateway::Gateway, receiver::Receiver};

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_listed_paused_and_resumed() {
    let receiver = Receiver::start().await;
    let toml = format!(
        r#"
        [targets.crm]
        url = "{url}"
        allow_private = true

        [targets.erp]
        url = "{url}"
        allow_private = true
        paused = true

        [routes.orders]
        path = "/orders"
        verify = "none"
        event_id = {{ json = "/id" }}
        deliver = ["crm", "erp"]
        "#,
        url = receiver.url()
    );
    let gateway = Gateway::start_now(&toml).await;
    let table = ask(&gateway, "targets list").await.done();
    for told in ["crm", "127.0.0.1", "delivering", "paused by the file"] {
        assert!(table.contains(told), "no {told} in\n{table}");
    }
    let told = ask(&gateway, "targets pause crm").await.done();
    assert!(
        told.contains("no gateway of this store") && told.contains("hookgate targets resume crm"),
        "{told}"
    );
    let headers = [("Content-Type", "application/json")];
    let reply = gateway
        .client
        .post("/orders", &headers, r#"{"id": "1"}"#)
        .await;
    assert_eq!(reply.outcome(), "accepted");
    let listed = ask(&gateway, "targets list --format json").await.done();
    let listed = lines(&listed);
    let of = |key: &str| -> Vec<_> { listed.iter().map(|target| target[key].clone()).collect() };
    assert_eq!(of("name"), ["crm", "erp"]);
    assert_eq!(of("paused"), [true, true]);
    assert_eq!(of("pending"), [1, 1]);

    let told = ask(&gateway, "targets resume crm").await.done();
    assert!(told.starts_with("resumed"), "{told}");
    receiver.wait_for(1).await;
    let told = ask(&gateway, "targets resume crm").await.done();
    assert!(told.starts_with("not paused"), "{told}");
    let told = ask(&gateway, "targets resume erp").await.done();
    assert!(told.contains("paused = true"), "{told}");
    let told = ask(&gateway, "targets resume erp --format json")
        .await
        .done();
    assert_eq!(lines(&told)[0]["result"], "paused_by_file");
    let told = ask(&gateway, "targets pause crn").await.failed(1);
    assert!(told.contains("Did you mean `crm`?"), "{told}");
    gateway.stop().await;
}
