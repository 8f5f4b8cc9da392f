//! The claims. They live in memory only: this process alone uses the directory, so that after a crash
//! nobody holds one, and everything pending is due by its own time at once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

// Its hasher is several times as fast as the standard one. Nobody outside chooses the numbers hashed here.
use hashbrown::HashMap;

use uuid::Uuid;

use crate::{event::Order, store::Lease};

use super::{
    deliveries::DeliveryId,
    queues::{QueueIndex, Spot},
};

/// A target's place in [`super::targets::Targets`].
pub(super) type TargetIndex = usize;

/// When a delivery is due that waits for its turn.
pub(super) const BLOCKED_MS: i64 = i64::MAX;

/// A row of `waiting`, but for its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: DeliveryId,
    pub(super) due_ms: i64,
    pub(super) attempts: u32,
    pub(super) replayed_ms: Option<i64>,
    pub(super) order: Option<Order>,
}

impl Waiting {
    pub(super) fn spot(&self) -> Spot {
        (self.due_ms, self.id)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.due_ms == BLOCKED_MS
    }
}

/// What is claimed: the row, so that it can be found again when the claim is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) target: TargetIndex,
    pub(super) queue: QueueIndex,
    pub(super) waiting: Waiting,
    /// Of its event, where that is known without a look into the table.
    pub(super) uid: Option<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    claim: Claim,
    lease: Lease,
}

/// Claims by delivery, by token and by end. One whose lease ended stays, until another claim of the
/// delivery replaces it: a late settlement still counts.
pub(super) struct Claims {
    next_token: i64,
    held: HashMap<DeliveryId, Held>,
    tokens: HashMap<i64, DeliveryId>,
    /// Of those that nobody was told to have lapsed, see [`Claims::lapsed`].
    ends: HashMap<TargetIndex, BTreeSet<(Instant, DeliveryId)>>,
    /// What the batch under way replaced, oldest first.
    before: Vec<(DeliveryId, Option<Held>)>,
}

impl Claims {
    pub(super) fn new(first_token: i64) -> Self {
        Self {
            next_token: first_token,
            held: HashMap::new(),
            tokens: HashMap::new(),
            ends: HashMap::new(),
            before: Vec::new(),
        }
    }

    pub(super) fn claim(&mut self, claim: Claim, now: Instant, lease: Duration) -> Lease {
        let lease = Lease {
            token: self.next_token,
            ends: now.checked_add(lease).unwrap_or(now),
        };
        self.next_token += 1;
        self.replace(claim.waiting.id, Some(Held { claim, lease }));
        lease
    }

    /// What this token is for, if its claim is still the delivery's newest.
    pub(super) fn find(&self, token: i64, target: TargetIndex) -> Option<Claim> {
        let delivery = *self.tokens.get(&token)?;
        let claim = self.held.get(&delivery)?.claim;
        (claim.target == target).then_some(claim)
    }

    pub(super) fn drop_claim(&mut self, delivery: DeliveryId) {
        self.replace(delivery, None);
    }

    /// Drops a claim outside a batch, if it is still its delivery's newest; returns what was claimed.
    pub(super) fn give_back(&mut self, lease: Lease) -> Option<Claim> {
        let delivery = self.tokens.get(&lease.token).copied()?;
        Some(self.set(delivery, None)?.claim)
    }

    pub(super) fn is_held(&self, delivery: DeliveryId, now: Instant) -> bool {
        self.held
            .get(&delivery)
            .is_some_and(|held| held.lease.ends > now)
    }

    /// Each of the target's claims whose lease has ended, once.
    pub(super) fn lapsed(&mut self, target: TargetIndex, now: Instant) -> Vec<Claim> {
        let mut lapsed = Vec::new();
        let Some(ends) = self.ends.get_mut(&target) else {
            return lapsed;
        };
        while let Some(&(end, delivery)) = ends.first()
            && end <= now
        {
            ends.pop_first();
            lapsed.extend(self.held.get(&delivery).map(|held| held.claim));
        }
        lapsed
    }

