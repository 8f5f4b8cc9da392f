//! The Redis store: one script an operation.
