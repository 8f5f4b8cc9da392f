//! Accepting an event: one row for it, and one for each delivery.

use std::time::Instant;

use crate::{
    event::{Event, NewDelivery, event_uid},
    store::{Acceptance, Lease},
};

use super::{
    failure::Failure,
    ledger::{DELIVERIES_MAX, Ledger},
    targets::row_of,
};

impl Ledger {
    pub(super) fn accept(&mut self, event: &Event, headers: &str) -> Result<Acceptance, Failure> {
        if let Some(duplicate) = self.duplicate(event) {
            return Ok(duplicate);
        }
        self.begin()?;
        let seq = self.next_seq;
        self.next_seq += 1;
        self.insert_event(seq, event, headers)?;
        let mut leases = Vec::with_capacity(event.deliveries.len());
        for (id, delivery) in (seq * DELIVERIES_MAX..).zip(&event.deliveries) {
            leases.push(self.insert_delivery(id, event, delivery)?);
        }
        self.ids.remember(
            event.key,
            event.received_at,
            event.dedupe_window,
            event.digest,
        );
        self.targets.counts.body_bytes += event.body.len() as u64;
        self.may_be_finished(event.uid, seq);
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

    fn insert_event(&self, seq: i64, event: &Event, headers: &str) -> Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO events (seq, received_ms, body_bytes, uid, key, window_ms, route, id, type,
                 content_type, headers, digest, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute((
                seq,
                event.received_at.as_millis(),
                i64::try_from(event.body.len()).unwrap_or(i64::MAX),
                event.uid.as_bytes().as_slice(),
                event.key.0.as_slice(),
                i64::try_from(event.dedupe_window.as_millis()).unwrap_or(i64::MAX),
                &*event.route,
                &*event.id,
                event.event_type.as_deref(),
                event.content_type.as_deref(),
                headers,
                event.digest.0.as_slice(),
                &*event.body,
            ))?;
        Ok(())
    }

    fn insert_delivery(
        &mut self,
        id: i64,
        event: &Event,
        delivery: &NewDelivery,
    ) -> Result<Option<Lease>, Failure> {
        let target = self.target(&delivery.target)?;
        // A clock that was set back must not make "due at once" mean later.
        let due = event.received_at.min(self.clock.now());
        self.connection
            .prepare_cached(
                "INSERT INTO deliveries (id, target, state, due_ms, attempts) VALUES (?1, ?2, 0, ?3, 0)",
            )?
            .execute((id, row_of(target), due.as_millis()))?;
        if let Some(pending) = self.targets.counts.pending.get_mut(target) {
            *pending += 1;
        }
        let claim = |lease| self.claims.claim(id, target, Instant::now(), lease);
        Ok(delivery.lease.map(claim))
    }
}
