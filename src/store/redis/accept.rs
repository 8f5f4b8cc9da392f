//! Accepting: many events in one script call.

use std::{collections::HashMap, sync::Arc, time::Instant};

use redis::Value;

use super::{
    super::{Acceptance, Lease, StoreError},
    batch::Batch,
    encoding::{self, Remembered},
    error::unexpected,
    record,
    scripts::{self, Call, Names},
    shard::Keys,
};
use crate::{
    event::{Event, event_uid},
    metrics::Metrics,
};

/// The generation of a delivery that was accepted already claimed; `common.lua` has the same number.
const FIRST_GENERATION: i64 = 1;

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
    keys: Arc<Keys>,
    metrics: Arc<Metrics>,
}

impl Accept {
    pub(super) fn new(keys: Arc<Keys>, metrics: Arc<Metrics>) -> Self {
        Self { keys, metrics }
    }

    fn accepted(&self, arrival: &Arrival) -> Acceptance {
        let deliveries = arrival.event.deliveries.iter();
        let leases = deliveries.map(|delivery| {
            delivery.lease.map(|lease| Lease {
                token: self.keys.token(FIRST_GENERATION),
                ends: encoding::ends(arrival.since, lease),
            })
        });
        Acceptance::Accepted {
            leases: leases.collect(),
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
        let call = prepare(&self.keys, arrivals)?;
        let [duplicates, waiting] = scripts::row(self.keys.run(&call).await?)?;
        let mut acceptances: Vec<_> = arrivals
            .iter()
            .map(|arrival| self.accepted(arrival))
            .collect();
        let mut events = arrivals.len();
        for [number, kept] in pairs(duplicates)? {
            let index = scripts::index(number)?;
            let arrival = arrivals.get(index).ok_or_else(unexpected)?;
            acceptances[index] = duplicate(&arrival.event, kept)?;
            events = events.saturating_sub(1);
        }
        for [number, delivery] in pairs(waiting)? {
            let acceptance = acceptances.get_mut(scripts::index(number)?);
            let Some(Acceptance::Accepted { leases }) = acceptance else {
                return Err(unexpected());
            };
            *leases
                .get_mut(scripts::index(delivery)?)
                .ok_or_else(unexpected)? = None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        self.metrics
            .store
            .commit_batch_events
            .observe(events as f64);
        Ok(acceptances)
    }
}

/// The call for these events, as `accept.lua` says.
fn prepare<'a>(keys: &'a Keys, arrivals: &[Arrival]) -> Result<Call<'a>, StoreError> {
    let (mut names, mut groups) = (Names::default(), Vec::new());
    let mut plans = Plans::default();
    let mut heads = Vec::with_capacity(arrivals.len() * 64);
    let mut records_bytes = 0;
    let mut fronts = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        let event = &*arrival.event;
        let plan = plans.number(plan(event, &mut names)?)?;
        let front = record::front(event)?;
        let body_bytes = u32::try_from(event.body.len()).map_err(|_| unexpected())?;
        let remembered = Remembered {
            received_at: event.received_at,
            digest: event.digest.short(),
        };
        heads.extend_from_slice(event.uid.as_bytes());
        heads.extend_from_slice(&encoding::place_of_id(event.key));
        heads.extend_from_slice(&remembered.to_bytes());
        heads.extend_from_slice(&encoding::log_minute(event.received_at).to_le_bytes());
        heads.extend_from_slice(&body_bytes.to_le_bytes());
        heads.extend_from_slice(&plan.to_le_bytes());
        for delivery in &event.deliveries {
            if let Some(order) = delivery.order {
                groups.extend_from_slice(&order.group.0);
            }
        }
        records_bytes += front.len() + event.body.len();
        fronts.push(front);
    }
    let others_bytes = names.packed.len() + plans.packed.len() + heads.len() + groups.len();
    let bytes = records_bytes + others_bytes;
    let script = &keys.scripts.accept;
    let mut call = script.call_with(&keys.prefix, arrivals.len() + 4, bytes);
    call.arg(&names.packed)
        .arg(&plans.packed)
        .arg(&heads)
        .arg(&groups);
    for (arrival, front) in arrivals.iter().zip(fronts) {
        call.joined(&front, &arrival.event.body)?;
    }
    Ok(call)
}

/// What an event has in common with most others of its route.
fn plan(event: &Event, names: &mut Names) -> Result<Vec<u8>, StoreError> {
    let mut plan = Vec::with_capacity(12 + 11 * event.deliveries.len());
    let deliveries = u16::try_from(event.deliveries.len()).map_err(|_| unexpected())?;
    plan.extend_from_slice(&encoding::millis(event.dedupe_window).to_le_bytes());
    plan.extend_from_slice(&names.number(&event.route)?.to_le_bytes());
    plan.extend_from_slice(&deliveries.to_le_bytes());
    for delivery in &event.deliveries {
        let lease_ms = delivery.lease.map_or(-1, encoding::millis);
        plan.extend_from_slice(&names.number(&delivery.target)?.to_le_bytes());
        plan.extend_from_slice(&lease_ms.to_le_bytes());
        plan.push(record::order_kind(delivery.order));
    }
    Ok(plan)
}

/// The different plans of a call, numbered from 1.
#[derive(Default)]
struct Plans {
    packed: Vec<u8>,
    numbers: HashMap<Vec<u8>, u16>,
}

impl Plans {
    fn number(&mut self, plan: Vec<u8>) -> Result<u16, StoreError> {
        if let Some(number) = self.numbers.get(&plan) {
            return Ok(*number);
        }
        let number = u16::try_from(self.numbers.len() + 1).map_err(|_| unexpected())?;
        self.packed.extend_from_slice(&plan);
        self.numbers.insert(plan, number);
        Ok(number)
    }
}

/// The values two by two.
fn pairs(value: Value) -> Result<Vec<[Value; 2]>, StoreError> {
    let mut values = scripts::array(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(first) = values.next() {
        pairs.push([first, values.next().ok_or_else(unexpected)?]);
    }
    Ok(pairs)
}

fn duplicate(event: &Event, value: Value) -> Result<Acceptance, StoreError> {
    let first = Remembered::from_bytes(&scripts::bytes(value)?).ok_or_else(unexpected)?;
    Ok(Acceptance::Duplicate {
        uid: event_uid(event.key, first.received_at),
        first_received_at: first.received_at,
        same_body: first.digest == event.digest.short(),
    })
}
