//! Claims: order, exclusiveness, leases.

use std::{collections::HashSet, time::Duration};

use hookgate::{
    event::Outcome,
    store::{Acceptance, Settled},
};

use super::subject::{LONG, SHORT, Subject, ids, on_route, only_lease, want};

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn claims_those_longest_due_first_up_to_max(subject: &Subject) {
    for id in ["a", "b", "c", "d", "e"] {
        subject.stored(id, &["t"]).await;
        subject.advance(SECOND);
    }
    let claims = subject.claims("t", 2, LONG).await;
    assert_eq!(ids(&claims.claimed), ["a", "b"]);
    assert_eq!(claims.next_due, [Some(Duration::ZERO)], "more are due");
    // What falls due again goes behind what has been due for longer.
    for claimed in &claims.claimed {
        subject.settle(claimed, Outcome::Retry(SECOND)).await;
    }
    subject.advance(SECOND);
    assert_eq!(ids(&subject.claim("t", 3).await), ["c", "d", "e"]);
    assert_eq!(subject.claim("t", 10).await.len(), 2);
}

pub(super) async fn claims_nothing_twice(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    assert_eq!(subject.claim("t", 10).await.len(), 1);
    let again = subject.claims("t", 10, LONG).await;
    assert!(again.claimed.is_empty());
    let lapses = again.next_due[0].unwrap();
    assert!(lapses > Duration::ZERO && lapses <= LONG, "{lapses:?}");
    assert_eq!(subject.depth("t").await.pending, 1);
}

pub(super) async fn gives_each_delivery_to_one_of_many_claimers(subject: &Subject) {
    for n in 0..60 {
        subject.stored(&n.to_string(), &["t"]).await;
    }
    let claimers: Vec<_> = (0..10)
        .map(|_| {
            let store = subject.store.clone();
            tokio::spawn(async move { store.claim(&[want("t", 7, LONG)]).await.unwrap().claimed })
        })
        .collect();
    let (mut events, mut tokens) = (Vec::new(), HashSet::new());
    for claimer in claimers {
        let claimed = claimer.await.unwrap();
        assert!(claimed.len() <= 7);
        tokens.extend(claimed.iter().map(|c| (c.event.uid, c.lease.token)));
        events.extend(claimed.iter().map(|c| c.event.uid));
    }
    assert_eq!((events.len(), tokens.len()), (60, 60));
    assert_eq!(events.iter().collect::<HashSet<_>>().len(), 60);
}

pub(super) async fn answers_each_want_and_only_its_target(subject: &Subject) {
    subject.stored("a", &["t", "u"]).await;
    subject.stored("b", &["u"]).await;
    let wants = [
        want("nobody", 5, LONG),
        want("u", 1, LONG),
        want("t", 0, LONG),
    ];
    let claims = subject.store.claim(&wants).await.unwrap();
    assert_eq!(ids(&claims.claimed), ["a"]);
    assert_eq!(&*claims.claimed[0].target, "u");
    let due = Some(Duration::ZERO);
    assert_eq!(claims.next_due, [None, due, due]);
    assert_eq!(ids(&subject.claim("t", 5).await), ["a"]);
    assert_eq!(ids(&subject.claim("u", 5).await), ["b"]);
}

pub(super) async fn accepts_already_claimed(subject: &Subject) {
    let mut event = subject.event("a", &["t", "u"]);
    event.deliveries[0].lease = Some(LONG);
    let uid = event.uid;
    let Acceptance::Accepted { leases } = subject.accept(event).await else {
        panic!("a duplicate in an empty store");
    };
    assert_eq!(leases.len(), 2);
    assert!(leases[1].is_none());
    assert!(subject.claim("t", 10).await.is_empty());
    assert_eq!(subject.claim("u", 10).await.len(), 1);

    let token = leases[0].unwrap().token;
    let settled = subject.settle_as(uid, "t", token, Outcome::Delivered).await;
    assert_eq!(settled, Settled::Done);
    assert_eq!(subject.claims("t", 10, LONG).await.next_due, [None]);
}

