//! A thousand reloads under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hookgate::{
    clock::Clock,
    config::Durability,
    event::{DeadReason, DeliveryState},
    metrics::{Labels, Metrics},
    store::{
        Store as _,
        embedded::{Embedded, Options},
    },
};
use tokio::{sync::RwLock, task::JoinHandle};

use super::rig::{OTHER, Rig, SECRET, literal, post, route, target};
use crate::support::{
    client::{Client, Ledger},
    receiver::{Receiver, Reply},
    wait_for,
};

const RELOADS: usize = 1_000;
/// Between two requests of one sender, so that the machine is left time for reloads.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
enum Connections {
    Kept,
    /// One a request.
    New,
}

/// Sends events, each once, and takes every answer but a 200 for a failure.
struct Senders {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<String>>>,
    ledger: Ledger,
}

impl Senders {
    /// `secret` is what the events are signed with now; held while one is under way.
    fn start(rig: &Rig, routes: &[&'static str], secret: &Arc<RwLock<&'static str>>) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let ledger = Ledger::default();
        let mut tasks = Vec::new();
        for &route in routes {
            for connections in [Connections::Kept, Connections::Kept, Connections::New] {
                let number = tasks.len();
                let (address, pem) = (rig.process.public, rig.process.certificate_pem.clone());
                let (stop, sent, ledger) = (stop.clone(), sent.clone(), ledger.clone());
                let secret = secret.clone();
                let client = move || {
                    let mut client = Client::https(address, &pem);
                    client.ledger = ledger.clone();
                    client
                };
                tasks.push(tokio::spawn(async move {
                    let mut failures = Vec::new();
                    let kept = client();
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let client = match connections {
                            Connections::Kept => kept.clone(),
                            Connections::New => client(),
                        };
                        let id = format!("{route}-{number}-{n}");
                        let secret = secret.read().await;
                        let reply = post(&client, route, &id, &secret).await;
                        drop(secret);
                        if reply.status.as_u16() != 200 {
                            failures.push(format!("{id}: {} {}", reply.status, reply.text()));
                        }
                        sent.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(PAUSE).await;
                    }
                    failures
                }));
            }
        }
        Self {
            stop,
            sent,
            tasks,
            ledger,
        }
    }

    /// Waits until so many more have been answered.
    async fn more(&self, requests: u64) {
        let goal = self.sent.load(Ordering::SeqCst) + requests;
        wait_for("answers", async || {
            (self.sent.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    /// What was accepted. Panics when a request failed.
    async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            let failures = task.await.expect("a sender that gets its answers");
            assert!(failures.is_empty(), "{failures:#?}");
        }
        let accepted = self.ledger.entries().len() as u64;
        assert_eq!(
            accepted,
            self.sent.load(Ordering::SeqCst),
            "each is accepted once"
        );
        self.ledger
    }
}

/// The events that came, by how often.
fn arrivals(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut arrivals = BTreeMap::new();
    for request in receiver.requests() {
        let id = request.header("hookgate-event-id").unwrap().to_owned();
        *arrivals.entry(id).or_default() += 1;
    }
    arrivals
}

/// Good configurations, one after the other: a target comes and goes, another changes, so do routes, secrets and settings; two
/// routes stay, one of them as it is.
fn good(n: usize, crm: &Receiver, erp: &Receiver) -> String {
    let has_erp = n % 2 == 1;
    let both = match has_erp {
        true => "deliver = [\"crm\", \"erp\"]",
        false => "deliver = [\"crm\"]",
    };
    let secrets = match n % 3 {
        0 => literal(SECRET),
        1 => format!("{}, {}", literal(SECRET), literal(OTHER)),
        _ => format!("{}, {}", literal(OTHER), literal(SECRET)),
    };
    let timeout = format!("timeout = \"{}s\"", 10 + n % 2);
    let mut toml = format!("[server]\nbody_timeout = \"{}s\"\n", 8 + n % 5);
    toml += &target("crm", &crm.url(), if n % 4 < 2 { "" } else { &timeout });
    if has_erp {
        toml += &target("erp", &erp.url(), "");
    }
    toml += &route("same", &literal(SECRET), "deliver = [\"crm\"]");
    toml += &route("stays", &secrets, both);
    toml += &route(&format!("passing-{n}"), &literal(SECRET), both);
    toml
}

/// What must be refused, made from a good one.
fn bad(n: usize, good: &str) -> String {
    let unknown = || good.replacen("[routes.same]", "[routes.same]\nno_such_key = 1", 1);
    match n % 5 {
        0 => "\u{0}\u{1}garbage = = [".to_owned(),
        1 => good[..good.find("[routes.stays]").unwrap() + 9].to_owned(),
        2 => unknown(),
        3 => good.replacen(
            &format!("value = \"{SECRET}\""),
            "env = \"NO_SUCH_SECRET\"",
            1,
        ),
        _ => good.replacen("server.key", "server.crt", 1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_good_and_bad_files_fail_no_request_and_lose_no_delivery() {
    let (crm, erp) = (Receiver::start().await, Receiver::start().await);
    for receiver in [&crm, &erp] {
        receiver.always(Reply::status(204));
    }
    let mut rig = Rig::start(&good(0, &crm, &erp)).await;
    let senders = Senders::start(&rig, &["same", "stays"], &Arc::new(RwLock::new(SECRET)));
    senders.more(50).await;
    let (mut used, mut refused) = (0, 0);
    for n in 1..=RELOADS {
        let toml = rig.process.whole(&good(n, &crm, &erp));
        let is_good = n % 2 == 0 || n % 7 == 0;
        rig.put("routes.toml", if is_good { toml } else { bad(n, &toml) });
        assert_eq!(
            rig.hang_up().await,
            is_good,
            "{n}: {}",
            rig.process.stderr()
        );
        match is_good {
            true => used += 1,
            false => refused += 1,
        }
    }
    assert!(used > 400 && refused > 400, "{used} {refused}");
    senders.more(50).await;
    let accepted = senders.stop().await.entries();
    assert!(accepted.len() > RELOADS, "{} events", accepted.len());

    // The last file has one target or both; nothing may wait for either.
    wait_for("an end of all deliveries", async || {
        let metrics = rig.metrics().await;
        (crm.requests().len() >= accepted.len()
            && metrics.sum("hookgate_target_in_flight", "target") == 0.0)
            .then_some(())
    })
    .await;
    assert!(
        rig.process.terminate().await.success(),
        "{}",
        rig.process.stderr()
    );
    check_store(&rig, &accepted, &crm, &erp).await;
}

/// Each event is there with its bytes, each delivery has ended, and what the store says of it is what the receivers saw.
async fn check_store(
    rig: &Rig,
    accepted: &[(uuid::Uuid, bytes::Bytes)],
    crm: &Receiver,
    erp: &Receiver,
) {
    let no_labels = Labels {
        routes: &[],
        targets: &[],
        reasons: &[],
    };
    let options = Options {
        directory: rig.path("data"),
        durability: Durability::Always,
    };
    let metrics = Arc::new(Metrics::new(&no_labels).unwrap());
    let store = Embedded::open(options, Clock::system(), metrics).unwrap();
    let (at_crm, at_erp) = (arrivals(crm), arrivals(erp));
    let mut erp_delivered = BTreeSet::new();
    let mut erp_removed = 0;
    for (uid, body) in accepted {
        let stored = store.get(*uid).await.unwrap();
        let stored = stored.unwrap_or_else(|| panic!("accepted and lost: {uid}"));
        assert_eq!(stored.event.body, body);
        for delivery in &stored.deliveries {
            match (&*delivery.target, delivery.state) {
                ("crm", DeliveryState::Delivered) => {
                    assert_eq!(
                        at_crm.get(&*stored.event.id),
                        Some(&1),
                        "{}",
                        stored.event.id
                    );
                }
                ("erp", DeliveryState::Delivered) => {
                    assert_eq!(
                        at_erp.get(&*stored.event.id),
                        Some(&1),
                        "{}",
                        stored.event.id
                    );
                    erp_delivered.insert(stored.event.id.to_string());
                }
                ("erp", DeliveryState::Dead(DeadReason::TargetRemoved)) => erp_removed += 1,
                other => panic!("{uid}: {other:?}"),
            }
        }
    }
    assert_eq!(
        at_crm.len(),
        accepted.len(),
        "crm got what was not accepted"
    );
    assert!(!erp_delivered.is_empty(), "erp was never there");
    let told: BTreeSet<_> = at_erp.keys().cloned().collect();
    assert_eq!(told, erp_delivered, "{erp_removed} were dead letters");
    store.close().await;
}

/// Old, both, new, both, old …: whoever goes over while both are valid meets no 401.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_secrets_under_load_costs_no_401() {
    let crm = Receiver::start().await;
    crm.always(Reply::status(204));
    let toml = |secrets: &str| {
        let target = target("crm", &crm.url(), "");
        [target, route("rotated", secrets, "deliver = [\"crm\"]")].concat()
    };
    let both = format!("{}, {}", literal(SECRET), literal(OTHER));
    let rig = Rig::start(&toml(&literal(SECRET))).await;
    let signing = Arc::new(RwLock::new(SECRET));
    let senders = Senders::start(&rig, &["rotated"], &signing);
    for _ in 0..5 {
        for secret in [OTHER, SECRET] {
            senders.more(20).await;
            rig.reload(&toml(&both)).await;
            senders.more(20).await;
            // What was signed with the one before has been answered then.
            *signing.write().await = secret;
            senders.more(20).await;
            rig.reload(&toml(&literal(secret))).await;
        }
    }
    senders.more(20).await;
    let accepted = senders.stop().await.entries();
    crm.wait_for(accepted.len()).await;
    assert_eq!(rig.post("rotated", "x", OTHER).await, 401);
}
