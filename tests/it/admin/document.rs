//! The OpenAPI document, and every operation of it: tokens and roles, parameters, methods.

use std::collections::BTreeSet;

use hookgate::config::Role;
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::rig::{AdminRig, refusal};
use crate::{
    delivery::rig::target,
    support::client::{Client, Reply},
};

const READER: &str = "canary-token-that-reads";
const WRITER: &str = "canary-token-that-writes";

/// What shows a secret is as guarded as a change.
const READS_SECRET: &str = "/api/v1/secrets/{route}";
/// For whoever asks.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

struct Operation {
    method: Method,
    path: String,
    /// The names of its query's parameters.
    query: Vec<String>,
    documented: Value,
}

impl Operation {
    /// With names and ids that nobody has.
    fn address(&self) -> String {
        let nobody = Uuid::nil().to_string();
        let path = self.path.replace("{uid}", &nobody).replace("{id}", &nobody);
        path.replace("{name}", "nobody")
            .replace("{route}", "nobody")
    }

    async fn ask(&self, client: &Client, token: Option<&str>, query: &str) -> Reply {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("Authorization", value.as_str()))
            .collect();
        let address = format!("{}{query}", self.address());
        client
            .send(self.method.clone(), &address, &headers, "")
            .await
    }

    fn is_open(&self) -> bool {
        OPEN.contains(&self.path.as_str())
    }

    fn needs_write(&self) -> bool {
        self.method != Method::GET || self.path == READS_SECRET
    }
}

async fn operations(admin: &AdminRig) -> Vec<Operation> {
    let document = admin.get("openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, documented) in item.as_object().unwrap() {
            let parameters = documented["parameters"].as_array().into_iter().flatten();
            let query = parameters.filter(|one| one["in"] == "query");
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                query: query
                    .map(|one| one["name"].as_str().unwrap().to_owned())
                    .collect(),
                documented: documented.clone(),
            });
        }
    }
    assert!(operations.len() >= 19, "only {}", operations.len());
    operations
}

fn rig() -> AdminRig {
    AdminRig::start([target("crm", "http://127.0.0.1:1")])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_asks_for_a_token_whose_role_suffices() {
    let admin = rig();
    let operations = operations(&admin).await;
    admin.give_tokens(&[
        ("first", Role::Read, "canary-another"),
        ("grafana", Role::Read, READER),
        ("deploy", Role::Write, WRITER),
    ]);
    for operation in &operations {
        let name = format!("{} {}", operation.method, operation.path);
        let status = async |token| {
            operation
                .ask(&admin.client, token, "")
                .await
                .status
                .as_u16()
        };
        if operation.path == "/api/v1/reload" {
            *admin.control.next.lock().unwrap() = Some(Ok(Default::default()));
        }
        let refused = match operation.is_open() {
            true => 200,
            false => 401,
        };
        for token in [None, Some("wrong"), Some(""), Some("canary-token")] {
            assert_eq!(status(token).await, refused, "{name} {token:?}");
        }
        let as_writer = status(Some(WRITER)).await;
        assert!(![401, 403].contains(&as_writer), "{name}: {as_writer}");
        let as_reader = operation.ask(&admin.client, Some(READER), "").await;
        if operation.needs_write() {
            let told = refusal(&as_reader, 403);
            assert!(told.contains("`grafana`"), "{name}: {told}");
            assert!(!told.contains(READER), "{name}: {told}");
        } else {
            assert_eq!(as_reader.status.as_u16(), as_writer, "{name}");
        }
    }
    // Tokens follow the configuration.
    admin.give_tokens(&[("deploy", Role::Write, "canary-next")]);
    for (token, status) in [(WRITER, 401), (READER, 401), ("canary-next", 200)] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let path = "/api/v1/targets";
        let reply = admin.client.send(Method::GET, path, &headers, "").await;
        assert_eq!(reply.status.as_u16(), status, "{token}");
    }
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_takes_the_parameters_that_are_documented_and_no_others() {
    let admin = rig();
    let mut seen = 0;
    for operation in operations(&admin).await {
        if !operation.path.starts_with("/api/") {
            continue;
        }
        let name = format!("{} {}", operation.method, operation.path);
        let reply = operation.ask(&admin.client, None, "?colour=red").await;
        let told = refusal(&reply, 400);
        let known = match operation.query.as_slice() {
            [] => "nothing is".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        let expected = format!("`colour` is not known here; {known}.");
        assert_eq!(told, expected, "{name}");
        for status in ["400", "401", "403", "503"] {
            let documented = &operation.documented["responses"][status];
            assert!(documented.is_object(), "{name} {status}");
        }
        seen += operation.query.len();
    }
    assert!(seen > 15, "only {seen} parameters");
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_paths_are_told_what_there_is() {
    let admin = rig();
    let operations = operations(&admin).await;
    let paths: BTreeSet<_> = operations.iter().map(|o| o.path.as_str()).collect();
    for path in paths {
        let of_path = operations.iter().filter(|o| o.path == path);
        let allowed: BTreeSet<_> = of_path.map(|o| o.method.to_string()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if allowed.contains(method) {
                continue;
            }
            let address = operations
                .iter()
                .find(|o| o.path == path)
                .unwrap()
                .address();
            let method: Method = method.parse().unwrap();
            let reply = admin.client.send(method, &address, &[], "").await;
            refusal(&reply, 405);
            let allow = reply.header("allow").unwrap().split(", ");
            let allow: BTreeSet<_> = allow.map(str::to_owned).collect();
            assert_eq!(allow, allowed, "{path}");
        }
    }
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/events/1/2/3",
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = admin.client.send(method, path, &[], "").await;
            refusal(&reply, 404);
            assert_eq!(reply.json()["code"], "unknown_path", "{path}");
        }
    }
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_to_their_end() {
    let names: Vec<_> = (0..11).map(|n| format!("crm{n:02}")).collect();
    let targets = names.iter().map(|name| target(name, "http://127.0.0.1:1"));
    let admin = AdminRig::start(targets.collect::<Vec<_>>());
    let mut found = Vec::new();
    let (mut query, mut pages) = ("limit=3".to_owned(), 0);
    loop {
        let page = admin.get(&format!("targets?{query}")).await;
        let items = page["targets"].as_array().unwrap();
        assert!(!items.is_empty() && items.len() <= 3);
        found.extend(items.iter().map(|t| t["name"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => query = format!("limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((found, pages), (names, 4));
    // A cursor is a place between names: it need not be one.
    let page = admin.get("targets?cursor=crm085").await;
    assert_eq!(page["targets"][0]["name"], "crm09");

    for n in 0..7 {
        let body = format!(r#"{{"id": "{n}"}}"#);
        let reply = admin.post("replays", &body).await;
        assert_eq!(reply.status, StatusCode::CREATED);
    }
    let all = admin.get("replays").await;
    let all: Vec<_> = all["replays"].as_array().unwrap().clone();
    let (mut paged, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = admin.get(&format!("replays?{query}")).await;
        paged.extend(
            page["replays"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["id"].clone()),
        );
        match page["next"].as_str() {
            Some(next) => query = format!("limit=2&cursor={next}"),
            None => break,
        }
    }
    let all: Vec<_> = all.iter().map(|replay| replay["id"].clone()).collect();
    assert_eq!((paged.len(), &paged), (7, &all));
    assert!(all.is_sorted_by(|a, b| a.as_str() > b.as_str()), "{all:?}");
    admin.stop().await;
}
