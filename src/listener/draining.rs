//! How a connection hears that the gateway stops.

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::ingest::Gate;

/// Whether the gateway stops.
pub(super) struct Draining {
    gate: Arc<Gate>,
    signal: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who the signal wakes. To ask it again would take a lock that all connections share.
    waker: Option<Waker>,
}

impl Draining {
    /// `signal` comes after the gate drains.
    pub(super) fn new(gate: Arc<Gate>, signal: CancellationToken) -> Self {
        Self {
            gate,
            signal: Box::pin(signal.cancelled_owned()),
            waker: None,
        }
    }

    /// When it is false, the signal will wake the task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.gate.is_draining() {
            return true;
        }
        if matches!(&self.waker, Some(waker) if waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        self.signal.as_mut().poll(cx).is_ready()
    }
}
