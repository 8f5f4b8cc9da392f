//! Delivery: from the store to real receivers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod breaker;
mod order;
mod queues;
mod rate;
mod replays;
mod replies;
pub(crate) mod rig;
mod stopping;
mod tls;
