//! The lanes that there are. They come, are replaced and go while events are accepted and deliveries claimed, so whoever
//! has something to tell a target's lane asks for it by name, when it is told.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::lane::{Gate, Lane, LaneSpec, lane};
use crate::{event::TargetName, store::orphans::Orphans};

/// The entrance of each target's lane.
pub type Gates = HashMap<TargetName, Arc<Gate>>;

/// See the module. Changes are made by one at a time.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Read for every event: without a lock, and nothing is allocated.
    gates: ArcSwap<Gates>,
    /// What the dispatcher sleeps on.
    wake: Arc<Notify>,
    /// See [`Lanes::orphans`].
    orphans: Arc<Orphans>,
    /// Targets that were removed and still have deliveries under way, see [`Presence`]; one that came back and was
    /// removed again, more than once.
    leaving: Mutex<HashMap<TargetName, usize>>,
}

impl Lanes {
    /// A lane that nobody enters before [`Lanes::put`].
    pub fn make(&self, spec: LaneSpec) -> Lane {
        lane(spec, self.wake.clone())
    }

    /// From now on these are their targets' lanes. Of one that had another, what is due in the store goes first.
    pub fn put(&self, new: &[Arc<Gate>]) {
        let before = self.gates.load();
        for gate in new {
            if before.contains_key(gate.target()) {
                gate.mark_backlog();
            }
        }
        self.change(|gates| {
            let named = |gate: &Arc<Gate>| (gate.target().clone(), gate.clone());
            gates.extend(new.iter().map(named));
        });
    }

    /// From now on these are nobody's.
    pub fn remove(&self, old: &[Arc<Gate>]) {
        let stays = |gate: &Arc<Gate>| !old.iter().any(|old| Arc::ptr_eq(old, gate));
        self.change(|gates| gates.retain(|_, gate| stays(gate)));
    }

    fn change(&self, change: impl Fn(&mut Gates)) {
        self.gates.rcu(|gates| {
            let mut gates = Gates::clone(gates);
            change(&mut gates);
            gates
        });
        self.wake.notify_one();
    }

    /// For as long as a few instructions take.
    pub(super) fn load(&self) -> Guard<Arc<Gates>> {
        self.gates.load()
    }

    /// All of them as they are now. Another `Arc` after each change.
    pub fn gates(&self) -> Arc<Gates> {
        self.gates.load_full()
    }

    pub fn gate(&self, target: &str) -> Option<Arc<Gate>> {
        self.gates.load().get(target).cloned()
    }

    pub fn names(&self) -> Vec<TargetName> {
        self.gates.load().keys().cloned().collect()
    }

    /// What the dispatcher sleeps on.
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Told of targets without a lane. One that is removed is told of when its attempts under way have ended and are
    /// settled, so that they are not made dead letters in spite of what came of them. It may be [`Lanes::leaving`] again
    /// by the time that this is heard.
    pub fn orphans(&self) -> Arc<Orphans> {
        self.orphans.clone()
    }

    /// Targets that were removed and still have deliveries under way: not to be retired now, they are told of later.
    pub fn leaving(&self) -> Vec<TargetName> {
        self.lock_leaving().keys().cloned().collect()
    }

    fn is_leaving(&self, target: &TargetName) -> bool {
        self.lock_leaving().contains_key(target)
    }

    fn lock_leaving(&self) -> MutexGuard<'_, HashMap<TargetName, usize>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store holds due deliveries for this target, of which the dispatcher does not know.
    pub fn left_in_store(&self, target: &TargetName) {
        self.tell(target, Gate::left_in_store);
    }

    /// A delivery of this target was settled that falls due again after `wait`.
    pub fn due_again_in(&self, target: &TargetName, wait: Duration) {
        self.tell(target, |gate| gate.due_again_in(wait));
    }

    /// An ordered delivery of this target was settled: the next of its group, if there is one, is due now.
    pub fn pass_turn(&self, target: &TargetName) {
        self.tell(target, Gate::pass_turn);
    }

    /// Always after what is told is in the store: a lane that comes later is claimed for from the beginning, and of a
    /// target that is removed later the deliveries are retired after that.
    fn tell(&self, target: &TargetName, tell: impl FnOnce(&Gate)) {
        match self.gates.load().get(target) {
            Some(gate) => tell(gate),
            // Whoever leaves last tells it.
            None if self.is_leaving(target) => {}
            None => self.orphans.tell_of(target),
        }
    }
}

/// Held by all that works on a target's deliveries, its replaced lanes included, until these are settled.
#[derive(Debug)]
pub struct Presence {
    target: TargetName,
    lanes: Arc<Lanes>,
    removed: AtomicBool,
}

