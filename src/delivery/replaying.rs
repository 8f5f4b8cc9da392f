//! Goes on with replays by filter, a page at a time.
//!
//! What is to be done is decided by pure functions of the replay, the page and the time; the store keeps the replay, so
//! that any gateway goes on when this one is gone. A step is claimed by saving the replay with a later
//! `next_step_at`: whoever saves first makes it, and nobody makes the next before its time.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::{Clock, Timestamp},
    event::{DeliveryState, TargetName},
    store::{
        DeliveryName, Replayed, Store, StoreError, StoredDelivery,
        handover::Lanes,
        listing::{EventSummary, Page, Query},
        replays::{Replay, ReplayState},
    },
};

/// How often the replays are looked at while one is running, at least.
const LOOK_RUNNING: Duration = Duration::from_secs(2);
/// ... and while none is known to: another gateway may have died with one.
const LOOK_IDLE: Duration = Duration::from_secs(30);
/// How long a step is this gateway's.
const STEP_LEASE: Duration = Duration::from_secs(15);
/// Steps a second, where the rate allows as many events.
const STEPS_PER_SECOND: u32 = 2;
/// Events of one page.
const PAGE_MAX: usize = 250;
/// Pages on which nothing matches that one step passes.
const EMPTY_PAGES_MAX: usize = 100;
/// Deliveries in one call.
const REPLAY_MAX: usize = 500;
/// Replays that have ended and stay readable; of more the oldest are forgotten.
const ENDED_MAX: usize = 100;

