//! `hookgate events replay` and `hookgate replays` against a running gateway.

use super::asking::{ask, lines};
use crate::support::{
    gateway::Gateway,
    receiver::{Receiver, Reply},
    wait_for,
};

const TOML: &str = r#"
    [targets.crm]
    url = "URL"
    allow_private = true

    [targets.erp]
    url = "URL"
    allow_private = true

    [routes.orders]
    path = "/orders"
    verify = "none"
    event_id = { json = "/id" }
    deliver = ["crm", "erp"]
"#;

/// So many events whose deliveries are all dead letters; their uids.
async fn dead_letters(receiver: &Receiver, count: usize) -> (Gateway, Vec<String>) {
    receiver.script((0..count * 2).map(|_| Reply::status(410)));
    let gateway = Gateway::start_now(&TOML.replace("URL", &receiver.url())).await;
    let mut uids = Vec::new();
    for n in 0..count {
        let headers = [("Content-Type", "application/json")];
        let body = format!(r#"{{"id": "evt_{n}"}}"#);
        let reply = gateway.client.post("/orders", &headers, body).await;
        uids.push(reply.json()["uid"].as_str().unwrap().to_owned());
    }
    wait_for("dead letters", async || {
        let depth = gateway.depth().await;
        (depth.iter().map(|one| one.dead).sum::<u64>() == 2 * count as u64).then_some(())
    })
    .await;
    (gateway, uids)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_replayed_to_one_target_or_to_all() {
    let receiver = Receiver::start().await;
    let (gateway, uids) = dead_letters(&receiver, 2).await;
    let told = ask(&gateway, &format!("events replay {} --target crm", uids[0])).await;
    assert_eq!(told.done(), "crm: is delivered again\n");
    let told = ask(
        &gateway,
        &format!("events replay {} --format json", uids[1]),
    )
    .await;
    let answer = lines(&told.done()).remove(0);
    let results = answer["deliveries"].as_array().unwrap();
    assert!(
        results.iter().all(|one| one["result"] == "due") && results.len() == 2,
        "{answer}"
    );
    receiver.wait_for(7).await;

    let unknown = ask(
        &gateway,
        "events replay 0197ab3e-5c1d-7000-8000-0123456789ab",
    )
    .await;
    assert!(unknown.failed(1).contains("hookgate events list"));
    let no_target = ask(&gateway, &format!("events replay {} --target crn", uids[0])).await;
    assert!(no_target.failed(1).contains("does not go to a target"));
    let both = ask(&gateway, &format!("events replay {} --state dead", uids[0])).await;
    both.failed(64);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_replayed_when_somebody_says_yes() {
    let receiver = Receiver::start().await;
    let (gateway, _) = dead_letters(&receiver, 12).await;
    let replay = "events replay --route orders --target crm --state dead --since 2h";
    let told = ask(&gateway, replay).await.failed(1);
    assert!(
        told.contains("12 events") && told.contains("--yes"),
        "{told}"
    );
    let told = ask(&gateway, "events replay").await.failed(1);
    assert!(
        told.contains("--target") && told.contains("everything"),
        "{told}"
    );
    let told = ask(&gateway, "events replay --state pending --yes")
        .await
        .failed(1);
    assert!(told.contains("under way"), "{told}");
    let told = ask(&gateway, "events replay --route nobody --yes").await;
    assert!(
        told.code == 0 && told.err.contains("no event matches"),
        "{told:?}"
    );
    let told = ask(&gateway, "replays list").await.done();
    assert_eq!(told, "there are no replays\n", "nothing was begun");

    let done = ask(
        &gateway,
        &format!("{replay} --yes --rate 1000 --format json"),
    )
    .await;
    let done = lines(&done.done()).remove(0);
    assert_eq!(
        (&done["state"], &done["rate"]),
        (&"done".into(), &1000.into())
    );
    assert_eq!(
        (&done["events"], &done["replayed"]),
        (&12.into(), &12.into())
    );
    receiver.wait_for(36).await;
    let again = ask(&gateway, &format!("{replay} --yes")).await;
    assert!(again.err.contains("nothing to replay"), "{again:?}");

    // Slow, so that it runs until it is cancelled.
    let begun = ask(
        &gateway,
        "events replay --target erp --state dead --rate 1 --yes --detach",
    )
    .await;
    let begun = begun.done();
    let id = begun.trim().rsplit(' ').next().unwrap();
    assert!(
        begun.contains(&format!("hookgate replays show {id}")),
        "{begun}"
    );
    let shown = ask(&gateway, &format!("replays show {id} --format json"))
        .await
        .done();
    assert_eq!(lines(&shown)[0]["state"], "running");
    let cancelled = ask(&gateway, &format!("replays cancel {id}")).await.done();
    assert!(cancelled.starts_with("cancelled"), "{cancelled}");
    let followed = ask(&gateway, &format!("replays show {id} --follow"))
        .await
        .done();
    assert!(followed.starts_with("cancelled"), "{followed}");
    let table = ask(&gateway, "replays list").await.done();
    for told in [id, "cancelled", "done", "state=dead", "target=erp"] {
        assert!(table.contains(told), "no {told} in\n{table}");
    }
    let all = ask(&gateway, "replays list --format json").await.done();
    assert_eq!(lines(&all).len(), 2);
    gateway.stop().await;
}