impl Presence {
    pub fn new(target: TargetName, lanes: Arc<Lanes>) -> Arc<Self> {
        Arc::new(Self {
            target,
            lanes,
            removed: false.into(),
        })
    }

    /// The target is removed: when the last holder lets go, the orphans are told of.
    pub fn remove(&self) {
        if !self.removed.swap(true, Ordering::SeqCst) {
            let mut leaving = self.lanes.lock_leaving();
            *leaving.entry(self.target.clone()).or_default() += 1;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.removed.load(Ordering::SeqCst) {
            return;
        }
        let mut leaving = self.lanes.lock_leaving();
        if let Entry::Occupied(mut others) = leaving.entry(self.target.clone()) {
            *others.get_mut() -= 1;
            if *others.get() > 0 {
                return;
            }
            others.remove();
        }
        drop(leaving);
        self.lanes.orphans.tell_of(&self.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane_of(lanes: &Lanes, target: &str) -> Lane {
        lanes.make(LaneSpec {
            target: target.into(),
            capacity: 4,
            lease: Duration::from_secs(60),
            rate: None,
            paused_by_file: false,
            paused_by_operator: false,
        })
    }

    fn put(lanes: &Lanes, target: &str) -> Lane {
        let lane = lane_of(lanes, target);
        lanes.put(std::slice::from_ref(&lane.gate));
        lane
    }

    /// Whether it was told since the last look.
    fn told(notify: &Notify) -> bool {
        use futures_util::FutureExt as _;
        notify.notified().now_or_never().is_some()
    }

    #[test]
    fn a_lane_that_replaces_another_lets_what_is_due_go_first() {
        let lanes = Lanes::default();
        let first = put(&lanes, "crm");
        assert!(told(lanes.wake()), "the dispatcher is to look");
        assert_eq!(first.gate.backlog(), 0);
        let second = put(&lanes, "crm");
        assert!(told(lanes.wake()));
        assert_ne!(second.gate.backlog(), 0);
        assert!(Arc::ptr_eq(&second.gate, &lanes.gate("crm").unwrap()));
    }

    #[test]
    fn what_is_told_reaches_the_lane_that_there_is() {
        let lanes = Lanes::default();
        let old = put(&lanes, "crm");
        let new = put(&lanes, "crm");
        let crm = "crm".into();
        lanes.due_again_in(&crm, Duration::from_secs(1));
        lanes.pass_turn(&crm);
        assert!(new.gate.retry_due().is_some() && new.gate.turn_passed());
        assert!(old.gate.retry_due().is_none() && !old.gate.turn_passed());
        let before = new.gate.backlog();
        lanes.left_in_store(&crm);
        assert_eq!((old.gate.backlog(), new.gate.backlog()), (0, before + 1));
        assert!(lanes.orphans().take().is_empty());
    }

    #[test]
    fn only_the_lane_that_is_meant_is_removed() {
        let lanes = Lanes::default();
        let (old, _kept) = (put(&lanes, "crm"), put(&lanes, "other"));
        let new = put(&lanes, "crm");
        lanes.remove(&[old.gate]);
        assert!(Arc::ptr_eq(&new.gate, &lanes.gate("crm").unwrap()));
        lanes.remove(&[new.gate]);
        assert_eq!(lanes.names(), [TargetName::from("other")]);
    }

    #[test]
    fn orphans_are_told_of_at_once_or_when_the_last_of_their_target_has_left() {
        let lanes = Arc::new(Lanes::default());
        let (gone, other): (TargetName, TargetName) = ("gone".into(), "other".into());
        let told = || Vec::from_iter(lanes.orphans().take().targets);
        lanes.left_in_store(&gone);
        assert_eq!(told(), std::slice::from_ref(&gone));

        let presence = Presence::new(gone.clone(), lanes.clone());
        drop(presence.clone());
        assert!(told().is_empty(), "nothing was removed");
        let courier = presence.clone();
        presence.remove();
        drop(presence);
        lanes.due_again_in(&gone, Duration::ZERO);
        assert!(told().is_empty(), "one is under way");
        assert_eq!(lanes.leaving(), std::slice::from_ref(&gone));

        // What leaves at the same time says nothing about it, nor is it kept waiting.
        let idle = Presence::new(other.clone(), lanes.clone());
        idle.remove();
        drop(idle);
        assert_eq!(told(), std::slice::from_ref(&other));
        lanes.left_in_store(&other);
        assert_eq!(told(), [other]);

        // It was back, and is removed again.
        let again = Presence::new(gone.clone(), lanes.clone());
        again.remove();
        drop(again);
        assert!(told().is_empty(), "that of before is under way");
        drop(courier);
        assert_eq!(told(), std::slice::from_ref(&gone));
        assert!(lanes.leaving().is_empty());
        lanes.left_in_store(&gone);
        assert_eq!(told(), [gone]);
    }
}
