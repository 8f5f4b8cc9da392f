//! The events of one request, and kept secrets, while the primary comes and goes.

use std::{sync::Arc, time::Duration};

use hookgate::{
    clock::Timestamp,
    config::Secret,
    event::Event,
    store::{Acceptance, KeptSecret, Store as _, StoreError},
};

use super::{
    moving::{Rig, event, ordered},
    primary::Mode,
};

fn request(name: &str, events: usize) -> Vec<Arc<Event>> {
    let one = |number| {
        let mut event = event(&format!("{name}-{number:04}"));
        event.together = true;
        event.deliveries[0].lease = Some(Duration::from_secs(60));
        Arc::new(event)
    };
    (0..events).map(one).collect()
}

fn ids(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| event.id.to_string()).collect()
}

async fn accepted(rig: &Rig, events: &[Arc<Event>]) {
    let answers = rig.store.accept_together(events.to_vec()).await.unwrap();
    let leases = vec![None; 2];
    assert_eq!(answers, vec![Acceptance::Accepted { leases }; events.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_whole_to_the_store_or_whole_into_the_spool() {
    let rig = Rig::start(Mode::Up).await;
    let here = request("here", 3);
    accepted(&rig, &here).await;
    assert_eq!((rig.ids(), rig.primary.requests()), (ids(&here), 1));

    rig.primary.set(Mode::Away);
    let spooled = request("spooled", 1_000);
    accepted(&rig, &spooled).await;
    assert_eq!(rig.ids().len(), 3);
    assert_eq!(rig.metric("hookgate_spool_accepted_total", &[]), 1_000.0);
    // Sent again, with one more.
    let again = [spooled[..2].to_vec(), request("more", 1)].concat();
    let answers = rig.store.accept_together(again).await.unwrap();
    let [known, also_known, new] = &answers[..] else {
        panic!("{answers:?}");
    };
    for (answer, event) in [(known, &spooled[0]), (also_known, &spooled[1])] {
        assert!(matches!(answer, Acceptance::Duplicate { uid, .. } if *uid == event.uid));
    }
    assert!(matches!(new, Acceptance::Accepted { .. }));

    rig.primary.set(Mode::Up);
    rig.emptied().await;
    let expected = [ids(&here), vec!["more-0000".into()], ids(&spooled)].concat();
    assert_eq!(rig.sorted_ids(), expected);
    rig.stop().await;
}

/// Its events may be there, though the answer was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_stored_without_an_answer_is_a_duplicate_of_itself() {
    let rig = Rig::start(Mode::Mute).await;
    let events = request("a", 20);
    accepted(&rig, &events).await;
    rig.primary.set(Mode::Up);
    rig.emptied().await;
    assert_eq!(rig.sorted_ids(), ids(&events));
    assert_eq!((rig.moved("accepted"), rig.moved("duplicate")), (20.0, 0.0));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_an_ordered_event_overtakes_nothing_in_the_spool() {
    let rig = Rig::start(Mode::Away).await;
    rig.accepted(ordered("first")).await;
    rig.primary.set(Mode::Falters(0));
    let mut events = request("behind", 3);
    events[2] = Arc::new(ordered("last"));
    accepted(&rig, &events).await;
    assert_eq!(rig.primary.requests(), 0, "it went behind the first");
    rig.primary.set(Mode::Up);
    rig.emptied().await;
    let all = rig.ids();
    let place = |id: &str| all.iter().position(|other| other == id).unwrap();
    assert!(place("first") < place("last"), "{all:?}");
    assert_eq!(all.len(), 4);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_spool_takes_no_request_either_it_is_an_error_and_no_event() {
    let rig = Rig::start(Mode::Away).await;
    rig.spool.close().await;
    let told = rig
        .store
        .accept_together(request("a", 3))
        .await
        .unwrap_err();
    assert!(matches!(told, StoreError::Unavailable(_)), "{told}");
    assert!(told.to_string().contains("also the spool"), "{told}");
    assert_eq!(rig.metric("hookgate_spool_accepted_total", &[]), 0.0);
    assert_eq!(rig.ids(), [""; 0]);
}

/// Which one counts can only the store say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_kept_by_the_store_or_not_at_all() {
    let rig = Rig::start(Mode::Away).await;
    let kept = KeptSecret {
        route: "route".into(),
        secret: Secret::new("secret"),
        received_at: Timestamp::from_secs(1_800_000_000),
    };
    rig.store.keep_secret(&kept).await.unwrap_err();
    rig.store.kept_secrets().await.unwrap_err();
    rig.store.forget_secret(&kept.route).await.unwrap_err();
    assert_eq!(rig.spool.kept_secrets().await.unwrap().len(), 0);
    rig.primary.set(Mode::Up);
    assert!(rig.store.keep_secret(&kept).await.unwrap());
    rig.stop().await;
}
