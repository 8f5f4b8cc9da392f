//! The lanes that there are. They come, are replaced and go while events are accepted and deliveries claimed, so whoever
//! has something to tell a target's lane asks for it by name, when it is told.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::lane::{Gate, Lane, LaneSpec, lane};
use crate::event::TargetName;

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
    orphans: Arc<Notify>,
    /// Targets that were removed and still have deliveries under way, see [`Presence`].
    leaving: AtomicUsize,
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

    /// Told when the store may hold pending deliveries of a target without a lane: [`crate::store::Store::retire_targets`]
    /// is to be called. That of a target that is removed is told when its attempts under way have ended and are settled,
    /// so that they are not made dead letters in spite of what came of them.
    pub fn orphans(&self) -> Arc<Notify> {
        self.orphans.clone()
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
            None if self.leaving.load(Ordering::SeqCst) > 0 => {}
            None => self.orphans.notify_one(),
        }
    }
}

/// Held by all that works on a target's deliveries, its replaced lanes included, until these are settled.
#[derive(Debug)]
pub struct Presence {
    lanes: Arc<Lanes>,
    removed: AtomicBool,
}

impl Presence {
    pub fn new(lanes: Arc<Lanes>) -> Arc<Self> {
        Arc::new(Self {
            lanes,
            removed: false.into(),
        })
    }

    /// The target is removed: when the last holder lets go, the orphans are told of.
    pub fn remove(&self) {
        if !self.removed.swap(true, Ordering::SeqCst) {
            self.lanes.leaving.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.removed.load(Ordering::SeqCst) {
            self.lanes.leaving.fetch_sub(1, Ordering::SeqCst);
            self.lanes.orphans.notify_one();
        }
    }
}
