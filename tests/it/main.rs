//! One binary: every promise of Hookgate against the real thing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod support;

mod admin;
mod callers;
mod chaos;
mod cli;
mod config;
mod contract;
mod crash;
mod delivery;
mod deploy;
mod end_to_end;
mod expressions;
mod finding_out;
mod gateway_outage;
mod handshakes;
mod ingest;
mod keys;
mod layers;
mod listener;
mod metrics;
mod outage;
mod providers;
mod readme;
mod reload;
mod signatures;
mod spool;
mod traces;
mod troubleshooting;
