//! Delivery: from the store to real receivers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod canary;
mod names;
mod queues;
mod replies;
mod rig;
mod signing;
mod stopping;
mod tls;
