//! `/api/v1/{routes,config,reload}` and the pauses of targets.

use hookgate::{
    admin::control::{Applied, Changes, Refusal},
    config::Config,
};
use http::Method;
use serde_json::json;

use super::{
    TOKEN, configuration,
    rig::{AdminRig, refusal},
};
use crate::{
    delivery::rig::{event, target},
    support::{
        gateway::{Gateway, env},
        receiver::Receiver,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_told_with_the_names_of_their_secrets_alone() {
    let receiver = Receiver::start().await;
    let more = r#"
        [routes.anyone]
        path = "/anyone"
        methods = ["POST", "PUT"]
        verify = "none"
        event_id = { json = "/id" }
        deliver = []
        enabled = false

        [routes.two]
        path = "/two"
        verify = [
            { api_key = { header = "X-Key" }, keys = [{ name = "erp", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }] },
        ]
        event_id = { json = "/id" }
        deliver = ["crm"]
    "#;
    let token = format!("[admin]\ntoken = {{ value = \"{TOKEN}\" }}\n");
    let toml = token + &configuration(&receiver.url()) + more;
    let gateway = Gateway::start(&toml).await;
    let bearer = format!("Bearer {TOKEN}");
    let get = async |path: &str| {
        let headers = [("Authorization", bearer.as_str())];
        gateway.admin.send(Method::GET, path, &headers, "").await
    };
    let reply = get("/api/v1/routes").await;
    for secret in [TOKEN, &env("GITHUB_SECRET").unwrap(), "aaaaaaaa"] {
        assert!(!reply.text().contains(secret), "{}", reply.text());
    }
    let routes = reply.json();
    let names: Vec<_> = routes["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(names, ["anyone", "github", "two"]);
    let github = &routes["routes"][1];
    assert_eq!(
        github,
        &json!({
            "name": "github",
            "path": "/hooks/github",
            "methods": ["POST"],
            "provider": "github",
            "verifiers": [{ "kind": "signature", "credentials": ["GITHUB_SECRET"] }],
            "targets": ["crm"],
            "enabled": true,
            "max_body_bytes": github["max_body_bytes"],
            "dedupe_window_seconds": github["dedupe_window_seconds"],
            "keep_rejected": false,
        })
    );
    assert!(github["max_body_bytes"].as_u64().unwrap() > 0);
    let anyone = &routes["routes"][0];
    assert_eq!(
        (&anyone["verifiers"], &anyone["provider"]),
        (&json!([]), &json!(null))
    );
    assert_eq!(
        (&anyone["enabled"], &anyone["methods"]),
        (&json!(false), &json!(["POST", "PUT"]))
    );
    let two = &routes["routes"][2]["verifiers"];
    assert_eq!(two, &json!([{ "kind": "api_key", "credentials": ["erp"] }]));

    let config = get("/api/v1/config").await;
    assert!(!config.text().contains(TOKEN));
    let config = config.json();
    assert_eq!(config["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&config["store"], &config["routes"], &config["targets"]),
        (&json!("embedded"), &json!(3), &json!(1))
    );
    assert_eq!(config["last_attempt"]["result"], "ok");
    assert_eq!(config["path"], json!(null));
    // The token stands in the file itself.
    let warning = &config["warnings"][0];
    assert_eq!(warning["key"], "admin.token");
    assert!(warning["line"].as_u64().unwrap() > 0);
    let next = warning["hint"].as_str().unwrap();
    assert!(next.contains("`env`"), "{next}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_changed_or_every_fault() {
    let admin = AdminRig::start([target("crm", "http://127.0.0.1:1")]);
    let next = |result| *admin.control.next.lock().unwrap() = Some(result);
    let changes = |name: &str| Changes {
        added: vec![name.to_owned()],
        ..Changes::default()
    };
    next(Ok(Applied {
        routes: changes("orders"),
        targets: changes("crm"),
        needs_restart: vec!["server.listen".to_owned()],
    }));
    let reply = admin.post("reload", "").await;
    let of = |name: &str| json!({ "added": [name], "removed": [], "changed": [] });
    assert_eq!(
        reply.json(),
        json!({ "routes": of("orders"), "targets": of("crm"), "needs_restart": ["server.listen"] })
    );

    let bad = "[routes.a]\nenabled = 7\n[targets.b]\n";
    let faults = Config::parse(bad, "routes.toml", ".".as_ref(), &|_| None).unwrap_err();
    let count = faults.as_slice().len();
    assert!(count > 2);
    next(Err(Refusal::Faults(faults.as_slice().to_vec())));
    let reply = admin.post("reload", "").await;
    let told = refusal(&reply, 422);
    assert_eq!(
        told,
        format!("The configuration has {count} fault(s); nothing changed.")
    );
    let shown = reply.json();
    assert_eq!(shown["code"], "invalid_config");
    let shown = shown["faults"].as_array().unwrap();
    assert_eq!(shown.len(), count);
    for (shown, fault) in shown.iter().zip(faults.as_slice()) {
        assert_eq!(shown["message"], fault.to_string());
        assert_eq!(
            (&shown["line"], &shown["key"]),
            (&json!(fault.line), &json!(fault.key))
        );
    }

    next(Err(Refusal::Unusable(
        "the key is another certificate's".to_owned(),
    )));
    let reply = admin.post("reload", "").await;
    assert!(refusal(&reply, 422).contains("another certificate's"));
    assert_eq!(reply.json()["code"], "unusable_config");
    assert!(reply.json().get("faults").is_none());
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_paused_and_resumed() {
    let receiver = Receiver::start().await;
    let admin = AdminRig::start([target("crm", &receiver.url())]);
    let reply = admin.post("targets/crm/pause", "").await;
    let paused = json!({ "target": "crm", "paused": true, "result": "paused" });
    assert_eq!(reply.json(), paused);
    let shown = &admin.get("targets").await["targets"][0];
    assert_eq!(
        (&shown["paused"], &shown["paused_by_file"]),
        (&json!(true), &json!(false))
    );
    admin.rig.send(event("evt_1", &["crm"])).await;
    assert_eq!(admin.get("targets").await["targets"][0]["pending"], 1);
    assert!(receiver.requests().is_empty());

    let reply = admin.post("targets/crm/resume", "").await;
    let resumed = json!({ "target": "crm", "paused": false, "result": "resumed" });
    assert_eq!(reply.json(), resumed);
    receiver.wait_for(1).await;
    let reply = admin.post("targets/crm/resume", "").await;
    assert_eq!(reply.json()["result"], "not_paused");
    for what in ["pause", "resume"] {
        let reply = admin.post(&format!("targets/crn/{what}"), "").await;
        let told = refusal(&reply, 404);
        assert_eq!(
            told,
            "No target of this name is configured. Did you mean `crm`?"
        );
    }
    admin.stop().await;
}