pub(super) async fn lets_another_claim_after_the_lease_with_a_greater_token(subject: &Subject) {
    let mut event = subject.event("a", &["t"]);
    event.deliveries[0].lease = Some(SHORT);
    let uid = event.uid;
    let mut token = only_lease(subject.accept(event).await).token;
    for _ in 0..3 {
        subject.until_due("t").await;
        let claims = subject.claims("t", 10, SHORT).await;
        assert_eq!(ids(&claims.claimed), ["a"]);
        let later = claims.claimed[0].lease.token;
        assert!(later > token);
        let late = subject.settle_as(uid, "t", token, Outcome::Delivered).await;
        assert_eq!(late, Settled::Lost);
        assert_eq!(subject.depth("t").await.pending, 1, "a late settle counted");
        token = later;
    }
    subject.until_due("t").await;
    let last = subject.claim_one("t").await;
    assert_eq!(last.attempts, 0);
    assert_eq!(
        subject.settle(&last, Outcome::Delivered).await,
        Settled::Done
    );
    assert_eq!(subject.depth("t").await.pending, 0);
}

pub(super) async fn takes_a_late_settlement_while_nobody_else_claimed(subject: &Subject) {
    subject.stored("a", &["t"]).await;
    let claimed = subject.claims("t", 1, SHORT).await.claimed;
    subject.until_due("t").await;
    let settled = subject.settle(&claimed[0], Outcome::Delivered).await;
    assert_eq!(settled, Settled::Done);
    assert!(subject.claim("t", 10).await.is_empty());
}

pub(super) async fn takes_from_routes_alternately(subject: &Subject) {
    for n in 0..40 {
        let event = subject.event(&format!("busy {n}"), &["t"]);
        subject.accept(on_route(event, "busy")).await;
        subject.advance(Duration::from_millis(1));
    }
    for n in 0..3 {
        let event = subject.event(&format!("quiet {n}"), &["t"]);
        subject.accept(on_route(event, "quiet")).await;
        subject.advance(Duration::from_millis(1));
    }
    let claimed = subject.claim("t", 10).await;
    let of = |route: &str| -> Vec<_> {
        let of_route = claimed.iter().filter(|c| &*c.event.route == route);
        of_route.map(|c| &*c.event.id).collect()
    };
    assert_eq!(of("quiet"), ["quiet 0", "quiet 1", "quiet 2"]);
    let busy: Vec<_> = (0..7).map(|n| format!("busy {n}")).collect();
    assert_eq!(of("busy"), busy);
}

pub(super) async fn takes_from_each_route_in_turn_however_few_are_asked_for(subject: &Subject) {
    for (route, number) in [("busy", 20), ("quiet", 2)] {
        for n in 0..number {
            let event = subject.event(&format!("{route} {n}"), &["t"]);
            subject.accept(on_route(event, route)).await;
            subject.advance(Duration::from_millis(1));
        }
    }
    let mut taken = Vec::new();
    for _ in 0..4 {
        let claimed = subject.claim("t", 1).await;
        assert_eq!(claimed.len(), 1);
        taken.push(claimed[0].event.id.to_string());
    }
    taken.sort();
    assert_eq!(taken, ["busy 0", "busy 1", "quiet 0", "quiet 1"]);
}

pub(super) async fn tells_what_is_due_and_how_much_waits_over_all_routes(subject: &Subject) {
    const MINUTE: Duration = Duration::from_secs(60);
    for (route, wait) in [("a", 3 * MINUTE), ("b", MINUTE), ("c", 2 * MINUTE)] {
        subject
            .accept(on_route(subject.event("x", &["t"]), route))
            .await;
        let claimed = subject.claim_one("t").await;
        assert_eq!(&*claimed.event.route, route);
        subject.settle(&claimed, Outcome::Retry(wait)).await;
    }
    let next_due = async || subject.claims("t", 0, LONG).await.next_due;
    assert_eq!(next_due().await, [Some(MINUTE)]);
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.oldest_due), (3, Duration::ZERO));
    subject.advance(5 * MINUTE);
    let depth = subject.depth("t").await;
    assert_eq!((depth.pending, depth.oldest_due), (3, 4 * MINUTE));
    assert_eq!(next_due().await, [Some(Duration::ZERO)]);
    let claimed = subject.claim("t", 10).await;
    assert_eq!(claimed.len(), 3);
    for claimed in &claimed {
        subject.settle(claimed, Outcome::Delivered).await;
    }
    assert_eq!(next_due().await, [None]);
    assert_eq!(subject.depth("t").await.pending, 0);
}
