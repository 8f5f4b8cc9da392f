//! What a reload changes, what it keeps, and how it tells.

use serde_json::json;

use super::rig::{Counts, OTHER, Rig, SECRET, literal, post, route, target};
use crate::support::{receiver::Receiver, receiver::Reply, tokens, wait_for};

fn two_routes(crm: &Receiver, erp: &Receiver) -> String {
    [
        target("crm", &crm.url(), ""),
        target("erp", &erp.url(), ""),
        route("kept", &literal(SECRET), "deliver = [\"crm\"]"),
        route("other", &literal(SECRET), "deliver = [\"crm\", \"erp\"]"),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn series_go_and_come_with_what_they_tell_of_and_the_others_keep_their_counts() {
    let (crm, erp) = (Receiver::start().await, Receiver::start().await);
    let rig = Rig::start(&two_routes(&crm, &erp)).await;
    for route in ["kept", "other"] {
        assert_eq!(rig.post(route, "a", SECRET).await, 200);
    }
    crm.wait_for(2).await;
    erp.wait_for(1).await;
    let delivered = [
        ("outcome", "delivered"),
        ("route", "kept"),
        ("target", "crm"),
    ];
    wait_for("the delivery in the metrics", async || {
        let value = rig
            .metrics()
            .await
            .value("hookgate_delivery_attempts_total", &delivered);
        (value == Some(1.0)).then_some(())
    })
    .await;
    let kept = route("kept", &literal(SECRET), "deliver = [\"crm\"]");
    let crm_only = [target("crm", &crm.url(), ""), kept].concat();
    rig.reload(&crm_only).await;
    assert_eq!(rig.post("other", "b", SECRET).await, 404);
    let metrics = rig.metrics().await;
    for gone in ["route=\"other\"", "target=\"erp\""] {
        let left: Vec<_> = metrics
            .series()
            .into_iter()
            .filter(|one| one.contains(gone))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let accepted = |route: &'static str| [("outcome", "accepted"), ("route", route)];
    let requests = "hookgate_requests_total";
    assert_eq!(metrics.value(requests, &accepted("kept")), Some(1.0));
    assert_eq!(
        metrics.value("hookgate_delivery_attempts_total", &delivered),
        Some(1.0)
    );

    // What comes back begins at 0.
    rig.reload(&two_routes(&crm, &erp)).await;
    let metrics = rig.metrics().await;
    assert_eq!(metrics.value(requests, &accepted("other")), Some(0.0));
    assert_eq!(metrics.value(requests, &accepted("kept")), Some(1.0));
    assert_eq!(
        metrics.value("hookgate_pending_deliveries", &[("target", "erp")]),
        Some(0.0)
    );
    let uses = metrics.sum("hookgate_credential_uses_total", "route=\"other\"");
    assert_eq!(uses, 0.0);
    assert_eq!(rig.post("other", "b", SECRET).await, 200);
    erp.wait_for(2).await;
}

/// One comes back after half an hour: none while the test runs.
const RATE: &str = "deliver = []\nrate = { limit = \"2/h\", burst = 2 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_the_same_keeps_its_limits_as_they_stand() {
    let limited = route("limited", &literal(SECRET), RATE);
    let rig = Rig::start(&limited).await;
    assert_eq!(rig.post("limited", "a", SECRET).await, 200);
    let more = route("more", &literal(SECRET), "deliver = []");
    rig.reload(&[limited.clone(), more].concat()).await;
    assert_eq!(rig.post("more", "a", SECRET).await, 200);
    assert_eq!(rig.post("limited", "b", SECRET).await, 200);
    assert_eq!(
        rig.post("limited", "c", SECRET).await,
        429,
        "the bucket was filled anew"
    );
    rig.reload(&limited).await;
    assert_eq!(rig.post("limited", "d", SECRET).await, 429);
    assert_eq!(rig.post("more", "b", SECRET).await, 404);
}

/// Of the records of refusals: what scanners cause hides nothing of a route that has just come.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_comes_has_a_share_of_the_records() {
    let one = route("one", &literal(SECRET), "deliver = []");
    let rig = Rig::start(&one).await;
    let flood = async || {
        let scan = (0..200).map(|_| rig.process.client.get("/wp-login.php"));
        futures_util::future::join_all(scan).await;
    };
    flood().await;
    let more = route("more", &literal(SECRET), "deliver = []");
    rig.reload(&[one, more].concat()).await;
    for nth in 0..5 {
        flood().await;
        let reply = post(&rig.process.client, "more", "a", OTHER).await;
        assert_eq!(reply.status.as_u16(), 401, "{}", reply.text());
        let id = reply.header("x-request-id").unwrap();
        let path = format!("/api/v1/requests/{id}");
        let known = rig.process.admin.get(&path).await;
        assert_eq!(known.status.as_u16(), 200, "{nth}: {}", known.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_all_its_faults_are_told() {
    let rig = Rig::start(&route("one", &literal(SECRET), "deliver = []")).await;
    let loaded = rig
        .metrics()
        .await
        .value("hookgate_config_last_reload_timestamp_seconds", &[]);
    let bad = route(
        "one",
        "{ env = \"NO_SUCH_SECRET\" }",
        "deliver = []\nspeed = 3",
    );
    rig.put("routes.toml", &bad);
    assert!(!rig.hang_up().await);
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    let metrics = rig.metrics().await;
    let value = |name| metrics.value(name, &[]);
    assert_eq!(value("hookgate_config_last_reload_success"), Some(0.0));
    assert_eq!(
        value("hookgate_config_last_reload_timestamp_seconds"),
        loaded
    );
    let log = rig.process.stderr();
    for told in [
        "routes.toml:4:20: routes.one.secrets[0].env: ",
        "routes.toml:6:1: routes.one.speed: ",
        "the one before stays in use",
    ] {
        assert_eq!(log.matches(told).count(), 1, "{told} in {log}");
    }
    rig.reload(&route("two", &literal(SECRET), "deliver = []"))
        .await;
    let metrics = rig.metrics().await;
    let value = |name| metrics.value(name, &[]);
    assert_eq!(value("hookgate_config_last_reload_success"), Some(1.0));
    assert!(value("hookgate_config_last_reload_timestamp_seconds") > loaded);
    let log = rig.process.stderr();
    assert!(log.contains("added two; removed one"), "{log}");
    assert!(!log.contains(SECRET), "a secret in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_told_and_the_rest_is_in_use() {
    let one = route("one", &literal(SECRET), "deliver = []");
    let two = route("two", &literal(SECRET), "deliver = []");
    let rig = Rig::start(&one).await;
    let required = async || {
        let metrics = rig.metrics().await;
        metrics.value("hookgate_config_restart_required", &[])
    };
    assert_eq!(required().await, Some(0.0));
    let server = "[server]\nmax_connections = 77\nshutdown_grace = \"3s\"\n";
    rig.reload(&[server, &one, &two].concat()).await;
    assert_eq!(required().await, Some(1.0));
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
    let log = rig.process.stderr();
    for key in ["server.max_connections", "server.shutdown_grace"] {
        assert!(log.contains(key), "{key} in {log}");
    }
    // Compared with what it was started with, not with the file before.
    rig.reload(&[server, &one].concat()).await;
    assert_eq!(required().await, Some(1.0));
    rig.reload(&one).await;
    assert_eq!(required().await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_that_are_asked_for_at_once_are_all_answered() {
    let rig = Rig::start(&route("one", &literal(SECRET), "deliver = []")).await;
    rig.configure(&route("two", &literal(SECRET), "deliver = []"));
    for _ in 0..20 {
        rig.process.signal(nix::sys::signal::Signal::SIGHUP);
    }
    wait_for("the last file in use", async || {
        let status = rig.post("two", "a", SECRET).await;
        (status == 200).then_some(())
    })
    .await;
    let Counts { failed, .. } = rig.counts().await;
    assert_eq!(failed, 0);
}

/// The secret came in a handshake: it stands in the store and not in the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_secret_is_known_to_the_route_after_it_has_changed() {
    let asana = |rest: &str| {
        format!(
            "[routes.asana]\npath = \"/hooks/asana\"\nprovider = \"asana\"\nsecrets = [{{ handshake = true }}]\ndeliver = []\n{rest}"
        )
    };
    let rig = Rig::start(&route("one", &literal(SECRET), "deliver = []")).await;
    // A route that awaits one comes with a reload.
    rig.reload(&asana("")).await;
    let client = &rig.process.client;
    let offer = [("X-Hook-Secret", OTHER)];
    let answer = client.post("/hooks/asana", &offer, "{}").await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let send = async |n: u32| {
        let body = json!({ "events": [{ "n": n }] }).to_string();
        let mac = hex::encode(crate::support::sign::hmac_sha256(
            OTHER.as_bytes(),
            &[body.as_bytes()],
        ));
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Hook-Signature", mac.as_str()),
        ];
        client
            .post("/hooks/asana", &headers, body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(send(1).await, 200);
    rig.reload(&asana("max_body = \"10KB\"")).await;
    assert_eq!(send(2).await, 200);
    // Gone and back: the store has kept it.
    rig.reload(&route("one", &literal(SECRET), "deliver = []"))
        .await;
    assert_eq!(send(3).await, 404);
    rig.reload(&asana("")).await;
    assert_eq!(send(3).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_route_whose_keys_are_fetched_may_come_with_a_reload() {
    let issuer = Receiver::start().await;
    let signer = tokens::Signer::Rs256(&tokens::RSA);
    let keys = json!({ "keys": [signer.jwk("k1")] }).to_string();
    issuer.always(Reply::status(200).body(keys));
    let rig = Rig::start(&route("one", &literal(SECRET), "deliver = []")).await;
    let toml = format!(
        "[routes.oauth]\npath = \"/oauth\"\nevent_id = {{ json = \"/id\" }}\ndeliver = []\n\
         verify = {{ jwt = {{ jwks_url = \"{}\", allow_private = true, issuer = false, audience = false }} }}\n",
        issuer.url()
    );
    rig.reload(&toml).await;
    let token = signer.token(&json!({ "exp": 4_000_000_000_u64 }));
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", authorization.as_str()),
    ];
    let reply = rig
        .process
        .client
        .post("/oauth", &headers, r#"{"id":"a"}"#)
        .await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_reloads_and_tells_what_came_of_it() {
    let rig = Rig::start(&route("one", &literal(SECRET), "deliver = []")).await;
    let admin = &rig.process.admin;
    let reload = async || admin.post("/api/v1/reload", &[], "").await;
    let config = async || admin.get("/api/v1/config").await.json();
    let at_start = config().await;
    assert_eq!(at_start["last_attempt"]["result"], "ok");
    assert_eq!(at_start["routes"], 1);

    let two = route("two", &literal(SECRET), "deliver = []");
    let one = route("one", &literal(OTHER), "deliver = []");
    let server = "[server]\nworkers = 3\n";
    rig.configure(&[server, &one, &two].concat());
    let reply = reload().await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["routes"]["added"], json!(["two"]));
    assert_eq!(told["routes"]["changed"], json!(["one"]));
    assert_eq!(told["needs_restart"], json!(["server.workers"]));
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
    assert_eq!(rig.post("one", "a", OTHER).await, 200);
    let loaded = config().await;
    assert_eq!(loaded["routes"], 2);
    assert_eq!(loaded["needs_restart"], json!(["server.workers"]));
    assert_ne!(loaded["loaded_at"], at_start["loaded_at"]);

    rig.put("routes.toml", "[routes.three]\nspeed = 3\n");
    let reply = reload().await;
    assert_eq!(reply.status.as_u16(), 422, "{}", reply.text());
    assert!(
        reply.text().contains("routes.three.speed"),
        "{}",
        reply.text()
    );
    let after = config().await;
    assert_eq!(after["last_attempt"]["result"], "failed");
    assert_eq!(after["loaded_at"], loaded["loaded_at"]);
    assert_eq!(after["routes"], 2);
    assert_eq!(rig.counts().await, Counts { ok: 1, failed: 1 });
}

/// Tokens are not the listener's: they change with the file.
#[tokio::test(flavor = "multi_thread")]
async fn admin_tokens_are_those_of_the_file() {
    let one = route("one", &literal(SECRET), "deliver = []");
    let token = |value: &str| format!("[admin]\ntoken = {{ value = \"{value}\" }}\n");
    let rig = Rig::start(&one).await;
    rig.configure(&(token("canary-admin-first-token") + &one));
    let reply = rig.process.admin.post("/api/v1/reload", &[], "").await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    let status = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        let admin = &rig.process.admin;
        let reply = admin
            .send(http::Method::GET, "/api/v1/config", &headers, "")
            .await;
        reply.status.as_u16()
    };
    assert_eq!(status("").await, 401);
    assert_eq!(status("canary-admin-first-token").await, 200);
    rig.configure(&(token("canary-admin-second-token") + &one));
    rig.process.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the second token", async || {
        (status("canary-admin-second-token").await == 200).then_some(())
    })
    .await;
    assert_eq!(status("canary-admin-first-token").await, 401);
}
