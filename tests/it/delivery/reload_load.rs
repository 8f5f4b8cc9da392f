//! Targets change under load, on a store on disk: nothing is lost, nothing sent twice, and nothing waits for a lease,
//! which would be longer than any of these tests may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use hookgate::{
    clock::Clock,
    config::{Durability, Target},
    delivery::{Delivery, Lines, Roots, Setup},
    event::{DeadReason, DeliveryState, Event},
    expression::Workers,
    outbound::Names,
    store::{
        Acceptance, Retention, Store, StoredDelivery,
        embedded::{Embedded, Options},
        handover::{Handover, Lanes},
    },
};
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, Semaphore},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    order::ordered,
    rig::{event, metrics, target, told},
};
use crate::support::{
    model::PATIENCE,
    receiver::{Receiver, Reply, Request},
};

const REMOVED: DeliveryState = DeliveryState::Dead(DeadReason::TargetRemoved);

/// What the program puts together, as far as it concerns deliveries.
struct Gateway {
    store: Arc<dyn Store>,
    lanes: Arc<Lanes>,
    delivery: Delivery,
    /// One changes or retires at a time.
    reloading: Arc<AsyncMutex<()>>,
    accepted: Mutex<Vec<Uuid>>,
    _retiring: AbortOnDropHandle<()>,
    _directory: tempfile::TempDir,
}

impl Gateway {
    fn start(targets: impl IntoIterator<Item = Target>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let targets: Vec<_> = targets.into_iter().map(Arc::new).collect();
        let all = ["crm", "other", "flaky"].map(|name| Arc::new(target(name, "http://h/")));
        let (clock, metrics) = (Clock::system(), Arc::new(metrics(&all)));
        let options = Options {
            directory: directory.path().to_owned(),
            durability: Durability::Everysec,
        };
        let inner = Embedded::open(options, clock.clone(), metrics.clone()).unwrap();
        let store = Handover::new(Arc::new(inner), Handle::current());
        let (lanes, replay_begun) = (store.lanes(), store.replay_begun());
        let store: Arc<dyn Store> = Arc::new(store);
        let delivery = Delivery::start(Setup {
            targets,
            lines: Lines::default(),
            workers: Workers::of(env!("CARGO_BIN_EXE_hookgate").into()),
            store: store.clone(),
            lanes: lanes.clone(),
            metrics,
            clock,
            retention: Retention {
                age: Duration::from_secs(3600),
                bytes: u64::MAX,
            },
            roots: Roots::Native,
            names: Names::of_system(),
            replay_begun,
            tracer: Default::default(),
            paused: Some(Vec::new()),
        });
        let reloading = Arc::new(AsyncMutex::new(()));
        let retiring = tokio::spawn(retire(store.clone(), lanes.clone(), reloading.clone()));
        Self {
            store,
            lanes,
            delivery: delivery.unwrap(),
            reloading,
            accepted: Mutex::default(),
            _retiring: AbortOnDropHandle::new(retiring),
            _directory: directory,
        }
    }

    async fn change(&self, targets: impl IntoIterator<Item = Target>) {
        let _alone = self.reloading.lock().await;
        let targets: Vec<_> = targets.into_iter().map(Arc::new).collect();
        let prepared = self.delivery.prepare(&targets, &Lines::default()).unwrap();
        self.delivery.remove(self.delivery.apply(prepared));
    }

    async fn send(&self, event: Event) {
        self.accepted.lock().unwrap().push(event.uid);
        let answer = self.store.accept(Arc::new(event)).await.unwrap();
        assert!(matches!(answer, Acceptance::Accepted { .. }));
    }

    async fn deliveries(&self) -> Vec<StoredDelivery> {
        let uids = self.accepted.lock().unwrap().clone();
        let mut deliveries = Vec::new();
        for uid in uids {
            let stored = self.store.get(uid).await.unwrap();
            deliveries.extend(stored.unwrap().deliveries);
        }
        deliveries
    }

