//! Which route takes a request is for its path and its method to say.

use http::Method;

use crate::support::gateway::Gateway;

use super::{
    requests::{Sent, with_id},
    table::assert_problem,
};

/// One path with a route for each of two methods, and one with a method that is not the default.
const METHODS: &str = r#"
[targets.audit]
url = "http://audit.example.com/in"
paused = true

[routes.created]
path = "/hooks/orders"
verify = "none"
event_id = { json = "/id" }
deliver = ["audit"]

[routes.changed]
path = "/hooks/orders"
methods = ["PUT"]
verify = "none"
event_id = { json = "/id" }
deliver = ["audit"]

[routes.put]
path = "/hooks/put"
methods = ["PUT"]
verify = "none"
event_id = { json = "/id" }
deliver = ["audit"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_path_and_a_method_name_the_route() {
    let gateway = Gateway::start(METHODS).await;
    for (method, path, route) in [
        (Method::POST, "/hooks/orders", "created"),
        (Method::PUT, "/hooks/orders", "changed"),
        (Method::PUT, "/hooks/put", "put"),
    ] {
        // One id: a route has ids of its own, whatever path it shares.
        let request = Sent::json(path, with_id("shared")).method(method);
        let first = request.send(&gateway.client).await;
        assert_eq!(first.outcome(), "accepted", "{route}");
        let stored = gateway.stored(first.uid()).await.unwrap();
        assert_eq!(&*stored.event.route, route);
        let again = request.send(&gateway.client).await;
        assert_eq!(again.outcome(), "duplicate", "{route}");
        assert_eq!(again.uid(), first.uid(), "{route}");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_405_lists_what_all_routes_of_the_path_take() {
    let gateway = Gateway::start(METHODS).await;
    for (method, path, allowed) in [
        (Method::PATCH, "/hooks/orders", &["POST", "PUT"][..]),
        (Method::DELETE, "/hooks/orders", &["POST", "PUT"]),
        (Method::POST, "/hooks/put", &["PUT"]),
    ] {
        let request = Sent::json(path, with_id("refused")).method(method.clone());
        let reply = request.send(&gateway.client).await;
        assert_problem(&reply, "method_not_allowed", &format!("{method} {path}"));
        let allow = reply.header("allow").expect("an Allow");
        let mut listed: Vec<_> = allow.split(", ").collect();
        listed.sort_unstable();
        assert_eq!(listed, allowed, "{method} {path}");
    }
    gateway.finish().await;
}
