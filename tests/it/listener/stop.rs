//! The graceful stop of the real program, under load.

use std::{collections::BTreeSet, sync::Arc};

use http::StatusCode;
use nix::sys::signal::Signal;
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{client::Client, process::Process};

use super::{post, post_by, with_server};

/// Nothing that was answered `accepted` is lost, and what was begun is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_under_load_loses_nothing_and_exits_0() {
    let unhurried = with_server("body_timeout = '5m'\nshutdown_grace = '5m'");
    let mut gateway = Process::spawn(&unhurried).await;
    let mut begun = gateway.raw().await;
    let request = post("begun").replace("\r\nHost", "\r\nExpect: 100-continue\r\nHost");
    let (head, body) = request.split_at(request.find('{').unwrap());
    begun.write(head).await;
    assert_eq!(begun.reply().await.unwrap().status, StatusCode::CONTINUE);
    let (warm, mut senders) = (Arc::new(Barrier::new(SENDERS + 1)), JoinSet::new());
    for sender in 0..SENDERS {
        let client = Client::https(gateway.public, &gateway.certificate_pem);
        senders.spawn(post_until_refused(client, sender, warm.clone()));
    }
    warm.wait().await;
    gateway.signal(Signal::SIGTERM);
    let acknowledged: Vec<_> = senders.join_all().await.concat();
    begun.write(body).await;
    assert_eq!(
        begun.reply().await.expect("an answer").outcome(),
        "accepted"
    );
    drop(begun);
    let status = gateway.exited().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    gateway.restart().await;
    assert_eq!(
        post_by(&gateway.client, "begun").await.unwrap(),
        "duplicate"
    );
    let distinct: BTreeSet<_> = acknowledged.iter().collect();
    assert_eq!(distinct.len(), acknowledged.len());
    assert!(acknowledged.len() >= SENDERS * WARM);
    for id in &acknowledged {
        let outcome = post_by(&gateway.client, id).await.unwrap();
        assert_eq!(outcome, "duplicate", "{id} was lost");
    }
}

const SENDERS: usize = 8;
/// Events that each sender has sent before the stop.
const WARM: usize = 10;

/// Posts one event after the other until the gateway takes no more; returns the ids that were accepted.
async fn post_until_refused(client: Client, sender: usize, warm: Arc<Barrier>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        if count == WARM {
            warm.wait().await;
        }
        let id = format!("s{sender}-{count}");
        match post_by(&client, &id).await {
            Ok(outcome) => assert_eq!(outcome, "accepted"),
            Err(_) => break,
        }
        acknowledged.push(id);
    }
    acknowledged
}