    /// How long until the first of the target's leases ends.
    pub(super) fn next_end(&self, target: TargetIndex, now: Instant) -> Option<Duration> {
        let (first, _) = self.ends.get(&target)?.first()?;
        Some(first.saturating_duration_since(now))
    }

    pub(super) fn commit(&mut self) {
        self.before.clear();
    }

    pub(super) fn rollback(&mut self) {
        while let Some((delivery, held)) = self.before.pop() {
            self.set(delivery, held);
        }
    }

    fn replace(&mut self, delivery: DeliveryId, held: Option<Held>) {
        let before = self.set(delivery, held);
        self.before.push((delivery, before));
    }

    fn set(&mut self, delivery: DeliveryId, held: Option<Held>) -> Option<Held> {
        let before = self.held.remove(&delivery);
        if let Some(Held { claim, lease }) = before {
            self.tokens.remove(&lease.token);
            if let Some(ends) = self.ends.get_mut(&claim.target) {
                ends.remove(&(lease.ends, delivery));
            }
        }
        if let Some(held) = held {
            self.held.insert(delivery, held);
            self.tokens.insert(held.lease.token, delivery);
            let ends = self.ends.entry(held.claim.target).or_default();
            ends.insert((held.lease.ends, delivery));
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn of(id: DeliveryId) -> Claim {
        let waiting = Waiting {
            id,
            due_ms: 1000 * id,
            attempts: 3,
            replayed_ms: None,
            order: None,
        };
        Claim {
            target: 0,
            queue: 0,
            waiting,
            uid: None,
        }
    }

    #[test]
    fn a_rollback_restores_every_claim_and_none_of_the_new_ones() {
        let now = Instant::now();
        let mut claims = Claims::new(100);
        let kept = claims.claim(of(1), now, LEASE);
        let ended = claims.claim(of(2), now, LEASE);
        claims.commit();

        claims.drop_claim(2);
        assert_eq!(claims.find(ended.token, 0), None);
        let replaced = claims.claim(of(1), now, 2 * LEASE);
        let fresh = claims.claim(of(3), now, LEASE / 2);
        claims.drop_claim(1);
        claims.rollback();

        assert!(claims.is_held(1, now) && claims.is_held(2, now));
        assert!(!claims.is_held(3, now));
        assert_eq!(claims.next_end(0, now), Some(LEASE));
        assert_eq!(claims.find(replaced.token, 0), None);
        assert_eq!(claims.find(fresh.token, 0), None);
        assert_eq!(claims.find(kept.token, 0), Some(of(1)));
        assert_eq!(claims.find(ended.token, 0), Some(of(2)));
    }

    #[test]
    fn an_ended_lease_counts_until_it_is_replaced_and_never_for_another_target() {
        let now = Instant::now();
        let mut claims = Claims::new(1);
        let first = claims.claim(of(7), now, LEASE);
        assert_eq!(claims.lapsed(0, now), []);
        let later = now + 2 * LEASE;
        assert!(!claims.is_held(7, later));
        assert_eq!(claims.lapsed(1, later), []);
        assert_eq!(claims.lapsed(0, later), [of(7)]);
        assert_eq!(claims.lapsed(0, later), [], "told once");
        assert_eq!(claims.next_end(0, later), None);
        assert_eq!(claims.find(first.token, 1), None, "another target's token");
        assert_eq!(claims.find(first.token, 0), Some(of(7)));

        let second = claims.claim(of(7), later, LEASE);
        assert!(second.token > first.token);
        assert_eq!(claims.find(first.token, 0), None);
        assert_eq!(claims.give_back(first), None);
        assert_eq!(claims.give_back(second), Some(of(7)));
        assert_eq!(claims.find(second.token, 0), None, "ended already");
    }
}
