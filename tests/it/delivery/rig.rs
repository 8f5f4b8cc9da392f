//! A store in memory, the hand-over and the deliveries, put together as the program does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hookgate::{
    clock::Clock,
    config::{Fingerprint, Jitter, Retry, RetryOn, Target, TargetTls, Wait},
    delivery::{Delivery, Lines, Roots, Setup},
    event::{BodyDigest, Event, EventKey, NewDelivery, Outcome, TargetName, event_uid},
    expression::Workers,
    metrics::{Labels, Metrics, RouteLabels},
    outbound::Names,
    store::{
        Acceptance, Retention, Settlement, Store,
        handover::{Gate, Handover, Lanes},
    },
    trace::Tracer,
};
use tokio::runtime::Handle;

use crate::support::model::{Model, PATIENCE};

pub(crate) const ROUTE: &str = "orders";

pub(crate) struct Rig {
    pub(crate) model: Arc<Model>,
    /// The model behind the hand-over: what ingest sees.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) delivery: Delivery,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) lanes: Arc<Lanes>,
}

/// What the deliveries find around them.
pub(crate) struct World {
    pub(crate) model: Arc<Model>,
    pub(crate) roots: Roots,
    pub(crate) names: Names,
    pub(crate) clock: Clock,
    pub(crate) lines: Lines,
    pub(crate) workers: Workers,
    /// What the store told of operators' pauses.
    pub(crate) paused: Option<Vec<TargetName>>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            model: Model::new(),
            roots: Roots::Native,
            names: Names::of_system(),
            clock: Clock::system(),
            lines: Lines::default(),
            workers: Workers::of(env!("CARGO_BIN_EXE_hookgate").into()),
            paused: Some(Vec::new()),
        }
    }
}

impl Rig {
    pub(crate) fn start(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::start_in(World::default(), targets)
    }

    pub(crate) fn start_with(
        targets: impl IntoIterator<Item = Target>,
        model: Arc<Model>,
        roots: Roots,
    ) -> Self {
        let world = World {
            model,
            roots,
            ..World::default()
        };
        Self::start_in(world, targets)
    }

    pub(crate) fn start_named(targets: impl IntoIterator<Item = Target>, names: Names) -> Self {
        let world = World {
            names,
            ..World::default()
        };
        Self::start_in(world, targets)
    }

    pub(crate) fn start_in(world: World, targets: impl IntoIterator<Item = Target>) -> Self {
        let World {
            model,
            roots,
            names,
            clock,
            lines,
            workers,
            paused,
        } = world;
        let targets: Vec<Arc<Target>> = targets.into_iter().map(Arc::new).collect();
        let metrics = Arc::new(metrics(&targets));
        let store = Handover::new(model.clone(), Handle::current());
        let lanes = store.lanes();
        let replay_begun = store.replay_begun();
        let store: Arc<dyn Store> = Arc::new(store);
        let delivery = Delivery::start(Setup {
            targets: targets.clone(),
            lines,
            workers,
            store: store.clone(),
            lanes: lanes.clone(),
            metrics: metrics.clone(),
            clock,
            retention: Retention {
                age: Duration::from_secs(3600),
                bytes: u64::MAX,
            },
            roots,
            names,
            replay_begun,
            tracer: Tracer::default(),
            paused,
        });
        Self {
            model,
            store,
            metrics,
            delivery: delivery.unwrap(),
            targets,
            lanes,
        }
    }

    pub(crate) fn gate(&self, target: &str) -> Arc<Gate> {
        self.lanes.gate(target).unwrap()
    }

    /// What a reload does.
    pub(crate) fn change_to(&self, targets: impl IntoIterator<Item = Target>, lines: &Lines) {
        let targets: Vec<_> = targets.into_iter().map(Arc::new).collect();
        let prepared = self.delivery.prepare(&targets, lines).unwrap();
        self.delivery.remove(self.delivery.apply(prepared));
    }

