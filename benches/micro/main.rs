//! What each step of a request costs, and each operation of each store: `cargo bench --bench micro`.
//!
//! `cargo bench --bench micro -- verify` runs what has `verify` in its name. benches/README.md says what the figures mean.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark may fail loudly"
)]

#[path = "../common/mod.rs"]
mod common;
mod presets;
mod redis;
mod steps;
mod stores;

use std::time::Duration;

use criterion::Criterion;

/// Of bodies.
const SIZES: [usize; 3] = [1024, 16 * 1024, 64 * 1024];

fn main() {
    // Short: a change that matters shows, and a run of all takes about three minutes.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    steps::verify(&mut criterion);
    presets::presets(&mut criterion);
    steps::validate(&mut criterion);
    steps::identify(&mut criterion);
    steps::receive(&mut criterion);
    for store in stores::ALL {
        stores::accept(&mut criterion, store);
        stores::claim(&mut criterion, store);
        stores::settle(&mut criterion, store);
    }
    criterion.final_summary();
}
