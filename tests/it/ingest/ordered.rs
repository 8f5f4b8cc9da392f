//! `order_by`: which events come into one group, and what becomes of those without a key.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hookgate::{
    clock::Clock,
    event::{Event, Order, OrderGroup},
    ingest::Gate,
    listener::{Listener, Serving, Sockets, tls::Identity},
    metrics::{Labels, Metrics, RouteLabels},
    store::Store as _,
};

use super::requests::Sent;
use crate::support::{
    client::Client,
    gateway::{parse, temporary},
    model::Model,
};

const ROUTES: &str = r#"
[server]
plain_listen = "127.0.0.1:0"

[targets.crm]
url = "http://crm.example.com/in"

[targets.erp]
url = "http://erp.example.com/in"

[targets.audit]
url = "http://audit.example.com/in"

[routes.orders]
path = "/hooks/orders"
verify = "none"
event_id = { json = "/id" }
event_type = { json = "/type" }
deliver = [
  { to = "crm", order_by = "/customer/id" },
  { to = "erp", order_by = "/customer/id", on_dead = "hold" },
  "audit",
]

[routes.other]
path = "/hooks/other"
verify = "none"
event_id = { json = "/id" }
deliver = [{ to = "crm", order_by = "/customer/id" }]

[routes.free]
path = "/hooks/free"
verify = "none"
event_id = { json = "/id" }
deliver = ["crm"]
"#;

/// All of ingest behind a real listener, before a store that keeps events as they are handed to it.
struct Front {
    client: Client,
    model: Arc<Model>,
    metrics: Arc<Metrics>,
    listener: Listener,
}

impl Front {
    fn start() -> Self {
        let directory = temporary();
        let config = parse(ROUTES, directory.path());
        let clock = Clock::system();
        let routes: Vec<_> = config
            .routes
            .iter()
            .map(|route| RouteLabels {
                name: route.name.clone(),
                credentials: Vec::new(),
                credentials_end: Vec::new(),
                handshakes: Vec::new(),
                targets: Vec::new(),
            })
            .collect();
        let labels = Labels {
            routes: &routes,
            targets: &[],
            reasons: &[],
        };
        let metrics = Arc::new(Metrics::new(&labels).unwrap());
        let model = Model::new();
        let identity = Identity::load(&config.server.tls, None, clock.now()).unwrap();
        let sockets = Sockets::bind(&config.server).unwrap();
        let (_, plain) = sockets.addresses().unwrap();
        sockets.listen().unwrap();
        let serving = Serving {
            gate: Arc::new(Gate::new(&config, model.clone(), clock.clone(), &metrics)),
            identity: Arc::new(ArcSwap::from_pointee(identity)),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        Self {
            client: Client::plain(plain.unwrap()),
            model,
            metrics,
            listener: Listener::start(sockets, &config.server, serving).unwrap(),
        }
    }

    /// What the store was handed for `{"id":"…",` and `rest`.
    async fn accepted(&self, route: &str, id: &str, rest: &str) -> Arc<Event> {
        let body = format!(r#"{{"id":"{id}","type":"paid",{rest}}}"#);
        let reply = Sent::json(&format!("/hooks/{route}"), &body)
            .send(&self.client)
            .await;
        assert_eq!(reply.outcome(), "accepted", "{body}");
        self.model.get(reply.uid()).await.unwrap().unwrap().event
    }

    fn unordered(&self, route: &str) -> u64 {
        self.metrics.route(route).unwrap().unordered.get()
    }
}

/// The orders of an event's deliveries to `crm`, `erp` and `audit`.
fn orders(event: &Event) -> [Option<Order>; 3] {
    ["crm", "erp", "audit"].map(|target| {
        let mut deliveries = event.deliveries.iter();
        deliveries.find(|one| *one.target == *target)?.order
    })
}

fn order(target: &str, key: &str, hold: bool) -> Option<Order> {
    let group = OrderGroup::new("orders", target, key);
    Some(Order { group, hold })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_by_its_kind_and_its_value() {
    let front = Front::start();
    for (index, (customer, key)) in [
        (r#""7""#, "string:7"),
        ("7", "number:7"),
        ("7.0", "number:7"),
        ("70e-1", "number:7"),
        ("-7", "number:-7"),
        ("7.5", "number:7.5"),
        ("18446744073709551615", "number:18446744073709551615"),
        ("true", "boolean:true"),
        (r#""true""#, "string:true"),
        (r#""""#, "string:"),
        (r#""\u0061""#, "string:a"),
        (r#""a""#, "string:a"),
    ]
    .into_iter()
    .enumerate()
    {
        let rest = format!(r#""customer":{{"id":{customer}}}"#);
        let event = front.accepted("orders", &index.to_string(), &rest).await;
        assert!(event.together);
        let expected = [order("crm", key, false), order("erp", key, true), None];
        assert_eq!(orders(&event), expected, "{customer}");
    }
    assert_eq!(front.unordered("orders"), 0);
    front.listener.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_key_is_accepted_in_no_order_and_counted() {
    let front = Front::start();
    let without = [
        r#""customer":{}"#,
        r#""customer":{"id":null}"#,
        r#""customer":{"id":{"a":1}}"#,
        r#""customer":{"id":[7]}"#,
        r#""customer":7"#,
        r#""Customer":{"id":7}"#,
    ];
    for (index, rest) in without.into_iter().enumerate() {
        let event = front.accepted("orders", &index.to_string(), rest).await;
        assert!(event.together, "its route has an order: {rest}");
        assert_eq!(orders(&event), [None; 3], "{rest}");
        // Two of its deliveries would have one.
        assert_eq!(front.unordered("orders"), 2 * (index as u64 + 1), "{rest}");
    }
    front.listener.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_targets_never_share_a_group() {
    let front = Front::start();
    let rest = r#""customer":{"id":7}"#;
    let one = front.accepted("orders", "1", rest).await;
    let other = front.accepted("other", "1", rest).await;
    let groups = [orders(&one)[0], orders(&one)[1], orders(&other)[0]];
    let groups = groups.map(|order| order.unwrap().group);
    assert!(groups[0] != groups[1] && groups[0] != groups[2] && groups[1] != groups[2]);
    let again = front.accepted("orders", "2", rest).await;
    assert_eq!(orders(&again), orders(&one));

    let free = front.accepted("free", "1", rest).await;
    assert!(!free.together);
    assert_eq!(orders(&free), [None; 3]);
    assert_eq!(front.unordered("free"), 0);
    front.listener.stop().await;
}

/// Two readers of such a body could see two customers.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_twice_is_refused() {
    let front = Front::start();
    let body = r#"{"id":"1","type":"paid","customer":{"id":7,"id":8}}"#;
    let reply = Sent::json("/hooks/orders", body).send(&front.client).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("/customer/id"), "{}", reply.text());
    front.listener.stop().await;
}
