//! Hookgate: a webhook ingest gateway.
//!
//! ```text
//!             ingest/   (knows HTTP)                              delivery/   (knows an HTTP client)
//!  listener ─▶ route ─▶ authenticate ─▶ validate ─▶ identify ─┐      ┌─▶ dispatcher ─▶ attempt ─▶ outcome ─┐
//!                                                             ▼      │                                     │
//!                                                      store.accept  store.claim ◀──────── store.settle ◀──┘
//!                                                      (atomic, durable)
//!                                                             └─▶ 200 · 4xx · 503
//! ```
//!
//! `ingest` and `delivery` never name each other; they meet only in the [`store::Store`] trait.

/// Of Hookgate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What it was built from: see `build.rs`.
pub const COMMIT: &str = env!("HOOKGATE_BUILT_FROM");

pub mod clock;
pub mod event;

pub mod config;
pub mod expression;
pub mod payload;
pub mod providers;
mod rate;
pub mod signature;

pub mod keys;
pub mod metrics;
pub mod outbound;
pub mod store;

pub mod delivery;
pub mod ingest;

pub mod admin;
pub mod app;
pub mod cli;
pub mod listener;
