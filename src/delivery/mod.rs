//! Delivery: from the store to the targets.