    pub(crate) fn change(&self, targets: impl IntoIterator<Item = Target>) {
        self.change_to(targets, &Lines::default());
    }

    pub(crate) async fn send(&self, event: Event) {
        let acceptance = self.store.accept(Arc::new(event)).await.unwrap();
        assert!(matches!(acceptance, Acceptance::Accepted { .. }));
    }

    /// One event, and what became of its first attempt.
    pub(crate) async fn first_settlement(&self) -> Settlement {
        self.send(event("evt_1", &["crm"])).await;
        self.model.wait_for_settled(1).await.remove(0)
    }

    /// The value of one series, e.g. `hookgate_target_paused{target="crm"}`.
    pub(crate) fn metric(&self, series: &str) -> String {
        let text = self.metrics.render().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no series `{series}`"))
            .trim()
            .to_owned()
    }

    /// Waits until a series has this value: metrics are written beside the store, not in step with it.
    pub(crate) async fn wait_for_metric(&self, series: &str, value: &str) {
        let reached = async {
            while self.metric(series) != value {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await;
        assert!(in_time.is_ok(), "{series} is {}", self.metric(series));
    }
}

pub(crate) fn metrics(targets: &[Arc<Target>]) -> Metrics {
    let names: Vec<TargetName> = targets.iter().map(|target| target.name.clone()).collect();
    let routes = [RouteLabels {
        name: ROUTE.into(),
        credentials: Vec::new(),
        credentials_end: Vec::new(),
        handshakes: Vec::new(),
        targets: names.clone(),
    }];
    Metrics::new(&Labels {
        routes: &routes,
        targets: &names,
        reasons: &[],
    })
    .unwrap()
}

/// A target that tries again after a few milliseconds, and does not give up.
pub(crate) fn target(name: &str, url: &str) -> Target {
    Target {
        name: name.into(),
        url: url.parse().unwrap(),
        headers: Vec::new(),
        timeout: Duration::from_secs(20),
        concurrency: 4,
        retry: Retry {
            wait: Wait::Exponential {
                first: Duration::from_millis(4),
                factor: 1.0,
                max: Duration::from_secs(3600),
                jitter: Jitter::Ratio(0.0),
            },
            give_up_after: None,
        },
        retry_on: RetryOn::Default,
        paused: false,
        allow_private: true,
        breaker: None,
        rate: None,
        sign: None,
        tls: TargetTls::default(),
        fingerprint: Fingerprint::of(&[name.as_bytes()]),
    }
}

/// Changed, whatever it was made from.
pub(crate) fn told(target: Target) -> Target {
    let fingerprint = Fingerprint::of(&[format!("{target:?}").as_bytes()]);
    Target {
        fingerprint,
        ..target
    }
}

pub(crate) fn event(id: &str, targets: &[&str]) -> Event {
    let key = EventKey::new(ROUTE, id);
    let received_at = Clock::system().now();
    let body = Bytes::from(format!(r#"{{"id": "{id}"}}"#));
    Event {
        uid: event_uid(key, received_at),
        key,
        route: ROUTE.into(),
        id: id.into(),
        event_type: Some("order.paid".into()),
        credential: None,
        request_id: None,
        received_at,
        dedupe_window: Duration::from_secs(3600),
        content_type: Some("application/json".into()),
        headers: Vec::new(),
        digest: BodyDigest::of(&body),
        body,
        deliveries: targets
            .iter()
            .map(|name| NewDelivery {
                target: (*name).into(),
                lease: None,
                order: None,
            })
            .collect(),
        together: false,
    }
}

pub(crate) fn is_delivered(settlement: &Settlement) -> bool {
    settlement.outcome == Outcome::Delivered
}

pub(crate) fn is_dead(settlement: &Settlement) -> bool {
    matches!(settlement.outcome, Outcome::Dead(_))
}

/// Why there was no response.
pub(crate) fn error(settlement: &Settlement) -> &str {
    let attempt = settlement.attempt.as_ref().unwrap();
    attempt.error.as_deref().unwrap()
}
