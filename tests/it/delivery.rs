//! Delivery: from the store to real receivers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod breaker;
mod canary;
mod expressions;
mod names;
mod order;
mod pauses;
mod queues;
mod rate;
mod reload;
mod reload_load;
mod replays;
mod replies;
pub(crate) mod rig;
mod signing;
mod stopping;
mod tls;
mod together;
