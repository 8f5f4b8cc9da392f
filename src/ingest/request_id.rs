//! A name for every request, so that a caller and an operator can speak of the same one.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes ids of 24 hex digits: eight that tell this process from others, sixteen that count.
pub(super) struct RequestIds {
    process: u32,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            process: rand::random(),
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}{count:016x}", self.process)
    }
}
