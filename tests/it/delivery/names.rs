//! From names to addresses: what a name server says, how long that is believed, and who may be connected to.

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use hookgate::{event::Outcome, outbound::Names, store::Settlement};

use super::rig::{Rig, error, event, is_delivered, target};
use crate::support::{
    dns::{Answer, NameServer},
    receiver::{Receiver, Reply},
};

const NAME: &str = "crm.test";
const LONG: u32 = 3600;

fn named(receiver: &Receiver, name: &str) -> String {
    receiver.named_url().replace("localhost", name)
}

fn is_failed(settlement: &Settlement) -> bool {
    matches!(settlement.outcome, Outcome::Retry(_))
}

/// A receiver that closes each connection after its answer, so that each request needs a new one.
async fn closing() -> Receiver {
    let receiver = Receiver::start().await;
    receiver.always(Reply::then_close());
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_its_ttl() {
    const EVENTS: usize = 10;
    let (dns, receiver) = (NameServer::start().await, closing().await);
    dns.addresses(NAME, &["127.0.0.1"], LONG);
    let crm = target("crm", &named(&receiver, NAME));
    let rig = Rig::start_named([crm], Names::Server(dns.address));
    for n in 1..=EVENTS {
        rig.send(event(&format!("evt_{n}"), &["crm"])).await;
        rig.model.wait_for(n, is_delivered).await;
    }
    assert!(
        receiver.connections() >= EVENTS,
        "no connection is used twice"
    );
    for family in [RecordType::A, RecordType::AAAA] {
        assert_eq!(dns.asked(NAME, family), 1, "{family}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_ttl_is_asked_for_again() {
    let (dns, receiver) = (NameServer::start().await, closing().await);
    dns.addresses(NAME, &["127.0.0.1"], 0);
    receiver.always(Reply::status(500).header("Connection", "close"));
    let crm = target("crm", &named(&receiver, NAME));
    let rig = Rig::start_named([crm], Names::Server(dns.address));
    rig.send(event("evt_1", &["crm"])).await;
    dns.wait_until_asked(NAME, RecordType::A, 3).await;
}

/// It is judged at the connect, not when the name is first looked up. That public addresses pass is shown beside the
/// guard: here nothing may be sent to one, so the name has none at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_turns_to_a_private_address_is_refused() {
    let (dns, receiver) = (NameServer::start().await, Receiver::start().await);
    dns.addresses(NAME, &[], 0);
    let mut crm = target("crm", &named(&receiver, NAME));
    crm.allow_private = false;
    let rig = Rig::start_named([crm], Names::Server(dns.address));
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_failed).await;
    let settled = rig.model.settled();
    assert!(!error(&settled[0]).contains("allow_private"), "{settled:?}");

    dns.addresses(NAME, &["127.0.0.1", "::1"], 0);
    let is_refused = |settlement: &Settlement| error(settlement).contains("(loopback)");
    rig.model.wait_for(1, is_refused).await;
    assert_eq!(receiver.connections(), 0);
}

/// What one target may be given, another may not, though both are told from one kept answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_looks_at_kept_answers_too() {
    let (dns, receiver) = (NameServer::start().await, Receiver::start().await);
    dns.addresses(NAME, &["127.0.0.1"], LONG);
    let url = named(&receiver, NAME);
    let mut guarded = target("guarded", &url);
    guarded.allow_private = false;
    let rig = Rig::start_named([target("crm", &url), guarded], Names::Server(dns.address));
    rig.send(event("evt_1", &["crm"])).await;
    rig.model.wait_for(1, is_delivered).await;
    rig.send(event("evt_2", &["guarded"])).await;
    rig.model.wait_for(1, is_failed).await;
    let settled = rig.model.settled();
    let refused = settled.iter().find(|one| is_failed(one)).unwrap();
    assert_eq!(
        error(refused),
        "connect: dns error: 127.0.0.1 is in 127.0.0.0/8 (loopback); \
         to allow it set `allow_private = true` under [targets.guarded]"
    );
    assert_eq!(dns.asked(NAME, RecordType::A), 1);
    assert_eq!(receiver.connections(), 1);
}

/// Nobody listens at the first two.
#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_a_name_is_tried() {
    let (dns, receiver) = (NameServer::start().await, Receiver::start().await);
    dns.addresses(NAME, &["::1", "127.0.0.2", "127.0.0.1"], LONG);
    let crm = target("crm", &named(&receiver, NAME));
    let rig = Rig::start_named([crm], Names::Server(dns.address));
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Delivered, "{settled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_server_cannot_say_is_told_and_tried_again() {
    for (answer, expected) in [
        (
            Answer::NoSuchName(0),
            "connect: dns error: the name `crm.test` does not exist (NXDOMAIN)",
        ),
        (
            Answer::Addresses(Vec::new(), 0),
            "connect: dns error: the name `crm.test` has no address",
        ),
        (
            Answer::Failure,
            "connect: dns error: the name `crm.test` cannot be looked up",
        ),
    ] {
        let (dns, receiver) = (NameServer::start().await, Receiver::start().await);
        dns.answer(NAME, answer);
        let crm = target("crm", &named(&receiver, NAME));
        let rig = Rig::start_named([crm], Names::Server(dns.address));
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
        assert!(error(&settled).starts_with(expected), "{settled:?}");
        dns.addresses(NAME, &["127.0.0.1"], 0);
        rig.model.wait_for(1, is_delivered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_never_answers_ends_with_the_attempt() {
    let (dns, receiver) = (NameServer::start().await, Receiver::start().await);
    dns.answer(NAME, Answer::Silence);
    let mut crm = target("crm", &named(&receiver, NAME));
    crm.timeout = Duration::from_millis(200);
    let rig = Rig::start_named([crm], Names::Server(dns.address));
    let settled = rig.first_settlement().await;
    assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
    let text = error(&settled);
    assert!(
        text.contains("200ms") || text.contains("timed out"),
        "{text}"
    );
    dns.addresses(NAME, &["127.0.0.1"], 0);
    rig.model.wait_for(1, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_file_goes_first_and_is_read_again_when_it_changes() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let [hosts, resolv_conf] = ["hosts", "resolv.conf"].map(|name| directory.path().join(name));
    // Nobody listens at either address.
    std::fs::write(&resolv_conf, "nameserver 127.0.0.3\n").unwrap();
    std::fs::write(&hosts, "127.0.0.2 CRM.test\n").unwrap();
    let crm = target("crm", &named(&receiver, NAME));
    let names = Names::Files {
        hosts: hosts.clone(),
        resolv_conf,
    };
    let rig = Rig::start_named([crm], names);
    let settled = rig.first_settlement().await;
    assert!(error(&settled).contains("refused"), "{settled:?}");
    std::fs::write(&hosts, "# moved\n127.0.0.1 crm.test\n").unwrap();
    rig.model.wait_for(1, is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_server_the_system_looks_names_up() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    for content in [None, Some("# no server\n")] {
        let [hosts, resolv_conf] = ["hosts", "resolv.conf"].map(|name| directory.path().join(name));
        if let Some(content) = content {
            std::fs::write(&resolv_conf, content).unwrap();
        }
        let crm = target("crm", &receiver.named_url());
        let rig = Rig::start_named([crm], Names::Files { hosts, resolv_conf });
        let settled = rig.first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Delivered, "{settled:?}");
    }
}
