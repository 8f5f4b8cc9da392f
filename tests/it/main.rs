//! One binary: every promise of Hookgate against the real thing.

mod support;

mod cli;
mod config;
mod contract;
mod crash;
mod delivery;
mod gateway_outage;
mod ingest;
mod layers;
mod listener;
mod outage;
mod signatures;
