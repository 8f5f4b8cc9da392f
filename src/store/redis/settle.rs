//! Settling: many settlements in one script call.

use std::sync::Arc;

use super::{
    super::{Settled, Settlement, StoreError},
    batch::Batch,
    connection::Connection,
    encoding,
    error::unexpected,
    scripts::{self, Call, Scripts},
};
use crate::event::{AttemptRecord, DeliveryState, Outcome};

pub(super) struct Settle {
    connection: Arc<Connection>,
    scripts: Arc<Scripts>,
}

impl Settle {
    pub(super) fn new(connection: Arc<Connection>, scripts: Arc<Scripts>) -> Self {
        Self {
            connection,
            scripts,
        }
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
        let mut call = self.scripts.settle.call();
        for settlement in settlements {
            add(&mut call, settlement)?;
        }
        let replies = scripts::array(self.connection.run(&call).await?)?;
        let settled = replies.into_iter().map(|reply| match reply {
            redis::Value::Int(1) => Ok(Settled::Done),
            redis::Value::Int(0) => Ok(Settled::Lost),
            _ => Err(unexpected()),
        });
        settled.collect()
    }
}

fn add(call: &mut Call<'_>, settlement: &Settlement) -> Result<(), StoreError> {
    let (state, wait_ms) = match settlement.outcome {
        Outcome::Delivered => (DeliveryState::Delivered, 0),
        Outcome::Dead(reason) => (DeliveryState::Dead(reason), 0),
        Outcome::Retry(wait) => (DeliveryState::Pending, encoding::millis(wait)),
        Outcome::Released => (DeliveryState::Pending, 0),
    };
    call.arg(settlement.uid.as_bytes())
        .arg(settlement.target.as_bytes())
        .arg(settlement.token)
        .arg(encoding::status(state))
        .arg(wait_ms);
    match &settlement.attempt {
        Some(attempt) => {
            let (facts, head) = encoding::attempt(attempt)?;
            call.arg(1).arg(facts).arg(head);
        }
        None => {
            call.arg(0).arg("").arg("");
        }
    }
    Ok(())
}