    /// Waits until none of what was accepted is pending.
    async fn settled(&self) -> Vec<StoredDelivery> {
        let names = ["crm", "other", "flaky"].map(Into::into);
        let none_pending = async {
            loop {
                let depths = self.store.depth(&names).await.unwrap();
                if depths.iter().all(|depth| depth.pending == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, none_pending).await;
        let deliveries = self.deliveries().await;
        let pending: Vec<_> = deliveries
            .iter()
            .filter(|one| one.state == DeliveryState::Pending)
            .collect();
        assert!(in_time.is_ok() && pending.is_empty(), "{pending:?}");
        assert!(!deliveries.is_empty());
        deliveries
    }
}

/// What the program does about orphans.
async fn retire(store: Arc<dyn Store>, lanes: Arc<Lanes>, reloading: Arc<AsyncMutex<()>>) {
    let orphans = lanes.orphans();
    loop {
        orphans.notified().await;
        let _alone = reloading.lock().await;
        let staying = [lanes.names(), lanes.leaving()].concat();
        let gone = orphans.take().gone(&staying);
        store.retire_targets(&gone).await.unwrap();
    }
}

fn id(request: &Request) -> String {
    request.header("hookgate-event-id").unwrap().to_owned()
}

/// Each came once.
fn ids(receivers: &[&Receiver]) -> BTreeSet<String> {
    let requests = receivers.iter().flat_map(|receiver| receiver.requests());
    let ids: Vec<String> = requests.map(|request| id(&request)).collect();
    let each: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(each.len(), ids.len(), "sent twice: {ids:?}");
    each
}

fn states(deliveries: &[StoredDelivery], target: &str) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for one in deliveries.iter().filter(|one| &*one.target == target) {
        *states.entry(format!("{:?}", one.state)).or_default() += 1;
    }
    states
}

fn all(count: usize, state: DeliveryState) -> BTreeMap<String, usize> {
    BTreeMap::from([(format!("{state:?}"), count)])
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_changed_url_gets_all_that_has_not_begun() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.always(Reply::held());
    let gateway = Gateway::start([told(target("crm", &old.url()))]);
    // More than the lane holds: some are under way, some in the lane, some in the store.
    for n in 0..60 {
        gateway.send(event(&format!("before_{n}"), &["crm"])).await;
    }
    old.wait_for(4).await;
    let load = async {
        for n in 0..200 {
            gateway.send(event(&format!("during_{n}"), &["crm"])).await;
        }
    };
    let change = async {
        new.script([Reply::status(503)]);
        gateway.change([told(target("crm", &new.url()))]).await;
    };
    tokio::join!(load, change);
    // All but those under way, of which one was tried twice.
    new.wait_for(257).await;
    old.release(4);
    let settled = gateway.settled().await;
    assert_eq!(states(&settled, "crm"), all(260, DeliveryState::Delivered));
    assert_eq!((old.requests().len(), new.requests().len()), (4, 257));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_of_a_removed_target_stays_pending() {
    let (crm, well) = (Receiver::start().await, Receiver::start().await);
    crm.script([Reply::held(), Reply::hang(), Reply::held(), Reply::hang()]);
    let other = || target("other", &well.url());
    let gateway = Gateway::start([target("crm", &crm.url()), other()]);
    for n in 0..60 {
        let both = event(&format!("before_{n}"), &["crm", "other"]);
        gateway.send(both).await;
    }
    crm.wait_for(4).await;
    let load = async {
        for n in 0..200 {
            let both = event(&format!("during_{n}"), &["crm", "other"]);
            gateway.send(both).await;
        }
    };
    tokio::join!(load, gateway.change([other()]));
    // Those that were not begun.
    crm.release(2);
    crm.end_hung();
    let settled = gateway.settled().await;
    assert_eq!(
        states(&settled, "other"),
        all(260, DeliveryState::Delivered)
    );
    let mut expected = all(258, REMOVED);
    expected.extend(all(2, DeliveryState::Delivered));
    assert_eq!(states(&settled, "crm"), expected);
    assert_eq!(crm.requests().len(), 4);

    // It is back, and nothing of it is left over.
    gateway.change([target("crm", &crm.url()), other()]).await;
    gateway.send(event("after", &["crm"])).await;
    crm.wait_for(5).await;
    gateway.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_deliveries_stay_in_order_over_changes() {
    const GROUPS: usize = 5;
    const EACH: usize = 30;
    let receivers = [Receiver::start().await, Receiver::start().await];
    let failed = Mutex::new(BTreeSet::new());
    let failed = Arc::new(failed);
    for receiver in &receivers {
        let failed = failed.clone();
        // Every seventh fails once.
        receiver.answer(move |request| {
            let id = id(request);
            let number: usize = id.rsplit('_').next().unwrap().parse().unwrap();
            match number % 7 == 3 && failed.lock().unwrap().insert(id) {
                true => Reply::status(500),
                false => Reply::status(200),
            }
        });
    }
    let crm = |n: usize| told(target("crm", &receivers[n % 2].url()));
    let gateway = Gateway::start([crm(0)]);
    for n in 0..EACH {
        let now = &receivers[n % 2];
        let came = now.requests().len();
        for group in 0..GROUPS {
            let key = format!("group {group}");
            gateway
                .send(ordered(&format!("evt_{group}_{n}"), &key, false))
                .await;
        }
        // Some are delivered, some under way, some wait.
        now.wait_for(came + 1).await;
        gateway.change([crm(n + 1)]).await;
    }
    gateway.settled().await;
    let mut requests: Vec<Request> = receivers.iter().flat_map(Receiver::requests).collect();
    requests.sort_by_key(|request| request.at);
    for group in 0..GROUPS {
        let of_group = requests.iter().map(id);
        let prefix = format!("evt_{group}_");
        let mut came: Vec<_> = of_group.filter(|id| id.starts_with(&prefix)).collect();
        came.dedup();
        let sent: Vec<_> = (0..EACH).map(|n| format!("{prefix}{n}")).collect();
        assert_eq!(came, sent);
    }
    assert_eq!(requests.len(), GROUPS * EACH + failed.lock().unwrap().len());
}

/// One target changes each time, one comes and goes, one stays; some events come between any two changes.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_under_load_lose_nothing() {
    const CHANGES: usize = 200;
    const EACH_CHANGE: usize = 4;
    const SENDERS: usize = 3;
    const EACH_SENDER: usize = 300;
    const EVENTS: usize = SENDERS * EACH_SENDER;
    let [crm, crm_too, other, flaky] = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    let has_flaky = |n: usize| n % 3 != 2;
    let targets = |n: usize| {
        let url = [crm.url(), crm_too.url()][n % 2].clone();
        let mut targets = vec![told(target("crm", &url)), target("other", &other.url())];
        if has_flaky(n) {
            targets.push(target("flaky", &flaky.url()));
        }
        targets
    };
    let gateway = Gateway::start(targets(0));
    let kept = gateway.lanes.gate("other").unwrap();
    // How many more events may be sent.
    let allowed = Semaphore::new(0);
    let changing = async {
        for n in 1..=CHANGES {
            let came = flaky.requests().len();
            allowed.add_permits(EACH_CHANGE);
            if !has_flaky(n) {
                flaky.wait_for(came + 1).await;
            }
            gateway.change(targets(n)).await;
        }
        // None of these has a target `flaky`.
        assert!(!has_flaky(CHANGES));
        allowed.add_permits(EVENTS - CHANGES * EACH_CHANGE);
    };
    let load = |sender: usize| {
        let (gateway, allowed) = (&gateway, &allowed);
        async move {
            for n in 0..EACH_SENDER {
                allowed.acquire().await.unwrap().forget();
                let id = format!("evt_{sender}_{n}");
                gateway.send(event(&id, &["crm", "other", "flaky"])).await;
            }
        }
    };
    tokio::join!(changing, load(0), load(1), load(2));
    let settled = gateway.settled().await;
    for name in ["crm", "other"] {
        let delivered = all(EVENTS, DeliveryState::Delivered);
        assert_eq!(states(&settled, name), delivered, "{name}");
    }
    assert_eq!(ids(&[&crm, &crm_too]).len(), EVENTS);
    assert_eq!(ids(&[&other]).len(), EVENTS);
    assert!(Arc::ptr_eq(&kept, &gateway.lanes.gate("other").unwrap()));
    let of_flaky = states(&settled, "flaky");
    let came = ids(&[&flaky]).len();
    let [delivered, removed] =
        [DeliveryState::Delivered, REMOVED].map(|state| of_flaky[&format!("{state:?}")]);
    assert_eq!(delivered + removed, EVENTS, "{of_flaky:?}");
    assert!(came >= delivered, "{came} came, {of_flaky:?}");
}