pub(super) struct Replaying {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    /// Nothing is replayed to a target that nobody delivers to.
    pub(super) lanes: Arc<Lanes>,
    /// A replay began here.
    pub(super) begun: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

impl Replaying {
    /// Until the stop signal; a step that is under way then is finished first.
    pub(super) async fn run(self) {
        while !self.stop.is_cancelled() {
            let wait = match self.look().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "could not go on with replays");
                    LOOK_RUNNING
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.begun.notified() => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Makes the steps that are due; returns how long nothing is.
    async fn look(&self) -> Result<Duration, StoreError> {
        let mut replays = self.store.replays().await?;
        for old in to_forget(&replays) {
            self.store.forget_replay(old).await?;
        }
        let mut next = LOOK_IDLE;
        for replay in &mut replays {
            if self.stop.is_cancelled() {
                break;
            }
            if replay.state == ReplayState::Running && replay.next_step_at <= self.clock.now() {
                self.step(replay).await?;
            }
            if replay.state == ReplayState::Running {
                let due = replay.next_step_at.since(self.clock.now());
                next = next.min(due).min(LOOK_RUNNING);
            }
        }
        Ok(next)
    }

    /// One step; `replay` is then as it is kept, or, when another gateway or the operator was quicker, as it was read.
    async fn step(&self, replay: &mut Replay) -> Result<(), StoreError> {
        let began = self.clock.now();
        let mut mine = Replay {
            next_step_at: began.saturating_add(STEP_LEASE),
            ..replay.clone()
        };
        if !self.save(&mut mine).await? {
            // Not before it is read again.
            replay.next_step_at = began.saturating_add(LOOK_RUNNING);
            return Ok(());
        }
        let mut due = 0;
        for _ in 0..EMPTY_PAGES_MAX {
            let page = match self.store.list(&query(&mine)).await {
                Ok(page) => page,
                Err(StoreError::BadCursor) => {
                    tracing::error!(replay = %mine.id, "its list cannot be gone on with; the replay ends here");
                    end(&mut mine, ReplayState::Cancelled, self.clock.now());
                    break;
                }
                Err(error) => return Err(error),
            };
            due = self
                .replay(&meant(&mine, &page, &self.lanes.names()), mine.created_at)
                .await?;
            pass(&mut mine, &page, due, self.clock.now());
            let half_over = self.clock.now().since(began) > STEP_LEASE / 2;
            if due > 0 || mine.state != ReplayState::Running || half_over {
                break;
            }
        }
        mine.next_step_at = began.saturating_add(pause(due, mine.rate));
        if self.save(&mut mine).await? {
            *replay = mine;
        } else {
            replay.next_step_at = began.saturating_add(LOOK_RUNNING);
        }
        Ok(())
    }

    async fn save(&self, replay: &mut Replay) -> Result<bool, StoreError> {
        let saved = self.store.save_replay(replay).await?;
        replay.revision += u64::from(saved);
        Ok(saved)
    }

    /// How many are due now.
    ///
    /// Not one that was replayed since the page was listed: by another replay, or by a gateway that took over this one.
    async fn replay(&self, names: &[DeliveryName], began: Timestamp) -> Result<u64, StoreError> {
        let mut due = 0;
        for names in names.chunks(REPLAY_MAX) {
            let answers = self.store.replay(names, Some(began)).await?;
            due += answers.iter().filter(|a| **a == Replayed::Due).count() as u64;
        }
        Ok(due)
    }
}

/// What a replay lists next: only what was received before it was asked for, so that it ends.
fn query(replay: &Replay) -> Query {
    let mut filter = replay.filter.clone();
    let until = filter.until.unwrap_or(replay.created_at);
    filter.until = Some(until.min(replay.created_at));
    let events = usize::try_from(replay.rate / STEPS_PER_SECOND).unwrap_or(PAGE_MAX);
    Query {
        filter,
        newest_first: false,
        cursor: replay.cursor.clone(),
        limit: events.clamp(1, PAGE_MAX),
    }
}

/// The deliveries of a page that are to be replayed.
fn meant(replay: &Replay, page: &Page, targets: &[TargetName]) -> Vec<DeliveryName> {
    let of = |event: &EventSummary| {
        let uid = event.uid;
        let deliveries = event.deliveries.iter();
        let meant = deliveries
            .filter(|delivery| is_meant(replay, delivery) && targets.contains(&delivery.target));
        let name = |delivery: &StoredDelivery| DeliveryName {
            uid,
            target: delivery.target.clone(),
        };
        meant.map(name).collect::<Vec<_>>()
    };
    page.events.iter().flat_map(of).collect()
}

/// Not one that was replayed since: a page that is listed again, because a gateway died over it, changes nothing.
fn is_meant(replay: &Replay, delivery: &StoredDelivery) -> bool {
    let since = delivery
        .replayed_at
        .is_some_and(|at| at >= replay.created_at);
    replay.filter.means(delivery) && delivery.state != DeliveryState::Pending && !since
}

/// Notes that a page is done.
fn pass(replay: &mut Replay, page: &Page, due: u64, now: Timestamp) {
    replay.events += page.events.len() as u64;
    replay.replayed += due;
    replay.cursor.clone_from(&page.next);
    if page.next.is_none() {
        end(replay, ReplayState::Done, now);
    }
}

fn end(replay: &mut Replay, state: ReplayState, now: Timestamp) {
    replay.state = state;
    replay.ended_at = Some(now);
}

/// How long so many deliveries take at this rate.
fn pause(due: u64, rate: u32) -> Duration {
    let millis = due.saturating_mul(1000) / u64::from(rate.max(1));
    Duration::from_millis(millis)
}

/// Of those that have ended the oldest, beyond what is kept.
fn to_forget(replays: &[Replay]) -> Vec<Uuid> {
    let ended = replays.iter().filter(|replay| replay.ended_at.is_some());
    let mut ended: Vec<_> = ended.map(|replay| (replay.ended_at, replay.id)).collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(ENDED_MAX);
    ended.into_iter().take(surplus).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::DeadReason,
        store::listing::{Filter, StateFilter},
    };

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + seconds)
    }

    fn replay(filter: Filter) -> Replay {
        Replay {
            id: Uuid::from_u128(1),
            revision: 1,
            filter,
            rate: 100,
            state: ReplayState::Running,
            created_at: NOW,
            ended_at: None,
            next_step_at: NOW,
            cursor: None,
            events: 0,
            replayed: 0,
        }
    }

    fn page(states: &[(&str, DeliveryState, Option<Timestamp>)], next: Option<&str>) -> Page {
        let delivery = |(target, state, replayed_at): &(&str, DeliveryState, Option<Timestamp>)| {
            StoredDelivery {
                target: (*target).into(),
                state: *state,
                attempts: 1,
                history: Vec::new(),
                replayed_at: *replayed_at,
            }
        };
        let event = EventSummary {
            uid: Uuid::from_u128(7),
            route: "orders".into(),
            id: "evt_7".into(),
            event_type: None,
            credential: None,
            request_id: None,
            received_at: at(-60),
            body_bytes: 2,
            deliveries: states.iter().map(delivery).collect(),
        };
        Page {
            events: vec![event],
            next: next.map(str::to_owned),
        }
    }

    #[test]
    fn it_lists_the_oldest_first_and_nothing_newer_than_itself() {
        for (until, expected) in [(None, NOW), (Some(at(-5)), at(-5)), (Some(at(5)), NOW)] {
            let filter = Filter {
                until,
                ..Filter::default()
            };
            let query = query(&replay(filter));
            assert_eq!(query.filter.until, Some(expected));
            assert!(!query.newest_first);
        }
        for (rate, limit) in [(1, 1), (3, 1), (100, 50), (u32::MAX, PAGE_MAX)] {
            let replay = Replay {
                rate,
                ..replay(Filter::default())
            };
            assert_eq!(query(&replay).limit, limit, "{rate}/s");
        }
    }

    #[test]
    fn it_means_settled_deliveries_of_its_filter_once() {
        let dead = DeliveryState::Dead(DeadReason::GaveUp);
        let page = page(
            &[
                ("pending", DeliveryState::Pending, None),
                ("delivered", DeliveryState::Delivered, None),
                ("dead", dead, None),
                ("dead_again", dead, Some(at(1))),
                ("dead_before", dead, Some(at(-1))),
                ("removed", dead, None),
            ],
            None,
        );
        let meant = |target: Option<&str>, state| -> Vec<String> {
            let filter = Filter {
                target: target.map(Into::into),
                state,
                ..Filter::default()
            };
            let known = ["pending", "delivered", "dead", "dead_again", "dead_before"];
            let names = super::meant(&replay(filter), &page, &known.map(Into::into));
            names.iter().map(|name| name.target.to_string()).collect()
        };
        assert_eq!(meant(None, None), ["delivered", "dead", "dead_before"]);
        let state = Some(StateFilter::Dead);
        assert_eq!(meant(None, state), ["dead", "dead_before"]);
        assert_eq!(meant(Some("dead"), state), ["dead"]);
        assert_eq!(meant(Some("pending"), None), Vec::<String>::new());
    }

    #[test]
    fn a_page_moves_it_on_and_the_last_one_ends_it() {
        let dead = DeliveryState::Dead(DeadReason::GaveUp);
        let mut replay = replay(Filter::default());
        pass(
            &mut replay,
            &page(&[("crm", dead, None)], Some("a")),
            1,
            at(1),
        );
        pass(
            &mut replay,
            &page(&[("crm", dead, None)], Some("b")),
            0,
            at(2),
        );
        assert_eq!((replay.events, replay.replayed), (2, 1));
        assert_eq!(replay.cursor.as_deref(), Some("b"));
        assert_eq!(
            (replay.state, replay.ended_at),
            (ReplayState::Running, None)
        );
        pass(&mut replay, &page(&[("crm", dead, None)], None), 1, at(3));
        assert_eq!(replay.state, ReplayState::Done);
        assert_eq!(replay.ended_at, Some(at(3)));
    }

    #[test]
    fn a_step_takes_as_long_as_its_deliveries_at_the_rate() {
        for (due, rate, millis) in [(0, 100, 0), (50, 100, 500), (3, 2, 1500), (7, 0, 7000)] {
            assert_eq!(pause(due, rate), Duration::from_millis(millis));
        }
    }

    #[test]
    fn the_oldest_that_ended_are_forgotten() {
        let ended = |n: u32| Replay {
            id: Uuid::from_u128(n.into()),
            state: ReplayState::Done,
            ended_at: Some(at(n.into())),
            ..replay(Filter::default())
        };
        let mut replays: Vec<_> = (0..102).rev().map(ended).collect();
        replays.push(replay(Filter::default()));
        assert_eq!(
            to_forget(&replays),
            [Uuid::from_u128(0), Uuid::from_u128(1)]
        );
        assert!(to_forget(&replays[..100]).is_empty());
    }
}
