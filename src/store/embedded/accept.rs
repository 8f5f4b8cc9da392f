//! Accepting an event: one row for it, and one for each delivery that waits.

use std::time::Instant;

use crate::{
    event::{DeliveryState, Event, NewDelivery, event_uid},
    store::{Acceptance, Lease},
};

use super::{
    claims::{BLOCKED_MS, Claim, Waiting},
    commits,
    deliveries::{self, DeliveryId},
    failure::Failure,
    ledger::{Arrival, Ledger},
    targets::{NOBODY, state_code},
};

impl Ledger {
    pub(super) fn accept(&mut self, arrival: &Arrival) -> Result<Acceptance, Failure> {
        let event = &*arrival.event;
        if let Some(duplicate) = self.duplicate(event) {
            return Ok(duplicate);
        }
        self.begin()?;
        let seq = self.next_seq;
        self.next_seq += 1;
        self.connection
            .prepare_cached("INSERT INTO events (seq, head, body) VALUES (?1, ?2, ?3)")?
            .execute((seq, &*arrival.head, &*event.body))?;
        let mut leases = Vec::with_capacity(event.deliveries.len());
        let ids = deliveries::ids(seq, event.deliveries.len());
        for (id, delivery) in ids.zip(&event.deliveries) {
            leases.push(self.insert_delivery(id, event, delivery)?);
        }
        if event.deliveries.is_empty() {
            self.insert_finished(seq, event)?;
        }
        self.ids.remember(
            event.key,
            event.received_at,
            event.dedupe_window,
            event.digest,
        );
        let body_bytes = event.body.len() as u64;
        self.targets.counts.body_bytes += body_bytes;
        commits::add(&mut self.spans, seq, event.received_at, body_bytes);
        Ok(Acceptance::Accepted { leases })
    }

    /// The window is the one that the route has now, from the time of the first acceptance.
    fn duplicate(&self, event: &Event) -> Option<Acceptance> {
        let first = self.ids.find(event.key)?;
        let window_ends = first.received_at.saturating_add(event.dedupe_window);
        (window_ends > event.received_at).then(|| Acceptance::Duplicate {
            uid: event_uid(event.key, first.received_at),
            first_received_at: first.received_at,
            same_body: first.digest == event.digest.short(),
        })
    }

    fn insert_delivery(
        &mut self,
        id: DeliveryId,
        event: &Event,
        delivery: &NewDelivery,
    ) -> Result<Option<Lease>, Failure> {
        let (queue, target) = self.queue(&event.route, &delivery.target)?;
        let has_turn = match delivery.order {
            Some(order) => self.join(order.group, queue, id)?,
            None => true,
        };
        // A clock that was set back must not make "due at once" mean later.
        let due = event.received_at.min(self.due_clock.now());
        let waiting = Waiting {
            id,
            due_ms: if has_turn {
                due.as_millis()
            } else {
                BLOCKED_MS
            },
            attempts: 0,
            replayed_ms: None,
            order: delivery.order,
        };
        self.wait(queue, waiting)?;
        self.targets.add_pending(target);
        if !has_turn {
            return Ok(None);
        }
        let Some(lease) = delivery.lease else {
            self.queues.look_at(queue, waiting.spot());
            return Ok(None);
        };
        let claim = Claim {
            target,
            queue,
            waiting,
            uid: Some(event.uid),
        };
        Ok(Some(self.claims.claim(claim, Instant::now(), lease)))
    }

    /// What tells expiry that an event has nothing to wait for.
    fn insert_finished(&self, seq: i64, event: &Event) -> Result<(), Failure> {
        for id in deliveries::ids(seq, 0) {
            self.connection
                .prepare_cached(
                    "INSERT INTO deliveries (id, target, state, settled_ms, attempts)
                     VALUES (?1, ?2, ?3, ?4, 0)",
                )?
                .execute((
                    id,
                    NOBODY,
                    state_code(DeliveryState::Delivered),
                    event.received_at.as_millis(),
                ))?;
        }
        Ok(())
    }
}
