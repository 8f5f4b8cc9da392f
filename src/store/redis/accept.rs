//! Accepting: many events in one script call.

use std::{sync::Arc, time::Instant};

use redis::Value;

use super::{
    super::{Acceptance, Lease, StoreError},
    batch::Batch,
    connection::Connection,
    encoding::{self, Remembered},
    error::unexpected,
    scripts::{self, Call, Scripts},
};
use crate::{
    event::{Event, event_uid},
    metrics::Metrics,
};

/// The token of a delivery that was accepted already claimed; `common.lua` has the same number.
const FIRST_TOKEN: i64 = 1;

/// An event on its way in.
pub(super) struct Arrival {
    event: Arc<Event>,
    /// Leases are counted from here: Redis starts them later, so they end here first.
    since: Instant,
}

impl Arrival {
    pub(super) fn new(event: Arc<Event>) -> Self {
        Self {
            event,
            since: Instant::now(),
        }
    }
}

pub(super) struct Accept {
    connection: Arc<Connection>,
    scripts: Arc<Scripts>,
    metrics: Arc<Metrics>,
}

impl Accept {
    pub(super) fn new(
        connection: Arc<Connection>,
        scripts: Arc<Scripts>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            connection,
            scripts,
            metrics,
        }
    }
}

impl Batch for Accept {
    type Request = Arrival;
    type Reply = Acceptance;

    fn bytes(arrival: &Arrival) -> usize {
        arrival.event.body.len()
    }

    async fn call(&self, arrivals: &[Arrival]) -> Result<Vec<Acceptance>, StoreError> {
        let mut call = self.scripts.accept.call();
        for arrival in arrivals {
            add(&mut call, &arrival.event)?;
        }
        let replies = scripts::array(self.connection.run(&call).await?)?;
        let acceptances: Vec<_> = arrivals
            .iter()
            .zip(replies)
            .map(|(arrival, reply)| acceptance(arrival, reply))
            .collect::<Result<_, _>>()?;
        let accepted = acceptances
            .iter()
            .filter(|acceptance| matches!(acceptance, Acceptance::Accepted { .. }));
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let accepted = accepted.count() as f64;
        self.metrics.store.commit_batch_events.observe(accepted);
        Ok(acceptances)
    }
}

fn add(call: &mut Call<'_>, event: &Event) -> Result<(), StoreError> {
    let remembered = Remembered {
        received_at: event.received_at,
        digest: event.digest.short(),
    };
    call.arg(event.uid.as_bytes())
        .arg(&event.key.0)
        .arg(&remembered.to_bytes())
        .arg(event.received_at.as_millis())
        .arg(encoding::millis(event.dedupe_window))
        .arg(encoding::description(event)?)
        .arg(&event.body[..])
        .arg(event.deliveries.len());
    for delivery in &event.deliveries {
        let lease_ms = delivery.lease.map_or(-1, encoding::millis);
        call.arg(delivery.target.as_bytes()).arg(lease_ms);
    }
    Ok(())
}

fn acceptance(arrival: &Arrival, reply: Value) -> Result<Acceptance, StoreError> {
    let event = &arrival.event;
    match reply {
        Value::Int(1) => Ok(Acceptance::Accepted {
            leases: event
                .deliveries
                .iter()
                .map(|delivery| {
                    delivery.lease.map(|lease| Lease {
                        token: FIRST_TOKEN,
                        ends: encoding::ends(arrival.since, lease),
                    })
                })
                .collect(),
        }),
        Value::BulkString(bytes) => {
            let first = Remembered::from_bytes(&bytes).ok_or_else(unexpected)?;
            Ok(Acceptance::Duplicate {
                uid: event_uid(event.key, first.received_at),
                first_received_at: first.received_at,
                same_body: first.digest == event.digest.short(),
            })
        }
        _ => Err(unexpected()),
    }
}
