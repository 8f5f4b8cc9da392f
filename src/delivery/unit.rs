//! What works on one target's deliveries: a lane, a worker, a client. Made in two steps, so that what can fail has been
//! done before anything changes.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    LANE_PER_SLOT, client::HttpClient, courier::Courier, expressions::TargetLines, lease_for,
    request::Template,
};
use crate::{
    config::Target,
    event::TargetName,
    store::handover::{Gate, LaneSpec},
};

/// The targets as they are to be, with all that can fail done. See [`super::Delivery::apply`].
#[must_use = "nothing has changed yet"]
pub struct Prepared(pub(super) Vec<Planned>);

pub(super) enum Planned {
    /// It goes on as it is.
    Kept(TargetName),
    /// It is new, or has changed.
    Built(Box<Parts>),
}

/// What a unit is made of.
pub(super) struct Parts {
    pub(super) target: Arc<Target>,
    pub(super) lines: TargetLines,
    pub(super) client: HttpClient,
    pub(super) template: Template,
}

/// The running one.
pub(super) struct Unit {
    pub(super) target: Arc<Target>,
    pub(super) lines: TargetLines,
    pub(super) courier: Arc<Courier>,
    pub(super) stop: CancellationToken,
}

impl Unit {
    pub(super) fn is_of(&self, target: &Target, lines: &TargetLines) -> bool {
        self.target.fingerprint == target.fingerprint && self.lines == *lines
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.courier.gate
    }

    /// Takes nothing more and gives back what waits. Attempts under way end as they would.
    pub(super) fn leave(self) {
        if let Some(circuit) = &self.courier.circuit {
            circuit.retire();
        }
        self.stop.cancel();
    }
}

impl Parts {
    pub(super) fn lane_spec(&self, paused_by_operator: bool) -> LaneSpec {
        let target = &self.target;
        LaneSpec {
            target: target.name.clone(),
            capacity: target.concurrency.saturating_mul(LANE_PER_SLOT),
            // Expressions are evaluated under the claim too.
            lease: lease_for(target).saturating_add(self.lines.allowance()),
            rate: target.rate,
            paused_by_file: target.paused,
            paused_by_operator,
        }
    }
}
