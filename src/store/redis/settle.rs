//! Settling: many settlements in one script call.

use std::sync::Arc;

use super::{
    super::{Settled, Settlement, StoreError},
    batch::Batch,
    encoding,
    error::unexpected,
    scripts::{self, Call, Names},
    shard::{self, Keys},
};
use crate::event::{AttemptRecord, DeliveryState, Outcome};

pub(super) struct Settle {
    keys: Arc<Keys>,
}

impl Settle {
    pub(super) fn new(keys: Arc<Keys>) -> Self {
        Self { keys }
    }
}

impl Batch for Settle {
    type Request = Settlement;
    type Reply = Settled;

    fn bytes(settlement: &Settlement) -> usize {
        let head = |attempt: &AttemptRecord| attempt.response_head.len();
        settlement.attempt.as_ref().map_or(0, head)
    }

    async fn call(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let call = prepare(&self.keys, settlements)?;
        let lost = scripts::array(self.keys.run(&call).await?)?;
        let mut settled = vec![Settled::Done; settlements.len()];
        for number in lost {
            let index = scripts::index(number)?;
            *settled.get_mut(index).ok_or_else(unexpected)? = Settled::Lost;
        }
        Ok(settled)
    }
}

/// The call for these settlements, as `settle.lua` says.
fn prepare<'a>(keys: &'a Keys, settlements: &[Settlement]) -> Result<Call<'a>, StoreError> {
    let mut names = Names::default();
    let mut heads = Vec::with_capacity(settlements.len() * 40);
    for settlement in settlements {
        let target = names.number(&settlement.target)?;
        let route = names.number(&settlement.route)?;
        let (state, wait_ms) = match settlement.outcome {
            Outcome::Delivered => (DeliveryState::Delivered, 0),
            Outcome::Dead(reason) => (DeliveryState::Dead(reason), 0),
            Outcome::Filtered => (DeliveryState::Filtered, 0),
            Outcome::Retry(wait) => (DeliveryState::Pending, encoding::millis(wait)),
            Outcome::Released => (DeliveryState::Pending, 0),
        };
        heads.extend_from_slice(settlement.uid.as_bytes());
        heads.extend_from_slice(&target.to_le_bytes());
        heads.extend_from_slice(&route.to_le_bytes());
        heads.extend_from_slice(&shard::generation(settlement.token).to_le_bytes());
        heads.push(encoding::status(state));
        heads.extend_from_slice(&wait_ms.to_le_bytes());
    }
    let bytes = names.packed.len() + heads.len() + settlements.len() * 128;
    let script = &keys.scripts.settle;
    let mut call = script.call_with(&keys.prefix, settlements.len() + 2, bytes);
    call.arg(&names.packed).arg(&heads);
    for settlement in settlements {
        let attempt = settlement.attempt.as_ref().map(encoding::attempt);
        call.arg(attempt.transpose()?.unwrap_or_default());
    }
    Ok(call)
}
